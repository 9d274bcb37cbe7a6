"""Exponential smoothing and Theta of a short series."""

from __future__ import annotations

import numpy as np
import pytest

from training.forecast.smoothing import smoothed, theta


def test_a_constant_is_continued_by_both() -> None:
    assert smoothed(np.full(12, 7.0), h=3).tolist() == [7.0] * 3
    assert theta(np.full(12, 7.0), h=3) == pytest.approx([7.0] * 3)


def test_a_level_that_jumped_is_followed() -> None:
    values = np.r_[np.full(12, 10.0), np.full(12, 20.0)]
    assert smoothed(values, h=2) == pytest.approx([20.0, 20.0], abs=0.1)


def test_a_mean_with_noise_is_kept() -> None:
    values = 100.0 + np.random.default_rng(1).normal(scale=10.0, size=200)
    assert smoothed(values, h=1)[0] == pytest.approx(100.0, abs=4.0)


def test_theta_goes_on_with_half_of_the_trend() -> None:
    found = theta(np.arange(40.0), h=3)
    assert np.diff(found) == pytest.approx([0.5, 0.5])
    assert found[0] == pytest.approx(39.5, abs=1.0)
