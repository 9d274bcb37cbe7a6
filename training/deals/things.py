"""What a salesperson can bring about in a deal, and which features tell whether it is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.deals.columns import numbers

Vector = NDArray[np.float64]
Columns = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Thing:
    """Something that a salesperson can bring about.

    Args:
        name: Short name.
        advice: What to do, in words.
        reads: Features that tell whether it is there; all of them must be among the model's.
        about: Features that are about it, besides those: not part of the chance apart from it.
        has: Whether it is there, from the columns in `reads`; a missing value is NaN.
    """

    name: str
    advice: str
    reads: tuple[str, ...]
    about: tuple[str, ...]
    has: Callable[..., NDArray[np.bool_]]


def _at_least(count: float) -> Callable[[Vector], NDArray[np.bool_]]:
    return lambda values: np.asarray(np.nan_to_num(values, nan=0.0) >= count)


def _at_most(count: float) -> Callable[[Vector], NDArray[np.bool_]]:
    return lambda values: np.asarray(np.nan_to_num(values, nan=np.inf) <= count)


THINGS: tuple[Thing, ...] = (
    Thing(
        "next step",
        "agree a next step with a date",
        ("days_to_next_step",),
        (
            "is_next_step_overdue",
            "days_since_next_step_set",
            "days_since_next_step_before_set",
            "count_next_step_changes",
            "days_between_next_steps",
        ),
        lambda days: np.asarray(np.nan_to_num(days, nan=-1.0) >= 0),
    ),
    Thing(
        "meeting",
        "hold a meeting",
        ("count_meeting_30d",),
        ("days_since_last_meeting", "meeting_minutes_30d"),
        _at_least(1),
    ),
    Thing("demo", "show the product", ("count_demo_30d",), ("days_since_last_demo",), _at_least(1)),
    Thing(
        "decision maker",
        "get in touch with an executive or vice president",
        ("count_senior_contacts_30d",),
        ("count_senior_contacts", "share_senior_contacts", "days_since_senior_contact"),
        _at_least(1),
    ),
    Thing(
        "second contact",
        "involve a second person of the customer",
        ("count_contacts_90d",),
        ("count_contacts", "count_new_contacts_30d", "max_participants_90d"),
        _at_least(2),
    ),
    Thing(
        "customer's answer",
        "get an answer from the customer",
        ("days_since_last_inbound",),
        (
            "count_inbound_7d",
            "count_inbound_14d",
            "count_inbound_30d",
            "share_inbound_90d",
            "mean_hours_to_answer_90d",
            "count_unanswered_mails",
        ),
        _at_most(14),
    ),
    Thing(
        "recent activity",
        "take the deal up again",
        ("days_since_last_activity",),
        (
            "count_activities_7d",
            "count_activities_14d",
            "count_activities_30d",
            "change_activities_30d",
            "count_activity_days_30d",
        ),
        _at_most(7),
    ),
    Thing(
        "prompt answers",
        "answer the customer within a working day",
        ("mean_hours_to_our_answer_90d",),
        (),
        _at_most(24),
    ),
)


def has_thing(thing: Thing, *, columns: Columns, count: int) -> NDArray[np.bool_]:
    """Whether each row has the thing."""
    return np.asarray(thing.has(*(numbers(columns, name, count) for name in thing.reads)), dtype=bool)
