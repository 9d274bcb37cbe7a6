"""The assessment: every check over every table, weighed into one report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from common.clock import utc
from warehouse.quality.consistency import money_findings, reference_findings, references
from warehouse.quality.duplicates import duplicate_findings, search_duplicates, searchable
from warehouse.quality.profiles import Profile, completeness_findings, profile_table, timeliness_findings
from warehouse.quality.reading import Reading, open_reading
from warehouse.quality.results import (
    DuplicateSearch,
    Found,
    QualityReport,
    TableQuality,
    TrendPoint,
    WeekVolume,
)
from warehouse.quality.scoring import DIMENSIONS, dimension_scores, overall, table_score, verdict_of, weigh
from warehouse.quality.times import future_findings, not_yet_known_findings, order_findings
from warehouse.quality.uniqueness import uniqueness_findings
from warehouse.quality.validity import Quarantined, implausible_findings, quarantine_counts, quarantine_findings
from warehouse.quality.volumes import judge_weeks, volume_findings, weekly_counts
from warehouse.quality.weights import METHOD, grade_of, how_scored
from warehouse.store import Warehouse

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class _Looked:
    """What was seen of one table."""

    profile: Profile
    weeks: tuple[WeekVolume, ...]
    found: tuple[Found, ...]


def assess_quality(
    warehouse: Warehouse,
    *,
    as_of: datetime,
    previous: Sequence[QualityReport | Mapping[str, Any]] = (),
    progress: Progress | None = None,
) -> QualityReport:
    """Assess the data of a warehouse as known at a moment.

    Everything is counted inside DuckDB within 2 GB of memory, the rest on disk. Same content, same report.

    Args:
        warehouse: What to assess.
        as_of: The moment, aware; rows that became known later are left out. Quarantined rows count whenever they came.
        previous: Earlier reports, as objects or as read from their JSON, for the trend; in any order. Those of the same
            or a later moment, or of another method of scoring, are left out.
        progress: Told of each step: what, done, total.

    Returns:
        The report; of an empty warehouse one without a score that says so.

    Raises:
        InputError: if `as_of` has no time zone.
    """
    moment = utc(as_of)
    quarantined = quarantine_counts(warehouse)
    with open_reading(warehouse, as_of=moment) as reading:
        tell = _steps(progress, total=len(reading.tables) + 2)
        looked = {}
        for table in reading.tables:
            tell(f"assessing {table}")
            looked[table] = _look_at(reading, table, quarantined.get(table))
        tell("comparing tables")
        between, not_looked_up = _between_tables(reading)
        later = tuple(
            f"{table} was left out: all its rows became known only after {moment:%Y-%m-%d %H:%M} UTC."
            for table in reading.contracts
            if table not in reading.tables
        )
        tell("searching duplicates")
        searches = tuple(search_duplicates(reading, table) for table in searchable(reading))
    found = [each for look in looked.values() for each in look.found] + between
    found += [each for search in searches for each in duplicate_findings(search)]
    tables = tuple(_table(name, looked[name], found, quarantined.get(name)) for name in looked)
    return _report(warehouse, moment, tables, found, searches, later + not_looked_up, previous)


def _steps(progress: Progress | None, *, total: int) -> Callable[[str], None]:
    done = 0

    def tell(what: str) -> None:
        nonlocal done
        if progress is not None:
            progress(what, done, total)
        done += 1

    return tell


def _look_at(reading: Reading, table: str, quarantined: Quarantined | None) -> _Looked:
    profile = profile_table(reading, table)
    rows = profile.rows
    weeks = judge_weeks(weekly_counts(reading, table, lag_hours=profile.timeliness.lag_p95_hours))
    found = [
        *completeness_findings(profile, table),
        *timeliness_findings(profile, table),
        *quarantine_findings(quarantined, table, rows=rows),
        *implausible_findings(reading, table, rows=rows),
        *uniqueness_findings(reading, table, rows=rows),
        *future_findings(reading, table, rows=rows),
        *not_yet_known_findings(table, rows=rows, not_yet_known=profile.not_yet_known),
        *volume_findings(table, weeks),
    ]
    return _Looked(profile, weeks, tuple(found))


def _between_tables(reading: Reading) -> tuple[list[Found], tuple[str, ...]]:
    known, said = references(reading)
    found = [each for reference in known for each in reference_findings(reading, reference)]
    return [*found, *money_findings(reading), *order_findings(reading)], said


def _table(name: str, look: _Looked, found: Sequence[Found], quarantined: Quarantined | None) -> TableQuality:
    own = [each for each in found if each.table == name]
    dimensions = dimension_scores(own, completeness=look.profile.completeness)
    return TableQuality(
        table=name,
        rows=look.profile.rows,
        not_yet_known=look.profile.not_yet_known,
        quarantined=quarantined.count if quarantined else 0,
        quarantine_reasons=quarantined.reasons if quarantined else {},
        score=table_score(dimensions),
        dimensions=dimensions,
        columns=look.profile.columns,
        timeliness=look.profile.timeliness,
        weeks=look.weeks,
    )


def _report(
    warehouse: Warehouse,
    as_of: datetime,
    tables: tuple[TableQuality, ...],
    found: Sequence[Found],
    searches: tuple[DuplicateSearch, ...],
    not_looked_up: tuple[str, ...],
    previous: Sequence[QualityReport | Mapping[str, Any]],
) -> QualityReport:
    scores = {table.table: table.score for table in tables}
    score = overall(scores)
    findings = weigh(found, tuple(scores))
    dimensions = {
        name: value
        for name in DIMENSIONS
        if (value := overall({table.table: table.dimensions[name] for table in tables})) is not None
    }
    trend = _earlier(previous, as_of)
    if score is not None:
        trend = (*trend, TrendPoint(as_of=as_of, score=score, tables=scores))
    return QualityReport(
        method=METHOD,
        as_of=as_of,
        score=score,
        grade="empty" if score is None else grade_of(score),
        verdict=verdict_of(score, findings, root=str(warehouse.root)),
        dimensions=dimensions,
        trend=trend,
        tables=tables,
        findings=findings,
        duplicates=searches,
        not_assessed=not_looked_up,
        how_scored=how_scored(),
        versions=warehouse.versions(),
    )


def _earlier(previous: Sequence[QualityReport | Mapping[str, Any]], as_of: datetime) -> tuple[TrendPoint, ...]:
    points = {point.as_of: point for each in previous if (point := _point(each)) is not None and point.as_of < as_of}
    return tuple(points[moment] for moment in sorted(points))


def _point(report: QualityReport | Mapping[str, Any]) -> TrendPoint | None:
    """The scores of an earlier report, if it has some and they were made by today's method."""
    if isinstance(report, QualityReport):
        scores = {table.table: table.score for table in report.tables}
        method, moment, score = report.method, report.as_of, report.score
    else:
        scores = {table["table"]: table["score"] for table in report["tables"]}
        method, score = report["method"], report["score"]
        moment = utc(datetime.fromisoformat(report["as_of"]))
    return None if score is None or method != METHOD else TrendPoint(as_of=moment, score=score, tables=scores)
