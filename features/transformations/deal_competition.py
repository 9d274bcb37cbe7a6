"""View `deal_competition`: how deals against a competitor went, of deals closed and known before as_of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from features.specs import FeatureSpec, ViewSpec
from features.transformations.closings import deal_path, first_closings, open_spells
from features.transformations.expressions import UNSEEN, smoothed
from features.transformations.history import attach, enter_and_leave, running_totals

if TYPE_CHECKING:
    import ibis.expr.types as ir

PRIOR_DEALS = 20
"""How many deals against any competitor weigh in the smoothed win rate against one."""

FEATURES = (
    FeatureSpec(
        name="win_rate_competitor_365d",
        dtype="float",
        unit="share",
        window="365d",
        group="segment",
        direction=1,
        about="Share won of the deals closed in the last 365 days in which this competitor was named while they were"
        " open, drawn towards the share against any competitor.",
        phrase="{value} of the deals against this competitor were won",
    ),
    FeatureSpec(
        name="count_closed_deals_competitor_365d",
        dtype="int",
        unit="deals",
        window="365d",
        group="segment",
        about="Number of deals closed in the last 365 days in which this competitor was named while they were open.",
        phrase="{value} deals against this competitor closed in a year",
    ),
    FeatureSpec(
        name="win_rate_any_competitor_365d",
        dtype="float",
        unit="share",
        window="365d",
        group="segment",
        about="Share won of the deals closed in the last 365 days in which any competitor was named.",
        phrase="{value} of the deals against a competitor were won",
    ),
    FeatureSpec(
        name="count_open_deals_competitor",
        dtype="int",
        unit="deals",
        group="segment",
        about="Number of open deals in which this competitor is named.",
        phrase="is named in {value} open deals",
    ),
)

_MEASURES = ("closed", "won", "open")


def unseen_competitors(competitor_id: str) -> tuple[str, ...]:  # noqa: ARG001 - one fallback for every competitor
    """Competitor to fall back on: one that was never met."""
    return (UNSEEN,)


def deal_competition(spine: ir.Table, tables: Mapping[str, ir.Table]) -> ir.Table:
    """Compute the rates from the outcomes that were known at as_of."""
    points = spine.select("competitor_id", "as_of")
    closings, spells = _closings_and_spells(deal_path(tables["opportunities"]))
    rival = running_totals(points, [*closings, *spells], key="competitor_id", measures=_MEASURES)
    moments = points.select("as_of").distinct()
    anyone = running_totals(moments, closings, key=None, measures=("closed", "won"))
    rival = attach(rival, anyone.rename(any_closed="closed", any_won="won"), key=None)
    prior = rival.any_won.cast("float64") / rival.any_closed.nullif(0)
    return rival.select(
        "competitor_id",
        "as_of",
        win_rate_competitor_365d=smoothed(rival.won, rival.closed, prior=prior, weight=PRIOR_DEALS),
        count_closed_deals_competitor_365d=rival.closed,
        win_rate_any_competitor_365d=prior,
        count_open_deals_competitor=rival.open,
    )


def _closings_and_spells(path: ir.Table) -> tuple[list[ir.Table], list[ir.Table]]:
    """Increments of closed and of open deals, under the competitor that was named while the deal was open."""
    import ibis

    # Who is named only when the deal is decided says how it ended; no open deal could be compared with that.
    in_order = ibis.window(group_by="opportunity_id", order_by="known_from")
    path = path.mutate(named_before=path.competitor.lag().over(in_order))
    zero = ibis.literal(0).cast("int64")
    closed = first_closings(path)
    closed = closed.filter(closed.named_before.notnull())
    closed = closed.select("closed", "won", "enters", "leaves", competitor_id=closed.named_before, open=zero)
    spells = open_spells(path)
    spells = spells.filter(spells.competitor.notnull())
    spells = spells.select("open", "enters", "leaves", competitor_id=spells.competitor, closed=zero, won=zero)
    closings, opens = (
        enter_and_leave(rows, enters="enters", leaves="leaves", measures=_MEASURES) for rows in (closed, spells)
    )
    return closings, opens


DEAL_COMPETITION = ViewSpec(
    name="deal_competition",
    about="How deals against the competitor went, of outcomes known before as_of.",
    join_key="competitor_id",
    ttl_days=30,
    tables=("opportunities",),
    features=FEATURES,
    transformation=deal_competition,
    unseen=unseen_competitors,
)
