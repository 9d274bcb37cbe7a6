"""Intervals of the probes: they hold at their level, and agree with formulas written another way."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.probes.intervals import auc_interval, odds_ratio_bounds, rate_bounds


def binomial_upper_tail(successes: int, rows: int, rate: float) -> float:
    """P(X >= successes), summed term by term."""
    return sum(math.comb(rows, k) * rate**k * (1 - rate) ** (rows - k) for k in range(successes, rows + 1))


@given(rows=st.integers(1, 60), share=st.floats(0, 1), level=st.sampled_from([0.05, 0.01, 0.001]))
def test_a_rate_below_the_lower_bound_would_hardly_give_so_many_successes(
    rows: int, share: float, level: float
) -> None:
    successes = round(share * rows)
    low, high = rate_bounds(np.array([float(successes)]), np.array([float(rows)]), level=level)
    assert 0 <= low[0] <= successes / rows <= high[0] <= 1
    assert binomial_upper_tail(successes, rows, float(low[0])) <= level * (1 + 1e-6) or successes == 0


def test_no_success_in_a_hundred_rows_bounds_the_rate_by_the_level_root() -> None:
    # (1 - q) ** 100 = 0.001 at q = 1 - 0.001 ** (1 / 100).
    _, high = rate_bounds(np.array([0.0]), np.array([100.0]), level=0.001)
    assert high[0] == pytest.approx(1 - 0.001**0.01)


def test_no_rows_bound_nothing() -> None:
    low, high = rate_bounds(np.array([0.0]), np.array([0.0]), level=0.001)
    assert low[0] == pytest.approx(0, abs=1e-6)
    assert high[0] == pytest.approx(1, abs=1e-6)


def test_an_odds_ratio_lies_within_its_bounds_and_is_that_of_the_four_cells() -> None:
    # 90 of 100 against 10 of 100: 9 over 1/9, and half a row added to each cell.
    ratio, low, high = odds_ratio_bounds(
        np.array([90.0]), np.array([100.0]), total_successes=100, total_rows=200, level=0.05
    )
    assert ratio[0] == pytest.approx((90.5 / 10.5) ** 2)
    assert 1 < low[0] < 81 < high[0]


def test_the_auc_is_the_share_of_pairs_in_order_and_its_interval_that_of_delong() -> None:
    generator = np.random.default_rng(3)
    label = (generator.random(300) < 0.3).astype(float)
    score = np.round(generator.normal(size=300) + label, 1)
    value, low, high = auc_interval(label, score, level=0.05)
    positive, negative = score[label == 1], score[label == 0]
    wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    assert value == pytest.approx(wins.mean())
    variance = wins.mean(axis=1).var(ddof=1) / len(positive) + wins.mean(axis=0).var(ddof=1) / len(negative)
    assert high - low == pytest.approx(2 * 1.959964 * math.sqrt(variance), rel=1e-5)


def test_one_outcome_alone_says_nothing() -> None:
    assert auc_interval(np.ones(50), np.arange(50.0), level=0.05) == (0.5, 0.0, 1.0)
