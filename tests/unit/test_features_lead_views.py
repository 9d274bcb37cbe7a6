"""The lead views against numbers worked out by hand."""

from __future__ import annotations

import random

import pytest
from features_world import day, features, lead, row


def _event(
    lead_id: str, kind: str, happened: float, known: float | None = None, **columns: object
) -> dict[str, object]:
    return row(happened, known, event_id=f"{lead_id}-{kind}-{happened}", lead_id=lead_id, kind=kind, **columns)


def test_profile_is_the_version_known_at_the_moment() -> None:
    leads = [
        lead("L1", 1, source="web", industry="retail", rep_id="R1"),
        lead("L1", 3, 5, lead_created_at=day(1), source="web", industry="banking", rep_id="R2", status="working"),
    ]
    before, after = features("lead_profile", {"leads": leads}, ("L1", 4.9), ("L1", 5))
    assert (before["industry"], before["lead_status"], before["current_rep_id"]) == ("retail", "new", "R1")
    assert (after["industry"], after["lead_status"], after["current_rep_id"]) == ("banking", "working", "R2")
    assert after["lead_age_days"] == 4.0
    assert after["current_segment_id"] == "web|"


def test_profile_tells_the_calendar_of_first_contact() -> None:
    # 2025-01-01 was a Wednesday.
    leads = [lead("L1", 0.5), lead("L2", 31)]
    half_past, first_of_february = features("lead_profile", {"leads": leads}, ("L1", 40), ("L2", 40))
    assert (half_past["created_day_of_week"], half_past["created_month"], half_past["created_hour"]) == (2, 1, 12)
    assert (first_of_february["created_month"], first_of_february["created_hour"]) == (2, None)


@pytest.mark.parametrize(
    ("title", "rank"),
    [
        ("CEO", "executive"),
        ("Chief Revenue Officer", "executive"),
        ("Vice President of Sales", "vice_president"),
        ("President", "executive"),
        ("Sales Director", "director"),  # contains "cto"
        ("Head of Buying", "director"),
        ("Account Manager", "manager"),
        ("Clerk", "other"),
        (None, None),
    ],
)
def test_seniority_is_read_from_the_title(title: str | None, rank: str | None) -> None:
    (profile,) = features("lead_profile", {"leads": [lead("L1", 0, title=title)]}, ("L1", 1))
    assert profile["title_seniority"] == rank


@pytest.mark.parametrize(
    ("email", "kind"),
    [
        ("a@gmail.com", "free"),
        ("a@Proton.me", "free"),
        ("a@gmailers.com", "business"),
        ("a.b", "malformed"),
        (None, None),
    ],
)
def test_kind_of_mail_address(email: str | None, kind: str | None) -> None:
    (profile,) = features("lead_profile", {"leads": [lead("L1", 0, email=email)]}, ("L1", 1))
    assert profile["email_kind"] == kind


def test_gaps_in_the_profile_are_counted_and_missing_stays_missing() -> None:
    filled = {"industry": "retail", "employee_count": 0, "country": "DE", "title": "CEO", "email": "a@b.de"}
    leads = [lead("L1", 0, **filled), lead("L2", 0)]
    full, empty, unknown = features("lead_profile", {"leads": leads}, ("L1", 1), ("L2", 1), ("L3", 1))
    assert (full["count_profile_gaps"], full["employee_count"]) == (0, 0)
    assert (empty["count_profile_gaps"], empty["employee_count"]) == (5, None)
    assert (unknown["count_profile_gaps"], unknown["current_segment_id"]) == (None, None)


def test_engagement_counts_what_happened_in_the_window_and_was_known() -> None:
    events = [
        _event("L1", "page_view", 10, duration_seconds=60.0),  # at as_of itself: counts
        _event("L1", "page_view", 3),  # seven days before, to the microsecond: outside
        _event("L1", "page_view", 9, 10.5),  # recorded later: unknown
        _event("L1", "pricing_view", 4, duration_seconds=30.0),
        _event("L1", "demo_request", -50),
        _event("L2", "page_view", 10),
    ]
    (seen,) = features("lead_engagement", {"lead_events": events}, ("L1", 10))
    assert seen["count_page_view_7d"] == 1
    assert seen["count_page_view_30d"] == 2
    assert seen["count_pricing_view_7d"] == 1
    assert seen["count_demo_request_90d"] == 1
    assert (seen["count_lead_events_7d"], seen["count_lead_events_30d"], seen["count_lead_events_90d"]) == (2, 3, 4)
    assert seen["count_active_days_30d"] == 3
    assert seen["days_since_last_lead_event"] == 0.0
    assert seen["share_lead_events_7d_of_30d"] == pytest.approx(2 / 3)
    assert seen["minutes_on_pages_30d"] == 1.5


def test_a_silent_lead_has_counts_of_zero_and_no_recency() -> None:
    (silent,) = features("lead_engagement", {}, ("L1", 10))
    assert silent["count_page_view_7d"] == 0
    assert silent["count_active_days_30d"] == 0
    assert silent["days_since_last_lead_event"] is None
    assert silent["share_lead_events_7d_of_30d"] is None
    assert silent["minutes_on_pages_30d"] is None


def _cohort(
    source: str, page: str, *, leads: int, converted: int, born: float, known: float | None = None, **own: object
) -> list[dict]:
    rows = []
    for place in range(leads):
        name = f"{source}-{page}-{born}-{place}"
        columns = {"source": source, "landing_page": page, "lead_created_at": day(born), **own}
        rows.append(lead(name, born, **columns))
        if place < converted:
            rows.append(lead(name, born + 5, known, **columns, status="converted"))
    return rows


def test_segment_rate_counts_leads_of_30_days_and_is_drawn_towards_its_source() -> None:
    leads = _cohort("web", "a", leads=10, converted=5, born=0) + _cohort("web", "b", leads=30, converted=3, born=0)
    leads += _cohort("ads", "a", leads=60, converted=2, born=0)
    young, mature, unseen_page, unseen_source = features(
        "segment_history",
        {"leads": leads},
        ("web|a", 29.9),
        ("web|a", 30),
        ("web|(unseen)", 30),
        ("(unseen)|(unseen)", 30),
    )
    everyone = 10 / 100
    web = (8 + 20 * everyone) / (40 + 20)
    assert young["conversion_rate_all_90d"] is None  # nothing is mature yet: no rate, not zero
    assert young["count_leads_segment_365d"] == 0
    assert mature["conversion_rate_all_90d"] == pytest.approx(everyone)
    assert mature["conversion_rate_source_365d"] == pytest.approx(web)
    assert mature["conversion_rate_segment_365d"] == pytest.approx((5 + 20 * web) / (10 + 20))
    assert mature["count_leads_segment_365d"] == 10
    assert unseen_page["conversion_rate_segment_365d"] == pytest.approx(web)
    assert unseen_source["conversion_rate_segment_365d"] == pytest.approx(everyone)


def test_a_conversion_counts_from_when_it_is_known_and_only_within_30_days() -> None:
    late_entry = _cohort("web", "a", leads=1, converted=1, born=0, known=40)
    slow = [lead("slow", 0, source="web"), lead("slow", 31, lead_created_at=day(0), source="web", status="converted")]
    before, after = features("segment_history", {"leads": late_entry + slow}, ("web|a", 39), ("web|a", 41))
    assert before["conversion_rate_all_90d"] == 0.0
    assert after["conversion_rate_all_90d"] == 0.5


def test_a_lead_leaves_the_rates_when_its_window_has_passed() -> None:
    leads = _cohort("web", "a", leads=4, converted=4, born=0) + _cohort("web", "a", leads=4, converted=0, born=100)
    both, newest, none = features(
        "segment_history", {"leads": leads}, ("web|a", 130), ("web|a", 395), ("web|a", 30 + 100 + 365)
    )
    assert (both["count_leads_segment_365d"], newest["count_leads_segment_365d"]) == (8, 4)
    assert both["conversion_rate_all_90d"] == 0.0  # the first cohort became mature 100 days before
    assert none["count_leads_segment_365d"] == 0


def test_a_rep_is_known_by_the_leads_worked_first_beside_all_leads() -> None:
    leads = _cohort("web", "a", leads=50, converted=10, born=0, rep_id="R1")
    leads += _cohort("web", "b", leads=150, converted=10, born=0, rep_id="R2")
    # R3 comes in at the conversion: the lead stays R2's, or the winner would have no losses.
    leads += [lead("taken over", 0, rep_id="R2")]
    leads += [lead("taken over", 5, lead_created_at=day(0), rep_id="R3", status="converted")]
    leads += [lead("nobody's", 0)]
    young, good, other, late_comer, unseen = features(
        "rep_leads", {"leads": leads}, ("R1", 89.9), ("R1", 90), ("R2", 90), ("R3", 90), ("(unseen)", 90)
    )
    everyone = 21 / 201
    assert (young["lead_conversion_lift_rep"], young["count_leads_rep"]) == (None, 0)
    assert young["lead_qualified_lift_rep"] == pytest.approx((10 + 100 * everyone) / 150 / everyone)
    assert good["lead_conversion_lift_rep"] == pytest.approx((10 + 100 * everyone) / 150 / everyone)
    assert other["lead_conversion_lift_rep"] == pytest.approx((11 + 100 * everyone) / 251 / everyone)
    assert (good["count_leads_rep"], other["count_leads_rep"], late_comer["count_leads_rep"]) == (50, 151, 0)
    assert late_comer["lead_conversion_lift_rep"] == unseen["lead_conversion_lift_rep"] == 1.0


def test_a_lead_is_a_repeat_of_one_that_was_known_before() -> None:
    leads = [
        lead("first", 0, email="ada.lovelace@firm.com"),
        lead("again", 3, email="A.Lovelace@firm.com"),
        lead("later", 120, email="ada.lovelace@firm.com"),
        # Loaded on day 9: until then nobody knew it, and for those who were known by then it is no earlier lead.
        lead("listed", 1, 9, email="lovelace@firm.com"),
        lead("one", 4, email="a.b@gmail.com"),
        lead("another", 5, email="c.b@gmail.com"),
        lead("nameless", 6),
        lead("unreadable", 7, email="lovelace"),
    ]
    asked = [("first", 200), ("again", 3), ("again", 200), ("later", 200), ("listed", 8.9), ("listed", 9)]
    asked += [("one", 10), ("another", 10), ("nameless", 10), ("unreadable", 10)]
    found = [
        (each["is_repeat_90d"], each["days_after_earlier_lead_person"])
        for each in features("lead_repeats", {"leads": leads}, *asked)
    ]
    first, again, again_later, later, unknown, listed, *others = found
    assert (first, again, again_later) == ((False, None), (True, 3.0), (True, 3.0))
    assert (later, unknown, listed) == ((False, 119.0), (None, None), (True, -2.0))
    assert others == [(False, None), (False, None), (None, None), (None, None)]


def test_engagement_equals_a_plain_loop_over_random_events() -> None:
    draw = random.Random(3)  # noqa: S311 - made-up events
    kinds = ("page_view", "email_open", "webinar")
    events = [
        _event(draw.choice(("L1", "L2")), draw.choice(kinds), happened, happened + draw.choice((0, 0, 2.5, 20)))
        for happened in (draw.uniform(0, 100) for _ in range(300))
    ]
    for place, event in enumerate(events):
        event["event_id"] = str(place)
    asked = [(draw.choice(("L1", "L2")), float(number)) for number in range(5, 130, 6)]
    for (name, number), seen in zip(asked, features("lead_engagement", {"lead_events": events}, *asked), strict=True):
        known = [
            e
            for e in events
            if e["lead_id"] == name and max(e["event_timestamp"], e["created_timestamp"]) <= day(number)
        ]
        for days in (7, 30, 90):
            recent = [e for e in known if e["event_timestamp"] > day(number - days)]
            assert seen[f"count_lead_events_{days}d"] == len(recent)
            if days == 30:
                assert seen["count_email_open_30d"] == sum(e["kind"] == "email_open" for e in recent)
                assert seen["count_active_days_30d"] == len({e["event_timestamp"].date() for e in recent})
