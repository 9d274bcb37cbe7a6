"""A level in log-odds, followed: right where it stays, soon right where it jumps, and told from before alone."""

from __future__ import annotations

import numpy as np
import pytest

from monitoring.level import JUMP, JUMPS_A_WEEK, OFF, follow_level, shifted
from training.calibration import METHODS, Calibration, fit_calibration, logit, sigmoid


def world(levels: np.ndarray, *, a_week: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-odds, outcomes and weeks where the answers are off by a level in each week."""
    random = np.random.default_rng(seed)
    week = np.repeat(np.arange(len(levels)), a_week)
    margin = random.normal(-2.0, 1.0, len(week))
    return margin, (random.random(len(week)) < sigmoid(margin + levels[week])).astype(float), week


def by_enumeration(margin: np.ndarray, label: np.ndarray, week: np.ndarray) -> float:
    """The level after two weeks, by sums over a grid: no jump in between, or one."""
    grid = np.linspace(-5, 5, 2_001)

    def likelihood(number: int) -> np.ndarray:
        odds = margin[week == number][:, None] + grid
        return np.exp((label[week == number][:, None] * odds - np.logaddexp(0, odds)).sum(axis=0))

    def normal(mean: float, deviation: float) -> np.ndarray:
        density = np.exp(-((grid - mean) ** 2) / (2 * deviation**2))
        return density / density.sum()

    first = normal(0.0, OFF) * likelihood(0)
    known = float(grid @ first / first.sum())
    stays = (1 - JUMPS_A_WEEK) * first / first.sum() * likelihood(1)
    jumps = JUMPS_A_WEEK * normal(known, JUMP) * likelihood(1)
    both = stays + jumps
    return float(grid @ both / both.sum())


@pytest.mark.parametrize("jump", [0.0, -2.5, 2.0])
def test_it_is_what_enumeration_says(jump: float) -> None:
    margin, label, week = world(np.array([0.0, jump]), a_week=120, seed=4)
    levels = follow_level(margin, label, week)
    assert levels[0] == 0.0
    # What lies between is Laplace's approximation, at ten outcomes or fewer a week.
    assert levels[2] == pytest.approx(by_enumeration(margin, label, week), abs=0.1)


def test_a_level_that_stays_is_found_and_then_kept() -> None:
    levels = follow_level(*world(np.full(80, 0.4), a_week=100, seed=1))
    assert np.sqrt(np.mean((levels[20:] - 0.4) ** 2)) < 0.06
    # The newest week alone would be off by a quarter, as often as not by more.
    assert np.quantile(np.abs(np.diff(levels[20:])), 0.9) < 0.06


def test_a_level_that_jumps_is_followed_within_weeks_and_not_before() -> None:
    levels = follow_level(*world(np.repeat([0.0, -1.0], 50), a_week=100, seed=2))
    assert np.sqrt(np.mean(levels[20:51] ** 2)) < 0.1
    assert np.sqrt(np.mean((levels[58:] + 1.0) ** 2)) < 0.15


def test_rows_that_share_an_outcome_count_as_one() -> None:
    margin, label, week = world(np.full(10, 0.5), a_week=60, seed=3)
    once = follow_level(margin, label, week)
    thrice = follow_level(*(np.repeat(values, 3) for values in (margin, label, week)), counts=1 / 3)
    assert np.allclose(once, thrice)


def test_weeks_without_rows_change_nothing() -> None:
    margin, label, week = world(np.full(4, 0.5), a_week=60, seed=3)
    late = np.where(week == 3, 9, week)
    levels = follow_level(margin, label, late)
    assert len(levels) == 11
    assert len(set(levels[3:10].tolist())) == 1


@pytest.mark.parametrize("method", METHODS)
def test_every_calibration_can_be_shifted(method: str) -> None:
    margin, label, _ = world(np.zeros(20), a_week=100, seed=5)
    before = fit_calibration(method, margin, label)
    after = Calibration.from_dict(shifted(before, -0.7).to_dict())
    # Between the knots of steps, a line in probability is not quite one in log-odds.
    exact = not before.x
    assert logit(after.apply(margin)) == pytest.approx(logit(before.apply(margin)) - 0.7, abs=1e-9 if exact else 0.05)
