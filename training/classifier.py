"""The recipe that lead and deal share: frame, split, probes, study, calibration, evaluation."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from training.backtest import N_WINDOWS, BacktestWindow, backtest
from training.calibration import Calibration, choose_calibration
from training.encoding import encode_columns
from training.evaluation import evaluate
from training.fit_rows import cross_fitted, fit_rows, is_first_row, rows_of
from training.frame import Frame, Partition, fingerprint, fit_entries
from training.manifest import FeatureEntry
from training.models import Model
from training.naive import naive_answers
from training.probes import Finding, probe, stop_on_leak
from training.results import Metric
from training.splits import (
    MIN_TEST_OUTCOMES,
    MIN_TRAIN_OUTCOMES,
    PastSlices,
    require_outcomes,
    slice_past,
)
from training.study import Progress, StudyResult, run_study
from training.winner import Winner, choose_winner

logger = logging.getLogger(__name__)

Vector = NDArray[np.float64]

_PROBE_ROWS = 30_000
_MIN_STAGE_OUTCOMES = 10


class OwnModel(Protocol):
    """A model that somebody made up instead of having it trained, such as a scorecard."""

    def adapt(self, entries: tuple[FeatureEntry, ...]) -> tuple[FeatureEntry, ...]:
        """The features that it reads, in its order."""

    def fit(self, entries: tuple[FeatureEntry, ...], matrix: Vector) -> tuple[StudyResult, Model, Vector]:
        """What stands for the study, the model, and its log-odds of the past rows."""


@dataclass(frozen=True, kw_only=True)
class Developed:
    """A model made from a partition, and what it says on the test rows.

    Args:
        entries: Features, in order, with categories fitted on the past.
        matrix: Past rows.
        test_matrix: Test rows.
        slices: How the past was cut; positions within the past.
        margin: Cross-fitted log-odds of the past.
        model: The fitted model.
        calibration: The chosen calibration.
        calibration_losses: Forward log-loss by method.
        study: The study.
        probability: Calibrated probabilities of the test rows.
        metrics: Figures on the test rows.
        baselines: The same of the naive answers.
        answers: What each naive answer says on the test rows, by name.
        findings: What the probes found.
        fingerprint: Digest of the past.
        winner: What was fitted, and how it can be fitted anew; None for a model of somebody's own.
        backtest: The winner at earlier cut-offs, oldest first.
    """

    entries: tuple[FeatureEntry, ...]
    matrix: Vector
    test_matrix: Vector
    slices: PastSlices
    margin: Vector
    model: Model
    calibration: Calibration
    calibration_losses: Mapping[str, float]
    study: StudyResult
    probability: Vector
    metrics: Mapping[str, Metric]
    baselines: Mapping[str, Mapping[str, Metric]]
    answers: Mapping[str, Vector]
    findings: tuple[Finding, ...]
    fingerprint: str
    winner: Winner | None = None
    backtest: tuple[BacktestWindow, ...] = ()


def develop(
    frame: Frame,
    partition: Partition,
    *,
    journal: Path,
    trials: int,
    threads: int,
    seed: int,
    workers: int = 1,
    time_budget_minutes: float | None = None,
    n_windows: int = N_WINDOWS,
    accepted: Collection[str] = (),
    settled: StudyResult | None = None,
    own: OwnModel | None = None,
    progress: Progress | None = None,
) -> Developed:
    """Make a model from the past and judge it on the test rows.

    Args:
        frame: The frame.
        partition: Past and test.
        journal: Journal file of the study.
        trials: Trials of the study.
        threads: Threads of a fit.
        seed: Seed of every draw.
        workers: Processes that make trials of the study.
        time_budget_minutes: When the study ends, whatever it has reached.
        n_windows: Cut-offs of the backtest; 0 for none.
        accepted: Features that somebody says are honest; a leak found in one does not stop the training.
        settled: What an earlier study came to; no study is run then.
        own: A model of somebody's own making in the place of the trained kinds.
        progress: Told (what, done, total).

    Raises:
        TooLittleDataError: if the past or the test rows hold too few outcomes.
        LeakError: if a feature knows the outcome, and is not accepted.
    """
    require_outcomes(partition.past_label, what="to train on", needed=MIN_TRAIN_OUTCOMES)
    require_outcomes(partition.test_label, what="to test on", needed=MIN_TEST_OUTCOMES)
    label = partition.past_label
    fitted = fit_entries(frame, partition.past, label)
    entries = fitted if own is None else own.adapt(fitted)
    matrix = _matrix(frame, entries, partition.past)
    test_matrix = _matrix(frame, entries, partition.test)
    probed = _sample(len(label), seed=seed)
    past_entity, entity = frame.entity[partition.past], frame.entity[partition.test]
    suspicions = probe(matrix[probed], label[probed], entries, entity=past_entity[probed], seed=seed)
    stop_on_leak(suspicions, accepted=accepted)
    times = frame.as_of[partition.past]
    slices = slice_past(times, past_entity, np.arange(len(label)), label=label)
    digest = fingerprint(matrix, label, times, about=_about(entries, partition))
    winner = None
    if own is not None:
        study, model, margin = own.fit(entries, matrix)
    else:
        every = fit_rows(matrix, label, entries, when=times, is_first=is_first_row(past_entity, times))
        origins = [rows_of(every, piece.train, judge=piece.judge) for piece in slices.origins]
        study = settled or run_study(
            origins,
            journal=journal,
            fingerprint=digest,
            trials=trials,
            threads=threads,
            seed=seed,
            workers=workers,
            time_budget_minutes=time_budget_minutes,
            progress=progress,
        )
        winner = choose_winner(study, origins, threads=threads, seed=seed, together=True)
        model = winner.fit(every, threads=threads, seed=seed)
        margin = cross_fitted(winner, every, entity=past_entity, threads=threads, seed=seed)
    windows = (
        ()
        if winner is None or n_windows < 1
        else backtest(frame, partition, winner, n_windows=n_windows, threads=threads, seed=seed)
    )
    ordered = slices.ordered
    calibration, losses = choose_calibration(margin[ordered], label[ordered])
    probability = calibration.apply(model.margin(test_matrix, threads=threads))
    metrics = evaluate(partition.test_label, probability, entity=entity, seed=seed)
    if own is None:
        answers = naive_answers(entries, matrix, label, test_matrix, seed=seed)
    else:  # the naive answers read every feature, whatever the own model reads
        past, later = (_matrix(frame, fitted, rows) for rows in (partition.past, partition.test))
        answers = naive_answers(fitted, past, label, later, seed=seed)
    naive = {name: evaluate(partition.test_label, answer, entity=entity, seed=seed) for name, answer in answers.items()}
    return Developed(
        entries=entries,
        matrix=matrix,
        test_matrix=test_matrix,
        slices=slices,
        margin=margin,
        model=model,
        calibration=calibration,
        calibration_losses=losses,
        study=study,
        winner=winner,
        backtest=windows,
        probability=probability,
        metrics=metrics,
        baselines=naive,
        answers=answers,
        findings=all_findings(
            suspicions,
            probe(
                test_matrix,
                partition.test_label,
                entries,
                model_auc=metrics["auc"].value,
                entity=entity,
                seed=seed,
            ),
        ),
        fingerprint=digest,
    )


def all_findings(past: Sequence[Finding], test: Sequence[Finding]) -> tuple[Finding, ...]:
    """What was found in the test rows, and what only the past shows."""
    named = {(finding.feature, finding.probe) for finding in test}
    return (*test, *(finding for finding in past if (finding.feature, finding.probe) not in named))


def by_stage(
    frame: Frame, partition: Partition, developed: Developed, *, stage: str, seed: int
) -> dict[str, dict[str, Metric]]:
    """Figures per stage on the test rows, for stages with enough outcomes of both kinds; `@stage` by name."""
    if stage not in frame.columns:
        return {}
    values = frame.columns[stage][partition.test]
    found = {}
    for name in sorted({str(value) for value in values if value is not None}):
        chosen = np.array([value == name for value in values])
        label = partition.test_label[chosen]
        if min(label.sum(), (1 - label).sum()) >= _MIN_STAGE_OUTCOMES:
            entity = frame.entity[partition.test][chosen]
            found[f"@{name}"] = evaluate(label, developed.probability[chosen], entity=entity, seed=seed)
    return found


def _matrix(frame: Frame, entries: tuple[FeatureEntry, ...], rows: NDArray[np.int64]) -> Vector:
    return encode_columns({entry.name: frame.columns[entry.name][rows] for entry in entries}, entries)


def _sample(count: int, *, seed: int) -> NDArray[np.int64]:
    if count <= _PROBE_ROWS:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, _PROBE_ROWS, replace=False))


def _about(entries: tuple[FeatureEntry, ...], partition: Partition) -> str:
    return ",".join(entry.name for entry in entries) + "|" + partition.about
