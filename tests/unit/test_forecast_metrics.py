from __future__ import annotations

import numpy as np
import pytest

from training.forecast.metrics import bias, conformal_factor, coverage, wape

ACTUAL = np.array([100.0, 50.0, 50.0])
SAID = np.array([90.0, 60.0, 70.0])


def test_wape_is_the_sum_of_absolute_errors_over_the_sum_of_actuals() -> None:
    assert wape(ACTUAL, SAID) == pytest.approx((10 + 10 + 20) / 200)


def test_bias_is_above_zero_when_forecasts_were_too_high() -> None:
    assert bias(ACTUAL, SAID) == pytest.approx((-10 + 10 + 20) / 200)


def test_errors_of_nothing_are_not_a_number_rather_than_perfect() -> None:
    assert np.isnan(wape(np.zeros(2), np.ones(2)))
    assert np.isnan(coverage(np.array([]), np.array([]), np.array([])))


def test_coverage_counts_the_bounds_as_inside() -> None:
    assert coverage(ACTUAL, np.array([100.0, 51.0, 0.0]), np.array([110.0, 60.0, 50.0])) == pytest.approx(2 / 3)


def test_conformal_factor_without_a_prior_is_the_scores_quantile() -> None:
    # Distances 1 to 9 in units of the half width: of 9 scores the ceil(10 * 0.8) = 8th is 8, cut at 4.
    actual = np.arange(1.0, 10.0) / 4
    factor = conformal_factor(actual, np.zeros(9), -np.ones(9), np.ones(9), nominal=0.8, prior_weight=0.0)
    assert factor == pytest.approx(8 / 4)


def test_conformal_factor_of_few_scores_stays_near_one() -> None:
    one = np.array([3.0])
    assert conformal_factor(one, one * 0, -one / 3, one / 3, nominal=0.8, prior_weight=20.0) == pytest.approx(
        3 ** (1 / 21)
    )
    nothing = np.array([])
    assert conformal_factor(nothing, nothing, nothing, nothing, nominal=0.8) == 1.0


def test_conformal_factor_measures_each_side_by_its_own_width() -> None:
    # Below the centre the interval is 4 wide, above 1: distances 2 and 2 are scores 0.5 and 2.
    actual = np.array([-2.0, 2.0])
    factor = conformal_factor(actual, np.zeros(2), np.full(2, -4.0), np.ones(2), nominal=0.5, prior_weight=0.0)
    assert factor == pytest.approx(2.0)
