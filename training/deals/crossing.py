"""Cross-fitted answers of one of the two models, and their level: what models say of a deal that they had not seen.

The answers of every period are calibrated by what came, and shifted period by period, so that they add up to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from training.blend import BlendModel
from training.calibration import Calibration, choose_calibration, logit, sigmoid
from training.deals.periods import N_PERIODS, PERIOD_DAYS, every_period
from training.deals.pieces import Piece
from training.fit_rows import rows_of
from training.linear import LinearModel
from training.models import Model
from training.splits import Entities, entity_folds
from training.winner import Winner

Vector = NDArray[np.float64]

_FOLDS = 3
_NEWTON_STEPS = 12
# Weight of the two made-up answers that hold a period's shift towards 0.
_PRIOR = 5.0


@dataclass(frozen=True, kw_only=True)
class Levelled:
    """Cross-fitted answers brought to the level of what came.

    Args:
        calibration: The calibration of the log-odds.
        shift: Added to them then, by period, shape (N_PERIODS,).
        losses: Forward log-loss of each calibration that was tried.
        probability: The answers, shape (n_snapshots, N_PERIODS).
    """

    calibration: Calibration
    shift: Vector
    losses: Mapping[str, float]
    probability: Vector


def cross_fitted(winner: Winner, piece: Piece, matrix: Vector, entity: Entities, *, threads: int, seed: int) -> Vector:
    """Log-odds of every snapshot in every period, each from a model that had not seen its deal.

    Args:
        winner: What is fitted.
        piece: The rows it is fitted on.
        matrix: All snapshots, shape (n_snapshots, n_features).
        entity: Their deals.
        threads: Threads of all fits together.
        seed: Seed of the folds and of every fit.

    Returns:
        Shape (n_snapshots, N_PERIODS).
    """
    fold = entity_folds(entity, folds=_FOLDS, seed=seed)
    others = [np.flatnonzero(fold[piece.periods.row] != held) for held in range(_FOLDS)]
    rows = [partial(rows_of, piece.data, rest) for rest in others]
    margin = np.empty((len(matrix), N_PERIODS))
    for held, model in enumerate(winner.fit_on_each(rows, threads=threads, seed=seed)):
        mine = np.flatnonzero(fold == held)
        margin[mine] = by_period(model, matrix[mine], threads=threads)
    return margin


def by_period(model: Model, matrix: Vector, *, threads: int) -> Vector:
    """Log-odds of each snapshot in every period, shape (n_snapshots, N_PERIODS).

    In a regression features do not interact, so the period adds the same to all snapshots: one answer each is enough.

    Args:
        model: Reads the period as a last column.
        matrix: Snapshots, shape (n_snapshots, n_features).
        threads: Threads to use.
    """
    if isinstance(model, BlendModel):
        parts = [by_period(part, matrix, threads=threads) for part in model.parts]
        total = np.full((len(matrix), N_PERIODS), model.shift)
        for weight, part in zip(model.weights, parts, strict=True):
            total += weight * part
        return total
    if isinstance(model, LinearModel) and len(matrix):
        first = model.margin(np.column_stack([matrix, np.full(len(matrix), PERIOD_DAYS[0])]), threads=threads)
        one = model.margin(every_period(matrix[:1]), threads=threads)
        return np.asarray(first[:, None] + (one - one[0]))
    return model.margin(every_period(matrix), threads=threads).reshape(-1, N_PERIODS)


def levelled(piece: Piece, margin: Vector) -> Levelled:
    """Calibrate log-odds (n_snapshots, N_PERIODS) by the piece's own outcomes, and shift them period by period."""
    rows, order = piece.periods, np.argsort(piece.when, kind="stable")
    calibration, losses = choose_calibration(margin[rows.row, rows.period][order], piece.data.label[order])
    odds = logit(calibration.apply(margin.reshape(-1))).reshape(-1, N_PERIODS)
    shift = period_shifts(odds[rows.row, rows.period], piece.data.label, rows.period)
    return Levelled(calibration=calibration, shift=shift, losses=losses, probability=sigmoid(odds + shift))


def period_shifts(odds: Vector, label: Vector, period: NDArray[np.int64]) -> Vector:
    """What to add to the log-odds of each period so that its expected answers add up to those that came.

    A model of all periods is right on the whole, and may be too high in one and too low in the next. Each shift is held
    towards 0 by five made-up answers of either kind, which tell where a period has few rows.

    Args:
        odds: Calibrated log-odds of rows that their model had not seen.
        label: 0 or 1 per row.
        period: Period of each row.
    """
    shifts = np.zeros(N_PERIODS)
    for number in range(N_PERIODS):
        rows = period == number
        margin = np.append(odds[rows], [0.0, 0.0])
        outcome = np.append(label[rows], [0.0, 1.0])
        weight = np.append(np.ones(int(rows.sum())), [_PRIOR, _PRIOR])
        for _ in range(_NEWTON_STEPS):
            expected = sigmoid(margin + shifts[number])
            gap = float((weight * (outcome - expected)).sum())
            slope = float((weight * expected * (1.0 - expected)).sum())
            shifts[number] += float(np.clip(gap / max(slope, 1e-9), -1.0, 1.0))
    return shifts
