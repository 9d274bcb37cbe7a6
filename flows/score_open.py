"""Score everything open with the champions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.display import report_progress
from flows.parts import Platform

MODELS = ("lead", "deal")


@task(name="score-open", cache_policy=NO_CACHE)
def score_everything_open(source: str | None, models: Sequence[str] = MODELS) -> dict[str, Any]:
    """Score all open leads and deals as of now; one Parquet file per model."""
    from training.batch import score_open as score_batch

    platform = Platform.open(source)
    scored: dict[str, Any] = {}
    for model in models:
        if platform.registry.champion(platform.workspace.model_name(model)) is None:
            continue
        scored[model] = score_batch(
            platform.repository,
            platform.warehouse,
            platform.registry,
            platform.workspace,
            task=model,
            at=platform.now(),
            progress=report_progress,
        ).as_record()
    return {"scored": scored, "outputs": [batch["file"] for batch in scored.values()]}


@flow(name="score-open")
def score_open(source: str | None = None, models: tuple[str, ...] = MODELS) -> dict[str, Any]:
    """Score every open lead and deal with the champions.

    Args:
        source: Source, which names the workspace; unset: the settings choose.
        models: `lead`, `deal`, or both.
    """
    return score_everything_open(source, models)
