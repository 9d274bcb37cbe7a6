"""What a training leaves behind: bundle, report, and the result the registry logs."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

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
from training.reporting.assembly import assemble
from training.reporting.contents import ReportContents
from training.reporting.figures import report_metrics
from training.reporting.inputs import ReportInputs
from training.reporting.page import write_report
from training.results import Metric, TrainingResult, flatten
from training.scoring.own import own_thresholds
from training.splits import moment_of
from training.study import Trial

if TYPE_CHECKING:
    from warehouse.sources import Source
    from warehouse.store import Warehouse

_EXPLAINED_ROWS = 1_500
# A deal's exact contributions cost those of many rows.
_EXPLAINED_DEALS = 500
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
    size = min(_EXPLAINED_DEALS if recipe.develop is not None else _EXPLAINED_ROWS, len(newest))
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
        # A deal model learns from rows up to the split, whether their horizon has passed or not.
        trained_until=(
            partition.moment if recipe.develop is not None else moment_of(frame.as_of[partition.past].max())
        ).isoformat(),
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
    frame: Frame,
    partition: Partition,
    developed: Developed,
    manifest: Manifest,
    protocols: Mapping[str, Mapping[str, Metric]],
    warnings: Sequence[str],
    folder: Path,
) -> tuple[Path, ReportContents]:
    """Write the report below `folder`: `report/training.html`, the same numbers as JSON beside it, and `plots`.

    Args:
        context: The run.
        source: Where the history comes from.
        frame: The frame.
        partition: Its split.
        developed: The model.
        manifest: Its bundle's manifest.
        protocols: Figures on further protocols.
        warnings: What a person should know besides what the probes found.
        folder: Where to.

    Returns:
        The page, and what it says.
    """
    worth = frame.columns.get(WORTH)
    contents = assemble(
        ReportInputs(
            context=context,
            source=source.name,
            frame=frame,
            partition=partition,
            developed=developed,
            manifest=manifest,
            protocols=protocols,
            warnings=warnings,
            worth=None if worth is None else np.nan_to_num(worth[partition.test], nan=0.0),
            worth_unit=None if worth is None else "USD",
        )
    )
    return write_report(contents, folder / "report" / "training.html", plots=folder / "plots"), contents


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
    *,
    contents: ReportContents,
) -> TrainingResult:
    """Everything the registry logs: figures on all protocols, the frame, plots, report, trials, an example."""
    rows = partition.test[:_EXAMPLE_ROWS]
    example = {entry.name: list(frame.columns[entry.name][rows]) for entry in developed.entries}
    metrics = flatten(developed.metrics)
    for name, figures in protocols.items():
        slug = "".join(char if char.isalnum() else "_" for char in name).strip("_").lower()
        metrics |= {f"protocol_{slug}_{key}": metric.value for key, metric in figures.items()}
    metrics |= report_metrics(contents)
    study = developed.study
    return TrainingResult(
        task=context.recipe.task,
        folder=bundle,
        loader_module="training.scorer",
        params={
            "library": developed.model.library,
            "rounds": developed.model.rounds,
            "calibration": developed.calibration.method,
            "horizon_days": context.recipe.horizon_days,
            "trials": len(study.trials),
            "seed": context.settings.training.seed,
            **(study.params if developed.winner is None else developed.winner.params),
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
            "plots": sorted((folder / "plots").glob("*.svg")),
            "report": sorted((folder / "report").iterdir()),
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
