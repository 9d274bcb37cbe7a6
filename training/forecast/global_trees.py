"""One model of boosted trees for all series of all levels: what a single short series cannot show, many together can.

Each row is a series at a past origin and a number of periods ahead; values are divided by the mean of the series' last
season, so that large and small ones teach each other (Montero-Manso and Hyndman 2021, "Principles and algorithms for
forecasting groups of time series"). Every period ahead is forecast directly, never from forecasts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.forecast.metrics import FloatArray

IntArray = NDArray[np.int64]
_ROUNDS = 150
_MOST = 3.0
_NEWEST = 3
_PARAMETERS: dict[str, Any] = {
    "objective": "regression",
    "learning_rate": 0.05,
    "num_leaves": 16,
    "min_data_in_leaf": 100,
    "lambda_l2": 10.0,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "max_bin": 63,
    "verbosity": -1,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "seed": 7,
}


def forecast_by_trees(values: FloatArray, *, level: IntArray, h: int, season_length: int) -> FloatArray:
    """Forecast every series by one model of all of them.

    Args:
        values: Shape (n_series, n_periods), oldest first, no gaps.
        level: Number of each series' level, shape (n_series,).
        h: Periods ahead.
        season_length: Periods of a season.

    Returns:
        Shape (n_series, h). Where there are fewer than three seasons to learn from, the mean of the last season.
    """
    n_periods = values.shape[1]
    first = max(2 * season_length, season_length + 2)
    if n_periods < first + season_length:
        return np.repeat(values[:, -season_length:].mean(axis=1, keepdims=True), h, axis=1)
    import lightgbm

    rows, targets = [], []
    for origin in range(first, n_periods):
        known = values[:, :origin]
        scale = _scale(known, season_length)
        for ahead in range(min(h, n_periods - origin)):
            rows.append(_features(known, level, ahead=ahead, season_length=season_length))
            # What no business does from one season to the next is an error in the data, or a series that begins.
            targets.append(np.clip(values[:, origin + ahead] / scale - 1.0, -_MOST, _MOST))
    data = lightgbm.Dataset(np.concatenate(rows), np.concatenate(targets))
    model = lightgbm.train(_PARAMETERS, data, num_boost_round=_ROUNDS)
    ahead_features = [_features(values, level, ahead=ahead, season_length=season_length) for ahead in range(h)]
    said = np.column_stack([np.asarray(model.predict(features, num_threads=1)) for features in ahead_features])
    return np.asarray((said + 1.0) * _scale(values, season_length)[:, None], dtype=np.float64)


def _scale(known: FloatArray, season_length: int) -> FloatArray:
    mean = known[:, -season_length:].mean(axis=1)
    return np.where(mean > 0, mean, 1.0)


def _features(known: FloatArray, level: IntArray, *, ahead: int, season_length: int) -> FloatArray:
    """What is known at the end of `known` about the period `ahead` after it, over the series' scale."""
    n_series, origin = known.shape
    scale = _scale(known, season_length)
    season = known[:, -season_length:]
    before = known[:, -2 * season_length : -season_length]
    place = ahead % season_length
    growth_of_all = season.sum() / max(before.sum(), 1e-9)
    return np.column_stack(
        [
            np.full(n_series, ahead),
            np.full(n_series, (origin + ahead) % season_length),
            season[:, place] / scale,
            before[:, place] / scale,
            before.mean(axis=1) / scale,
            known.mean(axis=1) / scale,
            season.std(axis=1) / scale,
            (season == 0).mean(axis=1),
            known[:, -_NEWEST:].mean(axis=1) / scale,
            known[:, -_NEWEST:] / scale[:, None],
            np.full(n_series, growth_of_all),
            level,
            np.log1p(scale),
        ]
    )
