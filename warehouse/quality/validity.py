"""Validity: what the contracts kept out, and what they let in but is hard to believe."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from warehouse.quality.reading import Reading
from warehouse.quality.results import Found
from warehouse.quality.weights import penalty
from warehouse.store import Warehouse

_MOST_REASONS = 10


@dataclass(frozen=True)
class Quarantined:
    """Quarantined rows of one table: their number, and the most frequent reasons."""

    count: int
    reasons: dict[str, int]


@dataclass(frozen=True)
class Implausible:
    """A rule that no contract enforces but that a right row seldom breaks.

    Args:
        table: Canonical table.
        column: Column it reads.
        condition: SQL that is true for a row that is hard to believe.
        what: What such rows are, in the plural.
        advice: What to do.
    """

    table: str
    column: str
    condition: str
    what: str
    advice: str


_UNIT = "Compare with the source: a wrong unit, currency or separator in the mapping is the usual cause."
_EMAIL = "NOT regexp_full_match(trim(email), '[^@\\s]+@[^@\\s]+\\.[^@\\s.]+')"
_RULES = (
    Implausible("accounts", "employee_count", "employee_count > 5000000", "more than 5 million employees", _UNIT),
    Implausible("leads", "employee_count", "employee_count > 5000000", "more than 5 million employees", _UNIT),
    Implausible("accounts", "annual_revenue_usd", "annual_revenue_usd > 2e12", "revenue above 2 trillion US$", _UNIT),
    Implausible("leads", "email", _EMAIL, "e-mail addresses without the form of one", "Correct them in the CRM."),
    Implausible("contacts", "email", _EMAIL, "e-mail addresses without the form of one", "Correct them in the CRM."),
    Implausible(
        "opportunities",
        "amount_usd",
        "status = 'won' AND amount_usd = 0",
        "won deals of amount 0",
        "Enter what was sold, or map 0 to missing: a won deal of 0 drags every forecast down.",
    ),
    Implausible(
        "opportunities",
        "close_date",
        "abs(date_diff('day', opened_at::DATE, close_date)) > 3650",
        "close dates more than ten years from the opening",
        "Check the date format in the mapping (day and month, two-digit years).",
    ),
    Implausible(
        "opportunities",
        "status",
        "status = 'open' AND crm_probability IN (0, 1)",
        "open deals with a probability of exactly 0 or 1",
        "Close them in the CRM, or check the value map of `status`.",
    ),
    Implausible("activities", "duration_minutes", "duration_minutes > 1440", "activities longer than a day", _UNIT),
    Implausible(
        "activities", "participant_count", "participant_count > 1000", "activities of more than 1,000 people", _UNIT
    ),
    Implausible(
        "activities",
        "opportunity_id",
        "coalesce(opportunity_id, lead_id, account_id, contact_id) IS NULL",
        "activities about nobody: no deal, lead, account or contact",
        "Map the id that the source relates them to; no feature can use them as they are.",
    ),
    Implausible("lead_events", "duration_seconds", "duration_seconds > 86400", "visits longer than a day", _UNIT),
    Implausible("transactions", "amount_usd", "amount_usd = 0", "bookings of amount 0", _UNIT),
)
_AMOUNTS = (("opportunities", "amount_usd"), ("transactions", "amount_usd"), ("products", "list_price_usd"))
_FAR_ABOVE_MEDIAN = 1000


def quarantine_counts(warehouse: Warehouse) -> dict[str, Quarantined]:
    """Quarantined rows by table, those that have gone in after all left out; the most frequent reasons first."""
    counted: dict[str, Counter[str]] = {}
    for group in warehouse.quarantine.counts():
        counted.setdefault(group.table, Counter())[group.reason] += group.rows
    return {
        table: Quarantined(count=reasons.total(), reasons=dict(reasons.most_common(_MOST_REASONS)))
        for table, reasons in counted.items()
    }


def quarantine_findings(quarantined: Quarantined | None, table: str, *, rows: int) -> list[Found]:
    """One finding for the rows that broke the table's contract."""
    if quarantined is None:
        return []
    offered = rows + quarantined.count
    reasons = "; ".join(f"{reason} ({count:,})" for reason, count in list(quarantined.reasons.items())[:3])
    more = len(quarantined.reasons) - 3
    return [
        Found(
            check="validity.quarantined",
            table=table,
            dimension="validity",
            what=f"{quarantined.count:,} of {offered:,} rows broke the contract: {reasons}"
            + (f"; and {more} more reasons" if more > 0 else ""),
            advice=f"See them with `salience quarantine show {table}`, mend the mapping or the source, then "
            "`salience quarantine retry`.",
            count=quarantined.count,
            of=offered,
            penalty=penalty("quarantined", quarantined.count, of=offered),
        )
    ]


def implausible_findings(reading: Reading, table: str, *, rows: int) -> list[Found]:
    """A finding per rule that some rows break."""
    rules = [rule for rule in _RULES if rule.table == table] + _far_amounts(reading, table)
    if not rules:
        return []
    known = reading.rows_of(table)
    counts = reading.row(f"SELECT {', '.join(f'count_if({rule.condition})' for rule in rules)} FROM {known}")  # noqa: S608
    return [
        Found(
            check=f"validity.{rule.column}",
            table=table,
            column=rule.column,
            dimension="validity",
            what=f"{count:,} of {rows:,} rows hold {rule.what}",
            advice=rule.advice,
            count=count,
            of=rows,
            penalty=penalty("implausible", count, of=rows),
            examples=reading.examples(f"{known} WHERE {rule.condition}", reading.key_of(table)),
        )
        for rule, count in zip(rules, counts, strict=True)
        if count
    ]


def _far_amounts(reading: Reading, table: str) -> list[Implausible]:
    rules = []
    for column in [column for owner, column in _AMOUNTS if owner == table]:
        median = reading.row(
            f"SELECT approx_quantile({column}, 0.5) FROM {reading.rows_of(table)} WHERE {column} > 0"  # noqa: S608
        )[0]
        if median:
            limit = _FAR_ABOVE_MEDIAN * median
            what = f"amounts above {_FAR_ABOVE_MEDIAN:,} times the usual ({median:,.0f} US$)"
            rules.append(Implausible(table, column, f"abs({column}) > {limit!r}", what, _UNIT))
    return rules
