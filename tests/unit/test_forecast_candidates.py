from __future__ import annotations

import numpy as np
import pytest

from common.errors import TooLittleDataError
from training.forecast.candidates import COMBINATION, all_forecasts, forecast_with, methods_for

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


def test_the_combination_is_the_mean_of_what_it_combines() -> None:
    values = np.random.default_rng(2).normal(100, 10, (2, 30))
    made = all_forecasts(values, h=3, season_length=4)
    assert made[COMBINATION].mean == pytest.approx((made["ets"].mean + made["theta"].mean) / 2)


def test_the_costly_method_competes_only_where_series_are_few() -> None:
    assert "auto_ets" in methods_for(8)
    assert "auto_ets" not in methods_for(300)


def test_too_short_a_series_is_refused_with_the_length_needed() -> None:
    with pytest.raises(TooLittleDataError, match=r"at least 6 periods.*Got: 5"):
        forecast_with("seasonal_naive", VALUES[:, :5], h=1, season_length=4)
