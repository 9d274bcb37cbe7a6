"""A small model of open deals trained at each origin, on outcomes known by then only.

The deal champion has learned from outcomes later than a backtest's origins; this one has not, so it stands in for it
there, and where there is no champion. It says, month by month ahead, with what chance a deal that is still open is won
or lost (discrete-time competing risks on rows per deal and month: Tutz and Schmid 2016, ch. 8).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.forecast.conversion import MAX_LAG, N_LAGS, Conversion
from training.forecast.leaf_masks import MOST_LEAVES, LeafMasks
from training.forecast.metrics import FloatArray
from training.forecast.tree_library import lightgbm_alone

LEAST_OUTCOMES = 100
"""Deals won, and deals lost, below which nothing is learned here and the table of `conversion` speaks alone."""
CHECKED_LAGS = 3
"""Months ahead of each snapshot for which expectations are set beside what came."""
_TOLD_APART = 7
_MOST_CATEGORIES = 24
_ROUNDS = 60
_THREADS = 2
_PARAMETERS = {
    "objective": "binary",
    "learning_rate": 0.09,
    "num_leaves": MOST_LEAVES,
    "min_data_in_leaf": 80,
    "lambda_l2": 10.0,
    "cat_smooth": 30.0,
    "feature_fraction": 0.7,
    "max_bin": 63,
    "verbosity": -1,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
}
_CATEGORIES = ("stage", "forecast_category", "competitor", "product_id", "source", "deal_type")
_DAY_SECONDS = 86_400.0


@dataclass(frozen=True, kw_only=True)
class OriginModel:
    """What was learned at one origin.

    Args:
        trees: Boosters for P(won in a month | open at its start), and for lost.
        codes: Category to number, by column.
        table: What is learned by due date and stage: chances of what is won already and not yet known.
    """

    trees: LeafMasks
    codes: dict[str, dict[str, int]]
    table: Conversion

    def chances(self, deals: pd.DataFrame, *, lags: int = MAX_LAG + 1) -> FloatArray:
        """Chance of each deal to be won at each lag, lag -1 first; lags from `lags` on are left at 0.

        Args:
            deals: Rows as `snapshots.learn_from` gives them.
            lags: Months ahead to answer for.

        Returns:
            Shape (n_deals, N_LAGS).
        """
        found = np.zeros((len(deals), N_LAGS))
        if deals.empty:
            return found
        found[:, 0] = self.table.expected(deals)[:, 0]
        still = 1.0 - found[:, 0]
        fixed = _fixed(deals, self.codes)
        n_fixed, (month, due) = fixed.shape[1], _months(deals)
        left = self.trees.begin(fixed, range(n_fixed))
        for lag in range(lags):
            # Beyond the months told apart, a deal's chances go on as in the last of them.
            if lag < _TOLD_APART:
                moving = _moving(month, due, lag)
                raw = self.trees.answer(left, moving, range(n_fixed, n_fixed + moving.shape[1]))
                won, lost = (1.0 / (1.0 + np.exp(-raw))).T
                total = np.maximum(won + lost, 1.0)
                won, lost = won / total, lost / total
            found[:, lag + 1] = still * won
            still = still * (1.0 - won - lost)
        return found


def learn_origin_model(snapshots: pd.DataFrame, table: Conversion, *, seed: int) -> OriginModel | None:
    """Learn from past snapshots; None where fewer than `LEAST_OUTCOMES` snapshots were won, or lost.

    Args:
        snapshots: Rows as `snapshots.learn_from` gives them.
        table: What was learned by due date and stage.
        seed: Seed of the fits.
    """
    decided = snapshots["lag"].notna() & (snapshots["lag"] < snapshots["watched"])
    won = int((decided & snapshots["won"]).sum())
    if min(won, int(decided.sum()) - won) < LEAST_OUTCOMES:
        return None
    lightgbm = lightgbm_alone()

    codes = {name: _codes(snapshots[name]) for name in _CATEGORIES}
    fixed = _fixed(snapshots, codes)
    parts, wins, losses = [], [], []
    lag_of = snapshots["lag"].fillna(MAX_LAG + 9).to_numpy()
    month, due = _months(snapshots)
    is_won, watched = snapshots["won"].to_numpy(dtype=bool), snapshots["watched"].to_numpy()
    for lag in range(_TOLD_APART):
        at_risk = np.flatnonzero((watched > lag) & (lag_of >= lag))
        parts.append(np.column_stack([fixed[at_risk], _moving(month[at_risk], due[at_risk], lag)]))
        ends = lag_of[at_risk] == lag
        wins.append(ends & is_won[at_risk])
        losses.append(ends & ~is_won[at_risk])
    matrix = np.concatenate(parts)
    options = {**_PARAMETERS, "seed": seed}
    places = list(range(len(_CATEGORIES)))
    label = [np.concatenate(ends).astype(np.float64) for ends in (wins, losses)]
    data = lightgbm.Dataset(matrix, label[0], categorical_feature=places, params=options).construct()
    # A copy of the sorted rows takes a tenth of the time of sorting them again.
    same_bins = data.subset(np.arange(len(matrix)), params=options).construct()
    same_bins.set_label(label[1])

    def fit(rows: Any) -> Any:
        return lightgbm.train(options, rows, num_boost_round=_ROUNDS)

    # Each is learned on one thread, so that it is the same to the bit on any number of cores; both at the same time.
    with ThreadPoolExecutor(max_workers=_THREADS) as pool:
        boosters = list(pool.map(fit, (data, same_bins)))
    return OriginModel(trees=LeafMasks(boosters), codes=codes, table=table)


def _codes(values: pd.Series) -> dict[str, int]:
    counted = values.dropna().astype(str).value_counts()
    most = sorted(counted.index, key=lambda name: (-counted[name], name))[:_MOST_CATEGORIES]
    return {name: code for code, name in enumerate(sorted(most))}


def _fixed(deals: pd.DataFrame, codes: dict[str, dict[str, int]]) -> FloatArray:
    moment = deals["moment"]
    start = moment.dt.tz_localize(None)
    columns: list[pd.Series] = [deals[name].map(codes[name]).fillna(-1) for name in _CATEGORIES]
    columns += [
        np.log1p(deals["amount_usd"]),
        (moment - deals["opened_at"]).dt.total_seconds() / _DAY_SECONDS,
        (deals["close_date"] - start).dt.days,
        (deals["next_step_date"] - start).dt.days,
        *(deals[name] for name in ("crm_probability", "stage_days", "moves", "moved_days", "amount_change")),
    ]
    return np.column_stack([column.to_numpy(dtype=np.float64) for column in columns])


def _months(deals: pd.DataFrame) -> tuple[NDArray[np.int64], FloatArray]:
    """Numbers of each row's month, and of the month of its close date; NaN without one."""
    close = deals["close_date"]
    due = (close.dt.year * 12 + close.dt.month - 1).to_numpy(dtype=np.float64)
    return deals["month"].to_numpy(dtype=np.int64), due


def _moving(month: NDArray[np.int64], due: FloatArray, lag: int) -> FloatArray:
    """Columns of the month `lag` ahead: how far, its place in the quarter, and the close date seen from it."""
    target = month + lag
    return np.column_stack([np.full(len(month), float(lag)), target % 3, np.clip(due - target, -6, 12)])
