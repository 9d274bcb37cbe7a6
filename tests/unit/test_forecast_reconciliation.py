from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.forecast.reconciliation import METHODS, Method, build_hierarchy, projection, shrunk_covariance

HIERARCHY = build_hierarchy({"total": ["all"] * 4, "state": ["x", "x", "y", "y"], "shop": ["a", "b", "c", "d"]})
RESIDUALS = np.random.default_rng(5).normal(size=(7, 40)) * np.array([[4.0], [2], [2], [1], [1], [1], [1]])


@pytest.mark.parametrize("method", METHODS)
@given(base=st.lists(st.floats(-1e4, 1e4), min_size=7, max_size=7))
@settings(max_examples=25, deadline=None)
def test_reconciled_forecasts_add_up(method: Method, base: list[float]) -> None:
    bottom = projection(HIERARCHY, RESIDUALS, method=method) @ np.array(base)
    levels = HIERARCHY.summing @ bottom
    assert levels[0] == pytest.approx(levels[1] + levels[2], abs=1e-6)
    assert levels[0] == pytest.approx(bottom.sum(), abs=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_forecasts_that_add_up_already_are_left_alone(method: Method) -> None:
    bottom = np.array([1.0, 2.0, 3.0, 4.0])
    assert projection(HIERARCHY, RESIDUALS, method=method) @ (HIERARCHY.summing @ bottom) == pytest.approx(bottom)


def test_bottom_up_reads_the_bottom_only() -> None:
    base = np.array([99.0, 99.0, 99.0, 1.0, 2.0, 3.0, 4.0])
    assert (projection(HIERARCHY, RESIDUALS, method="bottom_up") @ base).tolist() == [1.0, 2.0, 3.0, 4.0]


def test_weighted_least_squares_trusts_the_series_with_small_errors() -> None:
    # Two shops, total says 12 with tiny errors, shops say 4 and 4 with large ones: the total wins.
    two = build_hierarchy({"total": ["all", "all"], "shop": ["a", "b"]})
    residuals = np.array([[0.01, -0.01], [5.0, -5.0], [5.0, -5.0]])
    assert projection(two, residuals, method="wls") @ np.array([12.0, 4.0, 4.0]) == pytest.approx([6.0, 6.0], abs=1e-3)


def test_the_shrunk_covariance_keeps_the_variances_and_can_be_inverted_with_more_series_than_periods() -> None:
    wide = np.random.default_rng(6).normal(size=(30, 10))
    covariance = shrunk_covariance(wide)
    assert np.diag(covariance) == pytest.approx((wide**2).mean(axis=1))
    assert np.linalg.eigvalsh(covariance).min() > 0
