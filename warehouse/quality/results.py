"""What a quality assessment finds. These classes are the report's JSON: `docs/quality.schema.json` is made from them.

Records are named by their ids only: a report holds no names, e-mail addresses or other values of a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

Dimension = Literal["completeness", "validity", "uniqueness", "timeliness", "consistency"]
Severity = Literal["high", "medium", "low", "note"]
Grade = Literal["good", "fair", "poor", "bad", "empty"]

# The sentence under each field becomes its description in the JSON Schema.
_DOCUMENTED: Any = {"use_attribute_docstrings": True, "extra": "forbid"}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong, or worth a look, in one table."""

    __pydantic_config__ = _DOCUMENTED

    check: str
    """Name of the check, such as `orders.closed_before_opened`."""
    table: str
    """Canonical table."""
    column: str | None
    """Column at fault, where it is one."""
    dimension: Dimension | None
    """Dimension it lowers; null for findings that cost no points, such as a jump in volume."""
    severity: Severity
    """high: 2 points of the overall score or more; medium: 0.5 or more; low: less; note: costs nothing."""
    points: float
    """Points of the overall score it costs."""
    count: int
    """How many rows or things (of weeks for volumes, of columns for those not supplied)."""
    share: float | None
    """Share of those looked at, 0 to 1; null where a share says nothing."""
    examples: tuple[str, ...]
    """At most five ids (weeks for volumes)."""
    what: str
    """What was found, one sentence."""
    advice: str
    """What to do about it."""


@dataclass(frozen=True, kw_only=True)
class ColumnFill:
    """How far a column is filled."""

    __pydantic_config__ = _DOCUMENTED

    name: str
    """Column."""
    fill: float
    """Share of rows with a value, 0 to 1."""
    weight: int
    """Weight in the table's completeness: 3 required, 2 used by features, 1 other, 0 not counted."""
    counted: str
    """Why it has this weight."""


@dataclass(frozen=True, kw_only=True)
class Timeliness:
    """How soon a table hears of what happened."""

    __pydantic_config__ = _DOCUMENTED

    newest: datetime
    """Newest `created_timestamp`, UTC."""
    newest_age_days: float
    """Days from the newest row to the report's moment."""
    lag_median_hours: float
    """Median of `created_timestamp` - `event_timestamp`, in hours."""
    lag_p95_hours: float
    """95th percentile of the same."""
    late_share: float
    """Share of rows that became known more than 7 days after they happened."""
    usual_gap_days: float | None
    """95th percentile of the days between two days with news; null with fewer than 20 such days."""


@dataclass(frozen=True, kw_only=True)
class WeekVolume:
    """Rows of one week, Monday to Sunday UTC, by `event_timestamp`."""

    __pydantic_config__ = _DOCUMENTED

    week: date
    """Monday of the week."""
    rows: int
    """Rows that happened in it."""
    low: float | None
    """Least that was to be expected; null where too few weeks precede."""
    high: float | None
    """Most that was to be expected."""
    flagged: bool
    """Whether the count is a sudden change."""


@dataclass(frozen=True, kw_only=True)
class DuplicatePair:
    """Two things that may be one."""

    __pydantic_config__ = _DOCUMENTED

    first: str
    """Id of the one."""
    second: str
    """Id of the other."""
    confidence: float
    """From 0 to 1; a rank, not a probability."""
    why: str
    """What speaks for it."""


@dataclass(frozen=True, kw_only=True)
class DuplicateSearch:
    """Duplicate candidates among the things of one table."""

    __pydantic_config__ = _DOCUMENTED

    table: str
    """Canonical table."""
    searched: int
    """Things looked at."""
    pairs: int
    """Pairs above the threshold, all of them."""
    things: int
    """Things that are in at least one such pair."""
    threshold: float
    """Least confidence of a pair that counts."""
    top: tuple[DuplicatePair, ...]
    """The most confident pairs, at most 50."""
    capped_blocks: int
    """Groups too large to compare each with each, left out."""
    capped_things: int
    """Memberships in such groups; a thing that shares a smaller group is still compared there."""


@dataclass(frozen=True, kw_only=True)
class TableQuality:
    """The quality of one table."""

    __pydantic_config__ = _DOCUMENTED

    table: str
    """Canonical table."""
    rows: int
    """Rows known at the report's moment."""
    not_yet_known: int
    """Rows that became known only later, left out."""
    quarantined: int
    """Rows that broke the contract, of all loads."""
    quarantine_reasons: dict[str, int]
    """The most frequent reasons, at most ten."""
    score: float
    """0 to 100."""
    dimensions: dict[Dimension, float]
    """0 to 100 each."""
    columns: tuple[ColumnFill, ...]
    """Fill of each column."""
    timeliness: Timeliness
    """How soon it hears of what happened."""
    weeks: tuple[WeekVolume, ...]
    """Rows by week, at most the last 260 weeks."""


@dataclass(frozen=True, kw_only=True)
class TrendPoint:
    """The scores of one report, this one or an earlier one."""

    __pydantic_config__ = _DOCUMENTED

    as_of: datetime
    """Moment of that report, UTC."""
    score: float
    """Overall score."""
    tables: dict[str, float]
    """Score of each table."""


@dataclass(frozen=True, kw_only=True)
class QualityReport:
    """The quality of a warehouse as known at a moment."""

    __pydantic_config__ = _DOCUMENTED

    method: int
    """Version of the way the score is made; scores of different methods are not compared."""
    as_of: datetime
    """Moment of the report, UTC: later rows are left out."""
    score: float | None
    """0 to 100; null when there is nothing to assess."""
    grade: Grade
    """good: 90 or more; fair: 75; poor: 50; bad: less; empty: nothing to assess."""
    verdict: str
    """The verdict in words, with the three things to mend first."""
    dimensions: dict[Dimension, float]
    """Overall score by dimension."""
    trend: tuple[TrendPoint, ...]
    """Scores over the earlier reports of the same method and this one, oldest first."""
    tables: tuple[TableQuality, ...]
    """The tables that hold rows, in the order of the contracts."""
    findings: tuple[Finding, ...]
    """All findings, costliest first."""
    duplicates: tuple[DuplicateSearch, ...]
    """Duplicate candidates by table."""
    not_assessed: tuple[str, ...]
    """What could not be looked at, and why."""
    how_scored: tuple[str, ...]
    """How the score is made, in sentences."""
    versions: dict[str, int]
    """Delta version of each table that was read."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A finding before it is weighed against the whole.

    Args:
        check: Name of the check.
        table: Canonical table.
        what: What was found.
        advice: What to do.
        count: How many.
        of: How many were looked at; None where a share says nothing.
        column: Column at fault.
        dimension: Dimension it lowers; None if it costs nothing.
        penalty: Points it takes from that dimension of its table, 0 to 100.
        examples: At most five ids.
    """

    check: str
    table: str
    what: str
    advice: str
    count: int
    of: int | None = None
    column: str | None = None
    dimension: Dimension | None = None
    penalty: float = 0.0
    examples: tuple[str, ...] = ()
