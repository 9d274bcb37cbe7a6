"""View `lead_activity`: what the sales team did with the lead and what came back, as known at as_of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from features.specs import FeatureSpec, ViewSpec
from features.transformations.expressions import days_between, seen_events, within_days
from features.transformations.history import attach
from warehouse.contracts import CONTRACTS

if TYPE_CHECKING:
    import ibis.expr.types as ir

_COUNTED = {
    "activities": ((7, 30, 90), "contacts by either side"),
    "inbound": ((30,), "contacts by the lead"),
    "outbound": ((30,), "contacts by us"),
    "emails": ((30,), "e-mails"),
    "calls": ((30,), "calls"),
    "meetings": ((30,), "meetings and demos"),
    "talks": ((30,), "calls and meetings in which somebody of the other side took part"),
}
_EVER = {"inbound": "contacts by the lead", "meetings": "meetings and demos", "talks": "talks with the lead"}
_NEWEST = {
    "activity": "contact",
    "inbound": "contact by the lead",
    "outbound": "contact by us",
    "meeting": "meeting or demo",
    "talk": "talk in which somebody of the other side took part",
}
_WINDOWS = (7, 30, 90)
_KEYS = ("lead_id", "as_of")
_COLUMNS = ("kind", "direction", "participant_count", "event_timestamp")

FEATURES = (
    *(
        FeatureSpec(
            name=f"count_lead_{name}_{days}d",
            dtype="int",
            unit="activities",
            window=f"{days}d",
            group="engagement",
            about=f"Number of {words} in the last {days} days.",
            phrase=f"{{value}} {words} in {days} days",
        )
        for name, (windows, words) in _COUNTED.items()
        for days in windows
    ),
    *(
        FeatureSpec(
            name=f"count_lead_{name}",
            dtype="int",
            unit="activities",
            group="engagement",
            about=f"Number of {words} so far.",
            phrase=f"{{value}} {words} so far",
        )
        for name, words in _EVER.items()
    ),
    *(
        FeatureSpec(
            name=f"days_since_last_lead_{name}",
            dtype="float",
            unit="days",
            group="engagement",
            about=f"Days since the newest {words}; null where there was none.",
            phrase=f"the last {words} was {{value}} days ago",
        )
        for name, words in _NEWEST.items()
    ),
    FeatureSpec(
        name="days_since_first_lead_activity",
        dtype="float",
        unit="days",
        group="engagement",
        about="Days since the first contact by either side after the lead came in; null where there was none.",
        phrase="was first contacted {value} days ago",
    ),
    FeatureSpec(
        name="share_lead_inbound_90d",
        dtype="float",
        unit="share",
        window="90d",
        group="engagement",
        about="Share of the last 90 days' contacts of known direction that came from the lead; null without any.",
        phrase="{value} of the contacts in 90 days came from the lead",
    ),
)


def lead_activity(spine: ir.Table, tables: Mapping[str, ir.Table]) -> ir.Table:
    """Count each lead's activities over windows that end at as_of; a lead without any has counts of 0."""
    moments = spine.select(*_KEYS)
    seen = seen_events(moments, tables["activities"], CONTRACTS["activities"], key="lead_id", columns=_COLUMNS)
    joined = attach(moments, _totals(seen), key="lead_id")
    counts = [feature.name for feature in FEATURES if feature.name.startswith("count_")]
    directed = (joined.inbound_90d + joined.outbound_90d).nullif(0)
    return joined.select(
        *_KEYS,
        **{name: joined[name].fill_null(0).cast("int64") for name in counts},
        **{f"days_since_last_lead_{name}": days_between(joined.as_of, joined[f"newest_{name}"]) for name in _NEWEST},
        days_since_first_lead_activity=days_between(joined.as_of, joined.oldest),
        share_lead_inbound_90d=joined.inbound_90d.cast("float64") / directed,
    )


def _totals(seen: ir.Table) -> ir.Table:
    when, is_meeting = seen.event_timestamp, seen.kind.isin(["meeting", "demo"])
    is_inbound, is_outbound = seen.direction == "inbound", seen.direction == "outbound"
    # One who takes part is ours; with more, somebody of the other side was there.
    is_talk = (is_meeting | (seen.kind == "call")) & (seen.participant_count > 1)
    every = seen.kind.notnull()
    counted = {
        "activities": every,
        "inbound": is_inbound,
        "outbound": is_outbound,
        "emails": seen.kind == "email",
        "calls": seen.kind == "call",
        "meetings": is_meeting,
        "talks": is_talk,
    }
    newest = {
        "activity": every,
        "inbound": is_inbound,
        "outbound": is_outbound,
        "meeting": is_meeting,
        "talk": is_talk,
    }
    recent = {days: within_days(when, seen.as_of, days) for days in _WINDOWS}
    return seen.group_by(*_KEYS).aggregate(
        **{
            f"count_lead_{name}_{days}d": seen.count(where=counted[name] & recent[days])
            for name, (windows, _) in _COUNTED.items()
            for days in windows
        },
        **{f"count_lead_{name}": seen.count(where=counted[name]) for name in _EVER},
        **{f"newest_{name}": when.max(where=chosen) for name, chosen in newest.items()},
        oldest=when.min(),
        inbound_90d=seen.count(where=is_inbound & recent[90]),
        outbound_90d=seen.count(where=is_outbound & recent[90]),
    )


LEAD_ACTIVITY = ViewSpec(
    name="lead_activity",
    about="What the sales team did with the lead and what came back: counts by kind and direction, recency.",
    join_key="lead_id",
    ttl_days=7,
    tables=("leads", "activities"),
    features=FEATURES,
    transformation=lead_activity,
    own_rows_only=True,
)
