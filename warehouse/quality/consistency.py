"""Consistency between tables: references that find no partner, and won deals that brought no money."""

from __future__ import annotations

from dataclasses import dataclass

from warehouse.quality.reading import Reading
from warehouse.quality.results import Found
from warehouse.quality.weights import penalty
from warehouse.views import quoted

_TARGETS = {
    "account_id": "accounts",
    "contact_id": "contacts",
    "lead_id": "leads",
    "opportunity_id": "opportunities",
    "rep_id": "reps",
    "manager_id": "reps",
    "product_id": "products",
    "campaign_id": "campaigns",
    "territory_id": "territories",
}
_BOOKING_DAYS = 30
"""A won deal may stay this long without a transaction."""


@dataclass(frozen=True)
class Reference:
    """A column that names a thing of another table."""

    table: str
    column: str
    target: str


def references(reading: Reading) -> tuple[tuple[Reference, ...], tuple[str, ...]]:
    """The references that can be looked up, and sentences on those that cannot because the other table is empty."""
    found = [
        Reference(table, column.name, _TARGETS[column.name])
        for table in reading.tables
        for column in reading.contracts[table].columns
        if column.name in _TARGETS and column.name != reading.contracts[table].key
    ]
    absent = sorted({reference.target for reference in found if reference.target not in reading.tables})
    said = tuple(f"References to {target} were not looked up: that table holds no rows." for target in absent)
    return tuple(reference for reference in found if reference.target in reading.tables), said


def reference_findings(reading: Reading, reference: Reference) -> list[Found]:
    """One finding for the values of a reference that no row of the other table has as its key."""
    column, target_key = quoted(reference.column), reading.key_of(reference.target)
    reading.connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE unknown AS SELECT value, rows FROM
              (SELECT {column} AS value, count(*) AS rows FROM {reading.rows_of(reference.table)}
               WHERE {column} IS NOT NULL GROUP BY value)
            ANTI JOIN (SELECT DISTINCT {target_key} AS value FROM {reading.rows_of(reference.target)}) USING (value)"""  # noqa: S608
    )
    things, count = reading.row("SELECT count(*), coalesce(sum(rows), 0) FROM unknown")
    if not things:
        return []
    of = reading.row(f"SELECT count({column}) FROM {reading.rows_of(reference.table)}")[0]  # noqa: S608
    return [
        Found(
            check="consistency.reference",
            table=reference.table,
            column=reference.column,
            dimension="consistency",
            what=f"{count:,} of {of:,} rows name {things:,} {'id' if things == 1 else 'ids'} in {reference.column} "
            f"that {reference.target} does not know",
            advice=f"Load the missing {reference.target} (an export limited to active records leaves some out), or "
            f"mend the spelling of {reference.column} with a value map.",
            count=int(count),
            of=of,
            penalty=penalty("broken_references", count, of=of),
            examples=reading.examples("unknown", "value"),
        )
    ]


def money_findings(reading: Reading) -> list[Found]:
    """Deals won longer ago than invoices take, of which no transaction speaks."""
    if not {"opportunities", "transactions"} <= set(reading.tables):
        return []
    state, booked = reading.state_of("opportunities"), reading.rows_of("transactions")
    if not reading.row(f"SELECT count(opportunity_id) FROM {booked}")[0]:  # noqa: S608
        return []
    settled = f"{reading.moment} - INTERVAL {_BOOKING_DAYS} DAY"
    won = f"(SELECT opportunity_id FROM {state} WHERE status = 'won' AND event_timestamp < {settled})"  # noqa: S608
    paid = f"(SELECT DISTINCT opportunity_id FROM {booked} WHERE opportunity_id IS NOT NULL)"  # noqa: S608
    unpaid = f"(SELECT * FROM {won} ANTI JOIN {paid} USING (opportunity_id))"  # noqa: S608
    of = reading.row(f"SELECT count(*) FROM {won}")[0]  # noqa: S608
    count = reading.row(f"SELECT count(*) FROM {unpaid}")[0]  # noqa: S608
    if not count:
        return []
    return [
        Found(
            check="consistency.won_without_transaction",
            table="opportunities",
            column="status",
            dimension="consistency",
            what=f"{count:,} of {of:,} deals won more than {_BOOKING_DAYS} days ago have no transaction",
            advice="Load the bookings of these deals, or link them by opportunity_id; the forecast learns revenue from "
            "transactions.",
            count=count,
            of=of,
            penalty=penalty("missing_counterpart", count, of=of),
            examples=reading.examples(unpaid, "opportunity_id"),
        )
    ]
