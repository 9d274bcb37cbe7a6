"""How the score is made: every weight and tolerance, in the one place that also explains them."""

from __future__ import annotations

from warehouse.contracts import EXTENSION_PREFIX, Column, Known
from warehouse.quality.results import Dimension, Grade, Severity

METHOD = 1
"""Raised whenever a number in this file changes, so that a trend never mixes two ways of scoring."""

DIMENSION_WEIGHTS: dict[Dimension, int] = {
    "completeness": 25,
    "validity": 25,
    "consistency": 20,
    "uniqueness": 15,
    "timeliness": 15,
}
"""Share of each dimension in a table's score."""

TABLE_WEIGHTS: dict[str, int] = {
    "leads": 3,
    "opportunities": 3,
    "lead_events": 2,
    "activities": 2,
    "transactions": 2,
    "accounts": 2,
    "contacts": 2,
}
"""Share of each table in the overall score; tables not listed have 1. Leads and deals are what is predicted."""

WORTHLESS_SHARE: dict[str, float] = {
    "quarantined": 0.10,
    "implausible": 0.10,
    "duplicate_rows": 0.05,
    "conflicting_versions": 0.05,
    "duplicate_candidates": 0.20,
    "broken_references": 0.10,
    "missing_counterpart": 0.20,
    "impossible_order": 0.05,
    "future_dates": 0.02,
}
"""Share of faulty rows at which a dimension has lost all its points; below it the loss is proportional."""

LEAST_ROWS = 100
"""Shares are taken of at least this many rows: one wrong row of a table of eight is no catastrophe."""

NEWS_TABLES = frozenset({"leads", "opportunities", "lead_events", "activities", "transactions", "series_values"})
"""Tables in which something new is to be expected all the time; others may rightly rest."""

LATE_DAYS = 7
"""A row that became known later than this after it happened is late."""
WORTHLESS_LATE_SHARE = 0.5
"""Share of late rows at which the punctual half of timeliness is lost."""
FRESH_DAYS = 2.0
"""The newest row may always be this old, in days; beyond, twice the table's own usual gap is allowed."""
STALE_FACTOR = 5.0
"""At this many times the allowed age the fresh half of timeliness is lost."""

GRADES: tuple[tuple[float, Grade], ...] = ((90.0, "good"), (75.0, "fair"), (50.0, "poor"), (0.0, "bad"))
SEVERITIES: tuple[tuple[float, Severity], ...] = ((2.0, "high"), (0.5, "medium"), (0.0, "low"))

FEATURE_COLUMNS: dict[str, frozenset[str]] = {
    "reps": frozenset({"name", "region", "team"}),
    "leads": frozenset(
        {"country", "email", "employee_count", "industry", "landing_page", "region", "rep_id", "source", "title"}
    ),
    "opportunities": frozenset(
        {
            "amount_usd",
            "close_date",
            "crm_probability",
            "deal_type",
            "forecast_category",
            "pipeline",
            "rep_id",
            "source",
        }
    ),
    "lead_events": frozenset({"lead_id", "kind"}),
    "activities": frozenset({"kind", "direction"}),
    "transactions": frozenset({"rep_id"}),
}
"""Columns that feature views read (a test holds them against features/)."""

RIGHTLY_EMPTY: dict[str, frozenset[str]] = {
    "reps": frozenset({"manager_id"}),
    "leads": frozenset({"campaign_id"}),
    "opportunities": frozenset({"lead_id", "competitor", "next_step_date"}),
    "lead_events": frozenset({"subject", "campaign_id", "duration_seconds"}),
    "activities": frozenset(
        {"opportunity_id", "lead_id", "account_id", "contact_id", "outcome", "duration_minutes", "participant_count"}
    ),
    "transactions": frozenset({"opportunity_id"}),
    "series_values": frozenset({"level_1", "level_2", "level_3"}),
}
"""Columns whose emptiness says something: no competitor, not from a lead, an e-mail has no length."""


def column_weight(table: str, column: Column, *, fill: float) -> tuple[int, str]:
    """Weight of a column in its table's completeness, and why."""
    if column.known is Known.AT_OUTCOME:
        return 0, "known only at the outcome"
    if column.name.startswith(EXTENSION_PREFIX):
        return 0, "the source's own field"
    if column.name == "is_deleted" or column.name in RIGHTLY_EMPTY.get(table, ()):
        return 0, "may rightly be empty"
    if column.required:
        return 3, "required"
    if column.name in FEATURE_COLUMNS.get(table, ()):
        return 2, "used by features"
    return (0, "not supplied by the source") if fill == 0 else (1, "other")


def penalty(kind: str, count: int, *, of: int) -> float:
    """Points, 0 to 100, that `count` faulty rows among `of` take from their dimension."""
    return min(100.0, 100.0 * count / max(of, LEAST_ROWS) / WORTHLESS_SHARE[kind])


def grade_of(score: float) -> Grade:
    """The grade of an overall score."""
    return next(grade for least, grade in GRADES if score >= least)


def severity_of(points: float) -> Severity:
    """How bad a finding is by the points of the overall score it costs."""
    return next(severity for least, severity in SEVERITIES if points >= least)


def how_scored() -> tuple[str, ...]:
    """The method in sentences, for the report."""
    dimensions = ", ".join(f"{name} {weight} %" for name, weight in DIMENSION_WEIGHTS.items())
    tables = ", ".join(f"{name} {weight}" for name, weight in TABLE_WEIGHTS.items())
    shares = ", ".join(f"{kind.replace('_', ' ')} {share:.0%}" for kind, share in WORTHLESS_SHARE.items())
    return (
        f"A table's score is the weighted mean of its five dimensions: {dimensions}.",
        f"The overall score is the weighted mean of the tables that hold rows: {tables}, every other table 1.",
        "Completeness is the weighted mean fill of the columns: required 3, used by features 2, others 1. Columns that "
        "are known only at the outcome, may rightly be empty, are a source's own, or are not supplied at all and used "
        "by no feature do not count.",
        "The other dimensions start at 100 and lose points in proportion to the share of faulty rows, all of them at: "
        f"{shares}. Shares are of at least {LEAST_ROWS} rows.",
        f"Timeliness is half punctuality (rows known within {LATE_DAYS} days; nothing left when "
        f"{WORTHLESS_LATE_SHARE:.0%} are late) and half freshness (the newest row no older than {FRESH_DAYS:g} days or "
        f"twice the table's usual gap; nothing left at {STALE_FACTOR:g} times that). Tables that may rightly rest "
        "(accounts, reps, products and the like) or have fewer than 20 days of news are judged on punctuality alone.",
        "Sudden volume changes cost no points: they say that something changed, not that the data are wrong.",
        f"This is method {METHOD}; only scores of the same method are compared.",
    )
