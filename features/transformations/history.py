"""Bitemporal building blocks: the path of what was known about a thing, and running totals along time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING

from warehouse.as_known import version_number
from warehouse.contracts import Contract

if TYPE_CHECKING:
    import ibis.expr.types as ir

_MOMENT = "timestamp('UTC', 6)"


def ranked_versions(table: ir.Table, contract: Contract) -> ir.Table:
    """Each thing's versions with `version_rank`, from the oldest to the newest, in the order of `warehouse.as_known`.

    The order of two versions does not depend on which other versions there are.
    """
    return table.mutate(version_rank=version_number(table, contract))


def known_path(table: ir.Table, contract: Contract, *, within: str | None = None) -> ir.Table:
    """What was known about each thing, interval by interval.

    A version becomes known at `known_from`, the later of its two times. It replaces what was known before only if it is
    newer by (event_timestamp, created_timestamp): an old version that is recorded late never overrules a newer one.
    Nothing recorded later changes an interval's beginning or content, only where the last one ends. Versions that
    delete the thing are part of the path.

    Args:
        table: A versioned table.
        contract: Its contract.
        within: Column within whose values a key names one thing; None if it does so everywhere.

    Returns:
        The columns of `table`, `known_from` (inclusive) and `known_until` (exclusive; null: still so).
    """
    import ibis

    key = [contract.key, *([] if within is None else [within])]
    ranked = ranked_versions(table, contract)
    ranked = ranked.mutate(known_from=ibis.greatest(table.event_timestamp, table.created_timestamp))
    so_far = ibis.window(group_by=key, order_by=["known_from", "version_rank"], rows=(None, 0))
    newest = ranked.mutate(newest_rank=ranked.version_rank.max().over(so_far))
    path = newest.filter(newest.version_rank == newest.newest_rank)
    in_order = ibis.window(group_by=key, order_by=["known_from", "version_rank"])
    path = path.mutate(known_until=path.known_from.lead().over(in_order))
    path = path.filter(path.known_until.isnull() | (path.known_until > path.known_from))
    # Selecting and not dropping lets Ibis compute the path once for all that is made of it.
    return path.select(*table.columns, "known_from", "known_until")


def known_events(events: ir.Table, contract: Contract, *, key: str | None) -> ir.Table:
    """Each event with the interval in which it was known as it stands in its row: a correction takes its place.

    A correction is a row of the same event and the same `key`; whether there is one depends on no other entity.

    Args:
        events: An event table.
        contract: Its contract.
        key: Join key of the entities; rows without it are left out. None: a correction may change anything.

    Returns:
        The columns of `events`, `known_from` (inclusive) and `known_until` (exclusive; null: still so).
    """
    import ibis

    mine = events if key is None else events.filter(events[key].notnull())
    names = [contract.key] if key is None else [key, contract.key]
    told = mine.group_by(*names).aggregate(times_told=mine.count())
    # Hardly an event is ever corrected: those that are told once need no order. A view is computed once for both joins.
    corrected = told.filter(told.times_told > 1).select(*names).view()
    once = mine.anti_join(corrected, names)
    once = once.mutate(
        known_from=ibis.greatest(once.event_timestamp, once.created_timestamp), known_until=ibis.null(_MOMENT)
    )
    path = known_path(mine.semi_join(corrected, names), contract, within=key)
    return once.union(path.select(*once.columns), distinct=False)


def is_not_deleted(rows: ir.Table) -> ir.BooleanColumn:
    """Whether a version leaves the thing in place."""
    import ibis

    return ~rows.is_deleted.fill_null(ibis.literal(False))


def running_totals(
    points: ir.Table, increments: Sequence[ir.Table], *, key: str | None, measures: Sequence[str]
) -> ir.Table:
    """Sums of all increments at or before each point's moment.

    An aggregate over a window of time is a plain running total when every row that enters is taken out again by a row
    with the opposite sign at the end of its window; this needs one sort and no self join, however hot a key is.
    Measures are whole numbers, which add up to the same sum in any order.

    Args:
        points: Table with `key` (unless None) and `as_of`, without duplicates.
        increments: Tables with `key` (unless None), `moment` and `measures`.
        key: Column to total by; None for one total of everything.
        measures: Columns to sum.

    Returns:
        `points` with the totals; 0 where nothing came before.
    """
    import ibis

    keys = [] if key is None else [key]
    zeros = {name: ibis.literal(0, "int64") for name in measures}
    rows = [
        table.select(
            *keys, "moment", is_point=ibis.literal(0, "int8"), **{name: table[name].cast("int64") for name in measures}
        )
        for table in increments
    ]
    rows.append(points.select(*keys, moment=points.as_of, is_point=ibis.literal(1, "int8"), **zeros))
    line = reduce(lambda left, right: left.union(right), rows)
    # An increment at the very moment of a point counts: increments come before points.
    so_far = ibis.window(group_by=keys or None, order_by=["moment", "is_point"], rows=(None, 0))
    totals = line.mutate(**{name: line[name].sum().over(so_far) for name in measures})
    return totals.filter(totals.is_point == 1).select(*keys, *measures, as_of="moment")


def newest_before(points: ir.Table, rows: ir.Table, *, key: str, value: str) -> ir.Table:
    """The greatest `value` among the rows of each point's key at or before its moment.

    Args:
        points: Table with `key` and `as_of`, without duplicates.
        rows: Table with `key`, `moment` and the whole number `value`.
        key: Column that names the entity.
        value: Column to take the greatest of.

    Returns:
        `key`, `as_of` and `value`; null where nothing came before.
    """
    import ibis

    past = rows.select(key, "moment", value, is_point=ibis.literal(0, "int8"))
    asked = points.select(
        key, moment=points.as_of, **{value: ibis.null("int64")}, is_point=ibis.literal(1, "int8")
    ).select(*past.columns)
    line = past.union(asked, distinct=False)
    so_far = ibis.window(group_by=key, order_by=["moment", "is_point"], rows=(None, 0))
    carried = line.mutate(**{value: line[value].max().over(so_far)})
    return carried.filter(carried.is_point == 1).select(key, value, as_of="moment")


def enter_and_leave(rows: ir.Table, *, enters: str, leaves: str, measures: Sequence[str]) -> list[ir.Table]:
    """Increments for `running_totals`: each row adds its measures at `enters` and takes them back at `leaves`.

    A null `leaves` never comes.
    """
    kept = [name for name in rows.columns if name not in (enters, leaves, *measures)]
    gone = rows.filter(rows[leaves].notnull())
    return [
        rows.select(*kept, *measures, moment=rows[enters]),
        gone.select(*kept, moment=gone[leaves], **{name: -gone[name] for name in measures}),
    ]


def end_of_window(events: ir.Table, enters_at: ir.TimestampValue, *, days: int) -> ir.TimestampValue:
    """When an event of `known_events` leaves a window: `days` after it happened, or when it is corrected."""
    import ibis

    ends = events.event_timestamp + ibis.interval(days=days)
    return ibis.greatest(enters_at, ibis.least(ends, events.known_until.coalesce(ends)))


def attach(points: ir.Table, totals: ir.Table, *, key: str | None) -> ir.Table:
    """`points` with the columns of `totals`, which has one row per `key` and `as_of`, or per `as_of` if key is None."""
    keys = ["as_of"] if key is None else [key, "as_of"]
    right = totals.rename({f"{name}_of_totals": name for name in keys})
    joined = points.left_join(right, [points[name] == right[f"{name}_of_totals"] for name in keys])
    return joined.select(*points.columns, *(name for name in totals.columns if name not in keys))
