"""View `lead_engagement`: what the lead did, as known at as_of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from features.specs import FeatureSpec, Group, ViewSpec
from features.transformations.expressions import days_between, seen_rows, thousandths, within_days

if TYPE_CHECKING:
    import ibis.expr.types as ir

# kind of event -> (windows in days, group of evidence, what it is called)
_COUNTED: dict[str, tuple[tuple[int, ...], Group, str]] = {
    "page_view": ((7, 30), "behavioral", "pages viewed"),
    "content_download": ((90,), "behavioral", "contents downloaded"),
    "webinar": ((90,), "behavioral", "webinars attended"),
    "pricing_view": ((7, 30), "intent", "views of pricing pages"),
    "demo_request": ((90,), "intent", "requests for a demo"),
    "form_submission": ((90,), "intent", "forms submitted"),
    "email_open": ((30,), "engagement", "mails opened"),
    "email_click": ((30,), "engagement", "links clicked in mails"),
    "email_reply": ((90,), "engagement", "replies to mails"),
}


def _count_spec(kind: str, days: int) -> FeatureSpec:
    _, group, words = _COUNTED[kind]
    return FeatureSpec(
        name=f"count_{kind}_{days}d",
        dtype="int",
        unit="events",
        window=f"{days}d",
        group=group,
        about=f"Number of {words} in the last {days} days.",
        phrase=f"{{value}} {words} in {days} days",
    )


FEATURES = (
    *(_count_spec(kind, days) for kind, (windows, _, _) in _COUNTED.items() for days in windows),
    *(
        FeatureSpec(
            name=f"count_lead_events_{days}d",
            dtype="int",
            unit="events",
            window=f"{days}d",
            group="behavioral",
            about=f"Number of events of any kind in the last {days} days.",
            phrase=f"{{value}} events of any kind in {days} days",
        )
        for days in (7, 30, 90)
    ),
    FeatureSpec(
        name="count_active_days_30d",
        dtype="int",
        unit="days",
        window="30d",
        group="behavioral",
        about="Number of different days, UTC, with an event in the last 30 days.",
        phrase="was active on {value} days of the last 30",
    ),
    FeatureSpec(
        name="days_since_last_lead_event",
        dtype="float",
        unit="days",
        group="engagement",
        about="Days since the newest event; null where there was none.",
        phrase="was last active {value} days ago",
    ),
    FeatureSpec(
        name="share_lead_events_7d_of_30d",
        dtype="float",
        unit="share",
        window="30d",
        group="engagement",
        about="Share of the last 30 days' events that fell into the last 7: the trend; null where there was none.",
        phrase="{value} of the month's events fell into the last week",
    ),
    FeatureSpec(
        name="minutes_on_pages_30d",
        dtype="float",
        unit="minutes",
        window="30d",
        group="behavioral",
        about="Minutes that the events of the last 30 days lasted; null where no duration is known.",
        phrase="spent {value} minutes on our pages in 30 days",
    ),
)


def lead_engagement(spine: ir.Table, tables: Mapping[str, ir.Table]) -> ir.Table:
    """Count each lead's events over windows that end at as_of; a lead without events has counts of 0."""
    moments = spine.select("lead_id", "as_of")
    events = tables["lead_events"].select("lead_id", "kind", "duration_seconds", "event_timestamp", "created_timestamp")
    seen = seen_rows(moments, events, key="lead_id")
    recent = {days: within_days(seen.event_timestamp, seen.as_of, days) for days in (7, 30, 90)}
    counts = {
        f"count_{kind}_{days}d": seen.count(where=(seen.kind == kind) & recent[days])
        for kind, (windows, _, _) in _COUNTED.items()
        for days in windows
    }
    totals = seen.group_by("lead_id", "as_of").aggregate(
        **counts,
        **{f"count_lead_events_{days}d": seen.count(where=recent[days]) for days in recent},
        count_active_days_30d=seen.event_timestamp.date().nunique(where=recent[30]),
        newest=seen.event_timestamp.max(),
        milliseconds_30d=thousandths(seen.duration_seconds).sum(where=recent[30]),
    )
    joined = moments.left_join(totals, ["lead_id", "as_of"])
    week, month = joined.count_lead_events_7d.fill_null(0), joined.count_lead_events_30d.fill_null(0)
    whole = [feature.name for feature in FEATURES if feature.dtype == "int"]
    return joined.select(
        "lead_id",
        "as_of",
        **{name: joined[name].fill_null(0).cast("int64") for name in whole},
        days_since_last_lead_event=days_between(joined.as_of, joined.newest),
        share_lead_events_7d_of_30d=week.cast("float64") / month.nullif(0),
        minutes_on_pages_30d=joined.milliseconds_30d / 60_000,
    )


LEAD_ENGAGEMENT = ViewSpec(
    name="lead_engagement",
    about="What the lead did: counts by kind, recency, trend.",
    join_key="lead_id",
    ttl_days=7,
    tables=("leads", "lead_events"),
    features=FEATURES,
    transformation=lead_engagement,
)
