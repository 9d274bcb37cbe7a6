"""Compare the newest rows with what the champions learned from."""

from __future__ import annotations

from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from flows.display import report_progress
from flows.parts import Platform


@task(name="report-drift", cache_policy=NO_CACHE)
def compare_windows(source: str | None) -> dict[str, Any]:
    """One report and one recorded decision per classifier that has a champion."""
    from monitoring.gathering import gather
    from monitoring.looks import CLASSIFIERS, drift_of

    platform = Platform.open(source)
    reports: dict[str, Any] = {}
    for model in CLASSIFIERS:
        if platform.registry.champion(platform.workspace.model_name(model)) is None:
            continue
        material = gather(
            platform.repository,
            platform.warehouse,
            platform.registry,
            platform.source,
            task=model,
            at=platform.now(),
            settings=platform.settings,
            progress=report_progress,
        )
        report = drift_of(material, workspace=platform.workspace, seed=platform.settings.training.seed, recorded=True)
        reports[model] = report.as_record()
        create_markdown_artifact(key=f"{platform.workspace.name}-{model}-drift", markdown=report.as_markdown())
    outputs = [path for report in reports.values() for path in (report["page"], report["json"])]
    return {"reports": reports, "outputs": outputs}


@flow(name="report-drift")
def report_drift(source: str | None = None) -> dict[str, Any]:
    """Report drift of the newest rows and record the decision it ends in.

    Args:
        source: Source, which names the workspace; unset: the settings choose.
    """
    return compare_windows(source)
