"""Bitemporal building blocks: the path of what was known about a thing, and running totals along time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING

from warehouse.as_known import version_number
from warehouse.contracts import Contract

if TYPE_CHECKING:
    import ibis.expr.types as ir


def ranked_versions(table: ir.Table, contract: Contract) -> ir.Table:
    """Each thing's versions with `version_rank`, from the oldest to the newest, in the order of `warehouse.as_known`.

    The order of two versions does not depend on which other versions there are.
    """
    return table.mutate(version_rank=version_number(table, contract))


def known_path(table: ir.Table, contract: Contract) -> ir.Table:
    """What was known about each thing, interval by interval.

    A version becomes known at `known_from`, the later of its two times. It replaces what was known before only if it is
    newer by (event_timestamp, created_timestamp): an old version that is recorded late never overrules a newer one.
    Nothing recorded later changes an interval's beginning or content, only where the last one ends. Versions that
    delete the thing are part of the path.

    Args:
        table: A versioned table.
        contract: Its contract.

    Returns:
        The columns of `table`, `known_from` (inclusive) and `known_until` (exclusive; null: still so).
    """
    import ibis

    key = contract.key
    ranked = ranked_versions(table, contract)
    ranked = ranked.mutate(known_from=ibis.greatest(table.event_timestamp, table.created_timestamp))
    so_far = ibis.window(group_by=key, order_by=["known_from", "version_rank"], rows=(None, 0))
    newest = ranked.mutate(newest_rank=ranked.version_rank.max().over(so_far))
    path = newest.filter(newest.version_rank == newest.newest_rank)
    in_order = ibis.window(group_by=key, order_by=["known_from", "version_rank"])
    path = path.mutate(known_until=path.known_from.lead().over(in_order))
    path = path.filter(path.known_until.isnull() | (path.known_until > path.known_from))
    return path.drop("version_rank", "newest_rank")


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


def enter_and_leave(rows: ir.Table, *, enters: str, leaves: str, measures: Sequence[str]) -> list[ir.Table]:
    """Increments for `running_totals`: each row adds its measures at `enters` and takes them back at `leaves`.

    A null `leaves` never comes.
    """
    entering = rows.drop(leaves).rename(moment=enters)
    leaving = rows.filter(rows[leaves].notnull()).drop(enters).rename(moment=leaves)
    return [entering, leaving.mutate(**{name: -leaving[name] for name in measures})]


def attach(points: ir.Table, totals: ir.Table, *, key: str | None) -> ir.Table:
    """`points` with the columns of `totals`, which has one row per `key` and `as_of`, or per `as_of` if key is None."""
    keys = ["as_of"] if key is None else [key, "as_of"]
    right = totals.rename({f"{name}_of_totals": name for name in keys})
    joined = points.left_join(right, [points[name] == right[f"{name}_of_totals"] for name in keys])
    return joined.drop(*(f"{name}_of_totals" for name in keys))
