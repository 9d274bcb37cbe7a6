"""View `segment_history`: how often leads like this one converted, as known at as_of.

A segment is a source with a landing page. A lead counts once it is 30 days old: a longer maturity would make the rates
late to see a change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from features.specs import FeatureSpec, ViewSpec
from features.transformations.expressions import UNSEEN, segment_of, source_of_segment
from features.transformations.history import attach, enter_and_leave, known_path, running_totals
from features.transformations.lead_outcomes import first_of_each_lead, lead_outcomes
from warehouse.contracts import CONTRACTS

if TYPE_CHECKING:
    import ibis.expr.types as ir

MATURITY_DAYS = 30
PRIOR_LEADS = 20
"""How many leads the parent's rate weighs in a child's smoothed rate."""

FEATURES = (
    FeatureSpec(
        name="conversion_rate_segment_365d",
        dtype="float",
        unit="share",
        window="365d",
        group="segment",
        direction=1,
        about="Share of the segment's leads that converted within 30 days, drawn towards the source's rate.",
        phrase="{value} of leads from the same source and page converted within 30 days",
    ),
    FeatureSpec(
        name="conversion_rate_source_365d",
        dtype="float",
        unit="share",
        window="365d",
        group="segment",
        direction=1,
        about="Share of the source's leads that converted within 30 days, drawn towards the rate of all leads.",
        phrase="{value} of leads from the same source converted within 30 days",
    ),
    FeatureSpec(
        name="conversion_rate_source_90d",
        dtype="float",
        unit="share",
        window="90d",
        group="segment",
        direction=1,
        about="The same over leads that became 30 days old in the last 90 days, drawn towards that rate of all leads.",
        phrase="lately {value} of leads from the same source converted within 30 days",
    ),
    FeatureSpec(
        name="conversion_rate_all_90d",
        dtype="float",
        unit="share",
        window="90d",
        group="segment",
        about="Share of all leads that became 30 days old in the last 90 days and had converted.",
        phrase="lately {value} of all leads converted within 30 days",
    ),
    FeatureSpec(
        name="count_leads_segment_365d",
        dtype="int",
        unit="leads",
        window="365d",
        group="segment",
        about="Number of leads that the segment's rate rests on.",
        phrase="{value} earlier leads came from the same source and page",
    ),
)


def unseen_segments(segment_id: str) -> tuple[str, ...]:
    """Segments to fall back on: an unseen page of the same source, then an unseen source."""
    source = segment_id.split("|")[0]
    return (f"{source}|{UNSEEN}", f"{UNSEEN}|{UNSEEN}")


def _outcomes(leads: ir.Table) -> ir.Table:
    """Rows (segment_id, source_part, mature_at, moment, leads, conversions), by the segment as it was first known."""
    path = known_path(leads, CONTRACTS["leads"])
    first = first_of_each_lead(path)
    cohort = first.select(
        "lead_id", "lead_created_at", "known_from", segment_id=segment_of(first.source, first.landing_page)
    )
    rows = lead_outcomes(cohort, path.filter(path.status == "converted"), keys=("segment_id",), days=MATURITY_DAYS)
    return rows.mutate(source_part=source_of_segment(rows.segment_id))


def _totals(points: ir.Table, outcomes: ir.Table, *, key: str | None, days: int) -> ir.Table:
    """Leads and conversions of each point's key over the `days` before it, by when a lead became mature."""
    import ibis

    keys = [] if key is None else [key]
    leaves = ibis.greatest(outcomes.mature_at + ibis.interval(days=days), outcomes.moment)
    rows = outcomes.select(*keys, "leads", "conversions", enters="moment", leaves=leaves)
    measures = ("leads", "conversions")
    increments = enter_and_leave(rows, enters="enters", leaves="leaves", measures=measures)
    names = {f"{measure}_{key or 'all'}_{days}": measure for measure in measures}
    return running_totals(points.select(*keys, "as_of").distinct(), increments, key=key, measures=measures).rename(
        names
    )


def _rate(points: ir.Table, suffix: str, *, prior: ir.FloatingValue | None) -> ir.FloatingValue:
    """Conversions per lead, drawn towards `prior` as if `PRIOR_LEADS` leads had shown it; null if nothing is known."""
    leads, conversions = points[f"leads_{suffix}"], points[f"conversions_{suffix}"]
    if prior is None:
        return conversions.cast("float64") / leads.nullif(0)
    return (conversions + PRIOR_LEADS * prior) / (leads + PRIOR_LEADS)


def segment_history(spine: ir.Table, tables: Mapping[str, ir.Table]) -> ir.Table:
    """Compute the rates from outcomes that were known at as_of."""
    points = spine.select("segment_id", "as_of")
    points = points.mutate(source_part=source_of_segment(points.segment_id))
    outcomes = _outcomes(tables["leads"])
    joined = points
    for key, days in (("segment_id", 365), ("source_part", 365), ("source_part", 90), (None, 365), (None, 90)):
        joined = attach(joined, _totals(points, outcomes, key=key, days=days), key=key)
    recent = _rate(joined, "all_90", prior=None)
    source = _rate(joined, "source_part_365", prior=_rate(joined, "all_365", prior=None))
    return joined.select(
        "segment_id",
        "as_of",
        conversion_rate_segment_365d=_rate(joined, "segment_id_365", prior=source),
        conversion_rate_source_365d=source,
        conversion_rate_source_90d=_rate(joined, "source_part_90", prior=recent),
        conversion_rate_all_90d=recent,
        count_leads_segment_365d=joined.leads_segment_id_365.cast("int64"),
    )


SEGMENT_HISTORY = ViewSpec(
    name="segment_history",
    about="How often leads of the same source and landing page converted, of outcomes known before as_of.",
    join_key="segment_id",
    ttl_days=30,
    tables=("leads",),
    features=FEATURES,
    transformation=segment_history,
    unseen=unseen_segments,
)
