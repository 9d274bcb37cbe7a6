"""The features of the view `deal_activity`: names, units, meanings."""

from __future__ import annotations

from features.specs import FeatureSpec

KINDS = {"email": "e-mails", "call": "calls", "meeting": "meetings", "demo": "demos", "task": "tasks"}
DIRECTIONS = {"inbound": "contacts by the customer", "outbound": "contacts by us"}

_RECENT = {
    "outbound": "contact by us",
    "email": "e-mail",
    "call": "call",
    "demo": "demo",
}


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


def _share_good(days: int) -> FeatureSpec:
    return FeatureSpec(
        name=f"share_good_activities_{days}d",
        dtype="float",
        unit="share",
        window=f"{days}d",
        group="activity",
        about=f"Share of the last {days} days' activities with a known outcome that went well; null without any.",
        phrase=f"{{value}} of the activities in {days} days went well",
    )


FEATURES = (
    _count("activities", "activities", 7),
    _count("activities", "activities", 30),
    _count("activities", "activities", 90),
    *(_count(kind, words, 30) for kind, words in KINDS.items()),
    *(_count(direction, words, 30) for direction, words in DIRECTIONS.items()),
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
    *(_since(name, words) for name, words in _RECENT.items()),
    FeatureSpec(
        name="change_activities_30d",
        dtype="int",
        unit="activities",
        window="30d",
        group="activity",
        about="Activities of the last 30 days less those of the 30 days before: the trend.",
        phrase="{value} more activities in the last 30 days than in the 30 before",
    ),
    FeatureSpec(
        name="count_activity_days_30d",
        dtype="int",
        unit="days",
        window="30d",
        group="activity",
        about="Number of different days, UTC, with an activity in the last 30 days.",
        phrase="was worked on {value} days of the last 30",
    ),
    FeatureSpec(
        name="share_inbound_90d",
        dtype="float",
        unit="share",
        window="90d",
        group="activity",
        about="Share of the last 90 days' activities of known direction that came from the customer; null without any.",
        phrase="{value} of the activities in 90 days came from the customer",
    ),
    FeatureSpec(
        name="count_contacts",
        dtype="int",
        unit="people",
        group="activity",
        about="Number of different people on the other side so far.",
        phrase="{value} different people were in touch so far",
    ),
    FeatureSpec(
        name="count_new_contacts_30d",
        dtype="int",
        unit="people",
        window="30d",
        group="activity",
        about="Number of people on the other side who were first in touch in the last 30 days.",
        phrase="{value} people were first in touch in 30 days",
    ),
    FeatureSpec(
        name="mean_hours_to_answer_90d",
        dtype="float",
        unit="hours",
        window="90d",
        group="activity",
        about="Mean hours from our mail to the customer's next mail, of those that came in the last 90 days.",
        phrase="the customer answers mails after {value} hours",
    ),
    FeatureSpec(
        name="mean_hours_to_our_answer_90d",
        dtype="float",
        unit="hours",
        window="90d",
        group="activity",
        about="Mean hours from the customer's mail to our next mail, of those that we sent in the last 90 days.",
        phrase="we answer mails after {value} hours",
    ),
    FeatureSpec(
        name="count_unanswered_mails",
        dtype="int",
        unit="mails",
        group="activity",
        about="Mails we sent since the customer's newest mail, or since ever.",
        phrase="{value} mails of ours are unanswered",
    ),
    _count("activities", "activities", 14),
    *(_count("inbound", "contacts by the customer", days) for days in (7, 14)),
    *(_count("good_activities", "activities that went well", days) for days in (7, 14)),
    _count("good_activities", "activities that went well", 30),
    _count("no_answers", "attempts that reached nobody", 30),
    *(_share_good(days) for days in (30, 90)),
    _since("good_activity", "activity that went well"),
)
