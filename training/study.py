"""The study: Optuna over LightGBM and XGBoost, log-loss on later rows, successive halving, resumable.

The objective is the log-loss after the best shift of the base rate (`trees.shifted_log_loss`): the calibration repairs
the level, the study chooses what ranks and spreads best.

The journal file is named by the model; the study in it by the training frame's fingerprint, so that a second run on the
same frame goes on where the first one ended, and a new frame starts afresh.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from training.models import FitData, Model
from training.trees import Library, OnRound, fit_trees

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]

MAX_ROUNDS = 400
TRIAL_ROWS = 30_000
_PATIENCE = 25
_REPORT_EVERY = 10
_HALVING_FROM = 2
# Small steps generalise better (Friedman 2001); with large ones a few rounds win a noisy slice by luck.
_LEARNING_RATES = (0.02, 0.1)
# Both libraries meet in every study, each first with settings that are rarely bad.
FIRST_TRIALS: tuple[dict[str, Any], ...] = (
    {
        "library": "lightgbm",
        "lightgbm_learning_rate": 0.06,
        "lightgbm_num_leaves": 15,
        "lightgbm_min_data_in_leaf": 60,
        "lightgbm_feature_fraction": 0.7,
        "lightgbm_bagging_fraction": 0.8,
        "lightgbm_lambda_l2": 1.0,
    },
    {
        "library": "xgboost",
        "xgboost_learning_rate": 0.08,
        "xgboost_max_depth": 4,
        "xgboost_min_child_weight": 10.0,
        "xgboost_colsample_bytree": 0.7,
        "xgboost_subsample": 0.8,
        "xgboost_reg_lambda": 1.0,
    },
)


@dataclass(frozen=True)
class Trial:
    """One trial, as the report shows it."""

    number: int
    state: Literal["complete", "pruned", "failed"]
    library: str
    log_loss: float | None
    rounds: int | None
    seconds: float
    params: dict[str, Any]


@dataclass(frozen=True)
class StudyResult:
    """The study's winner.

    Args:
        library: Library of the best trial.
        params: The library's own parameters.
        rounds: Rounds that were best.
        log_loss: Shifted log-loss of the best trial on the tuning slice.
        trials: All trials, those of earlier runs too.
        reused: Trials that an earlier run had already made.
    """

    library: Library
    params: dict[str, Any]
    rounds: int
    log_loss: float
    trials: tuple[Trial, ...]
    reused: int


def run_study(
    data: FitData,
    *,
    journal: Path,
    fingerprint: str,
    trials: int,
    threads: int,
    seed: int,
    progress: Progress | None = None,
) -> StudyResult:
    """Search both libraries for the least log-loss on `data.stop_matrix`.

    Args:
        data: Rows to fit on and the later rows that judge. Beyond 30 000 rows the trials see a random part.
        journal: Journal file; made if missing.
        fingerprint: Digest of the frame, names the study.
        trials: Trials the study shall have in all; those already in the journal count.
        threads: Threads of a fit.
        seed: Seed of the sampler and of every fit.
        progress: Told (what, done, total) after each trial.
    """
    import optuna

    if data.stop_label is None:
        raise ValueError("A study needs later rows that judge.")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal.parent.mkdir(parents=True, exist_ok=True)
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(journal)))
    study = optuna.create_study(
        study_name=fingerprint,
        storage=storage,
        load_if_exists=True,
        direction="minimize",
        sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=4),
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=_HALVING_FROM, reduction_factor=2),
    )
    finished = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    reused = len(study.get_trials(deepcopy=False, states=finished))
    if reused == 0:
        for first in FIRST_TRIALS[:trials]:
            study.enqueue_trial(first, skip_if_exists=True)
    part = _part(data, seed=seed)

    def objective(trial: Any) -> float:
        return _run_trial(trial, part, threads=threads, seed=seed)

    for done in range(reused, trials):
        study.optimize(objective, n_trials=1)
        if progress is not None:
            progress("tuning", done + 1, trials)
    return _result(study, reused=min(reused, trials))


def fit_winner(data: FitData, winner: StudyResult, *, rounds: int | None, threads: int, seed: int) -> Model:
    """Fit the winner's parameters for `rounds` rounds, or until `data.stop_matrix` says stop where that is None."""
    most = MAX_ROUNDS * 2 if rounds is None else rounds
    return fit_trees(winner.library, winner.params, data, rounds=most, patience=_PATIENCE, threads=threads, seed=seed)


def _part(data: FitData, *, seed: int) -> FitData:
    """A random part of the rows that train, in their order; the rows that judge likewise."""
    generator = np.random.default_rng(seed)
    train = _draw(generator, len(data.label))
    stop_label = data.stop_label if data.stop_label is not None else data.label
    stop = _draw(generator, len(stop_label))
    stop_matrix = None if data.stop_matrix is None else data.stop_matrix[stop]
    return replace(
        data, matrix=data.matrix[train], label=data.label[train], stop_matrix=stop_matrix, stop_label=stop_label[stop]
    )


def _draw(generator: np.random.Generator, count: int) -> NDArray[np.int64]:
    if count <= TRIAL_ROWS:
        return np.arange(count)
    return np.sort(generator.choice(count, TRIAL_ROWS, replace=False))


def _suggest(trial: Any) -> tuple[Library, dict[str, Any]]:
    library: Library = trial.suggest_categorical("library", ["lightgbm", "xgboost"])
    if library == "lightgbm":
        params = {
            "learning_rate": trial.suggest_float("lightgbm_learning_rate", *_LEARNING_RATES, log=True),
            "num_leaves": trial.suggest_int("lightgbm_num_leaves", 4, 48, log=True),
            "min_data_in_leaf": trial.suggest_int("lightgbm_min_data_in_leaf", 15, 300, log=True),
            "feature_fraction": trial.suggest_float("lightgbm_feature_fraction", 0.4, 1.0),
            "bagging_fraction": trial.suggest_float("lightgbm_bagging_fraction", 0.5, 1.0),
            "lambda_l2": trial.suggest_float("lightgbm_lambda_l2", 0.01, 30.0, log=True),
        }
        return library, {**params, "bagging_freq": 1}
    return library, {
        "learning_rate": trial.suggest_float("xgboost_learning_rate", *_LEARNING_RATES, log=True),
        "max_depth": trial.suggest_int("xgboost_max_depth", 2, 6),
        "min_child_weight": trial.suggest_float("xgboost_min_child_weight", 1.0, 60.0, log=True),
        "colsample_bytree": trial.suggest_float("xgboost_colsample_bytree", 0.4, 1.0),
        "subsample": trial.suggest_float("xgboost_subsample", 0.5, 1.0),
        "reg_lambda": trial.suggest_float("xgboost_reg_lambda", 0.1, 30.0, log=True),
    }


def _run_trial(trial: Any, data: FitData, *, threads: int, seed: int) -> float:
    import optuna

    library, params = _suggest(trial)
    best = [float("inf"), 0.0]

    def watch(round_: int, loss: float) -> None:
        if loss < best[0]:
            best[:] = [loss, float(round_ + 1)]
        if (round_ + 1) % _REPORT_EVERY == 0:
            trial.report(best[0], (round_ + 1) // _REPORT_EVERY)
            if trial.should_prune():
                raise optuna.TrialPruned

    on_round: OnRound = watch
    fit_trees(
        library, params, data, rounds=MAX_ROUNDS, patience=_PATIENCE, threads=threads, seed=seed, on_round=on_round
    )
    trial.set_user_attr("rounds", int(best[1]))
    trial.set_user_attr("params", params)
    return best[0]


def _result(study: Any, *, reused: int) -> StudyResult:
    best = study.best_trial
    trials = tuple(_trial(trial) for trial in study.get_trials(deepcopy=False) if trial.state.is_finished())
    return StudyResult(
        library=best.params["library"],
        params=dict(best.user_attrs["params"]),
        rounds=int(best.user_attrs["rounds"]),
        log_loss=float(best.value),
        trials=trials,
        reused=reused,
    )


def _trial(trial: Any) -> Trial:
    states: dict[str, Literal["complete", "pruned", "failed"]] = {"COMPLETE": "complete", "PRUNED": "pruned"}
    values = list(trial.intermediate_values.values())
    value = trial.value if trial.value is not None else (min(values) if values else None)
    return Trial(
        number=trial.number,
        state=states.get(trial.state.name, "failed"),
        library=str(trial.params.get("library", "")),
        log_loss=None if value is None else float(value),
        rounds=trial.user_attrs.get("rounds"),
        seconds=trial.duration.total_seconds() if trial.duration else 0.0,
        params={name.split("_", 1)[1]: v for name, v in trial.params.items() if name != "library"},
    )
