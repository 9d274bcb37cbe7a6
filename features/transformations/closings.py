"""How deals ended, as it became known, for every rate of past outcomes: of reps, accounts, stages, competitors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.transformations.history import is_not_deleted, known_path
from warehouse.contracts import CONTRACTS

if TYPE_CHECKING:
    import ibis.expr.types as ir

YEAR_DAYS = 365


def deal_path(deals: ir.Table) -> ir.Table:
    """What was known about each deal, interval by interval: see `history.known_path`."""
    return known_path(deals, CONTRACTS["opportunities"])


def first_closings(path: ir.Table) -> ir.Table:
    """The first closing of each deal that became known.

    Args:
        path: Of `deal_path`, with any columns added.

    Returns:
        The path's row in which the deal is won or lost first, with whole numbers `closed` (1) and `won` (0 or 1), and
        `enters` and `leaves`: when it enters the window of the last 365 days, and when it leaves it.
    """
    import ibis

    closed = path.filter(path.status.isin(["won", "lost"]))
    place = ibis.row_number().over(ibis.window(group_by="opportunity_id", order_by="known_from"))
    closed = closed.mutate(place=place)
    closed = closed.filter(closed.place == 0)
    return closed.mutate(
        closed=ibis.literal(1).cast("int64"),
        won=(closed.status == "won").cast("int64"),
        enters=closed.known_from,
        leaves=ibis.greatest(closed.known_from, closed.event_timestamp + ibis.interval(days=YEAR_DAYS)),
    )


def open_spells(path: ir.Table) -> ir.Table:
    """Each interval in which a deal was known to be open, with `enters`, `leaves` and `open` (1)."""
    import ibis

    spells = path.filter((path.status == "open") & is_not_deleted(path))
    return spells.mutate(open=ibis.literal(1).cast("int64"), enters=spells.known_from, leaves=spells.known_until)
