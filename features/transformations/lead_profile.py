"""View `lead_profile`: who the lead is and how it came, as known at as_of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from features.specs import FeatureSpec, ViewSpec
from features.transformations.expressions import days_between, hour_if_known, own_fields, seen_rows, segment_of
from features.transformations.history import attach, ranked_versions
from features.transformations.persons import FUNCTIONS, RANKS, email_kind, job_function, title_seniority
from warehouse.as_known import versions_on_spine
from warehouse.contracts import CONTRACTS

if TYPE_CHECKING:
    import ibis.expr.types as ir

FEATURES = (
    FeatureSpec(
        name="lead_source",
        dtype="category",
        unit="category",
        group="intent",
        about="Where the lead came from.",
        phrase="came from {value}",
    ),
    FeatureSpec(
        name="landing_page",
        dtype="category",
        unit="category",
        group="intent",
        about="Page of first contact.",
        phrase="first landed on {value}",
    ),
    FeatureSpec(
        name="lead_status",
        dtype="category",
        unit="category",
        group="state",
        about="Status of the lead as known at as_of; on an open lead never the outcome.",
        phrase="is in status {value}",
    ),
    FeatureSpec(
        name="industry",
        dtype="category",
        unit="category",
        group="fit",
        about="Industry of the lead's company.",
        phrase="works in {value}",
    ),
    FeatureSpec(
        name="employee_count",
        dtype="int",
        unit="employees",
        group="fit",
        about="Employees of the lead's company.",
        phrase="the company has {value} employees",
    ),
    FeatureSpec(
        name="country",
        dtype="category",
        unit="category",
        group="demographic",
        about="Country.",
        phrase="is in {value}",
    ),
    FeatureSpec(
        name="lead_region",
        dtype="category",
        unit="category",
        group="demographic",
        about="Sales region.",
        phrase="belongs to region {value}",
    ),
    FeatureSpec(
        name="title_seniority",
        dtype="category",
        unit="category",
        group="demographic",
        about=f"Rank read from the job title: {', '.join(RANKS)} or other.",
        phrase="holds a position of rank {value}",
    ),
    FeatureSpec(
        name="job_function",
        dtype="category",
        unit="category",
        group="demographic",
        about=f"Field of work read from the job title: {', '.join(FUNCTIONS)} or other.",
        phrase="works in the field {value}",
    ),
    FeatureSpec(
        name="email_kind",
        dtype="category",
        unit="category",
        group="demographic",
        about="Kind of e-mail address: business, free (a public mail provider) or malformed.",
        phrase="wrote from a {value} e-mail address",
    ),
    FeatureSpec(
        name="count_profile_gaps",
        dtype="int",
        unit="fields",
        group="fit",
        about="How many of industry, employee count, country, title and e-mail are not filled in.",
        phrase="{value} of 5 profile fields are empty",
    ),
    FeatureSpec(
        name="lead_age_days",
        dtype="float",
        unit="days",
        group="time",
        about="Days since first contact.",
        phrase="first contact was {value} days ago",
    ),
    FeatureSpec(
        name="days_in_lead_status",
        dtype="float",
        unit="days",
        group="state",
        about="Days since the lead entered its status.",
        phrase="has had its status for {value} days",
    ),
    FeatureSpec(
        name="created_day_of_week",
        dtype="int",
        unit="day, Monday is 0",
        group="time",
        about="Day of the week of first contact, UTC.",
        phrase="first contact was on weekday {value} (Monday is 0)",
    ),
    FeatureSpec(
        name="created_month",
        dtype="int",
        unit="month, 1 to 12",
        group="time",
        about="Month of first contact, UTC.",
        phrase="first contact was in month {value}",
    ),
    FeatureSpec(
        name="created_hour",
        dtype="int",
        unit="hour, 0 to 23",
        group="time",
        about="Hour of first contact, UTC; null where the source knows only the day (exactly midnight).",
        phrase="first contact was at {value} o'clock UTC",
    ),
)

_PROFILE_FIELDS = ("industry", "employee_count", "country", "title", "email")


def lead_profile(spine: ir.Table, tables: Mapping[str, ir.Table]) -> ir.Table:
    """Compute the view from the version of each lead that was known at as_of."""
    import ibis

    moments = spine.select("lead_id", "as_of")
    lead = versions_on_spine(moments, tables["leads"], CONTRACTS["leads"], key="lead_id")
    lead = attach(lead, _status_entered(moments, tables["leads"]), key="lead_id")
    created = lead.lead_created_at
    gaps = sum((lead[name].isnull().cast("int64") for name in _PROFILE_FIELDS), start=ibis.literal(0).cast("int64"))
    known = created.notnull()
    return lead.select(
        "lead_id",
        "as_of",
        lead_source=lead.source,
        landing_page=lead.landing_page,
        lead_status=lead.status,
        industry=lead.industry,
        employee_count=lead.employee_count,
        country=lead.country,
        lead_region=lead.region,
        title_seniority=title_seniority(lead.title),
        job_function=job_function(lead.title),
        email_kind=email_kind(lead.email),
        count_profile_gaps=known.ifelse(gaps, ibis.null("int64")),
        lead_age_days=days_between(lead.as_of, created),
        days_in_lead_status=days_between(lead.as_of, lead.status_entered_at),
        created_day_of_week=created.day_of_week.index().cast("int64"),
        created_month=created.month().cast("int64"),
        created_hour=hour_if_known(created),
        current_rep_id=lead.rep_id,
        current_segment_id=known.ifelse(segment_of(lead.source, lead.landing_page), ibis.null("string")),
        **{name: lead[name] for name in own_fields(tables["leads"])},
    )


def _status_entered(moments: ir.Table, leads: ir.Table) -> ir.Table:
    """When each lead came into the status it had at each moment, as far as was known then."""
    import ibis

    leads = leads.semi_join(moments.select("lead_id").distinct(), "lead_id")
    columns = ("lead_id", "status", "event_timestamp", "created_timestamp", "version_rank")
    ranked = ranked_versions(leads, CONTRACTS["leads"]).select(*columns)
    seen = seen_rows(moments, ranked, key="lead_id")
    keys = ["lead_id", "as_of"]
    before = seen.status.lag().over(ibis.window(group_by=keys, order_by="version_rank"))
    seen = seen.mutate(is_entry=before.isnull() | (before != seen.status))
    return seen.group_by(*keys).aggregate(status_entered_at=seen.event_timestamp.max(where=seen.is_entry))


LEAD_PROFILE = ViewSpec(
    name="lead_profile",
    about="Who the lead is and how it came.",
    join_key="lead_id",
    ttl_days=14,
    tables=("leads",),
    features=FEATURES,
    transformation=lead_profile,
    own_rows_only=True,
    extends="leads",
    foreign_keys=(("current_rep_id", "rep_id"), ("current_segment_id", "segment_id")),
)
