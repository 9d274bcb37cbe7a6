"""View `lead_engagement`: what the lead did, as known at as_of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from features.specs import FeatureSpec, Group, ViewSpec
from features.transformations.expressions import days_between, seen_events, thousandths, whole_seconds, within_days
from warehouse.contracts import CONTRACTS, LEAD_EVENT_KINDS

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
    "social": ((90,), "behavioral", "contacts in social media"),
}

# kind of event -> what its newest one is called
_RECENT: dict[str, tuple[Group, str]] = {
    "page_view": ("behavioral", "view of a page"),
    "pricing_view": ("intent", "view of pricing pages"),
    "demo_request": ("intent", "request for a demo"),
    "form_submission": ("intent", "form"),
    "email_click": ("engagement", "click in a mail"),
    "email_reply": ("engagement", "reply to a mail"),
}
_KEYS = ("lead_id", "as_of")
_INTENT = ("pricing_view", "demo_request", "form_submission")

SESSION_GAP_MINUTES = 30
"""Silence that ends a session of events."""


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
    *(
        FeatureSpec(
            name=f"days_since_last_{kind}",
            dtype="float",
            unit="days",
            group=group,
            about=f"Days since the newest {words}; null where there was none.",
            phrase=f"the last {words} was {{value}} days ago",
        )
        for kind, (group, words) in _RECENT.items()
    ),
    FeatureSpec(
        name="days_since_first_lead_event",
        dtype="float",
        unit="days",
        group="engagement",
        about="Days since the oldest event; null where there was none.",
        phrase="was first active {value} days ago",
    ),
    FeatureSpec(
        name="count_lead_events_1d",
        dtype="int",
        unit="events",
        window="1d",
        group="behavioral",
        about="Number of events of any kind in the last 24 hours (1d).",
        phrase="{value} events of any kind in 24 hours",
    ),
    FeatureSpec(
        name="change_lead_events_7d",
        dtype="int",
        unit="events",
        window="7d",
        group="engagement",
        about="Events of the last 7 days less those of the 7 days before: the trend.",
        phrase="{value} more events in the last week than in the week before",
    ),
    FeatureSpec(
        name="count_event_kinds_30d",
        dtype="int",
        unit="kinds",
        window="30d",
        group="behavioral",
        about="Number of different kinds of events in the last 30 days.",
        phrase="did {value} kinds of things in 30 days",
    ),
    FeatureSpec(
        name="share_intent_events_30d",
        dtype="float",
        unit="share",
        window="30d",
        group="intent",
        about="Views of pricing, requests for a demo and forms over all events of the last 30 days; null without any.",
        phrase="{value} of the month's events showed an intent to buy",
    ),
    FeatureSpec(
        name="share_mails_clicked_90d",
        dtype="float",
        unit="share",
        window="90d",
        group="engagement",
        about="Clicks in mails over mails opened in the last 90 days, at most 1; null where none was opened.",
        phrase="clicked in {value} of the mails opened in 90 days",
    ),
    FeatureSpec(
        name="share_mails_answered_90d",
        dtype="float",
        unit="share",
        window="90d",
        group="engagement",
        about="Replies over mails opened in the last 90 days, at most 1; null where none was opened.",
        phrase="answered {value} of the mails opened in 90 days",
    ),
    FeatureSpec(
        name="count_sessions_30d",
        dtype="int",
        unit="sessions",
        window="30d",
        group="behavioral",
        about="Number of sessions begun in the last 30 days; 30 minutes of silence end a session.",
        phrase="came {value} times in 30 days",
    ),
    FeatureSpec(
        name="max_events_session_30d",
        dtype="int",
        unit="events",
        window="30d",
        group="behavioral",
        about="Events in the longest session that went on in the last 30 days: the strongest burst; 0 where none did.",
        phrase="did up to {value} things in one session",
    ),
    FeatureSpec(
        name="mean_days_between_events_90d",
        dtype="float",
        unit="days",
        window="90d",
        group="engagement",
        about="Mean days from one event to the next in the last 90 days; null where there were less than two.",
        phrase="acts every {value} days",
    ),
)


def lead_engagement(spine: ir.Table, tables: Mapping[str, ir.Table]) -> ir.Table:
    """Count each lead's events over windows that end at as_of; a lead without events has counts of 0."""
    import ibis

    moments = spine.select("lead_id", "as_of")
    columns = ("kind", "duration_seconds", "event_timestamp")
    seen = seen_events(moments, tables["lead_events"], CONTRACTS["lead_events"], key="lead_id", columns=columns)
    joined = moments.left_join(_totals(_in_sessions(seen)), _KEYS)
    count = {days: joined[f"count_lead_events_{days}d"].fill_null(0) for days in (7, 14, 30, 90)}
    opened = joined.opened_90d.nullif(0)
    at_most_one = ibis.literal(1.0)
    kinds = [joined[f"any_{kind}_30d"].fill_null(False).cast("int64") for kind in LEAD_EVENT_KINDS]
    computed = ("change_lead_events_7d", "count_event_kinds_30d")
    whole = [feature.name for feature in FEATURES if feature.dtype == "int" and feature.name not in computed]
    return joined.select(
        *_KEYS,
        **{name: joined[name].fill_null(0).cast("int64") for name in whole},
        **{f"days_since_last_{kind}": days_between(joined.as_of, joined[f"newest_{kind}"]) for kind in _RECENT},
        days_since_last_lead_event=days_between(joined.as_of, joined.newest),
        days_since_first_lead_event=days_between(joined.as_of, joined.oldest),
        count_event_kinds_30d=sum(kinds[1:], start=kinds[0]),
        change_lead_events_7d=(2 * count[7] - count[14]).cast("int64"),
        share_lead_events_7d_of_30d=count[7].cast("float64") / count[30].nullif(0),
        share_intent_events_30d=joined.intent_30d.cast("float64") / count[30].nullif(0),
        share_mails_clicked_90d=ibis.least(joined.clicked_90d.cast("float64") / opened, opened * 0 + at_most_one),
        share_mails_answered_90d=ibis.least(
            joined.count_email_reply_90d.cast("float64") / opened, opened * 0 + at_most_one
        ),
        minutes_on_pages_30d=joined.milliseconds_30d / 60_000,
        mean_days_between_events_90d=days_between(joined.newest, joined.oldest_90d) / (count[90] - 1).nullif(0),
    )


def _in_sessions(seen: ir.Table) -> ir.Table:
    """Events with `begins`, whether a session begins with them, `of_session`, their place in it, and `ends_day`."""
    import ibis

    in_order = ibis.window(group_by=_KEYS, order_by="event_timestamp")
    second, date = whole_seconds(seen.event_timestamp), seen.event_timestamp.date()
    silence = second - second.lag().over(in_order)
    begins = silence.isnull() | (silence > SESSION_GAP_MINUTES * 60)
    next_date = date.lead().over(in_order)
    place = ibis.row_number().over(in_order)
    seen = seen.mutate(begins=begins, place=place, ends_day=next_date.isnull() | (next_date != date))
    so_far = ibis.window(group_by=_KEYS, order_by=["event_timestamp", "place"], rows=(None, 0))
    begun = seen.begins.ifelse(seen.place, ibis.null("int64")).max().over(so_far)
    return seen.mutate(of_session=seen.place - begun + 1)


def _totals(seen: ir.Table) -> ir.Table:
    when = seen.event_timestamp
    recent = {days: within_days(when, seen.as_of, days) for days in (1, 7, 14, 30, 90)}
    return seen.group_by(*_KEYS).aggregate(
        **{
            f"count_{kind}_{days}d": seen.count(where=(seen.kind == kind) & recent[days])
            for kind, (windows, _, _) in _COUNTED.items()
            for days in windows
        },
        **{f"count_lead_events_{days}d": seen.count(where=recent[days]) for days in recent},
        **{f"newest_{kind}": when.max(where=seen.kind == kind) for kind in _RECENT},
        # A day is in the window if its last event is: counting those is cheaper than counting different days.
        count_active_days_30d=seen.count(where=seen.ends_day & recent[30]),
        **{f"any_{kind}_30d": (recent[30] & (seen.kind == kind)).any() for kind in LEAD_EVENT_KINDS},
        count_sessions_30d=seen.count(where=seen.begins & recent[30]),
        max_events_session_30d=seen.of_session.max(where=recent[30]),
        intent_30d=seen.count(where=seen.kind.isin(_INTENT) & recent[30]),
        opened_90d=seen.count(where=(seen.kind == "email_open") & recent[90]),
        clicked_90d=seen.count(where=(seen.kind == "email_click") & recent[90]),
        newest=when.max(),
        oldest=when.min(),
        oldest_90d=when.min(where=recent[90]),
        milliseconds_30d=thousandths(seen.duration_seconds).sum(where=recent[30]),
    )


LEAD_ENGAGEMENT = ViewSpec(
    name="lead_engagement",
    about="What the lead did: counts by kind, recency, trend.",
    join_key="lead_id",
    ttl_days=7,
    tables=("leads", "lead_events"),
    features=FEATURES,
    transformation=lead_engagement,
    own_rows_only=True,
)
