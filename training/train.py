"""From a warehouse to a registered, judged classifier: what `train_lead` and `train_deal` have in common."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from common.clock import utc
from common.errors import TooLittleDataError
from common.settings import Settings
from common.whole_files import write_whole
from training.backtest import N_WINDOWS
from training.classifier import Developed, by_stage, develop
from training.frame import Frame, Partition, make_frame, moment_of_share, split_at, split_published
from training.labels import label_spine
from training.probes import Finding
from training.probes.acceptance import Acceptance, accepted_leaks
from training.probes.findings import OVER_MODEL_PROBE
from training.promotion import decide
from training.promotion_log import Decision
from training.recipe import Context, Recipe
from training.record import training_record
from training.results import Metric, TrainingOutcome
from training.scoring.own import OwnScorecard, chosen_specs
from training.splits import MIN_TEST_OUTCOMES, MIN_TRAIN_OUTCOMES, choose_test_start
from training.study import Progress
from training.writing import holdout_of, make_bundle, report_page, training_result
from warehouse.present import known_until

if TYPE_CHECKING:
    from common.workspace import Workspace
    from features.repository import FeatureRepository
    from features.specs import FeatureSpec
    from training.registry import ModelRegistry
    from warehouse.sources import Source
    from warehouse.store import Warehouse

logger = logging.getLogger(__name__)

_SETTLED_SHARE = 0.9
_STEPS = 5
_MANY_AHEAD = 3


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
    context = training_context(recipe, workspace, warehouse, trials=trials, settings=settings, progress=progress)
    name = context.name
    frame, partition, warnings = training_rows(context, repository, warehouse)
    context.say("training", 2, _STEPS)
    developed = develop_model(context, frame, partition)
    protocols = _protocols(context, frame, partition, developed)
    context.say("registering", 3, _STEPS)
    with tempfile.TemporaryDirectory(prefix="salience-training-") as scratch:
        folder = Path(scratch)
        bundle, manifest = make_bundle(context, frame, partition, developed, folder)
        report, contents = report_page(
            context, source, frame, partition, developed, manifest, protocols, warnings, folder
        )
        record = training_record(context, warehouse, frame, partition, developed, bundle, source=source.name)
        record.write(bundle)
        result = training_result(
            context, warehouse, frame, partition, developed, protocols, bundle, manifest, folder, contents=contents
        )
        result = replace(result, tags={**result.tags, **record.tags()})
        registered = registry.log(name, result)
        kept = workspace.reports / recipe.task / f"training-{registered.version}.html"
        for suffix in (".json", ".html"):
            write_whole(kept.with_suffix(suffix), report.with_suffix(suffix).read_text(encoding="utf-8"))
    context.say("gate", 4, _STEPS)
    decision = decide(
        registered,
        holdout_of(frame, partition),
        registry=registry,
        seed=settings.training.seed,
        limits=settings.gate,
    )
    logger.info("%s %s: %s", name, registered.version, _verdict(decision))
    context.say("done", _STEPS, _STEPS)
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
        warnings=(
            *warnings,
            *((developed.study.stopped,) if developed.study.stopped else ()),
            *_warnings(developed.findings, context.accepted),
        ),
        backtest=developed.backtest,
        verdict=contents.verdict,
    )


def training_context(
    recipe: Recipe,
    workspace: Workspace,
    warehouse: Warehouse,
    *,
    trials: int,
    settings: Settings,
    progress: Progress | None = None,
) -> Context:
    """What every step of a training in a workspace needs; see `train_classifier`."""
    return Context(
        recipe=recipe,
        settings=settings,
        name=workspace.model_name(recipe.task),
        workspace=workspace.name,
        cut=known_until(settings, warehouse),
        journal=workspace.root / "studies" / f"{recipe.task}.journal",
        trials=trials,
        accepted=accepted_leaks(workspace),
        progress=progress,
    )


def training_rows(
    context: Context, repository: FeatureRepository, warehouse: Warehouse
) -> tuple[Frame, Partition, list[str]]:
    """The frame of a training, its split, and what a person should know of it.

    Raises:
        TooLittleDataError: if there is nothing to learn from, or no label is known yet.
        InputError: if the scoring model does not suit the workspace's features.
    """
    context.say("features", 0, _STEPS)
    table, specs = _training_table(context, repository, warehouse)
    context.say("labels and split", 1, _STEPS)
    frame, partition, warnings = _partition(context, warehouse, table, specs)
    # The frame keeps every column: a champion that reads more is asked about the same rows.
    return replace(frame, specs=chosen_specs(context.recipe.scoring, specs)), partition, warnings


def _training_table(
    context: Context, repository: FeatureRepository, warehouse: Warehouse
) -> tuple[pa.Table, tuple[FeatureSpec, ...]]:
    recipe = context.recipe
    spine = recipe.spine(warehouse, context.cut)
    if spine.num_rows == 0:
        raise TooLittleDataError(
            f"There is no {recipe.task} to learn from", next_step="load a source that has some (salience ingest)"
        )
    repository.build(recipe.feature_service, spine, progress=context.progress)
    table = repository.training_frame(recipe.feature_service, spine)
    views = repository.views(recipe.feature_service)
    return table, tuple(feature for view in views for feature in view.features)


def _partition(
    context: Context, warehouse: Warehouse, table: pa.Table, specs: tuple[FeatureSpec, ...]
) -> tuple[Frame, Partition, list[str]]:
    """The frame and its split; by settlement where the history is too short for the horizon."""
    recipe = context.recipe
    options: dict[str, Any] = {
        "outcome": recipe.outcome,
        "specs": specs,
        "horizon_days": recipe.horizon_days,
        "cut": context.cut,
        "judged": _judged(context, warehouse, table),
    }
    frame = make_frame(table, warehouse, **options)
    partition = _split(recipe, frame)
    if partition is not None and _is_enough(partition):
        return frame, partition, []
    rows = table if options["judged"] is None else table.filter(pa.array(options["judged"]))
    settle_days = _settle_days(rows, warehouse, recipe, context.cut)
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


def _judged(context: Context, warehouse: Warehouse, table: pa.Table) -> NDArray[np.bool_] | None:
    """Rows of the table that the source's protocol judges; None where it judges all."""
    recipe = context.recipe
    if recipe.judged is None:
        return None
    key = recipe.outcome.key
    asked = recipe.judged(warehouse, context.cut)
    pairs = set(zip(asked[key].to_pylist(), asked["as_of"].cast(pa.int64()).to_pylist(), strict=True))
    found = zip(table[key].to_pylist(), table["as_of"].cast(pa.int64()).to_pylist(), strict=True)
    return np.array([pair in pairs for pair in found], dtype=bool)


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


def develop_model(context: Context, frame: Frame, partition: Partition, *, n_windows: int = N_WINDOWS) -> Developed:
    """The model of a frame's past, judged on its test rows; see `develop`."""
    training, scoring = context.settings.training, context.recipe.scoring
    if context.recipe.develop is not None:
        return context.recipe.develop(context, frame, partition)
    return develop(
        frame,
        partition,
        journal=context.journal,
        trials=context.trials,
        threads=training.threads,
        seed=training.seed,
        workers=training.workers,
        time_budget_minutes=training.time_budget_minutes,
        n_windows=n_windows,
        accepted=context.accepted,
        settled=context.settled,
        own=OwnScorecard(scoring) if scoring is not None and scoring.is_scorecard else None,
        progress=context.progress,
    )


def _protocols(
    context: Context, frame: Frame, partition: Partition, developed: Developed
) -> dict[str, Mapping[str, Metric]]:
    """Figures on the public set's own split where ours differs, and by stage."""
    recipe = context.recipe
    found: dict[str, Mapping[str, Metric]] = {}
    if recipe.test_from is not None:
        published = split_published(frame, test_from=utc(recipe.test_from))
        if len(published.past) != len(partition.past):
            model = develop_model(context, frame, published, n_windows=0)
            found["published split, labels as known today"] = model.metrics
            found["published split: const"] = model.baselines["const"]
    if recipe.protocols is not None:
        found |= recipe.protocols(context, frame, partition, developed)
    elif recipe.stage is not None:
        seed = context.settings.training.seed
        found |= by_stage(frame, partition, developed, stage=recipe.stage, seed=seed)
    return found


def _warnings(findings: Sequence[Finding], accepted: Mapping[str, Acceptance]) -> list[str]:
    """Findings in words; many fields that outdo the model are one finding, and it is about the model."""
    ahead = [finding for finding in findings if finding.probe == OVER_MODEL_PROBE and finding.feature not in accepted]
    if len(ahead) < _MANY_AHEAD:
        return [_warning(finding, accepted) for finding in findings]
    best = max(ahead, key=lambda finding: finding.value or 0.0)
    together = (
        f"{len(ahead)} fields alone rank the later rows better than the whole model, {best.feature} best "
        f"({best.evidence}): what it learned may no longer hold"
    )
    return [*(_warning(finding, accepted) for finding in findings if finding not in ahead), together]


def _warning(finding: Finding, accepted: Mapping[str, Acceptance]) -> str:
    """A finding in words; for a feature that somebody accepted, who did so and why."""
    if finding.feature not in accepted:
        return finding.evidence
    word = accepted[finding.feature]
    return f"{finding.evidence}; accepted by {word.who} on {word.when[:10]}: {word.why}"


def _verdict(decision: Decision) -> str:
    return f"{'promoted' if decision.promoted else 'not promoted'}: {decision.reason}"
