"""The deal, rep and series views against numbers worked out by hand."""

from __future__ import annotations

import pytest
from features_world import day, deal, features, row


def _activity(kind: str, happened: float, known: float | None = None, **columns: object) -> dict[str, object]:
    return row(happened, known, activity_id=f"{kind}-{happened}", kind=kind, opportunity_id="D1", **columns)


def test_state_counts_pushes_returns_and_amount_changes() -> None:
    versions = [
        deal("D1", 0, stage="qualify", amount_usd=100.0, close_date=day(30).date()),
        deal("D1", 5, stage="propose", amount_usd=100.0, close_date=day(30).date()),
        deal("D1", 8, stage="propose", amount_usd=150.0, close_date=day(44).date()),
        deal("D1", 10, stage="qualify", amount_usd=150.0, close_date=day(40).date(), competitor="Acme"),
        deal("D1", 12, stage="qualify", amount_usd=120.0, close_date=day(60).date(), lead_id="L1"),
    ]
    early, late = features("deal_state", {"opportunities": versions}, ("D1", 8), ("D1", 20))
    assert (early["stage"], early["count_stage_changes"], early["count_stage_returns"]) == ("propose", 1, 0)
    assert (early["count_close_date_pushes"], early["days_close_date_moved"], early["days_in_stage"]) == (1, 14, 3.0)
    assert (early["is_competitor_known"], early["is_from_lead"]) == (False, False)
    assert (late["stage"], late["count_stage_changes"], late["count_stage_returns"]) == ("qualify", 2, 1)
    assert (late["count_close_date_pushes"], late["days_close_date_moved"]) == (2, 30)
    assert (late["count_amount_changes"], late["amount_to_first_amount"]) == (2, pytest.approx(1.2))
    assert (late["days_in_stage"], late["deal_age_days"], late["days_since_last_change"]) == (10.0, 20.0, 8.0)
    assert late["days_to_close_date"] == 40
    assert late["is_from_lead"] is True


def test_a_correction_replaces_a_version_and_is_no_change() -> None:
    versions = [
        deal("D1", 0, stage="qualify", close_date=day(30).date(), amount_usd=100.0),
        deal("D1", 4, 4, stage="propose", close_date=day(30).date(), amount_usd=100.0),
        deal("D1", 4, 9, stage="propose", close_date=day(35).date(), amount_usd=100.0),
    ]
    before, after = features("deal_state", {"opportunities": versions}, ("D1", 8), ("D1", 10))
    assert (before["count_close_date_pushes"], after["count_close_date_pushes"]) == (0, 1)
    assert (before["days_to_close_date"], after["days_to_close_date"]) == (22, 25)
    assert after["count_stage_changes"] == 1


def test_an_old_version_recorded_late_does_not_overrule_a_newer_one() -> None:
    versions = [deal("D1", 0, stage="qualify"), deal("D1", 3, 9, stage="propose"), deal("D1", 6, stage="commit")]
    before, after = features("deal_state", {"opportunities": versions}, ("D1", 8), ("D1", 10))
    assert (before["stage"], before["count_stage_changes"]) == ("commit", 1)
    assert (after["stage"], after["count_stage_changes"]) == ("commit", 2)


def test_state_tells_the_calendar_of_opening() -> None:
    # 2025-01-01 was a Wednesday.
    deals = [deal("D1", 32, opened_at=day(31.75)), deal("D2", 1, opened_at=day(0))]
    quarter_to, midnight = features("deal_state", {"opportunities": deals}, ("D1", 40), ("D2", 40))
    assert (quarter_to["opened_day_of_week"], quarter_to["opened_month"], quarter_to["opened_hour"]) == (5, 2, 18)
    assert (midnight["opened_day_of_week"], midnight["opened_hour"]) == (2, None)


def test_an_unknown_deal_has_no_state() -> None:
    (unknown,) = features("deal_state", {"opportunities": [deal("D1", 5)]}, ("D1", 4))
    assert unknown["stage"] is None
    assert unknown["is_competitor_known"] is None
    assert unknown["count_stage_changes"] is None


def test_activities_are_counted_by_kind_direction_and_window() -> None:
    activities = [
        _activity("meeting", 10, duration_minutes=30.0, participant_count=4, contact_id="C1", direction="outbound"),
        _activity("demo", 9, 11, duration_minutes=45.0),
        _activity("email", 8, direction="inbound", contact_id="C2"),
        _activity("email", -10, direction="outbound", contact_id="C1"),
        _activity("call", -60, participant_count=2),
    ]
    (seen,) = features("deal_activity", {"activities": activities}, ("D1", 10))
    assert (seen["count_activities_7d"], seen["count_activities_30d"], seen["count_activities_90d"]) == (2, 3, 4)
    assert (seen["count_email_30d"], seen["count_meeting_30d"], seen["count_demo_30d"]) == (2, 1, 0)
    assert (seen["count_inbound_30d"], seen["count_outbound_30d"]) == (1, 2)
    assert (seen["days_since_last_activity"], seen["days_since_last_inbound"]) == (0.0, 2.0)
    assert (seen["days_since_last_meeting"], seen["meeting_minutes_30d"]) == (0.0, 30.0)
    assert (seen["max_participants_90d"], seen["count_contacts_90d"]) == (4, 2)


def _closed(
    name: str, rep: str, *, opened: float, closed: float, status: str, known: float | None = None
) -> list[dict]:
    columns = {"rep_id": rep, "opened_at": day(opened)}
    return [deal(name, opened, **columns), deal(name, closed, known, status=status, **columns)]


def test_win_rate_is_of_deals_closed_and_known_and_drawn_towards_the_company() -> None:
    deals = [
        *_closed("A", "R1", opened=0, closed=10, status="won"),
        *_closed("B", "R1", opened=0, closed=20, status="won"),
        *_closed("C", "R1", opened=0, closed=20, status="lost", known=50),
        *_closed("D", "R2", opened=0, closed=20, status="lost"),
        *_closed("E", "R2", opened=0, closed=20, status="lost"),
    ]
    now, later, stranger = features(
        "rep_performance", {"opportunities": deals}, ("R1", 30), ("R1", 60), ("(unseen)", 30)
    )
    assert now["win_rate_rep_365d"] == pytest.approx((2 + 10 * 2 / 4) / (2 + 10))
    assert (now["count_closed_deals_rep_365d"], now["count_open_deals_rep"]) == (2, 1)
    assert now["mean_cycle_days_rep_365d"] == 15.0
    assert later["win_rate_rep_365d"] == pytest.approx((2 + 10 * 2 / 5) / (3 + 10))
    assert later["count_open_deals_rep"] == 0
    assert (stranger["win_rate_rep_365d"], stranger["count_open_deals_rep"]) == (0.5, 0)


def test_a_closed_deal_leaves_the_win_rate_after_a_year() -> None:
    deals = _closed("A", "R1", opened=0, closed=10, status="won")
    inside, outside = features("rep_performance", {"opportunities": deals}, ("R1", 374.9), ("R1", 375))
    assert (inside["count_closed_deals_rep_365d"], outside["count_closed_deals_rep_365d"]) == (1, 0)
    assert outside["win_rate_rep_365d"] is None  # nothing is known, of nobody
    assert outside["mean_cycle_days_rep_365d"] is None


def test_open_load_follows_the_deal_to_another_rep_and_ends_with_deletion() -> None:
    deals = [
        deal("A", 0, rep_id="R1"),
        deal("A", 5, rep_id="R2"),
        deal("B", 0, rep_id="R2"),
        deal("B", 8, rep_id="R2", is_deleted=True),
    ]
    asked = [("R1", 4.0), ("R1", 6.0), ("R2", 4.0), ("R2", 6.0), ("R2", 8.0)]
    load = [each["count_open_deals_rep"] for each in features("rep_performance", {"opportunities": deals}, *asked)]
    assert load == [1, 0, 1, 2, 1]


def test_bookings_are_summed_by_level_as_known() -> None:
    reps = [row(0, rep_id="R1", team="T1", region="N"), row(0, rep_id="R2", team="T2", region="N")]
    money = [
        row(10, transaction_id="1", rep_id="R1", amount_usd=100.25),
        row(20, 60, transaction_id="2", rep_id="R1", amount_usd=50.0),
        row(30, transaction_id="3", rep_id="R2", amount_usd=-10.0),
    ]
    asked = [("company", 35.0), ("region:N", 61.0), ("team:T1", 61.0), ("rep:R2", 61.0), ("company", 320.0)]
    company, region, team, rep, next_year = features("series_history", {"reps": reps, "transactions": money}, *asked)
    assert (company["booked_usd_30d"], company["booked_usd_90d"]) == (90.25, 90.25)
    assert (region["booked_usd_90d"], region["count_bookings_90d"]) == (140.25, 3)
    assert (team["booked_usd_90d"], rep["booked_usd_90d"]) == (150.25, -10.0)
    assert next_year["booked_usd_year_ago_90d"] == 140.25


def test_a_deal_that_moves_to_another_pipeline_enters_a_stage_also_of_the_same_name() -> None:
    versions = [
        deal("D1", 0, pipeline="new business", stage="qualify"),
        deal("D1", 8, pipeline="renewals", stage="qualify"),
        deal("D1", 10, pipeline="new business", stage="qualify"),
    ]
    before, moved, back = features("deal_state", {"opportunities": versions}, ("D1", 7), ("D1", 9), ("D1", 11))
    assert (before["days_in_stage"], before["count_stage_changes"]) == (7.0, 0)
    assert (moved["days_in_stage"], moved["count_stage_changes"], moved["count_stage_returns"]) == (1.0, 1, 0)
    assert (back["days_in_stage"], back["count_stage_changes"], back["count_stage_returns"]) == (1.0, 2, 1)
    assert moved["current_stage_id"] == "renewals|qualify"


def test_a_new_rep_is_taken_for_an_average_one_until_something_is_known() -> None:
    won = {"status": "won", "stage": "won", "rep_id": "R1"}
    deals = [row for name in range(12) for row in (deal(f"D{name}", 0, rep_id="R1"), deal(f"D{name}", 5, **won))]
    new, unseen = features("rep_performance", {"opportunities": deals}, ("R9", 30), ("(unseen)", 30))
    same = {key: value for key, value in unseen.items() if key != "rep_id"}
    assert {key: value for key, value in new.items() if key != "rep_id"} == same
