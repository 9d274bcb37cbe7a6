"""Outcomes told on by a first model: what is kept, what is drawn, and that the draws say what the model says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from training.deals.continuation import STEP_DAYS, continued, draw_ends, later_snapshot, spread_draws
from training.deals.hazards import Futures
from training.deals.outcomes import Outcomes
from training.deals.periods import N_PERIODS
from training.deals.pieces import Snapshots

DAY = np.timedelta64(1, "D")
BEGIN = np.datetime64("2025-01-06", "us")


def futures(count: int, *, hazard: float, share: float) -> Futures:
    return Futures(hazard=np.full((count, N_PERIODS), hazard), share=np.full((count, N_PERIODS), share))


def outcomes(days: list[float], won: list[float], watched: list[float]) -> Outcomes:
    values = (np.array(days), np.array(won), np.full(len(days), np.nan), np.array(watched))
    return Outcomes(**dict(zip(("days", "won", "final_usd", "watched_days"), values, strict=True)), recording_days=0.0)


def test_the_later_snapshot_is_of_the_same_deal_and_the_first_after_the_step() -> None:
    days = np.array([0, 7, 28, 35, 0, 30, 0])
    deal = np.array(["A", "A", "A", "A", "B", "B", "C"], dtype=object)
    mixed = np.array([3, 0, 6, 4, 1, 5, 2])
    found = later_snapshot((BEGIN + days * DAY)[mixed], deal[mixed])
    told = {int(mixed[row]): None if at < 0 else int(mixed[at]) for row, at in enumerate(found.tolist())}
    assert told == {0: 2, 1: 3, 2: None, 3: None, 4: 5, 5: None, 6: None}


def test_what_came_soon_is_kept_and_what_came_later_is_drawn_from_then_on() -> None:
    as_of = BEGIN + np.array([0, 28, 0, 28, 0]) * DAY
    deal = np.array(["A", "A", "B", "B", "C"], dtype=object)
    known = outcomes([400.0, 372.0, np.nan, np.nan, 20.0], [0.0, 0.0, np.nan, np.nan, 1.0], [500, 472, 90, 62, 500])
    found = continued(known, as_of=as_of, entity=deal, futures=futures(5, hazard=1.0, share=1.0), seed=1)
    # The model says: won within the week after the later snapshot.
    assert STEP_DAYS < found.days[0] <= STEP_DAYS + 7
    assert STEP_DAYS < found.days[2] <= STEP_DAYS + 7
    assert found.won[[0, 2]].tolist() == [1.0, 1.0]
    assert found.days[[1, 4]].tolist() == [372.0, 20.0]
    assert np.isnan(found.days[3])
    assert found.watched_days.tolist() == known.watched_days.tolist()
    assert known.days[0] == 400.0


def test_the_draws_say_what_the_model_says() -> None:
    generator = np.random.default_rng(3)
    one = Futures(
        hazard=generator.uniform(0.05, 0.6, (1, N_PERIODS)), share=generator.uniform(0.1, 0.9, (1, N_PERIODS))
    )
    many = one.take(np.zeros(40_000, dtype=np.int64))
    days, won = draw_ends(many, np.random.default_rng(4).random((40_000, 2)))
    for horizon in (3.0, 7.0, 25.0, 120.0, 700.0):
        by_won, by_lost = (float(each[0]) for each in one.by(horizon))
        assert ((days <= horizon) & (won == 1)).mean() == pytest.approx(by_won, abs=0.01)
        assert ((days <= horizon) & (won == 0)).mean() == pytest.approx(by_lost, abs=0.01)
    assert won.mean() == pytest.approx(float(one.won_ever[0]), abs=0.01)


def test_the_draws_of_a_deal_are_spread_evenly_and_those_of_many_deals_are_uniform() -> None:
    weeks, deals = 20, 500
    as_of = np.tile(BEGIN + np.arange(weeks) * 7 * DAY, deals)
    deal = np.repeat([f"D-{number}" for number in range(deals)], weeks).astype(object)
    mixed = np.random.default_rng(1).permutation(len(deal))
    draws = spread_draws(as_of[mixed], deal[mixed], np.random.default_rng(2))
    # 20 independent draws would be off by 0.11 in a deal.
    # The shares of 20 independent draws would spread by 0.11.
    for column in draws.T:
        of_deal = np.array([(column[deal[mixed] == f"D-{number}"] < 0.4).mean() for number in range(deals)])
        assert np.abs(of_deal - 0.4).max() < 0.11
        assert of_deal.std() < 0.04
    assert draws.mean() == pytest.approx(0.5, abs=0.01)
    assert np.corrcoef(draws.T)[0, 1] == pytest.approx(0.0, abs=0.03)
    again = spread_draws(as_of, deal, np.random.default_rng(2))
    assert np.array_equal(again[mixed], draws)


def test_nobody_and_a_lone_deal_are_left_as_they_are() -> None:
    nobody = outcomes([], [], [])
    empty = np.array([], dtype="datetime64[us]")
    none = continued(
        nobody, as_of=empty, entity=np.array([], object), futures=futures(0, hazard=0.5, share=0.5), seed=1
    )
    assert len(none.days) == 0
    lone = outcomes([90.0], [1.0], [200.0])
    same = continued(
        lone, as_of=np.array([BEGIN]), entity=np.array(["A"], object), futures=futures(1, hazard=0.5, share=0.5), seed=1
    )
    assert same.days.tolist() == [90.0]


def test_at_an_earlier_moment_a_later_end_is_unknown() -> None:
    known = replace(outcomes([20.0, 60.0, np.nan], [1.0, 0.0, np.nan], [90.0, 90.0, 90.0]), recording_days=5.0)
    snapshots = Snapshots(
        matrix=np.zeros((3, 1)),
        outcomes=known,
        as_of=np.full(3, BEGIN),
        entity=np.array(["A", "B", "C"], object),
        entries=(),
    )
    then = snapshots.known_at(BEGIN + 50 * DAY)
    assert then.outcomes.watched_days.tolist() == [45.0, 45.0, 45.0]
    assert then.outcomes.days[0] == 20.0
    assert np.isnan(then.outcomes.days[1:]).all()
    assert np.isnan(then.outcomes.won[1])
    assert (then.deals(1.0), then.deals(0.0), snapshots.deals(0.0)) == (1, 0, 1)
    assert snapshots.take(np.array([1])).entity.tolist() == ["B"]
