"""Forecasting methods for one series that compete by their errors on rolling origins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.errors import TooLittleDataError
from training.forecast.metrics import FloatArray

NAIVE = ("seasonal_naive", "season_mean", "last_value")
COMBINATION = "mean_of_methods"
METHODS = (*NAIVE, "ets", "auto_ets", "theta", COMBINATION)
_COMBINED = ("ets", "theta")
_MOST_COSTLY_SERIES = 20


@dataclass(frozen=True)
class BaseForecast:
    """Forecasts of many series by one method.

    Args:
        mean: Point forecasts, shape (n_series, h).
        residuals: One-step errors within the history (actual - fitted), shape (n_series, n_periods); NaN where not
            defined.
    """

    mean: FloatArray
    residuals: FloatArray


def forecast_with(method: str, values: FloatArray, *, h: int, season_length: int) -> BaseForecast:
    """Forecast each row of `values` by `method`.

    Args:
        method: One of `METHODS`.
        values: Shape (n_series, n_periods), oldest first, no gaps.
        h: Periods ahead.
        season_length: Periods of a season; 1 for none.

    Raises:
        TooLittleDataError: if there is less than one season and two periods.
    """
    if values.shape[1] < season_length + 2:
        raise TooLittleDataError(
            f"A forecast with a season of {season_length} periods needs at least {season_length + 2} periods",
            got=f"{values.shape[1]}",
            next_step="load more history",
        )
    if method in NAIVE:
        return _naive(method, values, h=h, season_length=season_length)
    if method == COMBINATION:
        return combine([forecast_with(name, values, h=h, season_length=season_length) for name in _COMBINED])
    return _modelled(method, values, h=h, season_length=season_length)


def combine(parts: Sequence[BaseForecast]) -> BaseForecast:
    """The mean of several methods' forecasts, and of their residuals."""
    return BaseForecast(
        mean=np.mean([part.mean for part in parts], axis=0),
        residuals=np.mean([part.residuals for part in parts], axis=0),
    )


def least_history(season_length: int) -> int:
    """Periods that the modelled methods need: two seasons and some to spare for their parameters."""
    return 2 * season_length + 8


def methods_for(n_series: int) -> tuple[str, ...]:
    """The methods that compete on a level of so many series: the costly one only where they are few."""
    return METHODS if n_series <= _MOST_COSTLY_SERIES else tuple(name for name in METHODS if name != "auto_ets")


def all_forecasts(values: FloatArray, *, h: int, season_length: int) -> dict[str, BaseForecast]:
    """The forecasts of all methods that compete, each fitted once; the combination reuses the fits."""
    names = [name for name in methods_for(values.shape[0]) if name != COMBINATION]
    made = {name: forecast_with(name, values, h=h, season_length=season_length) for name in names}
    made[COMBINATION] = combine([made[name] for name in _COMBINED])
    return made


def _naive(method: str, values: FloatArray, *, h: int, season_length: int) -> BaseForecast:
    n_series, n_periods = values.shape
    fitted = np.full_like(values, np.nan)
    if method == "seasonal_naive":
        season = values[:, -season_length:]
        mean = np.tile(season, (1, -(-h // season_length)))[:, :h]
        fitted[:, season_length:] = values[:, :-season_length]
    elif method == "last_value":
        mean = np.repeat(values[:, -1:], h, axis=1)
        fitted[:, 1:] = values[:, :-1]
    else:
        mean = np.repeat(values[:, -season_length:].mean(axis=1, keepdims=True), h, axis=1)
        sums = np.cumsum(np.hstack([np.zeros((n_series, 1)), values]), axis=1)
        means = (sums[:, season_length:] - sums[:, :-season_length]) / season_length
        fitted[:, season_length:] = means[:, : n_periods - season_length]
    return BaseForecast(mean=mean, residuals=values - fitted)


def _modelled(method: str, values: FloatArray, *, h: int, season_length: int) -> BaseForecast:
    # Whether a series can carry a season and a level is asked before, so that no fit has to fail.
    make = _MODELS[method]
    mean = np.empty((values.shape[0], h))
    residuals = np.full_like(values, np.nan)
    fallback = _naive("season_mean", values, h=h, season_length=season_length)
    for row, y in enumerate(values):
        if np.ptp(y) == 0 or len(y) < least_history(season_length):
            mean[row], residuals[row] = fallback.mean[row], fallback.residuals[row]
            continue
        answer = make(season_length).forecast(y=y.astype(np.float64), h=h, fitted=True)
        mean[row], residuals[row] = answer["mean"], y - answer["fitted"]
    return BaseForecast(mean=mean, residuals=residuals)


def _ets(season_length: int) -> Any:
    from statsforecast.models import AutoETS

    return AutoETS(season_length=season_length, model="ANZ")


def _auto_ets(season_length: int) -> Any:
    from statsforecast.models import AutoETS

    return AutoETS(season_length=season_length)


def _theta(season_length: int) -> Any:
    from statsforecast.models import Theta

    return Theta(season_length=season_length)


# Level with or without an additive season, and all of ETS, which takes ten times as long (Hyndman et al. 2008); Theta
# (Fiorucci et al. 2016).
_MODELS: dict[str, Callable[[int], Any]] = {"ets": _ets, "auto_ets": _auto_ets, "theta": _theta}
