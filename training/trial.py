"""One trial of a study: a kind with its parameters, fitted before rolling origins and judged on the rows after them.

The objective is the log-loss after the best shift of the base rate (`trees.shifted_log_loss`), averaged over the
slices: the calibration repairs the level, the study chooses what ranks and spreads best. Trees are judged by one number
of rounds for all slices, so that stopping early on each of them flatters nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.models import FitData, Model
from training.search import FIRST_TRIALS, Kind, fit_candidate, suggest
from training.trees import OnRound, shifted_log_loss, shifted_loss_rows, with_rounds

Vector = NDArray[np.float64]

DRIFT_TOLL = 0.01
"""Share of the log-loss by which a candidate with drifting features must be better than one without."""
BLOCKS = 10
"""Stretches of a slice, one after the other in time, whose losses tell how sure a difference of two trials is."""


def run_trial(trial: Any, slices: Sequence[FitData], *, threads: int, seed: int, watch: OnRound) -> float:
    """Let Optuna's trial choose, fit and judge; the shifted log-loss, with its toll.

    The trial keeps its rounds, its parameters, and its loss by stretch of time.

    Args:
        trial: Trial of Optuna.
        slices: Rows to fit on and the later rows that judge, newest slice first.
        threads: Threads of a fit.
        seed: Seed of every fit.
        watch: Told each round's loss; it may raise to end the trial.
    """
    import optuna

    kind, params = suggest(trial)
    is_first = trial.number < len(FIRST_TRIALS)
    toll = _toll(params, slices)
    curves: list[Vector] = []
    models: list[Model] = []
    best = (np.inf, 0)
    for place, data in enumerate(slices):
        curve, model = fitted_curve(kind, params, data, threads=threads, seed=seed, watch=watch)
        curves.append(curve)
        models.append(model)
        loss, rounds = common_best(curves, [len(_judged(part)[1]) for part in slices[: place + 1]])
        best = (loss * toll, rounds)
        trial.report(best[0], place + 1)
        if place + 1 < len(slices) and not is_first and trial.should_prune():
            raise optuna.TrialPruned
    trial.set_user_attr("rounds", 0 if kind == "linear" else best[1])
    trial.set_user_attr("params", params)
    trial.set_user_attr("blocks", [toll * loss for loss in _block_losses(models, slices, best[1], threads=threads)])
    return best[0]


def _toll(params: Mapping[str, Any], slices: Sequence[FitData]) -> float:
    """What features that move with the calendar have to earn.

    On the few regimes that a history holds, they win a slice by luck: what went with a low rate last spring need not go
    with one next year.
    """
    return 1.0 + DRIFT_TOLL if len(slices[0].drifting) and not params["steady"] else 1.0


def _judged(data: FitData) -> tuple[Vector, Vector]:
    if data.stop_matrix is None or data.stop_label is None:
        raise ValueError("A study needs later rows that judge.")
    return data.stop_matrix, data.stop_label


def loss_curve(
    kind: Kind, params: Mapping[str, Any], data: FitData, *, threads: int, seed: int, watch: OnRound | None = None
) -> Vector:
    """Shifted log-loss on the later rows after each round; a single one for a kind without rounds."""
    return fitted_curve(kind, params, data, threads=threads, seed=seed, watch=watch)[0]


def fitted_curve(
    kind: Kind, params: Mapping[str, Any], data: FitData, *, threads: int, seed: int, watch: OnRound | None = None
) -> tuple[Vector, Model]:
    """The curve of `loss_curve`, and the model that has all its rounds."""
    losses: list[float] = []

    def on_round(round_: int, loss: float) -> None:
        losses.append(loss)
        if watch is not None:
            watch(round_, loss)

    model = fit_candidate(kind, params, data, rounds=None, threads=threads, seed=seed, on_round=on_round)
    if not losses:
        matrix, label = _judged(data)
        losses.append(shifted_log_loss(label, _probability(model, matrix, threads=threads)))
        if watch is not None:
            watch(0, losses[-1])
    return np.array(losses), model


def common_best(curves: Sequence[Vector], rows: Sequence[int]) -> tuple[float, int]:
    """Least mean loss over the slices at one number of rounds, and that number.

    A curve that was stopped goes on as it ended.

    Args:
        curves: Loss after each round, by slice.
        rows: Rows that judge, by slice: its weight.

    Example:
        >>> common_best([np.array([3.0, 1.0, 2.0]), np.array([3.0, 4.0])], [10, 10])
        (2.5, 2)
    """
    length = max(len(curve) for curve in curves)
    padded = [np.concatenate([curve, np.full(length - len(curve), curve[-1])]) for curve in curves]
    mean = np.average(padded, axis=0, weights=np.array(rows, dtype=np.float64))
    return float(mean.min()), int(mean.argmin()) + 1


def _block_losses(models: Sequence[Model], slices: Sequence[FitData], rounds: int, *, threads: int) -> list[float]:
    """The mean loss over all slices as a sum of its stretches' shares, slice by slice, oldest stretch first.

    LightGBM lets go of the rounds after the best on a slice, so there the sum may be lower than the objective by some
    1e-4 of it.
    """
    count = sum(len(_judged(data)[1]) for data in slices)
    found: list[float] = []
    for model, data in zip(models, slices, strict=True):
        matrix, label = _judged(data)
        losses = shifted_loss_rows(label, _probability(with_rounds(model, rounds), matrix, threads=threads))
        found += [float(part.sum()) / count for part in np.array_split(losses, BLOCKS)]
    return found


def _probability(model: Model, matrix: Vector, *, threads: int) -> Vector:
    margin = model.margin(matrix, threads=threads)
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(margin, -40.0, 40.0))))
