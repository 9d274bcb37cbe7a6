"""Amounts, days, associations, stage rates, lists, overrides: small frames with the numbers expected of them."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from deals_toy import toy_deals, toy_entries

from training.deals.actions import ANY_STAGE, learn_associations, suggest
from training.deals.amounts import Amounts, learn_amounts
from training.deals.crossing import period_shifts
from training.deals.dates import learn_dates, slip_probability
from training.deals.hazards import Futures
from training.deals.lists import at_risk, doubtful, quiet, stalled
from training.deals.outcomes import Outcomes
from training.deals.overrides import Overridden, compare_overrides
from training.deals.periods import N_PERIODS, PERIOD_DAYS, expand
from training.deals.rates import fit_rates
from training.encoding import encode_columns


def constant_futures(count: int, *, daily: float, share: float) -> Futures:
    lengths = np.diff(np.r_[0.0, PERIOD_DAYS])
    return Futures(hazard=np.tile(1 - (1 - daily) ** lengths, (count, 1)), share=np.full((count, N_PERIODS), share))


def test_ratios_are_shrunken_towards_the_stage_and_count_a_deal_once() -> None:
    count = 400
    stage = np.array(["a"] * 200 + ["b"] * 200, dtype=object)
    columns = {"stage": stage, "amount_usd": np.full(count, 100.0), "count_amount_changes": np.zeros(count)}
    final = np.where(stage == "a", 80.0, 120.0)
    entity = np.array([f"D{i}" for i in range(count)])
    found = learn_amounts(columns, entity=entity, won=np.ones(count), final_usd=final)
    assert found.overall.mean == pytest.approx(1.0)
    assert 0.8 < found.cells["a"].mean < 0.85  # 200 deals at 0.8, and 30 of all deals' weight at 1.0
    twice = {name: np.concatenate([v, v]) for name, v in columns.items()}
    again = learn_amounts(
        twice, entity=np.concatenate([entity, entity]), won=np.ones(2 * count), final_usd=np.concatenate([final, final])
    )
    assert again.cells["a"].mean == pytest.approx(found.cells["a"].mean)


def test_without_any_won_deal_the_amount_stays_as_entered() -> None:
    columns = {"stage": np.array(["a"], dtype=object), "amount_usd": np.array([100.0])}
    found = learn_amounts(columns, entity=np.array(["D"]), won=np.array([0.0]), final_usd=np.array([np.nan]))
    expected, low, high = found.expect(columns, 1)
    assert (expected[0], low[0], high[0]) == (100.0, 100.0, 100.0)
    unknown, _, _ = found.expect({"stage": ["a"], "amount_usd": [None]}, 1)
    assert np.isnan(unknown[0])


def test_amounts_survive_the_way_through_json() -> None:
    toy = toy_deals(600, seed=1)
    found = learn_amounts(toy.columns, entity=toy.entity, won=toy.outcomes.won, final_usd=toy.outcomes.final_usd)
    assert Amounts.from_dict(found.to_dict()) == found


def test_an_interval_that_was_foretold_too_narrow_is_widened() -> None:
    generator = np.random.default_rng(3)
    count = 1_500
    # True days spread far wider than the foretold distribution.
    days = np.clip(generator.lognormal(np.log(50), 1.4, count), 0.5, 700)
    outcomes = Outcomes(
        days=days, won=np.ones(count), final_usd=np.full(count, np.nan), watched_days=np.full(count, 2_000.0),
        recording_days=0.0,
    )  # fmt: skip
    futures = constant_futures(count, daily=0.0139, share=0.5)
    dates = learn_dates(futures, outcomes, entity=np.array([f"D{i}" for i in range(count)]))
    expected, low, high = dates.expect(futures)
    assert ((days >= low) & (days <= high)).mean() == pytest.approx(0.8, abs=0.01)
    assert (low <= expected).all()
    assert (expected <= high).all()


def test_too_few_wins_leave_the_foretold_levels() -> None:
    outcomes = Outcomes(
        days=np.full(10, 20.0), won=np.ones(10), final_usd=np.full(10, np.nan), watched_days=np.full(10, 900.0),
        recording_days=0.0,
    )  # fmt: skip
    found = learn_dates(constant_futures(10, daily=0.01, share=0.5), outcomes, entity=np.arange(10))
    assert found.levels == (0.1, 0.5, 0.9)
    assert found.deals == 0


def test_slipping_is_being_open_when_the_stated_day_is_over() -> None:
    futures = constant_futures(3, daily=0.02, share=0.5)
    found = slip_probability(futures, np.array([9.0, -1.0, np.nan]))
    assert found[0] == pytest.approx(0.98**10)
    assert found[1] == 1.0
    assert np.isnan(found[2])


def test_the_association_of_a_real_effect_is_found_and_of_none_is_not() -> None:
    toy = toy_deals(4_000, seed=11)
    toy.columns["count_meeting_30d"] = np.random.default_rng(2).integers(0, 2, 4_000).astype(float)
    found = learn_associations(toy.columns, toy_entries(toy), toy.outcomes, entity=toy.entity, seed=1)
    assert {one.thing for one in found} == {"next step"}
    overall = next(one for one in found if one.stage == ANY_STAGE)
    assert overall.low < np.log(1.5 / 0.67) < overall.high
    assert overall.rate_with > overall.rate_without


def test_false_associations_are_rare() -> None:
    """Six worlds in which a meeting does nothing: at most one tells of it (5 % are allowed)."""
    alarms = 0
    for seed in range(6):
        toy = toy_deals(1_500, seed=100 + seed)
        toy.columns["count_meeting_30d"] = np.random.default_rng(seed).integers(0, 2, 1_500).astype(float)
        found = learn_associations(toy.columns, toy_entries(toy), toy.outcomes, entity=toy.entity, seed=seed)
        alarms += any(one.thing == "meeting" and one.stage == ANY_STAGE for one in found)
    assert alarms <= 1


def test_too_few_deals_tell_no_association() -> None:
    toy = toy_deals(60, seed=4)
    assert learn_associations(toy.columns, toy_entries(toy), toy.outcomes, entity=toy.entity, seed=1) == ()


def test_nothing_is_suggested_where_nothing_is_known() -> None:
    assert suggest((), {"stage": ["a"]}, np.array([0.4])) == [[]]


def test_stage_rates_are_shrunken_and_answer_for_unknown_stages() -> None:
    toy = toy_deals(70, seed=9)
    entries = toy_entries(toy)
    matrix = encode_columns(toy.columns, entries)
    model = fit_rates(matrix, expand(toy.outcomes), entries, entity=toy.entity)
    won = model.futures(matrix).won_ever
    stage = toy.columns["stage"]
    rates = {name: won[stage == name] for name in ("early", "middle", "late")}
    assert all(np.ptp(values) < 1e-12 for values in rates.values())
    assert rates["early"][0] < rates["late"][0]
    unknown = model.futures(encode_columns({"stage": ["another"]}, entries)).won_ever[0]
    assert rates["early"][0] <= unknown <= rates["late"][0]
    parts = model.contributions(matrix)
    assert parts.sum(axis=1) == pytest.approx(model.margin(matrix), abs=1e-9)


def test_stage_rates_of_one_deal_are_no_certainty() -> None:
    toy = toy_deals(40, seed=9)
    entries = toy_entries(toy)
    only = toy.outcomes.take(np.flatnonzero(~np.isnan(toy.outcomes.won))[:1])
    matrix = encode_columns({name: values[:1] for name, values in toy.columns.items()}, entries)
    model = fit_rates(matrix, expand(only), entries, entity=toy.entity[:1])
    assert 0.2 < model.futures(matrix).won_ever[0] < 0.8


def record(deal: str, won: float, amount: float | None, *, slip: float | None = 0.5) -> dict:
    return {
        "opportunity_id": deal,
        "win_probability": won,
        "expected_amount_usd": amount,
        "expected_value_usd": None if amount is None else amount * won,
        "expected_close_date": "2025-07-01",
        "slip_probability": slip,
        "scoring_factors": {"for": [{"text": "good"}], "against": [{"text": "bad"}]},
    }


RECORDS = [record("A", 0.2, 1_000.0), record("B", 0.9, 5_000.0), record("C", 0.4, None), record("D", 0.8, 300.0)]
COLUMNS = {
    "days_to_close_date": [10.0, 200.0, 5.0, -20.0],
    "forecast_category": ["Commit", "pipeline", "commit", None],
    "days_in_stage": [50.0, 10.0, 500.0, 30.0],
    "usual_days_in_stage_365d": [20.0, 20.0, None, 0.0],
}


def test_value_at_risk_is_the_amount_times_the_chance_of_not_winning_it() -> None:
    found = at_risk(RECORDS, COLUMNS)
    assert [(deal["opportunity_id"], deal["value_at_risk_usd"]) for deal in found] == [("A", 800.0), ("D", 60.0)]
    assert [deal["opportunity_id"] for deal in at_risk(RECORDS, COLUMNS, within_days=None)] == ["A", "B", "D"]
    assert found[0]["why"] == "bad"


def test_stalled_is_against_the_usual_of_that_stage() -> None:
    found = stalled(RECORDS, COLUMNS)
    assert [(deal["opportunity_id"], deal["times_usual"]) for deal in found] == [("A", 2.5)]
    assert stalled(RECORDS, {}) == []


def test_commits_that_the_model_doubts_and_quiet_deals_that_it_believes_in() -> None:
    assert [deal["opportunity_id"] for deal in doubtful(RECORDS, COLUMNS)] == ["A", "C"]
    assert [deal["opportunity_id"] for deal in quiet(RECORDS, COLUMNS)] == ["B", "D"]


def test_where_nobody_calls_deals_the_crm_stands_in() -> None:
    stated = {"crm_probability": [0.9, 0.1, None, 0.2]}
    assert [deal["opportunity_id"] for deal in doubtful(RECORDS, stated)] == ["A"]


def overridden(deal: str, person: float, model: float, *, won: bool | None) -> Overridden:
    return Overridden(
        opportunity_id=deal, at=datetime(2025, 1, 1, tzinfo=UTC), who="Kim", because="they said so",
        person=person, model=model, model_version="1", won=won,
    )  # fmt: skip


def test_both_numbers_are_compared_with_what_came() -> None:
    found = compare_overrides(
        [overridden("A", 0.9, 0.5, won=True), overridden("B", 0.2, 0.6, won=True), overridden("C", 0.5, 0.5, won=None)],
        seed=1,
    )
    assert (found.decided, found.open) == (2, 1)
    assert found.person_brier == pytest.approx((0.01 + 0.64) / 2)
    assert found.model_brier == pytest.approx((0.25 + 0.16) / 2)
    assert found.difference_low is None
    assert "from 20 on" in found.verdict


def test_the_better_one_is_named_when_it_surely_is() -> None:
    rows = [overridden(f"D{i}", 0.9 if i % 2 else 0.1, 0.5, won=bool(i % 2)) for i in range(40)]
    assert compare_overrides(rows, seed=1).verdict.startswith("the persons were nearer")
    swapped = [overridden(f"D{i}", 0.5, 0.9 if i % 2 else 0.1, won=bool(i % 2)) for i in range(40)]
    assert compare_overrides(swapped, seed=1).verdict.startswith("the model was nearer")


def test_without_ended_deals_nothing_is_claimed() -> None:
    assert compare_overrides([], seed=1).verdict == "no overridden deal has ended yet"


def test_what_is_expected_adds_up_period_by_period_after_the_shifts() -> None:
    generator = np.random.default_rng(8)
    period = generator.integers(0, N_PERIODS, 40_000)
    odds = generator.normal(-1.0, 1.0, 40_000)
    wrong = np.linspace(-0.4, 0.4, N_PERIODS)[period]
    label = (generator.random(40_000) < 1 / (1 + np.exp(-(odds + wrong)))).astype(float)
    shifts = period_shifts(odds, label, period)
    assert shifts == pytest.approx(np.linspace(-0.4, 0.4, N_PERIODS), abs=0.1)
    for number in range(N_PERIODS):
        rows = period == number
        expected = 1 / (1 + np.exp(-(odds[rows] + shifts[number])))
        assert expected.sum() == pytest.approx(label[rows].sum(), rel=0.01)


def test_a_period_without_rows_is_not_shifted() -> None:
    assert period_shifts(np.empty(0), np.empty(0), np.empty(0, dtype=np.int64)) == pytest.approx(np.zeros(N_PERIODS))
