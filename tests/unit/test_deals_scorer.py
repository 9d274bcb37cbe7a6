"""The deal model on disk: it says the same read back, adds up, and answers whatever a CRM may send."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deals_toy import DAILY, SHARE, ToyDeals, write_toy

from common.errors import ContractError
from training.calibration import Calibration
from training.deals.model import CompetingRisks, load_competing_risks
from training.deals.scorer import DealScorer
from training.deals.waterfall import waterfall
from training.scorer import Scorer

AT = datetime(2025, 6, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> tuple[DealScorer, ToyDeals, Path]:
    folder = tmp_path_factory.mktemp("deals")
    scorer, deals = write_toy(folder)
    return scorer, deals, folder


def ask(scorer: DealScorer, **columns: Any) -> dict[str, Any]:
    """One deal's record; what is not given is missing."""
    return scorer.record({name: [value] for name, value in columns.items()}, ids=["D-1"], at=AT)[0]


def test_the_bundle_is_loaded_as_a_deal_scorer_and_answers_alike(toy: tuple[DealScorer, ToyDeals, Path]) -> None:
    scorer, deals, folder = toy
    again = Scorer.load(folder)
    assert isinstance(again, DealScorer)
    matrix = scorer.encode(deals.columns)
    assert again.probability(matrix) == pytest.approx(scorer.probability(matrix), abs=1e-12)
    assert again.deals.facts == scorer.deals.facts


def test_it_comes_near_the_true_probabilities(toy: tuple[DealScorer, ToyDeals, Path]) -> None:
    scorer, deals, _ = toy
    matrix = scorer.encode(deals.columns)
    won, stage = scorer.probability(matrix), deals.columns["stage"]
    has_step = ~np.isnan(deals.columns["days_to_next_step"])
    for name, share in SHARE.items():
        for step, factor in ((True, 1.5), (False, 0.67)):
            odds = share / (1 - share) * factor
            assert won[(stage == name) & (has_step == step)].mean() == pytest.approx(odds / (1 + odds), abs=0.06)
    still = scorer.futures(matrix).open_after(30.0)
    for name, daily in DAILY.items():
        assert still[stage == name].mean() == pytest.approx(np.exp(-30 * daily), abs=0.06)


def test_a_record_adds_up(toy: tuple[DealScorer, ToyDeals, Path]) -> None:
    scorer, deals, _ = toy
    record = scorer.record({n: v[:1] for n, v in deals.columns.items()}, ids=["D-0"], at=AT)[0]
    assert record["win_probability"] + record["loss_probability"] == pytest.approx(1.0, abs=1e-6)
    for month in range(12):
        so_far = sum(record["won_in_month"][: month + 1]) + sum(record["lost_in_month"][: month + 1])
        assert so_far + record["open_after_month"][month] == pytest.approx(1.0, abs=1e-4)
    assert record["win_probability_in_horizon"] <= record["win_probability"] + 1e-9
    assert record["close_date_earliest"] <= record["expected_close_date"] <= record["close_date_latest"]


def test_what_the_gate_compares_with_outcomes_is_the_chance_within_the_horizon(
    toy: tuple[DealScorer, ToyDeals, Path],
) -> None:
    scorer, deals, _ = toy
    matrix = scorer.encode(deals.columns)[:50]
    assert scorer.label_probability(matrix) == pytest.approx(scorer.futures(matrix).by(180.0)[0])


def test_contributions_add_up_to_the_logit_exactly(toy: tuple[DealScorer, ToyDeals, Path]) -> None:
    scorer, deals, _ = toy
    matrix = scorer.encode(deals.columns)[:80]
    parts = scorer.deals.contributions(matrix)
    assert parts.sum(axis=1) == pytest.approx(scorer.deals.margin(matrix), abs=1e-9)
    assert np.unique(parts[:, -1]).size == 1


def test_fast_contributions_say_what_the_exact_ones_say(toy: tuple[DealScorer, ToyDeals, Path]) -> None:
    scorer, deals, _ = toy
    matrix = scorer.encode(deals.columns)[:80]
    fast, exact = scorer.attribution(matrix), scorer._exact(matrix)
    assert fast.sum(axis=1) == pytest.approx(exact.sum(axis=1), abs=1e-6)
    assert np.abs(fast - exact).max() < 0.1


def test_contributions_add_up_with_calibrations_too(toy: tuple[DealScorer, ToyDeals, Path]) -> None:
    from dataclasses import replace

    scorer, deals, _ = toy
    platt = Calibration("platt", (0.8, -0.2))
    matrix = scorer.encode(deals.columns)[:40]
    model = scorer.deals
    bent = replace(
        model,
        closing=replace(model.closing, calibration=platt, base=0.8 * model.closing.raw_base - 0.2),
        winning=replace(model.winning, calibration=platt, base=0.8 * model.winning.raw_base - 0.2),
    )
    assert bent.contributions(matrix).sum(axis=1) == pytest.approx(bent.margin(matrix), abs=1e-9)


def test_the_waterfall_adds_up_to_the_change(toy: tuple[DealScorer, ToyDeals, Path]) -> None:
    scorer, deals, _ = toy
    matrix = scorer.encode(deals.columns)
    pair = matrix[[int(np.argmin(scorer.probability(matrix))), int(np.argmax(scorer.probability(matrix)))]]
    probability = scorer.probability(pair)
    steps, rest = waterfall(pair, scorer.contributions(pair), probability, scorer.manifest.features)
    assert sum(step.change for step in steps) + rest == pytest.approx(probability[1] - probability[0], abs=1e-12)
    assert max(steps, key=lambda step: abs(step.change)) is steps[0]


def test_nothing_moved_where_nothing_changed(toy: tuple[DealScorer, ToyDeals, Path]) -> None:
    scorer, deals, _ = toy
    row = scorer.encode(deals.columns)[[0, 0]]
    steps, rest = waterfall(row, scorer.contributions(row), scorer.probability(row), scorer.manifest.features)
    assert steps == []
    assert rest == pytest.approx(0.0, abs=1e-12)


AWKWARD = {
    "nothing known": {},
    "without activities": {"stage": "middle", "amount_usd": 5_000.0, "deal_age_days": 30.0},
    "amount 0": {"stage": "middle", "amount_usd": 0.0},
    "an unseen stage": {"stage": "Verhandlung \u2013 größer", "amount_usd": 5_000.0},
    "three years old": {
        "stage": "late",
        "deal_age_days": 1_100.0,
        "days_in_stage": 900.0,
        "days_to_close_date": -800.0,
    },
    "opened this moment": {"stage": "early", "deal_age_days": 0.0, "days_in_stage": 0.0},
    "a huge amount": {"stage": "late", "amount_usd": 1e12},
}


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_deals_are_answered_in_full(toy: tuple[DealScorer, ToyDeals, Path], name: str) -> None:
    scorer, _, _ = toy
    record = ask(scorer, **(AWKWARD[name] or {"stage": None}))
    assert 0.0 < record["win_probability"] < 1.0
    assert record["risk_level"] in ("low", "medium", "high")
    assert sum(record["won_in_month"]) <= record["win_probability"] + 1e-4


def test_without_an_amount_the_median_of_the_deals_won_stands_in(toy: tuple[DealScorer, ToyDeals, Path]) -> None:
    scorer, _, _ = toy
    without, zero = ask(scorer, stage="late"), ask(scorer, stage="late", amount_usd=0.0)
    assert without["expected_amount_usd"] == zero["expected_amount_usd"] > 0
    assert without["amount_low_usd"] < without["expected_amount_usd"] < without["amount_high_usd"]


def test_the_expected_amount_is_what_like_deals_brought(toy: tuple[DealScorer, ToyDeals, Path]) -> None:
    scorer, _, _ = toy
    record = ask(scorer, stage="late", amount_usd=10_000.0)
    assert record["expected_amount_usd"] == pytest.approx(9_000, rel=0.02)
    assert record["expected_value_usd"] == pytest.approx(
        record["expected_amount_usd"] * record["win_probability"], rel=1e-3
    )


def test_a_stated_close_date_that_has_passed_has_slipped(toy: tuple[DealScorer, ToyDeals, Path]) -> None:
    scorer, _, _ = toy
    assert ask(scorer, stage="late", days_to_close_date=-3.0)["slip_probability"] == 1.0
    assert ask(scorer, stage="late")["slip_probability"] is None
    near, far = (ask(scorer, stage="late", days_to_close_date=days)["slip_probability"] for days in (1.0, 80.0))
    assert 0.0 < far < near < 1.0


def test_an_action_is_told_to_the_deals_that_lack_it_with_what_to_expect(
    toy: tuple[DealScorer, ToyDeals, Path],
) -> None:
    scorer, _, _ = toy
    lacking = ask(scorer, stage="middle", days_to_next_step=None, deal_age_days=60.0)
    having = ask(scorer, stage="middle", days_to_next_step=5.0, deal_age_days=60.0)
    assert [action["action"] for action in lacking["actions"]] == ["next step"]
    assert having["actions"] == []
    told = lacking["actions"][0]
    assert 0.0 < told["gain_low"] < told["gain"] < told["gain_high"] < 1.0
    assert "association" in told["text"]


def test_no_rows_give_no_records(toy: tuple[DealScorer, ToyDeals, Path]) -> None:
    scorer, _, _ = toy
    assert scorer.record({"stage": []}, ids=[], at=AT) == []


def test_a_model_of_other_periods_is_refused(toy: tuple[DealScorer, ToyDeals, Path], tmp_path: Path) -> None:
    import shutil

    _, _, folder = toy
    shutil.copytree(folder, tmp_path / "old")
    path = tmp_path / "old" / "deals.json"
    path.write_text(path.read_text().replace("[7.0, 14.0,", "[10.0, 20.0,"))
    with pytest.raises(ContractError, match="other periods"):
        load_competing_risks(tmp_path / "old")


def test_row_order_and_company_do_not_matter(toy: tuple[DealScorer, ToyDeals, Path]) -> None:
    scorer, deals, _ = toy
    matrix = scorer.encode(deals.columns)[:30]
    together = scorer.probability(matrix)
    assert scorer.probability(matrix[::-1])[::-1] == pytest.approx(together, abs=1e-15)
    assert [float(scorer.probability(matrix[i : i + 1])[0]) for i in range(30)] == pytest.approx(together, abs=1e-15)


def test_the_model_knows_its_kind(toy: tuple[DealScorer, ToyDeals, Path]) -> None:
    assert isinstance(toy[0].deals, CompetingRisks)
    assert toy[0].manifest.library == "competing_risks"


def test_dates_ahead_are_counted_from_the_moment_the_features_stand_for(
    toy: tuple[DealScorer, ToyDeals, Path],
) -> None:
    scorer, deals, _ = toy
    columns = {name: values[:1] for name, values in deals.columns.items()}
    then = scorer.record(columns, ids=["D-0"], at=AT)[0]
    later = scorer.record(columns, ids=["D-0"], at=AT + timedelta(days=300), as_of=AT)[0]
    for name in ("close_date_earliest", "expected_close_date", "close_date_latest"):
        assert later[name] == then[name]
    assert later["scored_at"] == AT + timedelta(days=300)
