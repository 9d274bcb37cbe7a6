"""View `rep_leads`: how the rep's leads went, beside all leads, of outcomes known before as_of.

What tells one rep from another changes slowly and the leads of one rep are few, so this view looks at all of them. It
tells how many times as often they succeed as all leads do, which stays comparable while the rate of all moves. A lead
is counted for the first rep who had it while it was open: a rep who is entered at the conversion, or takes over then,
would get the wins and not the losses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from features.specs import FeatureSpec, ViewSpec
from features.transformations.history import attach, known_path, running_totals
from features.transformations.lead_outcomes import first_of_each_lead, lead_outcomes
from features.transformations.rep_performance import unseen_reps
from warehouse.contracts import CONTRACTS, OPEN_LEAD_STATUSES

if TYPE_CHECKING:
    import ibis.expr.types as ir

CONVERTED_DAYS = 90
QUALIFIED_DAYS = 30
PRIOR_LEADS = 100
"""How many leads the rate of all weighs in a rep's: right where a tenth of leads convert and reps differ by 30 %,
p(1 - p) / (0.3 p)² (the weight of a beta-binomial's prior, Morris 1983)."""

FEATURES = (
    FeatureSpec(
        name="lead_conversion_lift_rep",
        dtype="float",
        unit="ratio",
        group="rep",
        direction=1,
        about="How many times as often as all leads the rep's leads converted within 90 days, drawn towards 1.",
        phrase="the rep's leads converted {value} times as often as all leads",
    ),
    FeatureSpec(
        name="lead_qualified_lift_rep",
        dtype="float",
        unit="ratio",
        group="rep",
        direction=1,
        about="How many times as often as all leads the rep's were qualified within 30 days, drawn towards 1.",
        phrase="the rep's leads were qualified {value} times as often as all leads",
    ),
    FeatureSpec(
        name="count_leads_rep",
        dtype="int",
        unit="leads",
        group="rep",
        about="Number of leads that became 90 days old with the rep as the first.",
        phrase="the rep worked {value} leads before",
    ),
)

_MEASURES = ("leads", "conversions")


def rep_leads(spine: ir.Table, tables: Mapping[str, ir.Table]) -> ir.Table:
    """Compute the lifts from outcomes that were known at as_of."""
    points = spine.select("rep_id", "as_of")
    path = known_path(tables["leads"], CONTRACTS["leads"])
    open_with_rep = path.filter(path.rep_id.notnull() & path.status.isin(OPEN_LEAD_STATUSES))
    cohort = first_of_each_lead(open_with_rep).select("lead_id", "rep_id", "lead_created_at", "known_from")
    joined = points
    for name, statuses, days in (
        ("converted", ("converted",), CONVERTED_DAYS),
        ("qualified", ("qualified", "converted"), QUALIFIED_DAYS),
    ):
        outcomes = lead_outcomes(cohort, path.filter(path.status.isin(statuses)), keys=("rep_id",), days=days)
        joined = _with_totals(joined, outcomes, name=name)
    return joined.select(
        "rep_id",
        "as_of",
        lead_conversion_lift_rep=_lift(joined, "converted"),
        lead_qualified_lift_rep=_lift(joined, "qualified"),
        count_leads_rep=joined.leads_converted.cast("int64"),
    )


def _with_totals(points: ir.Table, outcomes: ir.Table, *, name: str) -> ir.Table:
    """`points` with leads and conversions of the rep and of all, so far."""
    rep = running_totals(points.select("rep_id", "as_of"), [outcomes], key="rep_id", measures=_MEASURES)
    company = running_totals(points.select("as_of").distinct(), [outcomes], key=None, measures=_MEASURES)
    points = attach(points, rep.rename({f"{measure}_{name}": measure for measure in _MEASURES}), key="rep_id")
    return attach(points, company.rename({f"all_{measure}_{name}": measure for measure in _MEASURES}), key=None)


def _lift(points: ir.Table, name: str) -> ir.FloatingValue:
    """The rep's rate by that of all, as if `PRIOR_LEADS` leads at the rate of all had been the rep's too."""
    rate = points[f"all_conversions_{name}"].cast("float64") / points[f"all_leads_{name}"].nullif(0)
    rep = (points[f"conversions_{name}"] + PRIOR_LEADS * rate) / (points[f"leads_{name}"] + PRIOR_LEADS)
    return rep / rate.nullif(0.0)


REP_LEADS = ViewSpec(
    name="rep_leads",
    about="How often the rep's leads converted and were qualified, beside all leads, of outcomes known before as_of.",
    join_key="rep_id",
    ttl_days=30,
    tables=("leads",),
    features=FEATURES,
    transformation=rep_leads,
    unseen=unseen_reps,
)
