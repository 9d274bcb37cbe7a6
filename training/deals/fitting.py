"""Fitting the two models of competing risks: a study each, what they learn from, their fits and their levels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from training.deals.crossing import cross_fitted, levelled
from training.deals.hazards import Futures
from training.deals.model import LIBRARY, CompetingRisks, Part, make_part
from training.deals.pieces import Snapshots
from training.deals.told_on import is_better_told_on, told_on
from training.models import FitData
from training.record import study_from_record, study_to_record
from training.study import Progress, StudyResult, run_study
from training.winner import Winner, choose_winner, with_regression

Vector = NDArray[np.float64]

PARTS = ("closing", "winning")
# Trees that alone foretell who wins lose their order soon after the study's slices (docs/adr/0037).
_STEADIED = "winning"
_REFERENCE_ROWS = 400


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
    pair of models tells on (`training.deals.told_on`), where that surely foretold the newest wins better.

    Args:
        snapshots: What they are fitted on.
        search: How parameters are searched.
    """
    pieces = snapshots.pieces(seed=search.seed)
    options = {"threads": search.threads, "seed": search.seed}
    studies: dict[str, StudyResult] = {}
    winners: dict[str, Winner] = {}
    for name, piece in pieces.items():
        origins = piece.origins()
        studies[name] = _study(origins, search, name=name)
        winners[name] = choose_winner(studies[name], origins, threads=search.threads, seed=search.seed)
        if name == _STEADIED:
            winners[name] = with_regression(winners[name], origins, **options)
    lessons = pieces
    if is_better_told_on(snapshots, winners, **options):
        lessons = told_on(snapshots, winners, pieces, **options).pieces(seed=search.seed)
    reference = _reference(snapshots, seed=search.seed)
    parts: list[Part] = []
    answers: list[Vector] = []
    losses: dict[str, float] = {}
    for name, winner in winners.items():
        margin = cross_fitted(winner, lessons[name], snapshots.matrix, snapshots.entity, **options)
        level = levelled(pieces[name], margin)
        losses |= {f"{name}_{method}": loss for method, loss in level.losses.items()}
        model = winner.fit(lessons[name].data, **options)
        parts.append(make_part(model, level.calibration, reference, shift=level.shift, threads=search.threads))
        answers.append(level.probability)
    return Fitted(
        model=CompetingRisks(closing=parts[0], winning=parts[1]),
        crossed=Futures(hazard=answers[0], share=answers[1]),
        study=_joined(studies),
        losses=losses,
    )


def _study(origins: Sequence[FitData], search: Search, *, name: str) -> StudyResult:
    if search.settled is not None:
        return study_from_record(search.settled.params[name])
    return run_study(
        origins,
        journal=search.journal,
        fingerprint=f"{search.fingerprint}-{name}",
        trials=math.ceil(search.trials / len(PARTS)),
        threads=search.threads,
        seed=search.seed,
        workers=search.workers,
        time_budget_minutes=search.time_budget_minutes,
        progress=search.progress,
    )


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
