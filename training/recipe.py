"""From a warehouse to a registered, judged classifier: what `train_lead` and `train_deal` have in common."""

from __future__ import annotations

import csv
import logging
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from common.clock import utc
from common.errors import TooLittleDataError
from common.settings import Settings
from training import plots
from training.bundle import (
    describe_features,
    grade_thresholds,
    probability_bands,
    reference_quantiles,
    write_bundle,
)
from training.classifier import Developed, by_stage, develop
from training.frame import Frame, Partition, make_frame, moment_of_share, split_at, split_published
from training.labels import Outcome, label_spine
from training.manifest import Manifest
from training.promotion import Decision, Holdout, decide
from training.report import Report, write_report
from training.results import Metric, TrainingOutcome, TrainingResult, flatten
from training.splits import MIN_TEST_OUTCOMES, MIN_TRAIN_OUTCOMES, choose_test_start, moment_of
from training.study import Progress
from training.trees import MODEL_FILES

if TYPE_CHECKING:
    from features.repository import FeatureRepository
    from features.specs import FeatureSpec
    from training.registry import ModelRegistry
    from warehouse.sources import Source
    from warehouse.store import Warehouse

logger = logging.getLogger(__name__)

Vector = NDArray[np.float64]

_EXPLAINED_ROWS = 1_500
_EXAMPLE_ROWS = 3
_SETTLED_SHARE = 0.9


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What distinguishes one classifier from another.

    Args:
        task: `lead` or `deal`.
        feature_service: Feature service of the model.
        outcome: What decides.
        horizon_days: Horizon of the label, in days.
        spine: Moments that were to be scored, until a time.
        by_entity: Whether past and test share no entity (public protocols with a row per entity or stage).
        test_from: Where the test begins, if the protocol says so.
        test_share: Share of the entities, newest first, that the protocol tests on.
        stage: Feature to show figures by, if any.
    """

    task: str
    feature_service: str
    outcome: Outcome
    horizon_days: int
    spine: Callable[[Warehouse, datetime], pa.Table]
    by_entity: bool
    test_from: datetime | None = None
    test_share: float | None = None
    stage: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Context:
    """What every step of one training needs."""

    recipe: Recipe
    settings: Settings
    name: str
    workspace: str
    cut: datetime
    journal: Path
    trials: int
    progress: Progress | None

    def say(self, what: str, done: int, total: int) -> None:
        logger.info("%s: %s (%d of %d)", self.name, what, done, total)
        if self.progress is not None:
            self.progress(what, done, total)


_STEPS = 5


def train_classifier(
    recipe: Recipe,
    repository: FeatureRepository,
    warehouse: Warehouse,
    registry: ModelRegistry,
    source: Source,
    *,
    trials: int,
    settings: Settings,
    progress: Progress | None = None,
) -> TrainingOutcome:
    """Train, judge, register and maybe promote a classifier.

    Args:
        recipe: What to train.
        repository: Where features come from.
        warehouse: The history.
        registry: Where the model goes.
        source: The source, for the report.
        trials: Trials of the study, those of an earlier run on the same frame included.
        settings: Seed, threads, clock.
        progress: Told (what, done, total).

    Raises:
        TooLittleDataError: naming how many outcomes are needed and how many there are.
        LeakError: naming the field that knows the outcome.
        UnavailableError: if the registry cannot be reached.
    """
    workspace = repository.workspace
    name = workspace.model_name(recipe.task)
    cut = utc(settings.as_of) if settings.as_of is not None else warehouse.cut()
    journal = workspace.root / "studies" / f"{recipe.task}.journal"
    context = _Context(
        recipe=recipe,
        settings=settings,
        name=name,
        workspace=workspace.name,
        cut=cut,
        journal=journal,
        trials=trials,
        progress=progress,
    )
    context.say("features", 0, _STEPS)
    table, specs = _training_table(context, repository, warehouse)
    context.say("labels and split", 1, _STEPS)
    frame, partition, warnings = _partition(context, warehouse, table, specs)
    context.say("training", 2, _STEPS)
    developed = _develop(context, frame, partition)
    protocols = _protocols(context, frame, partition, developed)
    warnings += [finding.evidence for finding in developed.findings]
    context.say("registering", 3, _STEPS)
    with tempfile.TemporaryDirectory(prefix="salience-training-") as scratch:
        folder = Path(scratch)
        bundle, manifest = _bundle(context, frame, partition, developed, folder)
        report = _report(context, source, partition, developed, protocols, warnings, folder)
        result = _result(context, warehouse, frame, partition, developed, protocols, bundle, manifest, folder)
        registered = registry.log(name, result)
        kept = workspace.reports / recipe.task / f"training-{registered.version}.html"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(report.read_bytes())
    context.say("gate", 4, _STEPS)
    decision = decide(registered, _holdout(frame, partition), registry=registry, seed=settings.training.seed)
    context.say(_verdict(decision), _STEPS, _STEPS)
    reused = (f"{developed.study.reused} trials of the study",) if developed.study.reused else ()
    return TrainingOutcome(
        task=recipe.task,
        name=name,
        version=registered.version,
        run_id=registered.run_id,
        metrics=developed.metrics,
        baselines=developed.baselines,
        protocols=protocols,
        decision=decision,
        bundle=registered.bundle,
        report=kept,
        reused=reused,
        warnings=tuple(warnings),
    )


def _training_table(
    context: _Context, repository: FeatureRepository, warehouse: Warehouse
) -> tuple[pa.Table, tuple[FeatureSpec, ...]]:
    from features.catalogue import features_of

    recipe = context.recipe
    spine = recipe.spine(warehouse, context.cut)
    if spine.num_rows == 0:
        raise TooLittleDataError(
            f"There is no {recipe.task} to learn from", next_step="load a source that has some (salience ingest)"
        )
    repository.build(recipe.feature_service, spine, progress=context.progress)
    table = repository.training_frame(recipe.feature_service, spine)
    return table, features_of(recipe.feature_service, warehouse.tables())


def _partition(
    context: _Context, warehouse: Warehouse, table: pa.Table, specs: tuple[FeatureSpec, ...]
) -> tuple[Frame, Partition, list[str]]:
    """The frame and its split; by settlement where the history is too short for the horizon."""
    recipe = context.recipe
    options: dict[str, Any] = {
        "outcome": recipe.outcome,
        "specs": specs,
        "horizon_days": recipe.horizon_days,
        "cut": context.cut,
    }
    frame = make_frame(table, warehouse, **options)
    partition = _split(recipe, frame)
    if partition is not None and _is_enough(partition):
        return frame, partition, []
    settle_days = _settle_days(table, warehouse, recipe, context.cut)
    if settle_days is None or settle_days >= recipe.horizon_days:
        return frame, _required(partition), []
    settled = make_frame(table, warehouse, **options, settle_days=settle_days)
    settled_partition = _split(recipe, settled)
    if settled_partition is None or not _is_enough(settled_partition):
        return frame, _required(partition), []
    warning = (
        f"The history is too short for a horizon of {recipe.horizon_days} days: rows count once "
        f"{settle_days} days have passed and their outcome is known, so the slowest tenth of the outcomes is missing"
    )
    return settled, settled_partition, [warning]


def _required(partition: Partition | None) -> Partition:
    if partition is None:
        raise TooLittleDataError(
            "No row has a label yet",
            next_step="wait until the horizon of the first rows has passed, or load more history",
        )
    return partition


def _split(recipe: Recipe, frame: Frame) -> Partition | None:
    usable = ~np.isnan(frame.label_at(frame.cut))
    if not usable.any():
        return None
    if recipe.test_from is not None:
        moment = utc(recipe.test_from)
    elif recipe.test_share is not None:
        moment = moment_of_share(frame, share=recipe.test_share)
    else:
        moment = choose_test_start(frame.as_of, usable)
    return split_at(frame, moment=moment, by_entity=recipe.by_entity)


def _is_enough(partition: Partition) -> bool:
    pairs = ((partition.past_label, MIN_TRAIN_OUTCOMES), (partition.test_label, MIN_TEST_OUTCOMES))
    return all(min((label == 1).sum(), (label == 0).sum()) >= needed for label, needed in pairs)


def _settle_days(table: pa.Table, warehouse: Warehouse, recipe: Recipe, cut: datetime) -> int | None:
    """Days from first row to the end within which nine of ten decided things were decided."""
    spine = table.select([recipe.outcome.key, "as_of"])
    labels = label_spine(spine, warehouse, outcome=recipe.outcome, horizon_days=recipe.horizon_days, cut=cut)
    days = labels.days_to_decision[~np.isnan(labels.days_to_decision) & ~labels.is_decided]
    return None if len(days) == 0 else int(np.ceil(np.quantile(days, _SETTLED_SHARE)))


def _develop(context: _Context, frame: Frame, partition: Partition) -> Developed:
    training = context.settings.training
    return develop(
        frame,
        partition,
        journal=context.journal,
        trials=context.trials,
        threads=training.threads,
        seed=training.seed,
        progress=context.progress,
    )


def _protocols(
    context: _Context, frame: Frame, partition: Partition, developed: Developed
) -> dict[str, Mapping[str, Metric]]:
    """Figures on the public set's own split where ours differs, and by stage."""
    recipe = context.recipe
    found: dict[str, Mapping[str, Metric]] = {}
    if recipe.test_from is not None:
        published = split_published(frame, test_from=utc(recipe.test_from))
        if len(published.past) != len(partition.past):
            model = _develop(context, frame, published)
            found["published split, labels as known today"] = model.metrics
            found["published split: const"] = model.baselines["const"]
    if recipe.stage is not None:
        seed = context.settings.training.seed
        found |= by_stage(frame, partition, developed, stage=recipe.stage, seed=seed)
    return found


def _bundle(
    context: _Context, frame: Frame, partition: Partition, developed: Developed, folder: Path
) -> tuple[Path, Manifest]:
    recipe, seed, threads = context.recipe, context.settings.training.seed, context.settings.training.threads
    newest = developed.slices.newest
    generator = np.random.default_rng(seed)
    size = min(_EXPLAINED_ROWS, len(newest))
    chosen = newest[np.sort(generator.choice(len(newest), size, replace=False))]
    reference = developed.matrix[chosen]
    contributions = developed.trees.contributions(reference, threads=threads)[:, :-1]
    probability = developed.calibration.apply(developed.margin[chosen])
    entries = describe_features(developed.entries, developed.matrix, partition.past_label, contributions)
    newest_rate = float(np.clip(partition.past_label[newest].mean(), 0.001, 0.999))
    manifest = Manifest(
        task=recipe.task,
        name=context.name,
        version="unregistered",
        feature_service=recipe.feature_service,
        features=entries,
        library=developed.trees.library,
        model_file=MODEL_FILES[developed.trees.library],
        horizon_days=recipe.horizon_days,
        base_rate=float(partition.past_label.mean()),
        trained_at=datetime.now(UTC).isoformat(timespec="seconds"),
        trained_until=moment_of(frame.as_of[partition.past].max()).isoformat(),
        calibration=developed.calibration.to_dict(),
        thresholds=grade_thresholds(recipe.task, newest_rate),
        quantiles=reference_quantiles(recipe.task, entries, contributions, probability),
        bands=probability_bands(partition.test_label, developed.probability, frame.entity[partition.test]),
        metrics=_finite(flatten(developed.metrics)),
        baselines={name: _finite(flatten(metrics)) for name, metrics in developed.baselines.items()},
        fingerprint=developed.fingerprint,
    )
    bundle = folder / "bundle"
    columns = {entry.name: frame.columns[entry.name][partition.test] for entry in entries}
    write_bundle(bundle, manifest, developed.trees, columns=columns, as_of=frame.as_of[partition.test], seed=seed)
    return bundle, manifest


def _finite(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if np.isfinite(value)}


def _report(
    context: _Context,
    source: Source,
    partition: Partition,
    developed: Developed,
    protocols: Mapping[str, Mapping[str, Metric]],
    warnings: list[str],
    folder: Path,
) -> Path:
    manifest = Manifest.read(folder / "bundle")
    images = {
        "reliability": plots.plot_reliability(manifest.bands, folder / "plots" / "reliability.png"),
        "lift": plots.plot_lift(partition.test_label, developed.probability, folder / "plots" / "lift.png"),
        "importance": plots.plot_importance(manifest.features, folder / "plots" / "importance.png"),
    }
    facts = {
        "Source": f"{source.name}, known until {context.cut:%Y-%m-%d %H:%M} UTC",
        "Split": partition.about,
        "Model": f"{developed.trees.library}, {developed.trees.rounds} rounds, {len(developed.entries)} features, "
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
        lines.append(f"A naive answer is better: {best} has log-loss {naive[best]['log_loss'].value:.4f}.")
    return lines


def _span(metric: Metric) -> str:
    if metric.low is None or metric.high is None:
        return "no interval"
    return f"{metric.low:.3f} to {metric.high:.3f}"


def _result(
    context: _Context,
    warehouse: Warehouse,
    frame: Frame,
    partition: Partition,
    developed: Developed,
    protocols: Mapping[str, Mapping[str, Metric]],
    bundle: Path,
    manifest: Manifest,
    folder: Path,
) -> TrainingResult:
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
            "rounds": developed.trees.rounds,
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
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def _holdout(frame: Frame, partition: Partition) -> Holdout:
    return Holdout(
        columns={name: values[partition.test] for name, values in frame.columns.items()},
        label=partition.test_label,
        entity=frame.entity[partition.test],
        base_rate=float(partition.past_label.mean()),
        until=moment_of(frame.as_of[partition.test].max()).isoformat(),
    )


def _verdict(decision: Decision) -> str:
    return f"{'promoted' if decision.promoted else 'not promoted'}: {decision.reason}"
