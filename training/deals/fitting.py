"""Fitting the two models of competing risks: rows per period, a study each, cross-fitted answers, calibrations."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from training.calibration import Calibration, choose_calibration, logit, sigmoid
from training.deals.continuation import continued
from training.deals.hazards import Futures
from training.deals.model import LIBRARY, CompetingRisks, Part, make_part
from training.deals.periods import N_PERIODS, every_period
from training.deals.pieces import Piece, Snapshots
from training.fit_rows import rows_of
from training.record import study_from_record, study_to_record
from training.splits import MIN_TEST_OUTCOMES, MIN_TRAIN_OUTCOMES, entity_folds
from training.study import Progress, StudyResult, run_study
from training.trees import shifted_loss_rows
from training.winner import Winner, choose_winner

Vector = NDArray[np.float64]
logger = logging.getLogger(__name__)

PARTS = ("closing", "winning")
_FOLDS = 3
_REFERENCE_ROWS = 400
_NEWTON_STEPS = 12
# The newest snapshots judge whether to learn from outcomes told on; it has to be better by so many standard errors.
_JUDGED_SHARE, _SURE = 0.3, 2.0
# Weight of the two made-up answers that hold a period's shift towards 0.
_PRIOR = 5.0


@dataclass(frozen=True, kw_only=True)
class Search:
    """How parameters are searched.

    Args:
        journal: Journal file of the studies.
        fingerprint: Digest of the frame, names them.
        trials: Trials of both studies together.
        threads: Threads of a fit.
        seed: Seed of every draw.
        workers: Processes that make trials.
        time_budget_minutes: When each study ends, whatever it has reached.
        settled: What an earlier training came to; no study is run then.
        progress: Told (what, done, total).
    """

    journal: Path
    fingerprint: str
    trials: int
    threads: int
    seed: int
    workers: int = 1
    time_budget_minutes: float | None = None
    settled: StudyResult | None = None
    progress: Progress | None = None


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What came of it.

    Args:
        model: The model, fitted on all snapshots.
        crossed: What models that had not seen a snapshot's deal say of it, calibrated.
        study: Both studies as one; its parameters hold theirs.
        losses: Forward log-loss of each calibration, by part and method.
    """

    model: CompetingRisks
    crossed: Futures
    study: StudyResult
    losses: Mapping[str, float]


def fit_competing_risks(snapshots: Snapshots, search: Search) -> Fitted:
    """Fit, cross-fit and calibrate both models.

    Parameters are searched and calibrations chosen on what came. The models themselves learn from outcomes that a first
    pair of models tells on (`training.deals.continuation`), where that surely foretold the newest wins better.

    Args:
        snapshots: What they are fitted on.
        search: How parameters are searched.
    """
    pieces = snapshots.pieces(seed=search.seed)
    studies = {name: _study(piece, search, name=name) for name, piece in pieces.items()}
    winners = {
        name: choose_winner(studies[name], piece.origins, threads=search.threads, seed=search.seed)
        for name, piece in pieces.items()
    }
    fold = entity_folds(snapshots.entity, folds=_FOLDS, seed=search.seed)
    is_told_on = _is_better_told_on(snapshots, winners, search)
    lessons = _told_on(snapshots, winners, fold, search) if is_told_on else pieces
    reference = _reference(snapshots, seed=search.seed)
    parts: list[Part] = []
    answers: list[Vector] = []
    losses: dict[str, float] = {}
    for name, winner in winners.items():
        margin = _cross_fitted(winner, lessons[name], snapshots.matrix, fold, search)
        level = _levelled(pieces[name], margin)
        losses |= {f"{name}_{method}": loss for method, loss in level.losses.items()}
        model = winner.fit(lessons[name].data, threads=search.threads, seed=search.seed)
        parts.append(make_part(model, level.calibration, reference, shift=level.shift, threads=search.threads))
        answers.append(level.probability)
    return Fitted(
        model=CompetingRisks(closing=parts[0], winning=parts[1]),
        crossed=Futures(hazard=answers[0], share=answers[1]),
        study=_joined(studies),
        losses=losses,
    )


def _told_on(
    snapshots: Snapshots, winners: Mapping[str, Winner], fold: NDArray[np.int64], search: Search
) -> dict[str, Piece]:
    """The rows of both models with the outcomes that a first, cross-fitted pair tells on."""
    pieces = snapshots.pieces(seed=search.seed)
    first = {
        name: _levelled(pieces[name], _cross_fitted(winner, pieces[name], snapshots.matrix, fold, search)).probability
        for name, winner in winners.items()
    }
    outcomes = continued(
        snapshots.outcomes,
        as_of=snapshots.as_of,
        entity=snapshots.entity,
        futures=Futures(hazard=first["closing"], share=first["winning"]),
        seed=search.seed,
    )
    return replace(snapshots, outcomes=outcomes).pieces(seed=search.seed)


def _is_better_told_on(snapshots: Snapshots, winners: Mapping[str, Winner], search: Search) -> bool:
    """Whether a model that learns from outcomes told on surely foretold better who won in the newest part of the past.

    Everything before a moment, as it was known then, teaches both kinds; what came of later snapshots judges, deal by
    deal. Who wins decides, not when a deal ends: on bpic2012 the ends were foretold better and the wins were not.
    """
    times = snapshots.as_of.astype("datetime64[us]")
    moment = np.sort(times)[int(len(times) * (1.0 - _JUDGED_SHARE))]
    then = snapshots.take(np.flatnonzero(times < moment)).known_at(moment)
    newer = snapshots.take(np.flatnonzero(times >= moment))
    counts = [min(part.deals(0.0), part.deals(1.0)) for part in (then, newer)]
    if counts[0] < MIN_TRAIN_OUTCOMES or counts[1] < MIN_TEST_OUTCOMES:
        return False
    plain, judged = then.pieces(seed=search.seed), newer.pieces(seed=search.seed)
    fold = entity_folds(then.entity, folds=_FOLDS, seed=search.seed)
    told_on = _told_on(then, winners, fold, search)
    name, rows = "winning", judged["winning"].periods.row
    gain = np.subtract(*(_later_losses(winners[name], each[name], judged[name], search) for each in (plain, told_on)))
    deal = np.unique(newer.entity[rows].astype(str), return_inverse=True)[1]
    spread = np.bincount(deal, gain - gain.mean())
    error = float(np.sqrt((spread**2).sum())) / len(gain)
    logger.info("outcomes told on take %.4f (error %.4f) off the later log-loss of winning", gain.mean(), error)
    return bool(gain.mean() > _SURE * error)


def _later_losses(winner: Winner, lessons: Piece, judged: Piece, search: Search) -> Vector:
    """Log-loss of each later row after the best shift of all."""
    model = winner.fit(lessons.data, threads=search.threads, seed=search.seed)
    said = sigmoid(model.margin(judged.data.matrix, threads=search.threads))
    return np.asarray(shifted_loss_rows(judged.data.label, said))


@dataclass(frozen=True, kw_only=True)
class _Levelled:
    """Cross-fitted answers brought to the level of what came: the calibration, the shifts, its losses, the answers."""

    calibration: Calibration
    shift: Vector
    losses: Mapping[str, float]
    probability: Vector


def _levelled(piece: Piece, margin: Vector) -> _Levelled:
    """Calibrate log-odds (n_snapshots, N_PERIODS) by the piece's own outcomes, and shift them period by period."""
    rows, order = piece.periods, np.argsort(piece.when, kind="stable")
    calibration, losses = choose_calibration(margin[rows.row, rows.period][order], piece.data.label[order])
    odds = logit(calibration.apply(margin.reshape(-1))).reshape(-1, N_PERIODS)
    shift = period_shifts(odds[rows.row, rows.period], piece.data.label, rows.period)
    return _Levelled(calibration=calibration, shift=shift, losses=losses, probability=sigmoid(odds + shift))


def _study(piece: Piece, search: Search, *, name: str) -> StudyResult:
    if search.settled is not None:
        return study_from_record(search.settled.params[name])
    return run_study(
        piece.origins,
        journal=search.journal,
        fingerprint=f"{search.fingerprint}-{name}",
        trials=math.ceil(search.trials / len(PARTS)),
        threads=search.threads,
        seed=search.seed,
        workers=search.workers,
        time_budget_minutes=search.time_budget_minutes,
        progress=search.progress,
    )


def _cross_fitted(winner: Winner, piece: Piece, matrix: Vector, fold: NDArray[np.int64], search: Search) -> Vector:
    """Log-odds of every snapshot in every period, each from a model that had not seen its deal."""
    others = [np.flatnonzero(fold[piece.periods.row] != held) for held in range(_FOLDS)]
    rows = [partial(rows_of, piece.data, rest) for rest in others]
    margin = np.empty((len(matrix), N_PERIODS))
    for held, model in enumerate(winner.fit_on_each(rows, threads=search.threads, seed=search.seed)):
        mine = np.flatnonzero(fold == held)
        answers = model.margin(every_period(matrix[mine]), threads=search.threads)
        margin[mine] = answers.reshape(-1, N_PERIODS)
    return margin


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


def _reference(snapshots: Snapshots, *, seed: int) -> Vector:
    """Snapshots of the newer half, of which the average deal is made."""
    order = np.argsort(snapshots.as_of, kind="stable")
    newer = order[len(order) // 2 :]
    size = min(_REFERENCE_ROWS, len(newer))
    return np.asarray(snapshots.matrix[np.sort(np.random.default_rng(seed).choice(newer, size, replace=False))])


def _joined(studies: Mapping[str, StudyResult]) -> StudyResult:
    """Both studies as one, for records and reports."""
    values: dict[str, Any] = {name: study_to_record(study) for name, study in studies.items()}
    return StudyResult(
        library=cast("Any", LIBRARY),  # no study searches it
        params=values,
        rounds=sum(study.rounds for study in studies.values()),
        log_loss=sum(study.log_loss for study in studies.values()),
        trials=tuple(trial for study in studies.values() for trial in study.trials),
        reused=sum(study.reused for study in studies.values()),
        stopped="; ".join(f"{name}: {study.stopped}" for name, study in studies.items() if study.stopped),
    )
