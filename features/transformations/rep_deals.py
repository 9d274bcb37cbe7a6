"""View `rep_deals`: all the rep's deals so far, and how the rep rates deals, of what was known before as_of.

`rep_performance` looks at one year. What tells one rep from another changes slowly, and a year of one rep holds few
deals; so this view looks at all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from features.specs import FeatureSpec, ViewSpec
from features.transformations.closings import deal_path, first_closings, open_spells
from features.transformations.expressions import smoothed, thousandths
from features.transformations.history import attach, running_totals
from features.transformations.rep_performance import PRIOR_DEALS, unseen_reps

if TYPE_CHECKING:
    import ibis.expr.types as ir

FEATURES = (
    FeatureSpec(
        name="win_rate_rep",
        dtype="float",
        unit="share",
        group="rep",
        direction=1,
        about="Share of all the rep's closed deals that were won, drawn towards the share of all deals.",
        phrase="the rep won {value} of all deals so far",
    ),
    FeatureSpec(
        name="mean_crm_probability_rep",
        dtype="float",
        unit="share",
        group="rep",
        about="Mean of the CRM's win probabilities of the rep's open deals so far, less that of all reps': the habit.",
        phrase="the rep rates deals {value} higher than others do",
    ),
)

_MEASURES = ("closed", "won", "told", "told_thousandths")


def rep_deals(spine: ir.Table, tables: Mapping[str, ir.Table]) -> ir.Table:
    """Compute the rates from what was known at as_of."""
    points = spine.select("rep_id", "as_of")
    increments = _increments(deal_path(tables["opportunities"]))
    rep = running_totals(points, increments, key="rep_id", measures=_MEASURES)
    company = running_totals(points.select("as_of").distinct(), increments, key=None, measures=_MEASURES)
    rep = attach(rep, company.rename({f"all_{name}": name for name in _MEASURES}), key=None)
    prior = rep.all_won.cast("float64") / rep.all_closed.nullif(0)
    told = rep.told_thousandths.cast("float64") / rep.told.nullif(0)
    all_told = rep.all_told_thousandths.cast("float64") / rep.all_told.nullif(0)
    return rep.select(
        "rep_id",
        "as_of",
        win_rate_rep=smoothed(rep.won, rep.closed, prior=prior, weight=PRIOR_DEALS),
        mean_crm_probability_rep=(told - all_told) / 1000,
    )


def _increments(path: ir.Table) -> list[ir.Table]:
    """Closed deals, and every rating of an open deal, under the rep who had it then."""
    import ibis

    zero, one = ibis.literal(0).cast("int64"), ibis.literal(1).cast("int64")
    closed = first_closings(path)
    closed = closed.filter(closed.rep_id.notnull())
    rated = open_spells(path)
    rated = rated.filter(rated.rep_id.notnull() & rated.crm_probability.notnull())
    return [
        closed.select("rep_id", "closed", "won", moment="enters", told=zero, told_thousandths=zero),
        rated.select(
            "rep_id",
            moment="enters",
            closed=zero,
            won=zero,
            told=one,
            told_thousandths=thousandths(rated.crm_probability),
        ),
    ]


REP_DEALS = ViewSpec(
    name="rep_deals",
    about="All the rep's deals so far, and how the rep rates deals.",
    join_key="rep_id",
    ttl_days=30,
    tables=("opportunities",),
    features=FEATURES,
    transformation=rep_deals,
    unseen=unseen_reps,
)
