"""View `lead_repeats`: whether the person came as another lead before.

Who fills in a second form, or is on a list that was bought though a rep talks to him already, stands in a CRM twice.
The first lead is worked on, the second is closed as a duplicate however interested it looks. Leads are taken in the
order in which they became known, so that what a lead's row says never changes: nobody who comes later is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from features.specs import FeatureSpec, ViewSpec
from features.transformations.expressions import days_between
from features.transformations.history import known_path
from features.transformations.lead_outcomes import first_of_each_lead
from features.transformations.persons import person_key
from warehouse.contracts import CONTRACTS

if TYPE_CHECKING:
    import ibis.expr.types as ir

REPEAT_DAYS = 90
"""A form sent again belongs to the same interest; who comes back after a quarter comes anew."""

FEATURES = (
    FeatureSpec(
        name="is_repeat_90d",
        dtype="bool",
        unit="yes or no",
        window="90d",
        group="demographic",
        about="Whether the same person, by e-mail address, had come as another lead in the 90 days before; null without"
        " an address.",
        phrase="came as another lead in the 90 days before: {value}",
    ),
    FeatureSpec(
        name="days_after_earlier_lead_person",
        dtype="float",
        unit="days",
        group="demographic",
        about="Days from the first contact of the same person's lead before to this one's; null where there was none.",
        phrase="the person had come {value} days before",
    ),
)


def lead_repeats(spine: ir.Table, tables: Mapping[str, ir.Table]) -> ir.Table:
    """Compute the view from the versions in which leads became known."""
    import ibis

    first = first_of_each_lead(known_path(tables["leads"], CONTRACTS["leads"]))
    person = person_key(first.email)
    named = first.select("lead_id", "known_from", "lead_created_at", person=person).filter(person.notnull())
    in_order = ibis.window(group_by="person", order_by=["known_from", "lead_created_at", "lead_id"])
    placed = named.select(
        "lead_id",
        "known_from",
        days_after=days_between(named.lead_created_at, named.lead_created_at.lag().over(in_order)),
    )
    points = spine.select("lead_id", "as_of")
    joined = points.left_join(placed, "lead_id")
    is_known = joined.known_from <= joined.as_of
    days_after = is_known.ifelse(joined.days_after, ibis.null("float64"))
    is_repeat = (days_after <= REPEAT_DAYS).fill_null(False)
    return joined.select(
        "lead_id",
        "as_of",
        is_repeat_90d=is_known.ifelse(is_repeat, ibis.null("boolean")),
        days_after_earlier_lead_person=days_after,
    )


LEAD_REPEATS = ViewSpec(
    name="lead_repeats",
    about="Whether the person came as another lead before.",
    join_key="lead_id",
    ttl_days=14,
    tables=("leads",),
    features=FEATURES,
    transformation=lead_repeats,
)
