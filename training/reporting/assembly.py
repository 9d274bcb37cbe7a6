"""A training's results put together into the contents of its report."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.brier import calibration_by_month, decompose, reliability_bins
from training.calibration import log_loss_rows
from training.capacity import CHANCE, CURVE, SHARES, at_capacity, first_rows, gain_curve, share_of
from training.classifier import Developed
from training.evaluation import REPLICATES, as_metric, figure_replicates
from training.manifest import Manifest
from training.probes.acceptance import Acceptance
from training.replay import replay_quarter
from training.reporting import effects
from training.reporting.contents import (
    Against,
    Answer,
    Capacity,
    Grade,
    Histogram,
    Leak,
    Part,
    ReportContents,
    SegmentNote,
)
from training.reporting.inputs import ReportInputs
from training.reporting.run_facts import backtest_point, rebuild_commands, run_facts, study_facts
from training.reporting.segmentation import report_segments
from training.reporting.verdict import Evidence, judge
from training.reporting.words import answer_words, known, note_sentence
from training.resampling import resample
from training.results import Metric
from training.segment_bias import bias_notes, figures_by_segment

Vector = NDArray[np.float64]

MODEL = "model"
# Orders a sales team could work by instead, as far as a frame has them.
_RIVALS = ("rule_score", "crm_probability", "stage_win_rate")
_EXPLAINED_ROWS = 1_500
# A deal's exact contributions cost those of many rows.
_EXPLAINED_DEALS = 500
_BARS = 30


def assemble(inputs: ReportInputs) -> ReportContents:
    """Everything the report shows; a few seconds for 100 000 test rows."""
    context, developed = inputs.context, inputs.developed
    label, probability = inputs.partition.test_label, developed.probability
    entity, seed, task = inputs.entity, context.settings.training.seed, context.recipe.task
    segments = report_segments(inputs.frame, inputs.partition)
    notes = bias_notes(label, probability, segments, entity=entity)
    said = tuple(SegmentNote(note=note, sentence=note_sentence(note)) for note in notes)
    answers = _answers(developed)
    against = _against(label, developed, entity, seed=seed)
    capacity = _capacity(inputs)
    gap = _mean_metric(label - probability, entity, seed=seed)
    leaks = _leaks(developed, context.accepted)
    features, groups, themes = _importance(inputs)
    verdict = judge(
        Evidence(
            task=task,
            answers=answers,
            against=against,
            gap=gap,
            capacity=capacity,
            notes=said,
            leaks=leaks,
            cautions=tuple(f"{warning.rstrip('.')}." for warning in inputs.warnings),
        )
    )
    return ReportContents(
        schema_version=1,
        model=context.name,
        task=task,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        verdict=verdict,
        warnings=tuple(inputs.warnings),
        facts=run_facts(inputs),
        answers=answers,
        against=against,
        protocols=tuple(Answer(name=name, words=name, figures=known(f)) for name, f in inputs.protocols.items()),
        capacity=capacity,
        replay=replay_quarter(
            label,
            _orders(developed),
            entity=entity,
            as_of=inputs.as_of,
            capacity=context.settings.gate.capacity,
            seed=seed,
        ),
        grades=_grades(inputs.manifest, label, probability, entity, seed=seed),
        bins=reliability_bins(label, probability, entity),
        histogram=_histogram(probability),
        brier=decompose(label, probability, entity),
        gap=gap,
        months=calibration_by_month(label, probability, entity, inputs.as_of),
        segments=figures_by_segment(label, probability, segments, entity=entity, seed=seed),
        notes=said,
        features=features,
        groups=groups,
        themes=themes,
        shapes=effects.shapes(features, developed.entries, developed.test_matrix, label, probability, entity),
        leaks=leaks,
        backtest=tuple(backtest_point(window) for window in developed.backtest),
        study=study_facts(developed.study, developed),
        reasons=dict(inputs.manifest.explanation),
        rebuild=rebuild_commands(inputs),
    )


def _answers(developed: Developed) -> tuple[Answer, ...]:
    ours = Answer(name=MODEL, words=answer_words(MODEL), figures=known(developed.metrics))
    naive = [
        Answer(name=name, words=answer_words(name), figures=known(figures))
        for name, figures in developed.baselines.items()
    ]
    return (ours, *naive)


def _against(label: Vector, developed: Developed, entity: NDArray[Any], *, seed: int) -> tuple[Against, ...]:
    """Differences to every baseline on the same rows and draws, the baseline with the least log-loss first."""
    drawn = resample(entity, replicates=REPLICATES, seed=seed)
    rows = drawn.sums(np.ones(len(label)))[0]
    ours = log_loss_rows(label, developed.probability)
    areas = figure_replicates(label, developed.probability, drawn)["auc"]
    found = []
    for name in sorted(developed.answers, key=lambda each: developed.baselines[each]["log_loss"].value):
        answer, figures = developed.answers[name], developed.baselines[name]
        loss = ours - log_loss_rows(label, answer)
        found.append(
            Against(
                name=name,
                words=answer_words(name),
                log_loss=as_metric(float(loss.mean()), drawn.sums(loss)[0] / rows),
                auc=as_metric(
                    developed.metrics["auc"].value - figures["auc"].value,
                    areas - figure_replicates(label, answer, drawn)["auc"],
                ),
            )
        )
    return tuple(found)


def _orders(developed: Developed) -> dict[str, Vector]:
    rivals = {name: developed.answers[name] for name in _RIVALS if name in developed.answers}
    return {MODEL: developed.probability, **rivals}


def _capacity(inputs: ReportInputs) -> Capacity:
    """Value at several shares of the leads or deals, each at its first row of the test period."""
    settings = inputs.context.settings
    rows = first_rows(inputs.entity, inputs.as_of)
    team = share_of(settings.gate.capacity, inputs.as_of[rows])
    label = inputs.partition.test_label[rows]
    orders = {name: score[rows] for name, score in _orders(inputs.developed).items()}
    return Capacity(
        team_share=team,
        setting=settings.gate.capacity,
        entities=len(rows),
        outcomes=int(label.sum()),
        value_unit=inputs.worth_unit,
        orders={name: answer_words(name) for name in (*orders, CHANCE)},
        tables=at_capacity(
            label,
            orders,
            entity=inputs.entity[rows],
            shares=sorted({*SHARES, team}),
            worth=None if inputs.worth is None else inputs.worth[rows],
            probabilities=(MODEL,),
            seed=settings.training.seed,
        ),
        curve_shares=CURVE,
        curves={name: gain_curve(label, score) for name, score in orders.items()},
    )


def _mean_metric(values: Vector, entity: NDArray[Any], *, seed: int) -> Metric:
    ends = resample(entity, replicates=REPLICATES, seed=seed).mean_interval(values)
    return Metric(float(values.mean()), *(ends or (None, None)))


def _grades(
    manifest: Manifest, label: Vector, probability: Vector, entity: NDArray[Any], *, seed: int
) -> tuple[Grade, ...]:
    """Grades, the highest probabilities first."""
    ordered = sorted(manifest.thresholds.items(), key=lambda pair: -pair[1])
    found, upper = [], np.inf
    for name, least in ordered:
        chosen = (probability >= least) & (probability < upper)
        upper = least
        count = int(chosen.sum())
        found.append(
            Grade(
                name=name,
                least=least,
                rows=count,
                predicted=float(probability[chosen].mean()) if count else None,
                observed=_mean_metric(label[chosen], entity[chosen], seed=seed) if count else None,
            )
        )
    return tuple(found)


def _histogram(probability: Vector) -> Histogram:
    top = max(float(probability.max()), 1e-6)
    counts, _ = np.histogram(probability, bins=_BARS, range=(0.0, top))
    return Histogram(width=top / _BARS, counts=tuple(counts.tolist()))


def _leaks(developed: Developed, accepted: Mapping[str, Acceptance]) -> tuple[Leak, ...]:
    found = []
    for finding in developed.findings:
        word = accepted.get(finding.feature)
        found.append(
            Leak(
                feature=finding.feature,
                severity=finding.severity,
                probe=finding.probe,
                evidence=finding.evidence,
                advice=finding.advice,
                accepted_by=word.who if word else None,
                accepted_at=word.when if word else None,
                accepted_why=word.why if word else None,
            )
        )
    return tuple(found)


def _importance(inputs: ReportInputs) -> tuple[tuple[Part, ...], ...]:
    """Parts by feature, group and theme, from a sample of the test rows."""
    developed, training = inputs.developed, inputs.context.settings.training
    count = len(developed.test_matrix)
    size = min(_EXPLAINED_ROWS if inputs.context.recipe.develop is None else _EXPLAINED_DEALS, count)
    chosen = np.sort(np.random.default_rng(training.seed).choice(count, size, replace=False))
    matrix, entries = developed.test_matrix[chosen], developed.entries
    contributions = developed.model.contributions(matrix, threads=training.threads)[:, : len(entries)]
    features = effects.feature_parts(entries, matrix, contributions)
    groups = effects.sums_by(effects.group_of, entries, contributions, features)
    return features, groups, effects.sums_by(effects.theme_title, entries, contributions, features)
