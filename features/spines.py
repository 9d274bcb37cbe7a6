"""Spines: which thing is to be scored at which moment, and under which keys its other views are found.

Every spine is a `pa.Table` of the join key, `as_of` (UTC, microseconds) and the foreign keys of the service's other
views (`rep_id`, `segment_id`, `account_id`, …), as known at as_of, in the order (as_of, join key), without duplicates.

A thing is in a spine while it is *known to be open* at as_of, for that is when it would have been scored. A row whose
outcome had happened by as_of, but was recorded later, is therefore kept: nobody knew. It has no outcome within
(as_of, as_of + horizon], though, and must not become a negative; `training.labels` leaves it out.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from common.clock import utc
from features.transform import canonical_tables, duckdb_sql
from features.transformations.expressions import segment_of, stage_key
from features.transformations.history import is_not_deleted, known_path
from features.transformations.series_history import series_bookings
from warehouse.contracts import CONTRACTS, OPEN_LEAD_STATUSES, UTC_MICROSECONDS

if TYPE_CHECKING:
    import duckdb
    import ibis.expr.types as ir

    from warehouse.store import Warehouse

LEAD_DAYS = (1, 3, 7, 14, 30, 60)
"""Days after first contact at which an open lead is scored again."""


LEAD_SPINE = pa.schema(
    [("lead_id", pa.string()), ("as_of", UTC_MICROSECONDS), ("rep_id", pa.string()), ("segment_id", pa.string())]
)
DEAL_SPINE = pa.schema(
    [
        ("opportunity_id", pa.string()),
        ("as_of", UTC_MICROSECONDS),
        ("rep_id", pa.string()),
        ("account_id", pa.string()),
        ("stage_id", pa.string()),
        ("competitor_id", pa.string()),
    ]
)
SERIES_SPINE = pa.schema([("series_id", pa.string()), ("as_of", UTC_MICROSECONDS)])


def lead_history_spine(warehouse: Warehouse, *, mode: Literal["creation", "lifecycle"], until: datetime) -> pa.Table:
    """Moments at which leads were to be scored in the past.

    The first is when the lead became known: its first contact, or the recording of it if that was later; before, its
    profile was not there to be read. In mode `lifecycle` it is scored again 1, 3, 7, 14, 30 and 60 days after first
    contact while it was known to be open.

    Args:
        warehouse: Where the leads are.
        mode: `creation` for the first moment only.
        until: Newest as_of, inclusive; aware.

    Returns:
        Columns lead_id, as_of, rep_id, segment_id.
    """
    import ibis

    path = _lead_path()
    first = path.filter(path.place == 0)
    moments = [first.mutate(as_of=ibis.greatest(first.lead_created_at, first.known_from))]
    for days in LEAD_DAYS if mode == "lifecycle" else ():
        later = path.mutate(as_of=path.lead_created_at + ibis.interval(days=days))
        moments.append(later.filter(later.as_of > later.first_known))
    rows = [_known_open(table, OPEN_LEAD_STATUSES, until).select(*LEAD_SPINE.names) for table in moments]
    return _ordered(warehouse.duckdb(), reduce(lambda left, right: left.union(right), rows), LEAD_SPINE)


def open_lead_spine(warehouse: Warehouse, at: datetime) -> pa.Table:
    """Every lead known to be open at `at`, with `at` as its as_of.

    Args:
        warehouse: Where the leads are.
        at: The moment, aware.

    Returns:
        Columns lead_id, as_of, rep_id, segment_id.
    """
    leads = _known_open(_lead_path().mutate(as_of=_moment(at)), OPEN_LEAD_STATUSES, at)
    return _ordered(warehouse.duckdb(), leads, LEAD_SPINE)


def deal_history_spine(warehouse: Warehouse, *, mode: Literal["stage_entries", "weekly"], until: datetime) -> pa.Table:
    """Moments at which deals were to be scored in the past.

    A deal is scored when it becomes known to have entered a stage, the first included, and in mode `weekly` also at
    each Monday 00:00 UTC while it is known to be open.

    Args:
        warehouse: Where the deals are.
        mode: `stage_entries` for these only.
        until: Newest as_of, inclusive; aware.

    Returns:
        Columns opportunity_id, as_of, rep_id, account_id, stage_id, competitor_id.
    """
    connection = warehouse.duckdb()
    path = _deal_path()
    entries = path.filter((path.place == 0) | (path.stage != path.stage_before))
    rows = _known_open(entries.mutate(as_of=entries.known_from), ("open",), until).select(*DEAL_SPINE.names)
    if mode == "weekly":
        connection.register("mondays", _mondays(connection, until))
        weekly = path.cross_join(_moments_table("mondays"))
        rows = rows.union(_known_open(weekly, ("open",), until).select(*DEAL_SPINE.names))
    return _ordered(connection, rows, DEAL_SPINE)


def open_deal_spine(warehouse: Warehouse, at: datetime) -> pa.Table:
    """Every deal known to be open at `at`, with `at` as its as_of.

    Args:
        warehouse: Where the deals are.
        at: The moment, aware.

    Returns:
        Columns opportunity_id, as_of, rep_id, account_id, stage_id, competitor_id.
    """
    return _ordered(warehouse.duckdb(), _known_open(_deal_path().mutate(as_of=_moment(at)), ("open",), at), DEAL_SPINE)


def series_history_spine(warehouse: Warehouse, *, until: datetime) -> pa.Table:
    """Every series (company, region, team, rep) at the first instant of each month after its first booking.

    Args:
        warehouse: Where the bookings are.
        until: Newest as_of, inclusive; aware.

    Returns:
        Columns series_id, as_of.
    """
    connection = warehouse.duckdb()
    bookings = series_bookings(canonical_tables())
    begun = bookings.group_by("series_id").aggregate(known_from=bookings.known_from.min())
    first = connection.sql(duckdb_sql(begun.aggregate(first=begun.known_from.min()))).fetchall()[0][0]
    if first is None:
        return SERIES_SPINE.empty_table()
    connection.register("months", _month_starts(first, utc(until)))
    series = begun.cross_join(_moments_table("months"))
    return _ordered(connection, series.filter(series.as_of >= series.known_from), SERIES_SPINE)


def _lead_path() -> ir.Table:
    import ibis

    path = known_path(canonical_tables()["leads"], CONTRACTS["leads"])
    by_lead = ibis.window(group_by="lead_id", order_by="known_from")
    return path.mutate(
        place=ibis.row_number().over(by_lead),
        first_known=path.known_from.min().over(ibis.window(group_by="lead_id")),
        segment_id=segment_of(path.source, path.landing_page),
    )


def _deal_path() -> ir.Table:
    import ibis

    path = known_path(canonical_tables()["opportunities"], CONTRACTS["opportunities"])
    by_deal = ibis.window(group_by="opportunity_id", order_by="known_from")
    return path.mutate(
        place=ibis.row_number().over(by_deal),
        stage_before=path.stage.lag().over(by_deal),
        stage_id=stage_key(path.pipeline, path.stage),
        competitor_id=path.competitor,
    )


def _known_open(path: ir.Table, statuses: tuple[str, ...], until: datetime) -> ir.Table:
    """Rows of a path with an as_of inside their interval, not after `until`, in an open status."""
    inside = (path.known_from <= path.as_of) & (path.known_until.isnull() | (path.as_of < path.known_until))
    is_open = path.status.isin(statuses) & is_not_deleted(path)
    return path.filter(inside, is_open, path.as_of <= _moment(until))


def _mondays(connection: duckdb.DuckDBPyConnection, until: datetime) -> pa.Table:
    """Every Monday 00:00 UTC from the first version to `until`, as column as_of."""
    first = connection.sql("SELECT min(event_timestamp) FROM opportunities").fetchall()[0][0]
    last = utc(until)
    midnight = (last if first is None else utc(first)).replace(hour=0, minute=0, second=0, microsecond=0)
    monday = midnight - timedelta(days=midnight.weekday())
    weeks = range((last - monday).days // 7 + 1)
    return _moments_of([monday + timedelta(weeks=week) for week in weeks])


def _month_starts(first: datetime, last: datetime) -> pa.Table:
    """The first instants of the months after `first`, up to `last`, as column as_of."""
    months = range(first.year * 12 + first.month, last.year * 12 + last.month)
    return _moments_of([datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC) for month in months])


def _moments_of(moments: list[datetime]) -> pa.Table:
    return pa.table({"as_of": pa.array(moments, UTC_MICROSECONDS)})


def _moments_table(name: str) -> ir.Table:
    import ibis

    return ibis.table({"as_of": "timestamp('UTC', 6)"}, name=name)


def _moment(at: datetime) -> ir.TimestampScalar:
    import ibis

    return ibis.literal(utc(at), "timestamp('UTC', 6)")


def _ordered(connection: duckdb.DuckDBPyConnection, rows: ir.Table, schema: pa.Schema) -> pa.Table:
    """The spine's columns, each row once, ordered by as_of and join key."""
    rows = rows.select(*schema.names).distinct().order_by(["as_of", schema.names[0]])
    return connection.sql(duckdb_sql(rows)).to_arrow_table().cast(schema)
