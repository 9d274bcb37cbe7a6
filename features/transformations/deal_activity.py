"""View `deal_activity`: what was done with the deal, as known at as_of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from features.specs import ViewSpec
from features.transformations.deal_activity_features import DIRECTIONS, FEATURES, KINDS
from features.transformations.expressions import days_between, seen_events, thousandths, whole_seconds, within_days
from features.transformations.history import attach
from features.transformations.outcome_tones import GOOD, NOBODY, outcome_tone
from warehouse.contracts import CONTRACTS

if TYPE_CHECKING:
    import ibis.expr.types as ir

_SINCE = "days_since_last_"
_KEYS = ("opportunity_id", "as_of")
_COLUMNS = ("kind", "direction", "contact_id", "duration_minutes", "participant_count", "outcome", "event_timestamp")


def deal_activity(spine: ir.Table, tables: Mapping[str, ir.Table]) -> ir.Table:
    """Count each deal's activities over windows that end at as_of; a deal without any has counts of 0."""
    moments = spine.select(*_KEYS)
    seen = seen_events(moments, tables["activities"], CONTRACTS["activities"], key="opportunity_id", columns=_COLUMNS)
    joined = moments
    for totals in (_totals(seen), _people(seen), _answers(seen)):
        joined = attach(joined, totals, key="opportunity_id")
    names = [feature.name for feature in FEATURES]
    counts = [name for name in names if name.startswith("count_")]
    recent = [name.removeprefix(_SINCE) for name in names if name.startswith(_SINCE)]
    month, two_months = joined.count_activities_30d.fill_null(0), joined.count_activities_60d.fill_null(0)
    directed = (joined.count_inbound_90d + joined.count_outbound_90d).nullif(0)
    return joined.select(
        *_KEYS,
        **{name: joined[name].fill_null(0).cast("int64") for name in counts},
        **{f"{_SINCE}{name}": days_between(joined.as_of, joined[f"newest_{name}"]) for name in recent},
        change_activities_30d=(2 * month - two_months).cast("int64"),
        share_inbound_90d=joined.count_inbound_90d.cast("float64") / directed,
        **{f"share_good_activities_{days}d": _share(joined, days) for days in (30, 90)},
        meeting_minutes_30d=joined.meeting_thousandths_30d / 1000,
        max_participants_90d=joined.max_participants_90d.cast("int64"),
        mean_hours_to_answer_90d=joined.answer_seconds.cast("float64") / joined.answers.nullif(0) / 3600,
        mean_hours_to_our_answer_90d=joined.our_answer_seconds.cast("float64") / joined.our_answers.nullif(0) / 3600,
    )


def _share(joined: ir.Table, days: int) -> ir.FloatingValue:
    """Share of the activities with an outcome that went well."""
    told = joined[f"outcomes_{days}d"].nullif(0)
    return joined[f"count_good_activities_{days}d"].cast("float64") / told


def _people(seen: ir.Table) -> ir.Table:
    """How many people were in touch, ever and lately, and how many for the first time."""
    person = seen.filter(seen.contact_id.notnull()).group_by(*_KEYS, "contact_id")
    met = person.aggregate(first_met=seen.event_timestamp.min(), last_met=seen.event_timestamp.max())
    return met.group_by(*_KEYS).aggregate(
        count_contacts=met.count(),
        count_contacts_90d=met.count(where=within_days(met.last_met, met.as_of, 90)),
        count_new_contacts_30d=met.count(where=within_days(met.first_met, met.as_of, 30)),
    )


def _answers(seen: ir.Table) -> ir.Table:
    """How long mails waited for the first mail of the other side, and how many still wait."""
    import ibis

    mails = seen.filter(seen.kind == "email", seen.direction.notnull())
    mails = mails.select(
        *_KEYS,
        "direction",
        "event_timestamp",
        from_us=mails.direction == "outbound",
        second=whole_seconds(mails.event_timestamp),
    )
    # Of two mails at one instant the customer's comes first: ours then answers it at once.
    in_order = ibis.window(group_by=_KEYS, order_by=["event_timestamp", "direction"])
    mails = mails.mutate(
        waited=(mails.second - mails.second.lag().over(in_order)).cast("int64"),
        before_from_us=mails.from_us.lag().over(in_order),
        place=ibis.row_number().over(in_order),
    )
    recent = within_days(mails.event_timestamp, mails.as_of, 90)
    answer = recent & ~mails.from_us & mails.before_from_us
    our_answer = recent & mails.from_us & ~mails.before_from_us
    return mails.group_by(*_KEYS).aggregate(
        answers=mails.count(where=answer),
        answer_seconds=mails.waited.sum(where=answer),
        our_answers=mails.count(where=our_answer),
        our_answer_seconds=mails.waited.sum(where=our_answer),
        # Every mail after the customer's last one is ours.
        count_unanswered_mails=mails.count() - 1 - mails.place.max(where=~mails.from_us).fill_null(-1),
    )


def _totals(seen: ir.Table) -> ir.Table:
    when = seen.event_timestamp
    recent = {days: within_days(when, seen.as_of, days) for days in (7, 14, 30, 60, 90)}
    tone = outcome_tone(seen.outcome)
    is_good = tone == GOOD
    is_meeting = seen.kind.isin(["meeting", "demo"])
    newest = {
        "activity": when.max(),
        "meeting": when.max(where=is_meeting),
        "good_activity": when.max(where=is_good),
        **{way: when.max(where=seen.direction == way) for way in DIRECTIONS},
        **{kind: when.max(where=seen.kind == kind) for kind in ("email", "call", "demo")},
    }
    return seen.group_by(*_KEYS).aggregate(
        **{f"count_activities_{days}d": seen.count(where=recent[days]) for days in recent},
        **{f"count_{kind}_30d": seen.count(where=(seen.kind == kind) & recent[30]) for kind in KINDS},
        **{
            f"count_{way}_{days}d": seen.count(where=(seen.direction == way) & recent[days])
            for way in DIRECTIONS
            for days in (7, 14, 30, 90)
        },
        **{f"count_good_activities_{days}d": seen.count(where=is_good & recent[days]) for days in (7, 14, 30, 90)},
        **{f"outcomes_{days}d": seen.count(where=tone.notnull() & recent[days]) for days in (30, 90)},
        count_no_answers_30d=seen.count(where=(tone == NOBODY) & recent[30]),
        **{f"newest_{name}": moment for name, moment in newest.items()},
        count_activity_days_30d=when.date().nunique(where=recent[30]),
        meeting_thousandths_30d=thousandths(seen.duration_minutes).sum(where=is_meeting & recent[30]),
        max_participants_90d=seen.participant_count.max(where=recent[90]),
    )


DEAL_ACTIVITY = ViewSpec(
    name="deal_activity",
    about="What was done with the deal: counts by kind and direction, recency, people.",
    join_key="opportunity_id",
    ttl_days=7,
    tables=("opportunities", "activities"),
    features=FEATURES,
    transformation=deal_activity,
    own_rows_only=True,
)
