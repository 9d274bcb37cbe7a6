"""Fitting the two models of competing risks: rows per period, a study each, cross-fitted answers, calibrations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from training.calibration import Calibration, choose_calibration, logit, sigmoid
from training.deals.attribution import with_period_entry
from training.deals.hazards import Futures
from training.deals.model import LIBRARY, CompetingRisks, Part, make_part
from training.deals.periods import N_PERIODS, PersonPeriods, every_period, known_at, with_period
from training.fit_rows import fit_rows, rows_of
from training.manifest import FeatureEntry
from training.models import FitData
from training.record import study_from_record, study_to_record
from training.splits import Entities, entity_folds, slice_past
from training.study import Progress, StudyResult, run_study
from training.winner import Winner, choose_winner

Vector = NDArray[np.float64]

MAX_FIT_ROWS = 100_000
"""Weekly rows of one deal say nearly the same: beyond these the fit takes longer and gets no better."""
PARTS = ("closing", "winning")
_FOLDS = 3
_REFERENCE_ROWS = 400
_NEWTON_STEPS = 12
# Weight of the two made-up answers that hold a period's shift towards 0.
_PRIOR = 5.0


@dataclass(frozen=True, kw_only=True)
class Snapshots:
    """What the models are fitted on.

    Args:
        matrix: Snapshots of deals, shape (n_rows, n_features).
        periods: Their rows per period ahead, as known when the past ended.
        as_of: Moment of each snapshot, UTC.
        entity: Its deal.
        entries: The features.
    """

    matrix: Vector
    periods: PersonPeriods
    as_of: NDArray[np.datetime64]
    entity: Entities
    entries: tuple[FeatureEntry, ...]


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

    Args:
        snapshots: What they are fitted on.
        search: How parameters are searched.
    """
    ended = snapshots.periods.where(snapshots.periods.closed > 0)
    pieces = {
        "closing": _Piece.of(snapshots, snapshots.periods, snapshots.periods.closed, seed=search.seed, signs=False),
        "winning": _Piece.of(snapshots, ended, ended.won, seed=search.seed, signs=True),
    }
    studies = {name: _study(piece, search, name=name) for name, piece in pieces.items()}
    fold = entity_folds(snapshots.entity, folds=_FOLDS, seed=search.seed)
    reference = _reference(snapshots, seed=search.seed)
    parts: list[Part] = []
    answers: list[Vector] = []
    losses: dict[str, float] = {}
    for name, piece in pieces.items():
        winner = choose_winner(studies[name], piece.origins, threads=search.threads, seed=search.seed)
        margin = _cross_fitted(winner, piece, snapshots.matrix, fold, search)
        calibration, found = _calibrate(piece, margin)
        losses |= {f"{name}_{method}": loss for method, loss in found.items()}
        model = winner.fit(piece.data, threads=search.threads, seed=search.seed)
        odds = logit(calibration.apply(margin.reshape(-1))).reshape(-1, N_PERIODS)
        shift = period_shifts(odds[piece.periods.row, piece.periods.period], piece.data.label, piece.periods.period)
        parts.append(make_part(model, calibration, reference, shift=shift, threads=search.threads))
        answers.append(sigmoid(odds + shift))
    return Fitted(
        model=CompetingRisks(closing=parts[0], winning=parts[1]),
        crossed=Futures(hazard=answers[0], share=answers[1]),
        study=_joined(studies),
        losses=losses,
    )


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """The rows of one of the two models."""

    periods: PersonPeriods
    data: FitData
    when: NDArray[np.datetime64]
    origins: tuple[FitData, ...]

    @classmethod
    def of(cls, snapshots: Snapshots, periods: PersonPeriods, label: Vector, *, seed: int, signs: bool) -> _Piece:
        chosen = np.arange(len(label))
        if len(chosen) > MAX_FIT_ROWS:
            chosen = np.sort(np.random.default_rng(seed).choice(chosen, MAX_FIT_ROWS, replace=False))
        rows, outcome = periods.where(chosen), label[chosen]
        # The moment that an answer was there orders the rows: what is judged was not known when it was foretold.
        when = known_at(snapshots.as_of, rows)
        data = fit_rows(
            with_period(snapshots.matrix, rows.row, rows.period),
            outcome,
            with_period_entry(snapshots.entries),
            when=when,
        )
        # The period is no feature that drifts: later answers are simply about periods further ahead.
        steady = tuple(at for at in data.drifting if at < len(snapshots.entries))
        data = replace(data, drifting=steady, monotone=data.monotone if signs else ())
        slices = slice_past(when, snapshots.entity[rows.row], np.arange(len(outcome)), label=outcome)
        origins = tuple(rows_of(data, piece.train, judge=piece.judge) for piece in slices.origins)
        return cls(periods=rows, data=data, when=when, origins=origins)


def _study(piece: _Piece, search: Search, *, name: str) -> StudyResult:
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


def _cross_fitted(winner: Winner, piece: _Piece, matrix: Vector, fold: NDArray[np.int64], search: Search) -> Vector:
    """Log-odds of every snapshot in every period, each from a model that had not seen its deal."""
    margin = np.empty((len(matrix), N_PERIODS))
    for held in range(_FOLDS):
        rest = np.flatnonzero(fold[piece.periods.row] != held)
        model = winner.fit(rows_of(piece.data, rest), threads=search.threads, seed=search.seed)
        mine = np.flatnonzero(fold == held)
        answers = model.margin(every_period(matrix[mine]), threads=search.threads)
        margin[mine] = answers.reshape(-1, N_PERIODS)
    return margin


def _calibrate(piece: _Piece, margin: Vector) -> tuple[Calibration, dict[str, float]]:
    order = np.argsort(piece.when, kind="stable")
    rows = piece.periods
    return choose_calibration(margin[rows.row, rows.period][order], piece.data.label[order])


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
