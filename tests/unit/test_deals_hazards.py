"""Probabilities over time add up, are right where the answer is known, and may be asked for any day."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.deals.hazards import Futures
from training.deals.outcomes import Outcomes
from training.deals.periods import N_PERIODS, PERIOD_DAYS, expand, known_at, with_period

chances = st.lists(st.floats(0.0, 1.0), min_size=2 * N_PERIODS, max_size=2 * N_PERIODS)


def futures_of(values: list[float]) -> Futures:
    halves = np.array(values).reshape(1, 2, N_PERIODS)
    return Futures(hazard=halves[:, 0], share=halves[:, 1])


@given(chances, st.floats(0.0, 900.0))
@settings(max_examples=80, deadline=None)
def test_won_lost_and_open_add_up_on_any_day(values: list[float], day: float) -> None:
    futures = futures_of(values)
    won, lost = futures.by(day)
    assert won + lost + futures.open_after(day) == pytest.approx(1.0, abs=1e-9)
    assert 0.0 <= won[0] <= futures.won_ever[0] + 1e-12


@given(chances)
@settings(max_examples=80, deadline=None)
def test_the_months_add_up_to_what_is_won_by_their_end(values: list[float]) -> None:
    futures = futures_of(values)
    won, lost = futures.months(24)
    assert won.sum() == pytest.approx(futures.by(720.0)[0][0], abs=1e-9)
    assert lost.sum() == pytest.approx(futures.by(720.0)[1][0], abs=1e-9)
    assert (won >= -1e-12).all()


@given(chances)
@settings(max_examples=80, deadline=None)
def test_won_grows_with_the_days(values: list[float]) -> None:
    won, lost = futures_of(values).by(np.linspace(0, 800, 60)[None, :])
    assert (np.diff(won, axis=1) >= -1e-12).all()
    assert (np.diff(lost, axis=1) >= -1e-12).all()


def test_a_constant_daily_hazard_gives_the_exponential_law() -> None:
    daily, lengths = 0.01, np.diff(np.r_[0.0, PERIOD_DAYS])
    futures = Futures(hazard=(1 - (1 - daily) ** lengths)[None, :], share=np.full((1, N_PERIODS), 0.4))
    for day in (1.0, 10.0, 45.0, 200.0, 719.0):
        won, lost = futures.by(day)
        assert won[0] == pytest.approx(0.4 * (1 - 0.99**day))
        assert lost[0] == pytest.approx(0.6 * (1 - 0.99**day))
    assert futures.won_ever[0] == pytest.approx(0.4)


def test_the_quantile_is_the_day_by_which_that_share_of_the_wins_has_come() -> None:
    generator = np.random.default_rng(5)
    futures = Futures(
        hazard=generator.uniform(0.05, 0.5, (50, N_PERIODS)), share=generator.uniform(0.1, 0.9, (50, N_PERIODS))
    )
    for level in (0.1, 0.5, 0.9):
        days = futures.won_by_quantile(level)
        inside = days < PERIOD_DAYS[-1]
        assert futures.take(inside).won_share_by(days[inside]) == pytest.approx(np.full(inside.sum(), level), abs=1e-6)


def test_each_deal_may_be_asked_for_its_own_day() -> None:
    generator = np.random.default_rng(6)
    futures = Futures(hazard=generator.uniform(0, 0.5, (4, N_PERIODS)), share=generator.uniform(0, 1, (4, N_PERIODS)))
    days = np.array([3.0, 30.0, 100.0, 500.0])
    won, _ = futures.by(days)
    assert won == pytest.approx([futures.take(slice(i, i + 1)).by(float(day))[0][0] for i, day in enumerate(days)])


def ended(days: list[float], won: list[float], watched: list[float]) -> Outcomes:
    return Outcomes(
        days=np.array(days), won=np.array(won), final_usd=np.full(len(days), np.nan),
        watched_days=np.array(watched), recording_days=0.0,
    )  # fmt: skip


def test_a_period_counts_only_when_it_was_watched_to_its_end() -> None:
    periods = expand(ended([np.nan], [np.nan], [20.0]))
    assert periods.period.tolist() == [0, 1]  # up to day 7 and day 14; day 30 is not over
    assert periods.closed.tolist() == [0.0, 0.0]


def test_an_end_in_a_period_that_is_not_over_is_not_used() -> None:
    # Ended on day 20, watched 25 days: the period of days 15 to 30 would show ends and never survivals.
    periods = expand(ended([20.0], [1.0], [25.0]))
    assert periods.period.tolist() == [0, 1]
    assert periods.closed.sum() == 0.0


def test_a_deal_has_no_rows_after_its_end() -> None:
    periods = expand(ended([20.0], [0.0], [400.0]))
    assert periods.period.tolist() == [0, 1, 2]
    assert periods.closed.tolist() == [0.0, 0.0, 1.0]
    assert periods.won[-1] == 0.0


def test_a_deal_that_had_ended_before_its_snapshot_is_left_out() -> None:
    assert len(expand(ended([-0.5, 0.0], [1.0, 1.0], [400.0, 400.0])).row) == 0


def test_a_row_carries_its_period_and_knows_when_its_answer_was_there() -> None:
    periods = expand(ended([20.0], [1.0], [400.0]))
    rows = with_period(np.array([[7.0]]), periods.row, periods.period)
    assert rows.tolist() == [[7.0, 7.0], [7.0, 14.0], [7.0, 30.0]]
    as_of = np.array(["2025-01-01"], dtype="datetime64[us]")
    assert known_at(as_of, periods)[-1] == np.datetime64("2025-01-31", "us")


def test_hazards_are_recovered_from_censored_deals() -> None:
    generator = np.random.default_rng(7)
    count, daily = 40_000, 0.01
    days, watched = generator.exponential(1 / daily, count), generator.uniform(0, 700, count)
    seen = days <= watched
    outcomes = ended(np.where(seen, days, np.nan).tolist(), np.where(seen, 1.0, np.nan).tolist(), watched.tolist())
    periods = expand(outcomes)
    lengths = np.diff(np.r_[0.0, PERIOD_DAYS])
    for number in range(6):
        rows = periods.period == number
        assert periods.closed[rows].mean() == pytest.approx(1 - np.exp(-daily * lengths[number]), rel=0.06)
