"""Features: registered in Feast, computed for history, put online."""

from __future__ import annotations

from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.display import report_progress
from flows.parts import Platform


@task(name="build-features", cache_policy=NO_CACHE)
def build_history(source: str | None) -> dict[str, Any]:
    """Apply the Feast repository and compute the views on the spines that training will ask for."""
    from features.spines import deal_history_spine, lead_history_spine

    platform = Platform.open(source)
    views = platform.repository.apply()
    rows: dict[str, int] = {}
    if platform.source.lead is not None:
        spine = lead_history_spine(platform.warehouse, mode=platform.source.lead.spine, until=platform.now())
        rows["lead"] = platform.repository.build("lead_score_v1", spine, progress=report_progress)
    if platform.source.deal is not None:
        spine = deal_history_spine(platform.warehouse, mode=platform.source.deal.spine, until=platform.now())
        rows["deal"] = platform.repository.build("deal_win_v1", spine, progress=report_progress)
    return {"views": list(views), "rows": rows, "outputs": [str(platform.workspace.features)]}


@task(name="materialize", cache_policy=NO_CACHE)
def put_online(source: str | None) -> dict[str, Any]:
    """Compute everything open as of now and write it to the online store."""
    platform = Platform.open(source)
    at = platform.now()
    written = platform.repository.materialize(at, progress=report_progress)
    return {"as_of": at.isoformat(), "entities": written, "outputs": [str(platform.workspace.features)]}


@flow(name="build-features")
def build_features(source: str | None = None) -> dict[str, Any]:
    """Register the feature views and compute the history that training needs, only what is missing.

    Args:
        source: Source, which names the workspace; unset: the settings choose.
    """
    return build_history(source)


@flow(name="materialize-features")
def materialize_features(source: str | None = None) -> dict[str, Any]:
    """Put the newest features of everything open into the online store.

    Args:
        source: Source, which names the workspace; unset: the settings choose.
    """
    build = Platform.open(source).repository.apply()
    return {**put_online(source), "views": list(build)}
