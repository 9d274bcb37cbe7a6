"""View `rep_performance`: how the rep's deals went, of deals closed and known before as_of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from features.specs import FeatureSpec, ViewSpec
from features.transformations.expressions import SECONDS_PER_DAY, UNSEEN
from features.transformations.history import attach, enter_and_leave, is_not_deleted, known_path, running_totals
from warehouse.contracts import CONTRACTS

if TYPE_CHECKING:
    import ibis.expr.types as ir

PRIOR_DEALS = 10
"""How many deals the company's win rate weighs in a rep's smoothed win rate."""

FEATURES = (
    FeatureSpec(
        name="win_rate_rep_365d",
        dtype="float",
        unit="share",
        window="365d",
        group="rep",
        direction=1,
        about="Share of the rep's closed deals of the last 365 days that were won, drawn towards the company's share.",
        phrase="the rep won {value} of the deals closed in a year",
    ),
    FeatureSpec(
        name="count_closed_deals_rep_365d",
        dtype="int",
        unit="deals",
        window="365d",
        group="rep",
        about="Number of deals the rep closed, won or lost, in the last 365 days.",
        phrase="the rep closed {value} deals in a year",
    ),
    FeatureSpec(
        name="mean_cycle_days_rep_365d",
        dtype="float",
        unit="days",
        window="365d",
        group="rep",
        about="Mean days from opening to winning of the rep's deals won in the last 365 days; null without any.",
        phrase="the rep's won deals took {value} days",
    ),
    FeatureSpec(
        name="count_open_deals_rep",
        dtype="int",
        unit="deals",
        group="rep",
        about="Number of deals the rep has open.",
        phrase="the rep works on {value} open deals",
    ),
)

_MEASURES = ("closed", "won", "cycle_seconds", "open")


def unseen_reps(rep_id: str) -> tuple[str, ...]:  # noqa: ARG001 - one fallback for every rep
    """Rep to fall back on: one without history."""
    return (UNSEEN,)


def _closings(path: ir.Table) -> ir.Table:
    """The first closing of each deal that became known: rep, entry into and departure from the last 365 days."""
    import ibis

    closed = path.filter(path.status.isin(["won", "lost"]) & path.rep_id.notnull())
    place = ibis.row_number().over(ibis.window(group_by="opportunity_id", order_by="known_from"))
    closed = closed.mutate(place=place)
    closed = closed.filter(closed.place == 0)
    won = (closed.status == "won").cast("int64")
    cycle = closed.event_timestamp.epoch_seconds() - closed.opened_at.epoch_seconds()
    return closed.select(
        "rep_id",
        closed=ibis.literal(1).cast("int64"),
        won=won,
        cycle_seconds=cycle.cast("int64") * won,
        open=ibis.literal(0).cast("int64"),
        enters=closed.known_from,
        leaves=ibis.greatest(closed.known_from, closed.event_timestamp + ibis.interval(days=365)),
    )


def _open_spells(path: ir.Table) -> ir.Table:
    """Each interval in which a deal was known to be open and the rep's."""
    import ibis

    spells = path.filter((path.status == "open") & path.rep_id.notnull() & is_not_deleted(path))
    zero = ibis.literal(0).cast("int64")
    return spells.select(
        "rep_id",
        closed=zero,
        won=zero,
        cycle_seconds=zero,
        open=ibis.literal(1).cast("int64"),
        enters=spells.known_from,
        leaves=spells.known_until,
    )


def rep_performance(spine: ir.Table, tables: Mapping[str, ir.Table]) -> ir.Table:
    """Compute the rates and the load from what was known at as_of."""
    points = spine.select("rep_id", "as_of")
    path = known_path(tables["opportunities"], CONTRACTS["opportunities"])
    closings, spells = _closings(path), _open_spells(path)
    increments = [
        rows
        for table in (closings, spells)
        for rows in enter_and_leave(table, enters="enters", leaves="leaves", measures=_MEASURES)
    ]
    rep = running_totals(points, increments, key="rep_id", measures=_MEASURES)
    everyone = enter_and_leave(closings, enters="enters", leaves="leaves", measures=_MEASURES)
    company = running_totals(points.select("as_of").distinct(), everyone, key=None, measures=("closed", "won"))
    rep = attach(rep, company.rename(all_closed="closed", all_won="won"), key=None)
    prior = rep.all_won.cast("float64") / rep.all_closed.nullif(0)
    return rep.select(
        "rep_id",
        "as_of",
        win_rate_rep_365d=(rep.won + PRIOR_DEALS * prior) / (rep.closed + PRIOR_DEALS),
        count_closed_deals_rep_365d=rep.closed.cast("int64"),
        mean_cycle_days_rep_365d=rep.cycle_seconds.cast("float64") / rep.won.nullif(0) / SECONDS_PER_DAY,
        count_open_deals_rep=rep.open.cast("int64"),
    )


REP_PERFORMANCE = ViewSpec(
    name="rep_performance",
    about="How the rep's deals went: win rate, cycle length, load.",
    join_key="rep_id",
    ttl_days=30,
    tables=("opportunities",),
    features=FEATURES,
    transformation=rep_performance,
    unseen=unseen_reps,
)
