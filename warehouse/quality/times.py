"""Times that cannot be: things that end before they begin, and dates that lie in the future."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from warehouse.quality.reading import Reading
from warehouse.quality.results import Found
from warehouse.quality.weights import penalty

_EVENT_LEEWAY_DAYS = 30
"""Visits may precede the form that makes a lead of a visitor."""
_ACTIVITY_LEEWAY_DAYS = 30
"""Work may go on for this long after a deal is closed (hand-over, invoices)."""
_PAST_DATES = {"leads": ("lead_created_at",), "opportunities": ("opened_at",), "reps": ("hired_at",)}
"""Columns that the contract means to lie in the past of the row's own `created_timestamp`."""
_CLOCK_LEEWAY = "INTERVAL 1 MINUTE"


@dataclass(frozen=True)
class Order:
    """An order of times that should not occur.

    Args:
        check: Name of the check.
        table: Canonical table the rows belong to.
        needs: Tables it reads.
        faulty: SQL relation of the faulty rows, with the table's key.
        of: SQL relation of the rows that were looked at.
        what: What the faulty rows are.
        advice: What to do.
    """

    check: str
    table: str
    needs: tuple[str, ...]
    faulty: str
    of: str
    what: str
    advice: str


def order_findings(reading: Reading) -> list[Found]:
    """A finding per impossible order that occurs."""
    return [found for order in _orders(reading) for found in _judge(reading, order)]


def _orders(reading: Reading) -> Iterator[Order]:
    held = set(reading.tables)
    makers = (_within_tables, _after_closing, _before_lead, _reopened)
    yield from (order for maker in makers for order in maker(reading) if set(order.needs) <= held)


def _judge(reading: Reading, order: Order) -> list[Found]:
    key = reading.key_of(order.table)
    count = reading.row(f"SELECT count(*) FROM {order.faulty}")[0]  # noqa: S608
    if not count:
        return []
    of = reading.row(f"SELECT count(*) FROM {order.of}")[0]  # noqa: S608
    return [
        Found(
            check=order.check,
            table=order.table,
            dimension="consistency",
            what=f"{count:,} of {of:,} {order.what}",
            advice=order.advice,
            count=count,
            of=of,
            penalty=penalty("impossible_order", count, of=of),
            examples=reading.examples(order.faulty, key),
        )
    ]


def _within_tables(reading: Reading) -> Iterator[Order]:
    """Orders that one row alone tells."""
    zone = "Check time zone and date format in the mapping, then correct the dates in the CRM."
    checks = (
        ("closed_before_opened", "opportunities", "status <> 'open' AND event_timestamp < opened_at",
         "status <> 'open'", "versions of closed deals lie before the deal was opened"),
        ("version_before_opened", "opportunities", "status = 'open' AND event_timestamp < opened_at", "status = 'open'",
         "versions of open deals lie before the deal was opened"),
        ("version_before_lead", "leads", "event_timestamp < lead_created_at", "true",
         "versions of leads lie before the lead's first contact"),
        ("ends_before_start", "campaigns", "ends_on < starts_on", "true", "campaign versions end before they start"),
        ("ends_before_start", "quotas", "period_end < period_start", "true", "quota versions end before they start"),
    )  # fmt: skip
    for name, table, faulty, of, what in checks:
        known = f"{reading.rows_of(table)} WHERE"
        yield Order(f"orders.{name}", table, (table,), f"{known} {faulty}", f"{known} {of}", what, zone)


def _after_closing(reading: Reading) -> Iterator[Order]:
    """Work on deals that were closed long ago, and money before the deal was opened."""
    needs = ("opportunities",)
    if not set(needs) <= set(reading.tables):
        return
    state = reading.state_of("opportunities")
    closed = f"(SELECT opportunity_id, event_timestamp AS closed_at FROM {state} WHERE status <> 'open')"  # noqa: S608
    if "activities" in reading.tables:
        of = f"{reading.rows_of('activities')} JOIN {closed} USING (opportunity_id)"
        late = f"event_timestamp > closed_at + INTERVAL {_ACTIVITY_LEEWAY_DAYS} DAY"
        yield Order(
            "orders.activity_after_closing",
            "activities",
            ("activities", *needs),
            f"{of} WHERE {late}",
            of,
            f"activities on closed deals took place more than {_ACTIVITY_LEEWAY_DAYS} days after the closing",
            "Reopen the deals, or relate such work to the account or to a new deal.",
        )
    if "transactions" in reading.tables:
        opened = f"(SELECT opportunity_id, opened_at FROM {state})"  # noqa: S608
        of = f"{reading.rows_of('transactions')} JOIN {opened} USING (opportunity_id)"
        yield Order(
            "orders.money_before_deal",
            "transactions",
            ("transactions", *needs),
            f"{of} WHERE event_timestamp < opened_at",
            of,
            "transactions were booked before their deal was opened",
            "Check which date the mapping takes for `event_timestamp`, and the deal's opening date in the CRM.",
        )


def _before_lead(reading: Reading) -> Iterator[Order]:
    if not {"leads", "lead_events"} <= set(reading.tables):
        return
    first = f"(SELECT lead_id, min(lead_created_at) AS first FROM {reading.rows_of('leads')} GROUP BY lead_id)"  # noqa: S608
    of = f"{reading.rows_of('lead_events')} JOIN {first} USING (lead_id)"
    yield Order(
        "orders.event_before_lead",
        "lead_events",
        ("leads", "lead_events"),
        f"{of} WHERE event_timestamp < first - INTERVAL {_EVENT_LEEWAY_DAYS} DAY",
        of,
        f"events took place more than {_EVENT_LEEWAY_DAYS} days before their lead's first contact",
        "Check that web visits are joined to the right lead (shared devices, reused cookies), and `lead_created_at`.",
    )


def _reopened(reading: Reading) -> Iterator[Order]:
    if "opportunities" not in reading.tables:
        return
    known = reading.rows_of("opportunities")
    order = "PARTITION BY opportunity_id ORDER BY event_timestamp, created_timestamp"
    changes = f"(SELECT opportunity_id, status, lag(status) OVER ({order}) AS before FROM {known})"  # noqa: S608
    yield Order(
        "orders.open_after_won",
        "opportunities",
        ("opportunities",),
        f"{changes} WHERE before = 'won' AND status = 'open'",
        f"{changes} WHERE before = 'won' OR status = 'won'",
        "changes from or to won go back to open",
        "Ask whether the deals were really reopened; if the CRM reuses records for renewals, give each its own id.",
    )


def future_findings(reading: Reading, table: str, *, rows: int) -> list[Found]:
    """Rows known before they happened, and dates that lie after the row that tells them."""
    columns = ("event_timestamp", *_PAST_DATES.get(table, ()))
    conditions = [f"{column} > created_timestamp + {_CLOCK_LEEWAY}" for column in columns]
    known = reading.rows_of(table)
    counts = reading.row(f"SELECT {', '.join(f'count_if({each})' for each in conditions)} FROM {known}")  # noqa: S608
    return [
        Found(
            check="times.future",
            table=table,
            column=column,
            dimension="consistency",
            what=f"{count:,} of {rows:,} rows were known before their {column}",
            advice="Check the time zone and the known-at rule in the mapping. Planned things (meetings to come) belong "
            "in the warehouse once they have happened; until its time has come a row is not seen by any feature.",
            count=count,
            of=rows,
            penalty=penalty("future_dates", count, of=rows),
            examples=reading.examples(f"{known} WHERE {condition}", reading.key_of(table)),
        )
        for column, condition, count in zip(columns, conditions, counts, strict=True)
        if count
    ]


def not_yet_known_findings(table: str, *, rows: int, not_yet_known: int) -> list[Found]:
    """Rows with a `created_timestamp` beyond the report's moment: left out, and said."""
    if not not_yet_known:
        return []
    return [
        Found(
            check="times.beyond_report",
            table=table,
            column="created_timestamp",
            what=f"{not_yet_known:,} rows became known only after the moment of this report and were left out",
            advice="Right if the report looks back. If its moment is now, the known-at rule in the mapping gives times "
            "in the future.",
            count=not_yet_known,
            of=rows + not_yet_known,
        )
    ]
