"""What was known at a moment: the one place that says it, for every feature, label and report.

A row is visible at `as_of` when **both** its times are at or before `as_of`: it had happened, and it was known. Of
several visible versions of a thing the one with the newest `event_timestamp` counts; then the newest
`created_timestamp`; then, so that the answer never depends on the order of rows, the greatest of the other columns in
the contract's order. An enumeration is ordered as the contract lists it: recorded at one moment, lost beats open.

Everything is portable Ibis (joins, filters, windows, union): DuckDB runs it here, PySpark on a cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from common.clock import utc
from common.errors import ContractError
from warehouse.contracts import TIME_COLUMNS, Contract

if TYPE_CHECKING:
    import ibis.expr.types as ir

AS_OF = "as_of"


def visible(table: ir.Table, at: datetime | Any) -> ir.Table:
    """The rows that had happened and were known at `at`.

    Args:
        table: Any table with `event_timestamp` and `created_timestamp`.
        at: A moment (aware), or a column or expression of `table` that holds one per row.

    Raises:
        InputError: if the moment has no time zone.
    """
    moment = _moment(at)
    return table.filter(table.event_timestamp <= moment, table.created_timestamp <= moment)


def newest_versions(table: ir.Table, contract: Contract, at: datetime) -> ir.Table:
    """The state of each thing as known at `at`: one row per key, deleted things left out.

    For an event table: each event as last corrected.

    Args:
        table: The canonical table.
        contract: Its contract, for the key.
        at: A moment, aware.

    Raises:
        InputError: if the moment has no time zone.
    """
    known = visible(table, at)
    if contract.kind == "versioned":
        return _without_deleted(_newest_of_many(known, contract))
    # Hardly an event is ever corrected: those that are told once need no order.
    told = known.group_by(contract.key).agg(_times=known.count())
    corrected = told.filter(told._times > 1).select(contract.key)
    once = known.anti_join(corrected, contract.key)
    # As a view of its own the small table is computed once for both joins.
    newest = _first_of_each(known.semi_join(corrected.view(), contract.key), contract, by=TIME_COLUMNS)
    return once.union(newest.select(*once.columns), distinct=False)


def versions_on_spine(spine: ir.Table, table: ir.Table, contract: Contract, *, key: str) -> ir.Table:
    """The version of a thing that was known at each spine row's moment: one row out per spine row in.

    Args:
        spine: Rows with the columns `key` and `as_of`; others are kept. Rows may repeat.
        table: The canonical table.
        contract: Its contract.
        key: Spine column that names the thing; it is matched with the contract's key and may have another name, such
            as `manager_id` for reps.

    Returns:
        The spine's columns, then the table's columns that the spine does not have by name, null where nothing was
        known or the thing was deleted. The two times are those of the version. Row order is not defined.

    Raises:
        ContractError: if the spine lacks `key` or `as_of`.
    """
    missing = [name for name in (key, AS_OF) if name not in spine.columns]
    if missing:
        raise ContractError(
            f"The spine lacks {', '.join(missing)}", expected=f"columns {key} and {AS_OF}", got=", ".join(spine.columns)
        )
    ranked = _ranked(table, contract)
    as_of = spine[AS_OF].cast(ranked.schema()["_visible_from"])
    moments = _newest_rank(spine.select(_key=spine[key], _moment=as_of).distinct(), ranked, contract)
    kept = [name for name in table.columns if name not in spine.columns]
    alive = _without_deleted(ranked)
    versions = alive.select(
        _version_key=alive[contract.key], _version_rank=alive._rank, **{name: alive[name] for name in kept}
    )
    same_version = [moments._key == versions._version_key, moments._newest == versions._version_rank]
    matched = moments.left_join(versions, same_version).select("_key", "_moment", *kept)
    joined = spine.left_join(matched, [spine[key] == matched._key, as_of == matched._moment])
    return joined.select(*spine.columns, *kept)


def version_number(table: ir.Table, contract: Contract) -> ir.IntegerColumn:
    """Position of each version among those of its thing, 0 for the oldest, in the order this module defines.

    The order of two versions does not depend on which other versions there are.
    """
    import ibis

    order = [*TIME_COLUMNS, *_tie_order(table, contract, descending=False)]
    return ibis.row_number().over(ibis.window(group_by=contract.key, order_by=order))


def _newest_of_many(known: ir.Table, contract: Contract) -> ir.Table:
    """One version per thing. An aggregate leaves those of the newest event; only they are put in order."""
    event, created = TIME_COLUMNS
    newest = known.group_by(contract.key).agg(_newest=known[event].max())
    at_newest = known.semi_join(newest, [known[contract.key] == newest[contract.key], known[event] == newest._newest])
    return _first_of_each(at_newest, contract, by=[created])


def _first_of_each(known: ir.Table, contract: Contract, *, by: Sequence[str]) -> ir.Table:
    """One row per key: the greatest by the columns `by`, then by the others."""
    import ibis

    order = [*(ibis.desc(name) for name in by), *_tie_order(known, contract, descending=True)]
    greatest_first = ibis.window(group_by=contract.key, order_by=order)
    return known.mutate(_place=ibis.row_number().over(greatest_first)).filter(lambda t: t._place == 0).drop("_place")


def _ranked(table: ir.Table, contract: Contract) -> ir.Table:
    """Each thing's versions numbered from the oldest to the newest, and the moment from which each is visible."""
    import ibis

    return table.mutate(
        _rank=version_number(table, contract),
        _visible_from=ibis.greatest(table.event_timestamp, table.created_timestamp),
    )


def _newest_rank(moments: ir.Table, ranked: ir.Table, contract: Contract) -> ir.Table:
    """`_newest`: the greatest rank among the versions of `_key` that are visible at `_moment`.

    Versions and moments are laid on one line of time per key, and the greatest rank is carried along it. Unlike a join
    by inequality this does not grow with the number of versions of a key.
    """
    import ibis

    versions = ranked.select(
        _key=ranked[contract.key],
        _moment=ranked._visible_from,
        _is_moment=ibis.literal(0, "int8"),
        _rank=ranked._rank.cast("int64"),
    )
    asked = moments.mutate(_is_moment=ibis.literal(1, "int8"), _rank=ibis.null("int64"))
    line = ibis.union(versions, asked.select(*versions.columns), distinct=False)
    # A version that becomes visible at the very moment counts: versions come before moments.
    so_far = ibis.window(group_by="_key", order_by=["_moment", "_is_moment"], preceding=None, following=0)
    carried = line.mutate(_newest=line._rank.max().over(so_far))
    return carried.filter(carried._is_moment == 1).select("_key", "_moment", "_newest")


def _tie_order(table: ir.Table, contract: Contract, *, descending: bool) -> list[Any]:
    """All columns but the key and the times; nulls are least, on every engine."""
    import ibis

    names = [name for name in table.columns if name not in {contract.key, *TIME_COLUMNS}]
    values = [_sortable(table[name], contract) for name in names]
    if descending:
        return [ibis.desc(value, nulls_first=False) for value in values]
    return [ibis.asc(value, nulls_first=True) for value in values]


def _sortable(column: ir.Column, contract: Contract) -> ir.Column:
    """The column, or for an enumeration the position of its value in the contract's list."""
    import ibis

    allowed = next((each.allowed for each in contract.columns if each.name == column.get_name()), None)
    if allowed is None:
        return column
    places = [(column == value, ibis.literal(place, "int8")) for place, value in enumerate(allowed)]
    return ibis.cases(*places)


def _without_deleted(table: ir.Table) -> ir.Table:
    if "is_deleted" not in table.columns:
        return table
    return table.filter(~table.is_deleted.fill_null(False))


def _moment(at: datetime | Any) -> Any:
    return utc(at) if isinstance(at, datetime) else at
