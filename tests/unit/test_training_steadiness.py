"""Features that move with the calendar are found without looking at an outcome."""

from __future__ import annotations

import numpy as np
import pytest

from training.models import FitData
from training.search import fading, without
from training.steadiness import distance, drifting_columns

GENERATOR = np.random.default_rng(2)
ROWS = 400
WHEN = np.datetime64("2025-01-01", "us") + np.arange(ROWS) * np.timedelta64(1, "D")


def test_a_trend_a_season_of_half_a_year_and_a_late_field_drift_and_noise_does_not() -> None:
    trend = np.arange(ROWS) + GENERATOR.normal(0, 20, ROWS)
    half_season = np.arange(ROWS) % ROWS // 34
    late = np.where(np.arange(ROWS) < ROWS / 2, np.nan, 1.0)
    whole_seasons = np.arange(ROWS) % 50
    matrix = np.column_stack([GENERATOR.normal(size=ROWS), trend, half_season, late, whole_seasons])
    assert drifting_columns(matrix, WHEN) == (1, 2, 3)


def test_the_order_of_the_rows_does_not_matter() -> None:
    matrix = np.column_stack([np.arange(ROWS), GENERATOR.normal(size=ROWS)]).astype(float)
    order = GENERATOR.permutation(ROWS)
    assert drifting_columns(matrix[order], WHEN[order]) == (0,)


def test_the_distance_is_that_of_kolmogorov_and_smirnov() -> None:
    from scipy.stats import ks_2samp

    first, second = GENERATOR.normal(size=80), GENERATOR.normal(0.5, 1, size=120)
    assert distance(first, second) == pytest.approx(ks_2samp(first, second).statistic)


def test_few_rows_say_nothing() -> None:
    assert drifting_columns(np.arange(30.0)[:, None], WHEN[:30]) == ()


def test_columns_are_emptied_in_a_copy() -> None:
    data = FitData(matrix=np.ones((3, 3)), label=np.ones(3), stop_matrix=np.ones((2, 3)), categorical=[0, 2])
    emptied = without(data, [2])
    assert np.isnan(emptied.matrix[:, 2]).all()
    assert emptied.stop_matrix is not None
    assert np.isnan(emptied.stop_matrix[:, 2]).all()
    assert emptied.categorical == [0]
    assert not np.isnan(data.matrix).any()


def test_weights_halve_with_each_half_life_and_are_one_on_average() -> None:
    data = FitData(matrix=np.ones((5, 1)), label=np.ones(5), age_days=np.array([100.0, 75.0, 50.0, 25.0, 0.0]))
    weight = fading(data, 0.25).weight
    assert weight is not None
    assert weight[1:] / weight[:-1] == pytest.approx([2.0] * 4)
    assert weight.mean() == pytest.approx(1.0)
    assert fading(data, 0.0).weight is None
