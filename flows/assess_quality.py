"""Assess how far the warehouse can be trusted, and report it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from common.errors import NotFoundError
from flows.display import report_progress
from flows.parts import Platform


@task(name="assess-quality", cache_policy=NO_CACHE)
def assess_warehouse(source: str | None, as_of: datetime | None) -> dict[str, Any]:
    """Write the quality report with its trend over earlier ones; give the scores and what to mend first."""
    from warehouse.quality import assess_quality, earlier_reports, write_quality

    platform = Platform.open(source)
    folder = platform.workspace.reports
    moment = as_of or _now(platform)
    report = assess_quality(
        platform.warehouse, as_of=moment, previous=earlier_reports(folder), progress=report_progress
    )
    page = write_quality(report, folder)
    return {
        "score": report.score,
        "verdict": report.verdict,
        "tables": {table.table: table.score for table in report.tables},
        "findings": [
            {"table": f.table, "severity": f.severity, "what": f.what, "advice": f.advice} for f in report.findings
        ],
        "page": str(page),
        "outputs": [str(page), str(page.with_suffix(".json"))],
    }


def _now(platform: Platform) -> datetime:
    """Now; an empty warehouse has no cut of its own and is as empty now as ever."""
    try:
        return platform.now()
    except NotFoundError:
        return datetime.now(UTC)


@flow(name="assess-quality")
def assess_quality_flow(source: str | None = None, as_of: datetime | None = None) -> dict[str, Any]:
    """Assess the warehouse's data quality: scores, their trend, and what to do about each finding.

    Args:
        source: Source, which names the workspace; default: the one the settings choose.
        as_of: Moment to assess the warehouse at, as it was known then; default: now.
    """
    return assess_warehouse(source, as_of)
