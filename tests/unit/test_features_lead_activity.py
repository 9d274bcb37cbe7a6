"""The view `lead_activity` and what the profile tells of titles and status, against numbers worked out by hand."""

from __future__ import annotations

import random

import pytest
from features_world import day, features, lead, row


def _activity(lead_id: str, number: int, happened: float, known: float | None = None, **columns: object) -> dict:
    given = {"kind": "call", "direction": "outbound", **columns}
    return row(happened, known, activity_id=f"A{number}", lead_id=lead_id, **given)


def test_contacts_are_counted_by_kind_direction_and_window() -> None:
    activities = [
        _activity("L1", 1, 1, kind="email"),
        _activity("L1", 2, 2, kind="email", direction="inbound"),
        _activity("L1", 3, 30, kind="call", participant_count=1),
        _activity("L1", 4, 39, kind="call", direction="inbound", participant_count=2),
        _activity("L1", 5, 39.5, kind="meeting", participant_count=3),
        _activity("L2", 6, 39.5, kind="meeting", participant_count=3),
        _activity("L1", 7, 41, kind="demo"),
    ]
    (seen,) = features("lead_activity", {"activities": activities}, ("L1", 40))
    assert (seen["count_lead_activities_7d"], seen["count_lead_activities_30d"]) == (2, 3)
    assert (seen["count_lead_activities_90d"], seen["count_lead_inbound"], seen["count_lead_talks"]) == (5, 2, 2)
    assert (seen["count_lead_calls_30d"], seen["count_lead_emails_30d"], seen["count_lead_meetings_30d"]) == (2, 0, 1)
    assert (seen["count_lead_inbound_30d"], seen["count_lead_outbound_30d"]) == (1, 2)
    assert (seen["days_since_last_lead_inbound"], seen["days_since_last_lead_meeting"]) == (1.0, 0.5)
    assert (seen["days_since_first_lead_activity"], seen["days_since_last_lead_talk"]) == (39.0, 0.5)
    assert seen["share_lead_inbound_90d"] == 2 / 5


def test_a_lead_without_contacts_has_counts_of_zero_and_no_days() -> None:
    (silent,) = features("lead_activity", {}, ("L1", 10))
    assert (silent["count_lead_activities_90d"], silent["count_lead_talks"]) == (0, 0)
    assert (silent["days_since_last_lead_activity"], silent["share_lead_inbound_90d"]) == (None, None)


def test_a_contact_recorded_late_counts_from_when_it_was_known_and_a_correction_takes_its_place() -> None:
    activities = [_activity("L1", 1, 5, 9), _activity("L1", 1, 5, 12, direction="inbound")]
    before, known, corrected = features("lead_activity", {"activities": activities}, ("L1", 8), ("L1", 10), ("L1", 12))
    assert before["count_lead_activities_30d"] == 0
    assert (known["count_lead_outbound_30d"], known["count_lead_inbound_30d"]) == (1, 0)
    assert (corrected["count_lead_outbound_30d"], corrected["count_lead_inbound_30d"]) == (0, 1)
    assert known["days_since_last_lead_outbound"] == 5.0


def test_days_in_status_count_from_the_change_and_not_from_other_edits() -> None:
    leads = [
        lead("L1", 1),
        lead("L1", 4, lead_created_at=day(1), status="working"),
        lead("L1", 6, lead_created_at=day(1), status="working", industry="retail"),
        lead("L1", 7, 20, lead_created_at=day(1), status="qualified"),
    ]
    new, working, late = features("lead_profile", {"leads": leads}, ("L1", 3), ("L1", 10), ("L1", 20))
    assert (new["days_in_lead_status"], working["days_in_lead_status"], late["days_in_lead_status"]) == (2.0, 6.0, 13.0)


def test_days_in_status_do_not_depend_on_the_order_of_rows() -> None:
    words = ("new", "working", "qualified")
    draw = random.Random(7)  # noqa: S311 - a fixed shuffle
    leads = [lead("L1", number, lead_created_at=day(0), status=draw.choice(words)) for number in range(12)]
    asked = [("L1", float(number)) for number in range(12)]
    shuffled = draw.sample(leads, len(leads))
    assert features("lead_profile", {"leads": leads}, *asked) == features("lead_profile", {"leads": shuffled}, *asked)


@pytest.mark.parametrize(
    ("title", "rank", "field"),
    [
        ("Chief Financial Officer", "executive", "finance"),
        ("VP Finance", "vice_president", "finance"),
        ("Director of Operations", "director", "operations"),
        ("IT Specialist", "specialist", "it"),
        ("Business Analyst", "specialist", "other"),
        ("Student", "student", "other"),
        ("Consultant", "consultant", "other"),
        ("Head of Marketing", "director", "marketing"),
        ("Procurement Lead", "manager", "purchasing"),
        ("HR Manager", "manager", "people"),
        ("Founder", "executive", "general"),
        (None, None, None),
    ],
)
def test_rank_and_field_are_read_from_the_title(title: str | None, rank: str | None, field: str | None) -> None:
    (profile,) = features("lead_profile", {"leads": [lead("L1", 0, title=title)]}, ("L1", 1))
    assert (profile["title_seniority"], profile["job_function"]) == (rank, field)
