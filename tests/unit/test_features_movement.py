"""What changed, who takes part, how others did: the newer features against numbers worked out by hand."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pytest
from features_world import connect, day, deal, features, lead, row

from features.catalogue import VIEWS
from features.transform import compute
from warehouse.contracts import UTC_MICROSECONDS


def _event(kind: str, happened: float, known: float | None = None, **columns: object) -> dict[str, object]:
    return row(happened, known, **{"event_id": f"{kind}-{happened}", "lead_id": "L1", "kind": kind, **columns})


def _mail(direction: str, happened: float, **columns: object) -> dict[str, object]:
    names = {"activity_id": f"{direction}-{happened}", "opportunity_id": "D1", "kind": "email", "direction": direction}
    return row(happened, **{**names, **columns})


def _stay(name: str, days: float, *, stage: str = "qualify", known: float | None = None) -> list[dict[str, object]]:
    """A deal that stayed in a stage from day 0 and then went to another pipeline's end."""
    gone = row(days, known, opportunity_id=name, opened_at=day(0), status="lost", stage="end", pipeline="P")
    return [deal(name, 0, stage=stage, pipeline="P"), gone]


def test_the_rep_forecast_owner_next_step_and_competitor_move() -> None:
    versions = [
        deal("D1", 0, rep_id="R1", forecast_category="pipeline", close_date=day(20).date(), amount_usd=100.0),
        deal("D1", 4, rep_id="R2", forecast_category="commit", close_date=day(15).date(), amount_usd=80.0),
        deal("D1", 6, rep_id="R2", forecast_category="best_case", close_date=day(15).date(), amount_usd=80.0),
    ]
    versions[1] |= {"next_step_date": day(7).date(), "competitor": "Acme", "account_id": "A1", "pipeline": "P"}
    versions[2] |= {"next_step_date": day(9).date(), "competitor": "Acme", "account_id": "A1", "pipeline": "P"}
    (state,) = features("deal_state", {"opportunities": versions}, ("D1", 20))
    assert (state["count_owner_changes"], state["count_amount_cuts"], state["count_close_date_pulls"]) == (1, 1, 1)
    assert (state["count_forecast_upgrades"], state["count_forecast_downgrades"]) == (1, 1)
    assert (state["count_next_step_changes"], state["days_since_next_step_set"]) == (2, 14.0)
    assert (state["is_next_step_overdue"], state["days_past_close_date"]) == (True, 5)
    assert (state["days_since_competitor_named"], state["days_since_last_amount_change"]) == (16.0, 16.0)
    assert (state["planned_cycle_days"], state["age_to_planned_cycle"]) == (20.0, 1.0)
    assert (state["current_account_id"], state["current_stage_id"]) == ("A1", "P|qualify")
    assert state["current_competitor_id"] == "Acme"


def test_usual_days_are_of_deals_that_had_left_and_were_known_to_have() -> None:
    deals = [*_stay("A", 4), *_stay("B", 8), *_stay("C", 30, known=50), *_stay("D", 12, stage="propose")]
    deals.append(deal("E", 0, stage="qualify", pipeline="P"))
    early, now, other = features(
        "stage_history", {"opportunities": deals}, ("P|qualify", 3), ("P|qualify", 20), ("P|(unseen)", 20)
    )
    rest = (4 + 8 + 12) / 3
    pipeline = (24 + 20 * rest) / (3 + 20)
    assert early["usual_days_in_stage_365d"] is None
    assert now["count_deals_left_stage_365d"] == 2
    assert now["usual_days_in_stage_365d"] == pytest.approx((12 + 20 * pipeline) / (2 + 20))
    assert other["usual_days_in_stage_365d"] == pytest.approx(pipeline)
    (pace,) = features("deal_pace", {"opportunities": deals}, ("E", 20))
    assert pace["days_in_stage_to_usual"] == pytest.approx(20 / now["usual_days_in_stage_365d"])
    assert pace["days_over_usual_in_stage"] == pytest.approx(20 - now["usual_days_in_stage_365d"])


def test_a_correction_of_a_stage_ends_no_stay() -> None:
    deals = [deal("A", 0, stage="qualify"), deal("A", 0, 5, stage="propose"), deal("A", 8, stage="commit")]
    wrong, right = features("stage_history", {"opportunities": deals}, ("|qualify", 10), ("|propose", 10))
    assert (wrong["count_deals_left_stage_365d"], right["count_deals_left_stage_365d"]) == (0, 1)


def test_the_discount_is_against_the_price_known_then() -> None:
    products = [row(0, product_id="X", list_price_usd=200.0), row(30, product_id="X", list_price_usd=100.0)]
    deals = [deal("D1", 0, product_id="X", amount_usd=150.0)]
    before, after = features("deal_pace", {"opportunities": deals, "products": products}, ("D1", 20), ("D1", 30))
    assert (before["discount_share"], after["discount_share"]) == (0.25, None)


def test_a_competitor_named_only_at_the_end_counts_for_nothing() -> None:
    deals = [
        deal("A", 0, competitor="Acme"),
        deal("A", 5, competitor="Acme", status="lost"),
        deal("B", 0, competitor="Acme"),
        deal("B", 5, competitor="Acme", status="won"),
        deal("C", 0),
        deal("C", 5, competitor="Acme", status="lost"),
        deal("D", 0, competitor="Best"),
        deal("D", 5, status="won"),
    ]
    (rival,) = features("deal_competition", {"opportunities": deals}, ("Acme", 9))
    assert rival["count_closed_deals_competitor_365d"] == 2
    assert rival["win_rate_competitor_365d"] == pytest.approx((1 + 20 * 2 / 3) / 22)
    assert rival["win_rate_any_competitor_365d"] == pytest.approx(2 / 3)


def test_an_account_has_its_outcomes_bookings_and_profile_as_known() -> None:
    deals = [
        deal("A", 0, account_id="A1"),
        deal("A", 10, account_id="A1", status="won", amount_usd=50.0),
        deal("B", 0, account_id="A1"),
        deal("B", 12, 30, account_id="A1", status="lost"),
        deal("C", 0, account_id="A2"),
        deal("C", 15, account_id="A2", status="lost"),
    ]
    money = [
        row(11, transaction_id="1", account_id="A1", amount_usd=40.5),
        row(11, 18, transaction_id="1", account_id="A1", amount_usd=45.5),
    ]
    tables = {"opportunities": deals, "transactions": money, "accounts": [row(0, account_id="A1", industry="retail")]}
    asked = [("A1", 16.0), ("A1", 20.0), ("A1", 30.0), ("A1", 375.0), ("(unseen)", 20.0)]
    early, now, later, year, stranger = features("account_history", tables, *asked)
    assert (early["booked_usd_account_365d"], now["booked_usd_account_365d"]) == (40.5, 45.5)  # corrected, not added
    assert (now["count_bookings_account_365d"], now["days_since_booking_account"]) == (1, 9.0)
    assert (now["count_won_deals_account"], now["count_lost_deals_account"], now["count_open_deals_account"]) == (
        1,
        0,
        1,
    )
    assert (later["count_lost_deals_account"], later["count_open_deals_account"]) == (1, 0)
    assert now["win_rate_account"] == pytest.approx((1 + 5 * 1 / 2) / 6)
    assert (now["won_usd_account_365d"], year["won_usd_account_365d"], year["count_won_deals_account"]) == (50, 0, 1)
    assert (now["is_customer_account"], stranger["is_customer_account"]) == (True, False)
    assert (now["account_industry"], stranger["account_industry"]) == ("retail", None)
    assert stranger["win_rate_account"] == 0.5


def test_stakeholders_have_the_rank_known_then() -> None:
    people = [row(0, contact_id="C1", title="Clerk"), row(15, contact_id="C1", title="CEO")]
    people.append(row(0, contact_id="C2", title="Head of Buying"))
    mails = [_mail("inbound", 5, contact_id="C1"), _mail("inbound", 6, contact_id="C2"), _mail("outbound", 7)]
    tables = {"contacts": people, "activities": mails, "opportunities": [deal("D1", 0)]}
    before, after, nobody = features("deal_stakeholders", tables, ("D1", 10), ("D1", 20), ("D2", 20))
    assert (before["count_senior_contacts"], before["count_director_contacts"]) == (0, 1)
    assert (after["count_senior_contacts"], after["share_senior_contacts"]) == (1, 0.5)
    assert (after["days_since_senior_contact"], before["days_since_senior_contact"]) == (15.0, None)
    assert (nobody["count_senior_contacts"], nobody["share_senior_contacts"]) == (0, None)


def test_answer_times_are_from_the_last_mail_of_the_other_side() -> None:
    mails = [
        _mail("outbound", 1),
        _mail("outbound", 2),
        _mail("inbound", 3),
        _mail("inbound", 4),
        _mail("outbound", 4.5),
    ]
    mails.append(_mail("inbound", 4.25, kind="call", activity_id="call"))
    (seen,) = features("deal_activity", {"activities": mails}, ("D1", 10))
    assert (seen["mean_hours_to_answer_90d"], seen["mean_hours_to_our_answer_90d"]) == (24.0, 12.0)
    assert seen["count_unanswered_mails"] == 1
    assert seen["share_inbound_90d"] == 0.5


def test_outcomes_are_told_by_their_tone_in_any_words() -> None:
    words = {1: "Left voicemail", 40: "No answer", 45: "Meeting completed", 50: "neutral", 52: "Interested!", 55: None}
    words |= {56: "not interested", 57: "NO-SHOW", 58: "Positive"}
    mails = [_mail("outbound", happened, outcome=said) for happened, said in words.items()]
    (seen,) = features("deal_activity", {"activities": mails}, ("D1", 60))
    assert (seen["count_good_activities_14d"], seen["count_good_activities_30d"]) == (2, 3)
    assert (seen["count_no_answers_30d"], seen["days_since_last_good_activity"]) == (2, 2.0)
    assert (seen["share_good_activities_30d"], seen["share_good_activities_90d"]) == (3 / 7, 3 / 8)
    (silent,) = features("deal_activity", {"activities": [_mail("outbound", 59)]}, ("D1", 60))
    assert (silent["count_good_activities_30d"], silent["share_good_activities_30d"]) == (0, None)
    assert silent["days_since_last_good_activity"] is None


def test_an_outcome_counts_as_it_was_known_then() -> None:
    mails = [_mail("outbound", 5, activity_id="m", outcome="positive")]
    mails.append(row(5, 8, activity_id="m", opportunity_id="D1", kind="email", direction="outbound", outcome="busy"))
    before, after = features("deal_activity", {"activities": mails}, ("D1", 7), ("D1", 8))
    assert (before["count_good_activities_30d"], before["count_no_answers_30d"]) == (1, 0)
    assert (after["count_good_activities_30d"], after["count_no_answers_30d"]) == (0, 1)


def test_pushes_before_they_were_due_and_the_pace_of_next_steps() -> None:
    due = {0: 30, 5: 60, 50: 70, 65: 90, 66: 80}
    versions = [deal("D1", at, close_date=day(ends).date(), product_id="X") for at, ends in due.items()]
    for version, step in zip(versions, (None, 10, 10, 70, 80), strict=True):
        version["next_step_date"] = None if step is None else day(step).date()
    early, now = features("deal_state", {"opportunities": versions}, ("D1", 10), ("D1", 70))
    assert (early["count_early_close_date_pushes"], early["days_between_next_steps"]) == (1, None)
    assert (now["count_early_close_date_pushes"], now["count_close_date_pushes"]) == (1, 3)
    assert (now["days_since_last_close_date_pull"], early["days_since_last_close_date_pull"]) == (4.0, None)
    assert now["days_between_next_steps"] == (66 - 5) / 2
    assert (now["days_since_next_step_before_set"], early["days_since_next_step_before_set"]) == (5.0, None)
    assert (now["deal_product"], early["days_to_quarter_end"]) == ("X", 80)


def test_the_crms_probability_is_averaged_since_the_stage_was_entered() -> None:
    told = [(0, "qualify", 0.2), (3, "qualify", 0.4), (6, "propose", 0.5), (9, "propose", None), (12, "propose", 0.8)]
    versions = [deal("D1", at, stage=stage, crm_probability=chance) for at, stage, chance in told]
    first, moved, now = features("deal_state", {"opportunities": versions}, ("D1", 4), ("D1", 9), ("D1", 20))
    means = [state["mean_crm_probability_in_stage"] for state in (first, moved, now)]
    assert means == pytest.approx([0.3, 0.5, 0.65])


def test_the_product_has_the_price_known_then() -> None:
    products = [row(0, product_id="X", list_price_usd=200.0), row(30, product_id="X", list_price_usd=250.0)]
    tables = {"opportunities": [deal("D1", 0, product_id="X"), deal("D2", 0)], "products": products}
    prices = features("deal_pace", tables, ("D1", 20), ("D1", 30), ("D2", 20))
    assert [each["list_price_usd"] for each in prices] == [200.0, 250.0, None]


def test_a_rep_is_known_by_all_deals_and_by_how_deals_are_rated() -> None:
    deals = [
        deal("A", 0, rep_id="R1", crm_probability=0.3),
        deal("A", 5, rep_id="R1", status="won", crm_probability=1.0),
        deal("B", 0, rep_id="R2", crm_probability=0.1),
        deal("B", 400, 500, rep_id="R2", status="lost"),
        deal("C", 0, rep_id="R1", crm_probability=0.5),
    ]
    early, late, other, new = features(
        "rep_deals", {"opportunities": deals}, ("R1", 450), ("R1", 500), ("R2", 500), ("(unseen)", 500)
    )
    assert early["win_rate_rep"] == 1.0
    assert late["win_rate_rep"] == pytest.approx((1 + 10 / 2) / 11)
    assert (late["mean_crm_probability_rep"], other["mean_crm_probability_rep"]) == pytest.approx((0.1, -0.2))
    assert (new["win_rate_rep"], new["mean_crm_probability_rep"]) == (0.5, None)


def test_new_people_are_those_first_met_lately() -> None:
    mails = [_mail("inbound", 0, contact_id="C1"), _mail("inbound", 50, contact_id="C1", activity_id="again")]
    mails.append(_mail("inbound", 51, contact_id="C2"))
    (seen,) = features("deal_activity", {"activities": mails}, ("D1", 60))
    assert (seen["count_contacts"], seen["count_new_contacts_30d"]) == (2, 1)


def test_sessions_end_after_half_an_hour_of_silence() -> None:
    minute = 1 / 1440
    events = [_event("page_view", 5 + each * minute, event_id=f"e{each}") for each in (0, 10, 40, 71)]
    events.append(_event("pricing_view", 8))
    (seen,) = features("lead_engagement", {"lead_events": events}, ("L1", 9))
    assert (seen["count_sessions_30d"], seen["max_events_session_30d"], seen["count_event_kinds_30d"]) == (3, 3, 2)
    assert (seen["days_since_last_pricing_view"], seen["days_since_last_demo_request"]) == (1.0, None)
    assert seen["share_intent_events_30d"] == 0.2
    assert seen["count_active_days_30d"] == 2


def test_mails_answered_and_the_trend() -> None:
    events = [_event("email_open", each) for each in (1, 2, 9, 10)] + [_event("email_reply", 10.5)]
    (seen,) = features("lead_engagement", {"lead_events": events}, ("L1", 11))
    assert (seen["share_mails_answered_90d"], seen["share_mails_clicked_90d"]) == (0.25, 0.0)
    assert seen["change_lead_events_7d"] == 3 - 2
    assert seen["mean_days_between_events_90d"] == pytest.approx(9.5 / 4)


def test_an_event_told_twice_counts_once_as_last_corrected() -> None:
    events = [_event("page_view", 5, event_id="e"), _event("pricing_view", 5, 8, event_id="e")]
    before, after = features("lead_engagement", {"lead_events": events}, ("L1", 7), ("L1", 8))
    assert (before["count_page_view_7d"], before["count_pricing_view_7d"]) == (1, 0)
    assert (after["count_page_view_7d"], after["count_pricing_view_7d"]) == (0, 1)


def test_a_window_ends_at_as_of_and_begins_just_after() -> None:
    edge = timedelta(microseconds=1)
    at = day(30)
    moments = [at, at + edge, at - timedelta(days=7), at - timedelta(days=7) + edge]
    events = [
        {"event_id": str(n), "lead_id": "L1", "kind": "page_view", "event_timestamp": m, "created_timestamp": m}
        for n, m in enumerate(moments)
    ]
    (seen,) = features("lead_engagement", {"lead_events": events}, ("L1", 30))
    assert seen["count_page_view_7d"] == 2


def test_days_are_utc_days_whatever_zone_a_moment_is_told_in() -> None:
    # 23:30 and 00:30 UTC are one day in Berlin and two here.
    events = [_event("page_view", 5 + 23.5 / 24), _event("page_view", 6 + 0.5 / 24)]
    (seen,) = features("lead_engagement", {"lead_events": events}, ("L1", 9))
    assert seen["count_active_days_30d"] == 2


def test_a_row_does_not_depend_on_which_others_are_asked() -> None:
    tables = {
        "leads": [lead(f"L{n}", n, source="web") for n in range(6)],
        "opportunities": [each for n in range(6) for each in _stay(f"D{n}", 3 + n)],
    }
    keys = {"lead_id": "L1", "opportunity_id": "D1", "rep_id": "R1", "segment_id": "web|", "series_id": "company"}
    keys |= {"account_id": "A1", "stage_id": "P|qualify", "competitor_id": "Acme"}
    with connect(tables) as connection:
        for view in VIEWS.values():
            asked = pa.table(
                {
                    view.join_key: [keys[view.join_key]] * 3 + ["other"],
                    "as_of": pa.array([day(4), day(7), day(9), day(7)], UTC_MICROSECONDS),
                }
            )
            order = [(view.join_key, "ascending"), ("event_timestamp", "ascending")]
            together = compute(view, asked, connection).sort_by(order)
            alone = [compute(view, asked.slice(place, 1), connection) for place in range(4)]
            assert together == pa.concat_tables(alone).sort_by(order), view.name
