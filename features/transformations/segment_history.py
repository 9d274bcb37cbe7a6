"""View `segment_history`: how often leads like this one converted, as known at as_of.

A segment is a source with a landing page. A lead counts once it is 30 days old, with whether it converted within
those 30 days: every lead of a cohort is then equally mature. Counting an early conversion at once, while undecided
leads of the same age are still left out, would make every rate too high; a longer maturity would make it late to see a
change. A conversion that is recorded late is added when it becomes known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from features.specs import FeatureSpec, ViewSpec
from features.transformations.expressions import UNSEEN, segment_of, source_of_segment
from features.transformations.history import attach, enter_and_leave, known_path, running_totals
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


def _matured_leads(path: ir.Table) -> ir.Table:
    """One row per lead as it was first known: segment, mature_at, and created to tell a conversion within 30 days."""
    import ibis

    first = ibis.window(group_by="lead_id", order_by=["known_from"])
    known = path.mutate(place=ibis.row_number().over(first))
    known = known.filter(known.place == 0)
    mature = known.lead_created_at + ibis.interval(days=MATURITY_DAYS)
    return known.select(
        "lead_id",
        segment_id=segment_of(known.source, known.landing_page),
        deadline=mature,
        mature_at=ibis.greatest(mature, known.known_from),
    )


def _outcomes(leads: ir.Table) -> ir.Table:
    """Rows (segment, source, mature_at, moment, leads, conversions): a mature lead, or its conversion once known."""
    import ibis

    path = known_path(leads, CONTRACTS["leads"])
    matured = _matured_leads(path)
    won = path.filter(path.status == "converted").select("lead_id", "event_timestamp", "known_from")
    joined = matured.inner_join(won, "lead_id")
    joined = joined.filter(joined.event_timestamp <= joined.deadline)
    joined = joined.group_by("lead_id", "segment_id", "mature_at").aggregate(known_from=joined.known_from.min())
    zero, one = ibis.literal(0).cast("int64"), ibis.literal(1).cast("int64")
    rows = matured.select("segment_id", "mature_at", moment=matured.mature_at, leads=one, conversions=zero).union(
        joined.select(
            "segment_id",
            "mature_at",
            moment=ibis.greatest(joined.mature_at, joined.known_from),
            leads=zero,
            conversions=one,
        )
    )
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
