"""View `rep_performance`: how the rep's deals went, of deals closed and known before as_of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from features.specs import FeatureSpec, ViewSpec
from features.transformations.closings import deal_path, first_closings, open_spells
from features.transformations.expressions import CENTS, SECONDS_PER_DAY, UNSEEN, days_between, smoothed, whole_seconds
from features.transformations.history import attach, enter_and_leave, running_totals
from warehouse.as_known import versions_on_spine
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
    FeatureSpec(
        name="open_usd_rep",
        dtype="float",
        unit="usd",
        group="rep",
        about="Amount of the deals the rep has open; a deal without an amount adds nothing.",
        phrase="the rep works on deals of {value} US dollars in all",
    ),
    FeatureSpec(
        name="win_rate_all_365d",
        dtype="float",
        unit="share",
        window="365d",
        group="segment",
        about="Share of all closed deals of the last 365 days that were won.",
        phrase="{value} of all deals closed in a year were won",
    ),
    FeatureSpec(
        name="rep_tenure_days",
        dtype="float",
        unit="days",
        group="rep",
        about="Days since the rep's first working day.",
        phrase="the rep has been here for {value} days",
        needs="reps",
    ),
    FeatureSpec(
        name="is_rep_active",
        dtype="bool",
        unit="yes or no",
        group="rep",
        about="Whether the rep is still here.",
        phrase="the rep is still here: {value}",
        needs="reps",
    ),
)

_MEASURES = ("closed", "won", "cycle_seconds", "open", "open_cents")
_KEPT = ("rep_id", "enters", "leaves")
_REP_COLUMNS = ("rep_id", "hired_at", "is_active", "is_deleted", "event_timestamp", "created_timestamp")


def unseen_reps(rep_id: str) -> tuple[str, ...]:  # noqa: ARG001 - one fallback for every rep
    """Rep to fall back on: one without history."""
    return (UNSEEN,)


def rep_performance(spine: ir.Table, tables: Mapping[str, ir.Table]) -> ir.Table:
    """Compute the rates and the load from what was known at as_of."""
    points = spine.select("rep_id", "as_of")
    path = deal_path(tables["opportunities"])
    closings, spells = _closed(path), _open(path)
    increments = [*_increments(closings), *_increments(spells)]
    rep = running_totals(points, increments, key="rep_id", measures=_MEASURES)
    company = running_totals(
        points.select("as_of").distinct(), _increments(closings), key=None, measures=("closed", "won")
    )
    rep = attach(rep, company.rename(all_closed="closed", all_won="won"), key=None)
    rep = versions_on_spine(rep, tables["reps"].select(*_REP_COLUMNS), CONTRACTS["reps"], key="rep_id")
    prior = rep.all_won.cast("float64") / rep.all_closed.nullif(0)
    return rep.select(
        "rep_id",
        "as_of",
        win_rate_rep_365d=smoothed(rep.won, rep.closed, prior=prior, weight=PRIOR_DEALS),
        win_rate_all_365d=prior,
        count_closed_deals_rep_365d=rep.closed.cast("int64"),
        mean_cycle_days_rep_365d=rep.cycle_seconds.cast("float64") / rep.won.nullif(0) / SECONDS_PER_DAY,
        count_open_deals_rep=rep.open.cast("int64"),
        open_usd_rep=rep.open_cents.cast("float64") / CENTS,
        rep_tenure_days=days_between(rep.as_of, rep.hired_at),
        is_rep_active=rep.is_active,
    )


def _closed(path: ir.Table) -> ir.Table:
    import ibis

    closed = first_closings(path)
    closed = closed.filter(closed.rep_id.notnull())
    cycle = (whole_seconds(closed.event_timestamp) - whole_seconds(closed.opened_at)).cast("int64")
    zero = ibis.literal(0).cast("int64")
    return closed.select(*_KEPT, "closed", "won", cycle_seconds=cycle * closed.won, open=zero, open_cents=zero)


def _open(path: ir.Table) -> ir.Table:
    import ibis

    spells = open_spells(path)
    spells = spells.filter(spells.rep_id.notnull())
    zero = ibis.literal(0).cast("int64")
    cents = (spells.amount_usd.fill_null(0) * CENTS).round().cast("int64")
    return spells.select(*_KEPT, "open", closed=zero, won=zero, cycle_seconds=zero, open_cents=cents)


def _increments(rows: ir.Table) -> list[ir.Table]:
    return enter_and_leave(rows, enters="enters", leaves="leaves", measures=_MEASURES)


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
