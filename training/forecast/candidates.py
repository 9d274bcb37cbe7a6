"""Forecasting methods for series, whose weights follow from their errors on rolling origins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.errors import TooLittleDataError
from training.forecast.global_trees import IntArray, forecast_by_trees
from training.forecast.metrics import FloatArray

NAIVE = ("seasonal_naive", "season_mean", "last_value")
GROWTH = "seasonal_growth"
TREES = "trees"
"""One model of all series of all levels (`global_trees`); `forecast_with` does not know it."""
METHODS = (*NAIVE, GROWTH, "ets", "damped_ets", "theta")
COSTLY = "auto_ets"
_FEW_SERIES = 20
_GROWTH_KEPT = 0.5
_MOST_GROWTH = 2.0


@dataclass(frozen=True)
class BaseForecast:
    """Forecasts of many series by one method.

    Args:
        mean: Point forecasts, shape (n_series, h).
        residuals: One-step errors within the history (actual - fitted), shape (n_series, n_periods); NaN where not
            defined, everywhere for methods that have none.
    """

    mean: FloatArray
    residuals: FloatArray


def forecast_with(method: str, values: FloatArray, *, h: int, season_length: int) -> BaseForecast:
    """Forecast each row of `values` by `method`.

    Args:
        method: One of `METHODS`, or `COSTLY`.
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
    if method == GROWTH:
        return _seasonal_growth(values, h=h, season_length=season_length)
    return _modelled(method, values, h=h, season_length=season_length)


def combine(parts: Mapping[str, BaseForecast], weights: Mapping[str, FloatArray]) -> BaseForecast:
    """The weighted mean of several methods' forecasts, and of the residuals of those that have some.

    Args:
        parts: Forecasts of the same series by method; at least one has residuals.
        weights: Weight of each method for each series, shape (n_series,); over the methods they sum to 1.
    """
    mean = np.sum([weights[name][:, None] * parts[name].mean for name in weights], axis=0)
    told = [name for name in weights if not np.isnan(parts[name].residuals).all()]
    total = np.sum([weights[name] for name in told], axis=0)
    residuals = np.sum([(weights[name] / total)[:, None] * parts[name].residuals for name in told], axis=0)
    return BaseForecast(mean=mean, residuals=residuals)


def least_history(season_length: int) -> int:
    """Periods that the modelled methods need: two seasons and some to spare for their parameters."""
    return 2 * season_length + 8


def methods_for(n_series: int) -> tuple[str, ...]:
    """The methods that speak at a level of so many series: the costly one where they are few, trees where many.

    The trees learn from the many small series of the lower levels, and a total is not like these.
    """
    return (*METHODS, COSTLY if n_series <= _FEW_SERIES else TREES)


def all_forecasts(values: FloatArray, *, level: IntArray, h: int, season_length: int) -> dict[str, BaseForecast]:
    """The forecasts of all methods, each fitted once; 0 for series that a method does not speak of (`methods_for`).

    Args:
        values: All series of all levels, shape (n_series, n_periods).
        level: Number of each series' level, shape (n_series,).
        h: Periods ahead.
        season_length: Periods of a season.
    """
    made = {name: forecast_with(name, values, h=h, season_length=season_length) for name in METHODS}
    mean = forecast_by_trees(values, level=level, h=h, season_length=season_length)
    made[TREES] = BaseForecast(mean=mean, residuals=np.full_like(values, np.nan))
    few = np.flatnonzero(np.bincount(level)[level] <= _FEW_SERIES)
    made[COSTLY] = BaseForecast(mean=np.zeros_like(mean), residuals=np.zeros_like(values))
    if len(few):
        costly = forecast_with(COSTLY, values[few], h=h, season_length=season_length)
        made[COSTLY].mean[few], made[COSTLY].residuals[few] = costly.mean, costly.residuals
    return made


def _seasonal_growth(values: FloatArray, *, h: int, season_length: int) -> BaseForecast:
    """The season before, with half of its growth over the one before that: growth fades (Gardner 2006)."""
    last, before = values[:, -season_length:], values[:, -2 * season_length : -season_length]
    now, then = last.sum(axis=1), before.sum(axis=1)
    known = (then > 0) & (now > 0) & (before.shape[1] == season_length)
    growth = np.divide(now, then, out=np.ones_like(now), where=known)
    growth = np.clip(growth, 1.0 / _MOST_GROWTH, _MOST_GROWTH) ** _GROWTH_KEPT
    mean = np.tile(last, (1, -(-h // season_length)))[:, :h] * growth[:, None]
    return BaseForecast(mean=mean, residuals=np.full_like(values, np.nan))


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


def _damped_ets(season_length: int) -> Any:
    from statsforecast.models import AutoETS

    return AutoETS(season_length=season_length, model="AAA" if season_length > 1 else "AAN", damped=True)


def _theta(season_length: int) -> Any:
    from statsforecast.models import Theta

    return Theta(season_length=season_length)


# Level with or without an additive season, one with a trend that fades, all of ETS by information criterion, which
# takes ten times as long (Hyndman et al. 2008), and Theta (Fiorucci et al. 2016).
_MODELS: dict[str, Callable[[int], Any]] = {
    "ets": _ets,
    "damped_ets": _damped_ets,
    "auto_ets": _auto_ets,
    "theta": _theta,
}
