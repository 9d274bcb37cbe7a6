"""A small deal model trained at each origin, on outcomes known by then only.

The deal champion has learned from outcomes later than a backtest's origins; this one has not, so it stands in for it
there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from training.forecast.metrics import FloatArray

if TYPE_CHECKING:
    from collections.abc import Sequence

HORIZON_DAYS = 183
_HORIZON_MONTHS = 6
_LEAST_OUTCOMES = 100
_ROUNDS = 60
_PARAMETERS = {
    "objective": "binary",
    "learning_rate": 0.08,
    "num_leaves": 7,
    "min_data_in_leaf": 60,
    "lambda_l2": 5.0,
    "cat_smooth": 20.0,
    "verbosity": -1,
    "deterministic": True,
    "force_row_wise": True,
}


def origin_win_probability(snapshots: pd.DataFrame, deals: pd.DataFrame, *, at: pd.Timestamp, seed: int) -> FloatArray:
    """P(won within `HORIZON_DAYS`) of each open deal, from snapshots whose deals were watched that long.

    Args:
        snapshots: Past month starts and the deals open then, with `moment`, `watched`, `lag`, `won` and the deal's
            columns.
        deals: Deals open at `at`, with the same columns.
        at: The moment.
        seed: Seed of the fit.

    Returns:
        Shape (n_deals,); NaN where there are too few outcomes to learn from.
    """
    watched = snapshots[snapshots["watched"] >= _HORIZON_MONTHS]
    label = (watched["won"] & (watched["lag"] < _HORIZON_MONTHS)).to_numpy()
    if min(label.sum(), (~label).sum()) < _LEAST_OUTCOMES or deals.empty:
        return np.full(len(deals), np.nan)
    import lightgbm

    stages = {name: code for code, name in enumerate(sorted(watched["stage"].unique()))}
    categories = {name: code for code, name in enumerate(sorted(watched["forecast_category"].dropna().unique()))}
    matrix = _features(watched, watched["moment"], stages, categories)
    data = lightgbm.Dataset(matrix, label=label.astype(np.float64), categorical_feature=[0, 1])
    booster = lightgbm.train({**_PARAMETERS, "seed": seed, "num_threads": 1}, data, num_boost_round=_ROUNDS)
    asked = _features(deals, pd.Series(at, index=deals.index), stages, categories)
    probability: FloatArray = np.asarray(booster.predict(asked, num_threads=1), dtype=np.float64)
    return probability


def _features(deals: pd.DataFrame, moment: pd.Series, stages: dict[str, int], categories: dict[str, int]) -> FloatArray:
    columns: Sequence[pd.Series] = (
        deals["stage"].map(stages).fillna(-1),
        deals["forecast_category"].map(categories).fillna(-1),
        np.log1p(deals["amount_usd"]),
        (deals["close_date"] - moment.dt.tz_localize(None)).dt.days,
        (moment - deals["opened_at"]).dt.total_seconds() / 86400.0,
    )
    return np.column_stack([column.to_numpy(dtype=np.float64) for column in columns])
