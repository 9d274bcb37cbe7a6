"""From a frame and its split to a judged deal model: what `training.classifier.develop` is for one binary outcome."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.errors import TooLittleDataError
from training.calibration import Calibration
from training.classifier import Developed, all_findings
from training.deals.facts import learn_facts
from training.deals.fitting import Fitted, Search, fit_competing_risks
from training.deals.outcomes import Outcomes
from training.deals.pieces import Snapshots
from training.encoding import encode_columns
from training.evaluation import evaluate
from training.frame import Frame, Partition, fingerprint, fit_entries
from training.manifest import FeatureEntry
from training.naive import naive_answers
from training.probes import probe, stop_on_leak
from training.recipe import Context
from training.splits import (
    MIN_TEST_OUTCOMES,
    MIN_TRAIN_OUTCOMES,
    instant,
    require_outcomes,
    slice_past,
)

Vector = NDArray[np.float64]
Rows = NDArray[np.int64]

_PROBE_ROWS = 30_000
_CHANCE = 0.5
MAX_SNAPSHOTS = 60_000


def develop_deals(context: Context, frame: Frame, partition: Partition) -> Developed:
    """Make a deal model from the past and judge it on the test rows.

    The two models learn from every snapshot before the split of which a period ahead was watched, not only from those
    whose horizon has passed. Judged is P(won within the horizon), for which the labels are there.

    Args:
        context: What every step of the training needs.
        frame: The frame; it must know its deals' outcomes.
        partition: Past and test.

    Raises:
        TooLittleDataError: if the past or the test rows hold too few outcomes.
        LeakError: if a feature knows the outcome, and is not accepted.
    """
    training = context.settings.training
    seed, threads = training.seed, training.threads
    require_deals(frame)
    require_outcomes(partition.past_label, what="to train on", needed=MIN_TRAIN_OUTCOMES)
    require_outcomes(partition.test_label, what="to test on", needed=MIN_TEST_OUTCOMES)
    label = partition.past_label
    entries = fit_entries(frame, partition.past, label)
    matrix, test_matrix = (encode_rows(frame, entries, rows) for rows in (partition.past, partition.test))
    past_entity, entity = frame.entity[partition.past], frame.entity[partition.test]
    probed = _sample(np.arange(len(label)), _PROBE_ROWS, seed=seed)
    suspicions = probe(matrix[probed], label[probed], entries, entity=past_entity[probed], seed=seed)
    stop_on_leak(suspicions, accepted=context.accepted)
    times = frame.as_of[partition.past]
    about = ",".join(entry.name for entry in entries) + "|" + partition.about
    digest = fingerprint(matrix, label, times, about=about)
    fitted, rows, outcomes = _fit(context, frame, partition, entries, digest)
    answer = fitted.model.futures(test_matrix, threads=threads)
    probability = answer.by(float(frame.horizon_days))[0]
    metrics = evaluate(partition.test_label, probability, entity=entity, seed=seed)
    answers = naive_answers(entries, matrix, label, test_matrix, seed=seed)
    naive = {name: evaluate(partition.test_label, said, entity=entity, seed=seed) for name, said in answers.items()}
    # Beside a model that finds no signal every field looks able.
    area = metrics["auc"]
    ability = area.value if area.low is not None and area.low > _CHANCE else None
    later = probe(test_matrix, partition.test_label, entries, model_auc=ability, entity=entity, seed=seed)
    return Developed(
        entries=entries,
        matrix=matrix,
        test_matrix=test_matrix,
        slices=slice_past(times, past_entity, np.arange(len(label)), label=label),
        margin=_margin(fitted, rows, partition.past, matrix, threads=threads),
        model=fitted.model.with_facts(learn_facts(frame, entries, rows, outcomes, fitted, seed=seed)),
        calibration=Calibration(),
        calibration_losses=fitted.losses,
        study=fitted.study,
        winner=None,
        probability=probability,
        metrics=metrics,
        baselines=naive,
        answers=answers,
        findings=all_findings(suspicions, later),
        fingerprint=digest,
    )


def require_deals(frame: Frame) -> None:
    """Raise unless so many deals were won and lost: many weeks of few deals are no data.

    Raises:
        TooLittleDataError: naming how many are needed and how many there are.
    """
    if frame.outcomes_at is None:
        raise ValueError("A deal model needs a frame that knows how its deals ended.")
    known = frame.outcomes_at(frame.cut)
    won, lost = (len(set(frame.entity[known.won == value].tolist())) for value in (1.0, 0.0))
    if min(won, lost) < MIN_TRAIN_OUTCOMES:
        raise TooLittleDataError(
            "Too few deals have ended",
            expected=f"at least {MIN_TRAIN_OUTCOMES} won and {MIN_TRAIN_OUTCOMES} lost",
            got=f"{won} won and {lost} lost",
            next_step="load a longer history, or wait until more deals have ended",
        )


def encode_rows(frame: Frame, entries: tuple[FeatureEntry, ...], rows: Rows) -> Vector:
    """The matrix of some rows of a frame."""
    return encode_columns({entry.name: frame.columns[entry.name][rows] for entry in entries}, entries)


def _fit(
    context: Context, frame: Frame, partition: Partition, entries: tuple[FeatureEntry, ...], digest: str
) -> tuple[Fitted, Rows, Outcomes]:
    """The models, the rows they learned from, and how these ended as known at the split."""
    training = context.settings.training
    if frame.outcomes_at is None:
        raise ValueError("A deal model needs a frame that knows how its deals ended.")
    known = frame.outcomes_at(partition.moment)
    usable = (frame.as_of < instant(partition.moment)) & ~known.is_decided & (known.watched_days > 0)
    rows = _sample(np.flatnonzero(usable), MAX_SNAPSHOTS, seed=training.seed)
    outcomes = known.take(rows)
    snapshots = Snapshots(
        matrix=encode_rows(frame, entries, rows),
        outcomes=outcomes,
        as_of=frame.as_of[rows],
        entity=frame.entity[rows],
        entries=entries,
    )
    search = Search(
        journal=context.journal,
        fingerprint=digest,
        trials=context.trials,
        threads=training.threads,
        seed=training.seed,
        workers=training.workers,
        time_budget_minutes=_half(training.time_budget_minutes),
        settled=context.settled,
        progress=context.progress,
    )
    return fit_competing_risks(snapshots, search), rows, outcomes


def _half(budget: float | None) -> float | None:
    """Two studies share the budget."""
    return None if budget is None else budget / 2.0


def _sample(rows: Rows, most: int, *, seed: int) -> Rows:
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def _margin(fitted: Fitted, rows: Rows, past: Rows, matrix: Vector, *, threads: int) -> Vector:
    """Logit of P(won ever) of the past rows, cross-fitted where a row was learned from."""
    place = np.searchsorted(rows, past)
    held = rows[np.minimum(place, len(rows) - 1)] == past
    won = np.empty(len(past))
    won[held] = fitted.crossed.take(place[held]).won_ever
    if not held.all():
        won[~held] = fitted.model.futures(matrix[~held], threads=threads).won_ever
    inside = np.clip(won, 1e-9, 1.0 - 1e-9)
    return np.asarray(np.log(inside) - np.log1p(-inside))
