"""View `deal_activity`: what was done with the deal, as known at as_of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from features.specs import FeatureSpec, ViewSpec
from features.transformations.expressions import days_between, seen_rows, thousandths, within_days

if TYPE_CHECKING:
    import ibis.expr.types as ir

_KINDS = {"email": "e-mails", "call": "calls", "meeting": "meetings", "demo": "demos", "task": "tasks"}
_DIRECTIONS = {"inbound": "contacts by the customer", "outbound": "contacts by us"}


def _count(name: str, words: str, days: int) -> FeatureSpec:
    return FeatureSpec(
        name=f"count_{name}_{days}d",
        dtype="int",
        unit="activities",
        window=f"{days}d",
        group="activity",
        about=f"Number of {words} in the last {days} days.",
        phrase=f"{{value}} {words} in {days} days",
    )


def _since(name: str, words: str) -> FeatureSpec:
    return FeatureSpec(
        name=f"days_since_last_{name}",
        dtype="float",
        unit="days",
        group="activity",
        about=f"Days since the newest {words}; null where there was none.",
        phrase=f"the last {words} was {{value}} days ago",
    )


FEATURES = (
    _count("activities", "activities", 7),
    _count("activities", "activities", 30),
    _count("activities", "activities", 90),
    *(_count(kind, words, 30) for kind, words in _KINDS.items()),
    *(_count(direction, words, 30) for direction, words in _DIRECTIONS.items()),
    _since("activity", "activity"),
    _since("inbound", "contact by the customer"),
    _since("meeting", "meeting or demo"),
    FeatureSpec(
        name="meeting_minutes_30d",
        dtype="float",
        unit="minutes",
        window="30d",
        group="activity",
        about="Minutes of meetings and demos in the last 30 days; null where no duration is known.",
        phrase="{value} minutes of meetings and demos in 30 days",
    ),
    FeatureSpec(
        name="max_participants_90d",
        dtype="int",
        unit="people",
        window="90d",
        group="activity",
        about="Most people in one activity of the last 90 days; null where unknown.",
        phrase="up to {value} people took part in 90 days",
    ),
    FeatureSpec(
        name="count_contacts_90d",
        dtype="int",
        unit="people",
        window="90d",
        group="activity",
        about="Number of different people on the other side in the last 90 days.",
        phrase="{value} different people were in touch in 90 days",
    ),
)

_COLUMNS = (
    "opportunity_id",
    "kind",
    "direction",
    "contact_id",
    "duration_minutes",
    "participant_count",
    "event_timestamp",
    "created_timestamp",
)


def deal_activity(spine: ir.Table, tables: Mapping[str, ir.Table]) -> ir.Table:
    """Count each deal's activities over windows that end at as_of; a deal without any has counts of 0."""
    moments = spine.select("opportunity_id", "as_of")
    seen = seen_rows(moments, tables["activities"].select(*_COLUMNS), key="opportunity_id")
    recent = {days: within_days(seen.event_timestamp, seen.as_of, days) for days in (7, 30, 90)}
    is_meeting = seen.kind.isin(["meeting", "demo"])
    totals = seen.group_by("opportunity_id", "as_of").aggregate(
        **{f"count_activities_{days}d": seen.count(where=recent[days]) for days in recent},
        **{f"count_{kind}_30d": seen.count(where=(seen.kind == kind) & recent[30]) for kind in _KINDS},
        **{f"count_{way}_30d": seen.count(where=(seen.direction == way) & recent[30]) for way in _DIRECTIONS},
        count_contacts_90d=seen.contact_id.nunique(where=recent[90]),
        meeting_thousandths_30d=thousandths(seen.duration_minutes).sum(where=is_meeting & recent[30]),
        max_participants_90d=seen.participant_count.max(where=recent[90]),
        newest=seen.event_timestamp.max(),
        newest_inbound=seen.event_timestamp.max(where=seen.direction == "inbound"),
        newest_meeting=seen.event_timestamp.max(where=is_meeting),
    )
    joined = moments.left_join(totals, ["opportunity_id", "as_of"])
    counts = [feature.name for feature in FEATURES if feature.name.startswith("count_")]
    return joined.select(
        "opportunity_id",
        "as_of",
        **{name: joined[name].fill_null(0).cast("int64") for name in counts},
        meeting_minutes_30d=joined.meeting_thousandths_30d / 1000,
        max_participants_90d=joined.max_participants_90d.cast("int64"),
        days_since_last_activity=days_between(joined.as_of, joined.newest),
        days_since_last_inbound=days_between(joined.as_of, joined.newest_inbound),
        days_since_last_meeting=days_between(joined.as_of, joined.newest_meeting),
    )


DEAL_ACTIVITY = ViewSpec(
    name="deal_activity",
    about="What was done with the deal: counts by kind and direction, recency, people.",
    join_key="opportunity_id",
    ttl_days=7,
    tables=("opportunities", "activities"),
    features=FEATURES,
    transformation=deal_activity,
)
