"""The two tree libraries as `training.models.Model`: fit, margin, contributions, save, load.

Libraries are imported where they are used, so that a bundle loads only its own.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from common.errors import ContractError
from training.few_rows import MOST_ROWS, FewRows
from training.models import FitData, Model

Matrix = NDArray[np.float64]
Library = Literal["lightgbm", "xgboost"]
# Called after each round with (round, shifted log-loss on the stop rows); it may raise to stop a hopeless fit.
OnRound = Callable[[int, float], None]

_CLIP = 1e-7
_SHIFT_STEPS = 4


@dataclass(frozen=True)
class LightGbmTrees:
    """Trees of LightGBM."""

    booster: Any
    rounds: int
    library: Library = "lightgbm"

    def margin(self, matrix: Matrix, *, threads: int = 1) -> Matrix:
        """Log-odds, shape (n_rows,)."""
        margin = self.booster.predict(matrix, raw_score=True, num_threads=threads, num_iteration=self.rounds)
        return np.asarray(margin, dtype=np.float64)

    def contributions(self, matrix: Matrix, *, threads: int = 1) -> Matrix:
        """Shapley values, shape (n_rows, n_features + 1)."""
        values = self.booster.predict(matrix, pred_contrib=True, num_threads=threads, num_iteration=self.rounds)
        return np.asarray(values, dtype=np.float64)

    def save(self, folder: Path) -> None:
        """Write LightGBM's text format."""
        self.booster.save_model(str(folder / MODEL_FILES["lightgbm"]), num_iteration=self.rounds)


@dataclass(frozen=True)
class XgBoostTrees:
    """Trees of XGBoost."""

    booster: Any
    rounds: int
    library: Library = "xgboost"

    @cached_property
    def _few_rows(self) -> FewRows:
        return FewRows(self.booster, rounds=self.rounds, width=int(self.booster.num_features()))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_few_rows", "_threads")}

    def _use(self, threads: int) -> None:
        # Telling the booster takes longer than asking it for a row.
        if self.__dict__.get("_threads") != threads:
            self.booster.set_param({"nthread": threads})
            self.__dict__["_threads"] = threads

    def margin(self, matrix: Matrix, *, threads: int = 1) -> Matrix:
        """Log-odds, shape (n_rows,)."""
        self._use(threads)
        if 0 < len(matrix) <= MOST_ROWS:
            return self._few_rows.margin(matrix)
        # The matrix is our own; to have its width looked up and checked takes twice as long as the prediction.
        margin = self.booster.inplace_predict(
            matrix, iteration_range=(0, self.rounds), predict_type="margin", validate_features=False
        )
        return np.asarray(margin, dtype=np.float64)

    def contributions(self, matrix: Matrix, *, threads: int = 1) -> Matrix:
        """Shapley values, shape (n_rows, n_features + 1)."""
        xgboost = _import_library("xgboost")
        self._use(threads)
        rows = xgboost.DMatrix(matrix, nthread=threads)
        values = self.booster.predict(rows, pred_contribs=True, iteration_range=(0, self.rounds))
        return np.asarray(values, dtype=np.float64)

    def save(self, folder: Path) -> None:
        """Write XGBoost's binary JSON."""
        self.booster[: self.rounds].save_model(str(folder / MODEL_FILES["xgboost"]))


def shifted_log_loss(label: Matrix, probability: Matrix) -> float:
    """Log-loss after the one shift of all log-odds that makes it least.

    A base rate that moved is the calibration's to repair. On the plain log-loss it would end a fit at once.

    Args:
        label: 0 or 1 per row.
        probability: Predicted probability per row.
    """
    return float(shifted_loss_rows(label, probability).mean())


def shifted_loss_rows(label: Matrix, probability: Matrix) -> Matrix:
    """The log-loss of each row after that shift, shape (n_rows,)."""
    clipped = np.clip(np.asarray(probability, dtype=np.float64), _CLIP, 1.0 - _CLIP)
    margin = np.log(clipped) - np.log1p(-clipped)
    outcome = np.asarray(label, dtype=np.float64)
    shift = 0.0
    for _ in range(_SHIFT_STEPS):
        shifted = 1.0 / (1.0 + np.exp(-(margin + shift)))
        slope = float((shifted * (1.0 - shifted)).sum())
        shift += float(np.clip((outcome - shifted).sum() / max(slope, _CLIP), -1.0, 1.0))
    margin = margin + shift
    return np.asarray(np.logaddexp(0.0, margin) - outcome * margin, dtype=np.float64)


def _import_library(name: str) -> Any:
    """Import a tree library, its threads told to sleep while they wait.

    OpenMP's threads spin by default. Where cores are shared, a fit on two threads then took ten times as long
    (measured here: 11.5 s against 1.1 s). Read when the library is loaded; a value the user has set stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return importlib.import_module(name)


MODEL_FILES: dict[str, str] = {"lightgbm": "model.txt", "xgboost": "model.ubj"}


def load_trees(library: str, folder: Path) -> Model:
    """Read trees that `save` wrote into `folder`."""
    path = folder / MODEL_FILES[library]
    if library == "lightgbm":
        lightgbm = _import_library("lightgbm")

        gbm = lightgbm.Booster(model_str=_whole_text(path))
        return LightGbmTrees(gbm, int(gbm.num_trees()))
    xgboost = _import_library("xgboost")

    xgb = xgboost.Booster()
    xgb.load_model(str(path))
    return XgBoostTrees(xgb, int(xgb.num_boosted_rounds()))


def _whole_text(path: Path) -> str:
    """LightGBM's text; it ends the whole process when it reads one that was cut short, so that is looked at before."""
    text = path.read_text(encoding="utf-8")
    if "\nend of trees\n" not in text:
        raise ContractError(
            f"The model in {path} was cut short", expected="LightGBM's text up to 'end of trees'",
            got=f"{len(text)} characters", next_step="fetch the bundle again: remove its folder; or train again",
        )  # fmt: skip
    return text


def with_rounds(model: Model, rounds: int) -> Model:
    """Trees cut to their first rounds, or with all they have where those are fewer; another kind as it is."""
    if isinstance(model, LightGbmTrees):
        return LightGbmTrees(model.booster, min(rounds, int(model.booster.num_trees())))
    if isinstance(model, XgBoostTrees):
        return XgBoostTrees(model.booster, min(rounds, int(model.booster.num_boosted_rounds())))
    return model


def fit_trees(
    library: Library,
    params: Mapping[str, Any],
    data: FitData,
    *,
    rounds: int,
    patience: int = 25,
    threads: int,
    seed: int,
    on_round: OnRound | None = None,
) -> Model:
    """Fit trees on log-loss; with stop rows, keep the round whose shifted log-loss was least on them.

    Args:
        library: `lightgbm` or `xgboost`.
        params: The library's own parameters.
        data: Rows and what the columns are.
        rounds: Most rounds to fit.
        patience: Rounds without a better figure on the stop rows after which the fit ends.
        threads: Threads of the fit.
        seed: Seed of the fit.
        on_round: Told the shifted log-loss on the stop rows after each round.
    """
    fit = _fit_lightgbm if library == "lightgbm" else _fit_xgboost
    return fit(params, data, rounds=rounds, patience=patience, threads=threads, seed=seed, on_round=on_round)


def _fit_lightgbm(
    params: Mapping[str, Any],
    data: FitData,
    *,
    rounds: int,
    patience: int,
    threads: int,
    seed: int,
    on_round: OnRound | None,
) -> Model:
    lightgbm = _import_library("lightgbm")

    fixed = {
        "objective": "binary",
        "metric": "None",
        "verbosity": -1,
        "num_threads": threads,
        "seed": seed,
        "deterministic": True,
        "force_col_wise": True,
    }
    if any(data.monotone):
        fixed["monotone_constraints"] = list(data.monotone)
    options = {"categorical_feature": list(data.categorical), "params": {"verbosity": -1, "num_threads": threads}}
    train = lightgbm.Dataset(data.matrix, data.label, weight=data.weight, free_raw_data=True, **options)
    callbacks: list[Any] = []
    valid: list[Any] = []
    if data.stop_matrix is not None:
        valid = [lightgbm.Dataset(data.stop_matrix, data.stop_label, reference=train, **options)]
        callbacks.append(lightgbm.early_stopping(patience, verbose=False))
        if on_round is not None:
            callbacks.append(lambda env: on_round(env.iteration, float(env.evaluation_result_list[0][2])))
    booster = lightgbm.train(
        {**fixed, **params},
        train,
        rounds,
        valid_sets=valid,
        feval=lambda probability, rows: ("loss", shifted_log_loss(rows.get_label(), probability), False),
        callbacks=callbacks,
    )
    best = booster.best_iteration if data.stop_matrix is not None and booster.best_iteration > 0 else rounds
    return LightGbmTrees(booster, min(int(best), int(booster.num_trees())))


def _fit_xgboost(
    params: Mapping[str, Any],
    data: FitData,
    *,
    rounds: int,
    patience: int,
    threads: int,
    seed: int,
    on_round: OnRound | None,
) -> Model:
    xgboost = _import_library("xgboost")

    class Rounds(xgboost.callback.TrainingCallback):  # type: ignore[misc, name-defined]
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:  # noqa: ARG002
            if on_round is not None:
                on_round(epoch, float(evals_log["stop"]["loss"][-1]))
            return False

    fixed = {
        "objective": "binary:logistic",
        "disable_default_eval_metric": True,
        "verbosity": 0,
        "nthread": threads,
        "seed": seed,
        "tree_method": "hist",
    }
    if any(data.monotone):
        fixed["monotone_constraints"] = "(" + ",".join(str(sign) for sign in data.monotone) + ")"
    train = xgboost.DMatrix(data.matrix, data.label, weight=data.weight, nthread=threads)
    extra: dict[str, Any] = {}
    if data.stop_matrix is not None:
        stop = xgboost.DMatrix(data.stop_matrix, data.stop_label, nthread=threads)
        extra = {
            "evals": [(stop, "stop")],
            "custom_metric": lambda probability, rows: ("loss", shifted_log_loss(rows.get_label(), probability)),
            "early_stopping_rounds": patience,
            "callbacks": [Rounds()],
        }
    booster = xgboost.train({**fixed, **params}, train, rounds, verbose_eval=False, **extra)
    best = int(booster.best_iteration) + 1 if data.stop_matrix is not None else rounds
    return XgBoostTrees(booster, best)
