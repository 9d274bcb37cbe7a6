"""Peers of the forecast of series: naive forecasts, and AutoETS of every series summed up.

Peers' ranges are their own: naive ones from the spread of their one-step errors, as many steps ahead as they are
(Hyndman and Athanasopoulos 2021, ch. 5.5), AutoETS's from its model; where its forecasts are summed up, errors of
series are taken as independent, since it says nothing of how they go together.
"""

from __future__ import annotations

from typing import Any

import numpy as np

NAIVE = ("seasonal_naive", "season_mean", "last_value")
AUTO_ETS = "auto_ets_bottom_up"
QUANTILES = {"lower_95": 0.025, "lower_80": 0.1, "median": 0.5, "upper_80": 0.9, "upper_95": 0.975}
_Z = {"lower_95": -1.959964, "lower_80": -1.281552, "median": 0.0, "upper_80": 1.281552, "upper_95": 1.959964}


def peers_of(data: Any, *, h: int, season_length: int) -> dict[str, dict[str, np.ndarray]]:
    """What each peer says of the last `h` periods from those before: quantiles of all series, and `point`."""
    from training.forecast.candidates import forecast_with

    history = data.all_levels[:, :-h]
    steps = np.arange(1, h + 1)
    widening = {
        "seasonal_naive": np.sqrt((steps - 1) // season_length + 1),
        "season_mean": np.full(h, np.sqrt(1 + 1 / season_length)),
        "last_value": np.sqrt(steps),
    }
    found = {}
    for name in NAIVE:
        made = forecast_with(name, history, h=h, season_length=season_length)
        spread = np.sqrt(np.nanmean(made.residuals**2, axis=1))[:, None] * widening[name]
        found[name] = _normal(made.mean, spread)
    found[AUTO_ETS] = _auto_ets(data, h=h, season_length=season_length)
    return found


def _normal(point: np.ndarray, spread: np.ndarray) -> dict[str, np.ndarray]:
    return {"point": point, **{name: point + _Z[name] * spread for name in QUANTILES}}


def _auto_ets(data: Any, *, h: int, season_length: int) -> dict[str, np.ndarray]:
    """AutoETS of every bottom series, summed up."""
    from statsforecast.models import AutoETS

    point, spread = np.empty((len(data.bottom), h)), np.zeros((len(data.bottom), h))
    for row, values in enumerate(data.bottom[:, :-h]):
        if np.ptp(values) == 0:
            point[row] = values[0]
            continue
        made = AutoETS(season_length=season_length).forecast(y=values.copy(), h=h, level=[95])
        point[row], spread[row] = made["mean"], (made["hi-95"] - made["mean"]) / _Z["upper_95"]
    summing = data.hierarchy.summing
    return _normal(summing @ point, np.sqrt(summing @ np.maximum(np.nan_to_num(spread), 0.0) ** 2))
