"""View `deal_stakeholders`: who on the other side takes part in the deal, as known at as_of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from features.specs import FeatureSpec, ViewSpec
from features.transformations.expressions import days_between, seen_events, within_days
from features.transformations.history import attach
from features.transformations.persons import title_seniority
from warehouse.as_known import versions_on_spine
from warehouse.contracts import CONTRACTS

if TYPE_CHECKING:
    import ibis.expr.types as ir

FEATURES = (
    FeatureSpec(
        name="count_senior_contacts",
        dtype="int",
        unit="people",
        group="activity",
        about="Number of people in touch so far whose title is that of an executive or vice president.",
        phrase="{value} senior people were in touch so far",
    ),
    FeatureSpec(
        name="count_senior_contacts_30d",
        dtype="int",
        unit="people",
        window="30d",
        group="activity",
        about="Number of such people in touch in the last 30 days.",
        phrase="{value} senior people were in touch in 30 days",
    ),
    FeatureSpec(
        name="count_director_contacts",
        dtype="int",
        unit="people",
        group="activity",
        about="Number of people in touch so far whose title is that of a director or head.",
        phrase="{value} directors were in touch so far",
    ),
    FeatureSpec(
        name="share_senior_contacts",
        dtype="float",
        unit="share",
        group="activity",
        about="Executives and vice presidents over the people in touch so far whose title is known; null without any.",
        phrase="{value} of the people in touch are senior",
    ),
    FeatureSpec(
        name="days_since_senior_contact",
        dtype="float",
        unit="days",
        group="activity",
        about="Days since the newest activity with an executive or vice president; null where there was none.",
        phrase="the last contact with a senior person was {value} days ago",
    ),
)

_KEYS = ("opportunity_id", "as_of")
_PERSON = ("contact_id", "title", "is_deleted", "event_timestamp", "created_timestamp")
_SENIOR = ("executive", "vice_president")


def deal_stakeholders(spine: ir.Table, tables: Mapping[str, ir.Table]) -> ir.Table:
    """Count the people in each deal's activities by the rank in their titles; a deal without any has counts of 0."""
    moments = spine.select(*_KEYS)
    columns = ("contact_id", "event_timestamp")
    seen = seen_events(moments, tables["activities"], CONTRACTS["activities"], key="opportunity_id", columns=columns)
    people = seen.filter(seen.contact_id.notnull()).group_by(*_KEYS, "contact_id")
    met = people.aggregate(last_met=seen.event_timestamp.max())
    met = versions_on_spine(met, tables["contacts"].select(*_PERSON), CONTRACTS["contacts"], key="contact_id")
    met = met.mutate(rank=title_seniority(met.title))
    senior = met["rank"].isin(_SENIOR)
    totals = met.group_by(*_KEYS).aggregate(
        titled=met.count(where=met["rank"].notnull()),
        count_senior_contacts=met.count(where=senior),
        count_senior_contacts_30d=met.count(where=senior & within_days(met.last_met, met.as_of, 30)),
        count_director_contacts=met.count(where=met["rank"] == "director"),
        senior_met=met.last_met.max(where=senior),
    )
    deal = attach(moments, totals, key="opportunity_id")
    counts = [feature.name for feature in FEATURES if feature.dtype == "int"]
    return deal.select(
        *_KEYS,
        **{name: deal[name].fill_null(0).cast("int64") for name in counts},
        share_senior_contacts=deal.count_senior_contacts.cast("float64") / deal.titled.nullif(0),
        days_since_senior_contact=days_between(deal.as_of, deal.senior_met),
    )


DEAL_STAKEHOLDERS = ViewSpec(
    name="deal_stakeholders",
    about="Who on the other side takes part in the deal: people by the rank of their titles.",
    join_key="opportunity_id",
    ttl_days=7,
    tables=("opportunities", "activities", "contacts"),
    features=FEATURES,
    transformation=deal_stakeholders,
)
