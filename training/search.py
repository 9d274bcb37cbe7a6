"""The kinds of model that compete, where their parameters are searched, and how one of them is fitted.

Many weak features and many rows of few entities are the rule in sales data, so the ranges reach far towards strong
regularisation: few leaves, large leaves, a small share of the features per tree, random thresholds (`extra_trees`),
strong ridge; for the regression both penalties. What worked last year may not work now, so every kind may leave out
the features that move with the calendar (`steady`), and may let old rows fade (`memory`). Class imbalance is left as it
is: log-loss needs no balance, and resampling or class weights would distort the probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from training.models import FitData, Model
from training.trees import OnRound, fit_trees

Kind = Literal["lightgbm", "xgboost", "linear"]
KINDS: tuple[Kind, ...] = ("lightgbm", "linear", "xgboost")
SEARCH_VERSION = 5
"""Part of a study's name: trials of another search cannot be continued."""

MAX_ROUNDS = 400
PATIENCE = 25

# Small steps generalise better (Friedman 2001); with large ones a few rounds win a noisy slice by luck.
_LEARNING_RATES = (0.05, 0.1)
# Half-lives with which old rows fade, as shares of the past; 0: all count alike.
_MEMORIES = (0.0, 0.5, 0.2)
# All kinds meet in every study, each first with settings that are rarely bad.
FIRST_TRIALS: tuple[dict[str, Any], ...] = (
    {
        "library": "lightgbm",
        "lightgbm_learning_rate": 0.06,
        "lightgbm_num_leaves": 8,
        "lightgbm_min_data_in_leaf": 100,
        "lightgbm_feature_fraction": 0.4,
        "lightgbm_bagging_fraction": 0.8,
        "lightgbm_lambda_l2": 10.0,
        "lightgbm_extra_trees": True,
        "lightgbm_steady": False,
        "lightgbm_memory": 0.0,
    },
    {
        "library": "linear",
        "linear_ridge_rows": 10.0,
        "linear_lasso_rows": 3.0,
        "linear_segments": 4,
        "linear_steady": True,
        "linear_memory": 0.0,
    },
    {
        "library": "xgboost",
        "xgboost_learning_rate": 0.08,
        "xgboost_max_depth": 3,
        "xgboost_min_child_weight": 20.0,
        "xgboost_colsample_bynode": 0.4,
        "xgboost_subsample": 0.8,
        "xgboost_reg_lambda": 10.0,
        "xgboost_steady": True,
        "xgboost_memory": 0.5,
    },
)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One kind of model with its parameters.

    Args:
        kind: Kind of model.
        params: Its parameters; among them `steady`, whether features that drift are left out, and `memory`, the
            half-life with which old rows fade.
        rounds: Boosting rounds; 0 where there are none.
        log_loss: Shifted log-loss on the later slices of the past.
    """

    kind: Kind
    params: Mapping[str, Any]
    rounds: int
    log_loss: float


def suggest(trial: Any) -> tuple[Kind, dict[str, Any]]:
    """Let a trial of Optuna choose a kind and its parameters."""
    kind: Kind = trial.suggest_categorical("library", list(KINDS))
    params = {"lightgbm": _suggest_lightgbm, "xgboost": _suggest_xgboost, "linear": _suggest_linear}[kind](trial)
    shared = {
        "steady": trial.suggest_categorical(f"{kind}_steady", [False, True]),
        "memory": trial.suggest_categorical(f"{kind}_memory", list(_MEMORIES)),
    }
    return kind, {**params, **shared}


def _suggest_lightgbm(trial: Any) -> dict[str, Any]:
    return {
        "learning_rate": trial.suggest_float("lightgbm_learning_rate", *_LEARNING_RATES, log=True),
        "num_leaves": trial.suggest_int("lightgbm_num_leaves", 3, 32, log=True),
        "min_data_in_leaf": trial.suggest_int("lightgbm_min_data_in_leaf", 15, 600, log=True),
        "feature_fraction": trial.suggest_float("lightgbm_feature_fraction", 0.2, 1.0),
        "bagging_fraction": trial.suggest_float("lightgbm_bagging_fraction", 0.5, 1.0),
        "lambda_l2": trial.suggest_float("lightgbm_lambda_l2", 0.1, 100.0, log=True),
        "extra_trees": trial.suggest_categorical("lightgbm_extra_trees", [False, True]),
        "bagging_freq": 1,
    }


def _suggest_xgboost(trial: Any) -> dict[str, Any]:
    return {
        "learning_rate": trial.suggest_float("xgboost_learning_rate", *_LEARNING_RATES, log=True),
        "max_depth": trial.suggest_int("xgboost_max_depth", 1, 6),
        "min_child_weight": trial.suggest_float("xgboost_min_child_weight", 1.0, 200.0, log=True),
        "colsample_bynode": trial.suggest_float("xgboost_colsample_bynode", 0.2, 1.0),
        "subsample": trial.suggest_float("xgboost_subsample", 0.5, 1.0),
        "reg_lambda": trial.suggest_float("xgboost_reg_lambda", 0.1, 100.0, log=True),
    }


def _suggest_linear(trial: Any) -> dict[str, Any]:
    return {
        "ridge_rows": trial.suggest_float("linear_ridge_rows", 0.3, 1_000.0, log=True),
        "lasso_rows": trial.suggest_float("linear_lasso_rows", 0.3, 60.0, log=True),
        "segments": trial.suggest_int("linear_segments", 0, 6, step=2),
    }


def fit_candidate(
    kind: Kind,
    params: Mapping[str, Any],
    data: FitData,
    *,
    rounds: int | None,
    threads: int,
    seed: int,
    on_round: OnRound | None = None,
) -> Model:
    """Fit one kind.

    Args:
        kind: Kind of model.
        params: As `suggest` gave them.
        data: Rows, and the later rows that stop the fit where there are any.
        rounds: Boosting rounds; None to let `data.stop_matrix` decide.
        threads: Threads of the fit.
        seed: Seed of the fit.
        on_round: Told the shifted log-loss on the later rows after each round.
    """
    own = {name: value for name, value in params.items() if name not in ("steady", "memory")}
    rows = without(data, data.drifting) if params.get("steady") else data
    rows = fading(rows, params.get("memory"))
    if kind == "linear":
        from training.linear import fit_linear

        return fit_linear(own, rows)
    most = MAX_ROUNDS if rounds is None else rounds
    return fit_trees(kind, own, rows, rounds=most, patience=PATIENCE, threads=threads, seed=seed, on_round=on_round)


def fading(data: FitData, memory: float | None) -> FitData:
    """The rows with weights that fall by half after each half-life, on top of those they have, their mean 1.

    Args:
        data: Rows with their ages.
        memory: Half-life as a share of the oldest row's age; None or 0 to let all rows count alike.
    """
    if not memory or data.age_days is None or not len(data.age_days) or data.age_days.max() <= 0:
        return data
    weight = 0.5 ** (data.age_days / (memory * data.age_days.max()))
    if data.weight is not None:
        weight = weight * data.weight
    return replace(data, weight=weight / weight.mean())


def without(data: FitData, columns: Sequence[int]) -> FitData:
    """The rows with some columns emptied, so that no model takes anything from them."""
    if not len(columns):
        return data

    def emptied(matrix: Any) -> Any:
        copy = np.array(matrix, dtype=np.float64)
        copy[:, list(columns)] = np.nan
        return copy

    stop = None if data.stop_matrix is None else emptied(data.stop_matrix)
    categorical = [at for at in data.categorical if at not in set(columns)]
    return replace(data, matrix=emptied(data.matrix), stop_matrix=stop, categorical=categorical)
