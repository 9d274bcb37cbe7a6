"""What a training leaves behind: bundle, report, and the result the registry logs."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training import plots
from training.bundle import (
    describe_features,
    grade_thresholds,
    probability_bands,
    reference_quantiles,
    write_bundle,
)
from training.classifier import Developed
from training.frame import Frame, Partition
from training.gate.holdout import WORTH, Holdout
from training.manifest import Manifest
from training.recipe import Context
from training.report import Report, write_report
from training.results import Metric, TrainingResult, flatten
from training.scoring.own import own_thresholds
from training.splits import moment_of
from training.study import Trial

if TYPE_CHECKING:
    from warehouse.sources import Source
    from warehouse.store import Warehouse

_EXPLAINED_ROWS = 1_500
_EXAMPLE_ROWS = 3


def make_bundle(
    context: Context, frame: Frame, partition: Partition, developed: Developed, folder: Path
) -> tuple[Path, Manifest]:
    """Write the bundle below `folder`; the reference for scores from 0 to 100 is the newest part of the past.

    Returns:
        The bundle's folder and its manifest.
    """
    recipe, seed, threads = context.recipe, context.settings.training.seed, context.settings.training.threads
    newest = developed.slices.newest
    generator = np.random.default_rng(seed)
    size = min(_EXPLAINED_ROWS, len(newest))
    chosen = newest[np.sort(generator.choice(len(newest), size, replace=False))]
    reference = developed.matrix[chosen]
    contributions = developed.model.contributions(reference, threads=threads)[:, :-1]
    probability = developed.calibration.apply(developed.margin[chosen])
    entries = describe_features(
        developed.entries,
        developed.matrix,
        partition.past_label,
        explained=reference,
        contributions=contributions,
    )
    newest_rate = float(np.clip(partition.past_label[newest].mean(), 0.001, 0.999))
    manifest = Manifest(
        task=recipe.task,
        name=context.name,
        version="unregistered",
        feature_service=recipe.feature_service,
        features=entries,
        library=developed.model.library,
        horizon_days=recipe.horizon_days,
        base_rate=float(partition.past_label.mean()),
        trained_at=datetime.now(UTC).isoformat(timespec="seconds"),
        trained_until=moment_of(frame.as_of[partition.past].max()).isoformat(),
        calibration=developed.calibration.to_dict(),
        thresholds=own_thresholds(recipe.scoring, developed.model, developed.calibration)
        or grade_thresholds(recipe.task, newest_rate),
        quantiles=reference_quantiles(recipe.task, entries, contributions, probability),
        bands=probability_bands(partition.test_label, developed.probability, frame.entity[partition.test]),
        metrics=_finite(flatten(developed.metrics)),
        baselines={name: _finite(flatten(metrics)) for name, metrics in developed.baselines.items()},
        fingerprint=developed.fingerprint,
    )
    bundle = folder / "bundle"
    columns = {entry.name: frame.columns[entry.name][partition.test] for entry in entries}
    scorer = write_bundle(
        bundle,
        manifest,
        developed.model,
        columns=columns,
        as_of=frame.as_of[partition.test],
        explained=reference,
        contributions=contributions,
        seed=seed,
    )
    return bundle, scorer.manifest


def _finite(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if np.isfinite(value)}


def report_page(
    context: Context,
    source: Source,
    partition: Partition,
    developed: Developed,
    protocols: Mapping[str, Mapping[str, Metric]],
    warnings: list[str],
    folder: Path,
) -> Path:
    """Write plots and the HTML report below `folder`, beside the bundle that must be there already."""
    manifest = Manifest.read(folder / "bundle")
    images = {
        "reliability": plots.plot_reliability(manifest.bands, folder / "plots" / "reliability.png"),
        "lift": plots.plot_lift(partition.test_label, developed.probability, folder / "plots" / "lift.png"),
        "importance": plots.plot_importance(manifest.features, folder / "plots" / "importance.png"),
    }
    facts = {
        "Source": f"{source.name}, known until {context.cut:%Y-%m-%d %H:%M} UTC",
        "Split": partition.about,
        "Model": f"{developed.model.library}, {developed.model.rounds} rounds, {len(developed.entries)} features, "
        f"calibration: {developed.calibration.method}",
        "Rows": f"{len(partition.past):,} past, {len(partition.test):,} test; "
        f"horizon {context.recipe.horizon_days} days",
        "Frame": developed.fingerprint,
    }
    page = Report(
        title=f"{context.name}: training report",
        verdict=[*verdict(developed.metrics, developed.baselines), *warnings],
        facts=facts,
        metrics=developed.metrics,
        baselines=developed.baselines,
        protocols=protocols,
        findings=developed.findings,
        trials=developed.study.trials,
        plots=images,
    )
    return write_report(page, folder / "report" / "training.html")


def verdict(metrics: Mapping[str, Metric], naive: Mapping[str, Mapping[str, Metric]]) -> list[str]:
    """Whether a model is any good, in sentences."""
    ours, const = metrics["log_loss"].value, naive["const"]["log_loss"].value
    area = metrics["auc"]
    better = f"{100 * (1 - ours / const):.1f} % better than" if ours < const else "no better than"
    lines = [
        f"On later rows the log-loss is {ours:.4f}, {better} always answering the base rate ({const:.4f}).",
        f"It ranks with AUC {area.value:.3f} ({_span(area)}); the tenth with the highest probability has "
        f"{metrics['top_decile_lift'].value:.1f} times the usual outcomes.",
        f"It expects {100 * metrics['mean_probability'].value:.1f} % on average, and "
        f"{100 * metrics['outcome_rate'].value:.1f} % came.",
    ]
    best = min(naive, key=lambda name: naive[name]["log_loss"].value)
    if naive[best]["log_loss"].value < ours:
        lines.append(f"A baseline is better: {best} has log-loss {naive[best]['log_loss'].value:.4f}.")
    return lines


def _span(metric: Metric) -> str:
    if metric.low is None or metric.high is None:
        return "no interval"
    return f"{metric.low:.3f} to {metric.high:.3f}"


def training_result(
    context: Context,
    warehouse: Warehouse,
    frame: Frame,
    partition: Partition,
    developed: Developed,
    protocols: Mapping[str, Mapping[str, Metric]],
    bundle: Path,
    manifest: Manifest,
    folder: Path,
) -> TrainingResult:
    """Everything the registry logs: figures on all protocols, the frame, plots, report, trials, an example."""
    rows = partition.test[:_EXAMPLE_ROWS]
    example = {entry.name: list(frame.columns[entry.name][rows]) for entry in developed.entries}
    metrics = flatten(developed.metrics)
    for name, figures in protocols.items():
        slug = "".join(char if char.isalnum() else "_" for char in name).strip("_").lower()
        metrics |= {f"protocol_{slug}_{key}": metric.value for key, metric in figures.items()}
    study = developed.study
    return TrainingResult(
        task=context.recipe.task,
        folder=bundle,
        loader_module="training.scorer",
        params={
            "library": study.library,
            "rounds": developed.model.rounds,
            "calibration": developed.calibration.method,
            "horizon_days": context.recipe.horizon_days,
            "trials": len(study.trials),
            "seed": context.settings.training.seed,
            **study.params,
        },
        metrics=metrics,
        baselines=manifest.baselines,
        fingerprint=developed.fingerprint,
        frame={
            "workspace": context.workspace,
            "feature_service": context.recipe.feature_service,
            "rows": frame.rows,
            "past_rows": len(partition.past),
            "test_rows": len(partition.test),
            "split": partition.about,
            "cut": context.cut.isoformat(),
            "horizon_days": context.recipe.horizon_days,
            "warehouse_versions": warehouse.versions(),
            "warehouse_fingerprint": warehouse.fingerprint(),
        },
        features=manifest.feature_names,
        feature_service=context.recipe.feature_service,
        artifacts={
            "plots": sorted((folder / "plots").glob("*.png")),
            "report": [folder / "report" / "training.html"],
            "study": [_write_trials(developed, folder / "study" / "trials.csv")],
        },
        input_example=example,
        output_example={"probability": developed.probability[:_EXAMPLE_ROWS].tolist()},
    )


def _write_trials(developed: Developed, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{**asdict(trial), "params": str(trial.params)} for trial in developed.study.trials]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=[column.name for column in fields(Trial)])
        writer.writeheader()
        writer.writerows(rows)
    return path


def holdout_of(frame: Frame, partition: Partition) -> Holdout:
    """The test rows as the gate wants them, with every feature column, so that an older champion finds its own."""
    columns = {name: values[partition.test] for name, values in frame.columns.items()}
    return Holdout(
        columns=columns,
        label=partition.test_label,
        entity=frame.entity[partition.test],
        base_rate=float(partition.past_label.mean()),
        until=moment_of(frame.as_of[partition.test].max()).isoformat(),
        as_of=frame.as_of[partition.test],
        horizon_days=frame.horizon_days,
        worth=columns.get(WORTH),
    )
