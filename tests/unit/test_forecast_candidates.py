from __future__ import annotations

import numpy as np
import pytest

from common.errors import TooLittleDataError
from training.forecast.candidates import (
    COSTLY,
    METHODS,
    TREES,
    BaseForecast,
    all_forecasts,
    combine,
    forecast_with,
    methods_for,
)
from training.forecast.global_trees import forecast_by_trees

VALUES = np.array([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]])


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("seasonal_naive", [5.0, 6.0, 7.0, 8.0, 5.0, 6.0]),
        ("season_mean", [6.5] * 6),
        ("last_value", [8.0] * 6),
    ],
)
def test_naive_methods_say_what_their_names_say(method: str, expected: list[float]) -> None:
    assert forecast_with(method, VALUES, h=6, season_length=4).mean.tolist() == [expected]


def test_residuals_of_naive_methods_use_earlier_values_only() -> None:
    residuals = forecast_with("season_mean", VALUES, h=1, season_length=4).residuals[0]
    assert np.isnan(residuals[:4]).all()
    # The fifth value, 5, was forecast by the mean of 1, 2, 3, 4.
    assert residuals[4:].tolist() == [2.5] * 4


def test_a_constant_series_is_forecast_by_its_constant() -> None:
    forecast = forecast_with("ets", np.full((1, 40), 7.0), h=3, season_length=4)
    assert forecast.mean.tolist() == [[7.0] * 3]


def test_ets_finds_a_plain_season() -> None:
    season = np.tile([10.0, 20.0, 30.0, 40.0], 10)[None, :] + np.random.default_rng(1).normal(0, 0.1, (1, 40))
    assert forecast_with("ets", season, h=4, season_length=4).mean[0] == pytest.approx([10, 20, 30, 40], abs=0.5)


def test_seasonal_growth_is_last_season_with_half_of_its_growth() -> None:
    # The last season is 26, the one before 10: the growth 2.6 counts as 2, half of it on the log scale as its root.
    made = forecast_with("seasonal_growth", VALUES, h=5, season_length=4)
    assert made.mean[0] == pytest.approx(np.array([5.0, 6.0, 7.0, 8.0, 5.0]) * np.sqrt(2.0))
    grown = np.array([[100.0, 100.0, 100.0, 100.0, 144.0, 144.0, 144.0, 144.0]])
    assert forecast_with("seasonal_growth", grown, h=1, season_length=4).mean[0] == pytest.approx([144 * 1.2])


def test_seasonal_growth_of_a_series_that_was_nothing_is_the_season_before() -> None:
    young = np.array([[0.0, 0.0, 0.0, 0.0, 3.0, 4.0, 5.0, 6.0]])
    assert forecast_with("seasonal_growth", young, h=2, season_length=4).mean.tolist() == [[3.0, 4.0]]
    assert forecast_with("seasonal_growth", VALUES[:, :6], h=2, season_length=4).mean.tolist() == [[3.0, 4.0]]


def test_the_damped_trend_keeps_rising_ever_less() -> None:
    rising = 100.0 + 2.0 * np.arange(40)[None, :] + np.random.default_rng(3).normal(0, 0.1, (1, 40))
    steps = np.diff(forecast_with("damped_ets", rising, h=8, season_length=1).mean[0])
    assert (steps > 0).all()
    assert (np.diff(steps) < 1e-9).all()


def test_a_combination_weighs_each_series_by_its_own_weights() -> None:
    residuals = np.array([[np.nan, 1.0], [np.nan, 2.0]])
    parts = {
        "one": BaseForecast(mean=np.array([[10.0], [10.0]]), residuals=residuals),
        "two": BaseForecast(mean=np.array([[20.0], [20.0]]), residuals=2 * residuals),
        "three": BaseForecast(mean=np.array([[40.0], [40.0]]), residuals=np.full((2, 2), np.nan)),
    }
    weights = {"one": np.array([0.5, 0.0]), "two": np.array([0.25, 0.25]), "three": np.array([0.25, 0.75])}
    found = combine(parts, weights)
    assert found.mean.tolist() == [[20.0], [35.0]]
    # What has no residuals leaves them to the others: (2 x 1 + 1 x 2) / 3 for the first series, 4 for the second.
    assert found.residuals[:, 1] == pytest.approx([4 / 3, 4.0])
    assert np.isnan(found.residuals[:, 0]).all()


def test_all_methods_answer_for_every_series_and_period() -> None:
    values = np.random.default_rng(2).normal(100, 10, (3, 30))
    made = all_forecasts(values, level=np.array([0, 1, 1]), h=3, season_length=4)
    assert set(made) == {*METHODS, TREES, COSTLY}
    assert all(forecast.mean.shape == (3, 3) and np.isfinite(forecast.mean).all() for forecast in made.values())


def test_the_costly_method_speaks_only_where_series_are_few_and_trees_only_where_they_are_many() -> None:
    assert "auto_ets" in methods_for(8)
    assert "auto_ets" not in methods_for(300)
    assert TREES in methods_for(300)
    assert TREES not in methods_for(8)
    values = np.random.default_rng(6).normal(100, 10, (22, 20))
    made = all_forecasts(values, level=np.array([0] + [1] * 21), h=2, season_length=4)
    assert (made[COSTLY].mean[0] > 0).all()
    assert (made[COSTLY].mean[1:] == 0).all()


def test_trees_find_the_season_that_all_series_share_whatever_their_size() -> None:
    rng = np.random.default_rng(4)
    size = np.exp(rng.normal(3, 1.5, 40))[:, None]
    values = size * np.tile([0.5, 1.0, 1.5, 1.0], 9) * rng.lognormal(0, 0.05, (40, 36))
    said = forecast_by_trees(values, level=np.zeros(40, dtype=np.int64), h=4, season_length=4)
    assert said / size == pytest.approx(np.tile([0.5, 1.0, 1.5, 1.0], (40, 1)), rel=0.25)
    assert np.abs(said / size - [0.5, 1.0, 1.5, 1.0]).mean() < 0.05


def test_trees_say_the_same_each_time_and_see_nothing_after_the_origin() -> None:
    values = np.random.default_rng(5).normal(100, 10, (20, 40))
    level = np.zeros(20, dtype=np.int64)
    first = forecast_by_trees(values[:, :32], level=level, h=4, season_length=4)
    again = forecast_by_trees(values[:, :32].copy(), level=level, h=4, season_length=4)
    assert first.tolist() == again.tolist()


def test_trees_with_less_than_three_seasons_say_the_mean_of_the_last() -> None:
    assert forecast_by_trees(VALUES, level=np.zeros(1, dtype=np.int64), h=2, season_length=4).tolist() == [[6.5, 6.5]]


def test_too_short_a_series_is_refused_with_the_length_needed() -> None:
    with pytest.raises(TooLittleDataError, match=r"at least 6 periods.*Got: 5"):
        forecast_with("seasonal_naive", VALUES[:, :5], h=1, season_length=4)
