"""The deal model: will it close, when, for how much, and what would help; see `training.deals`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from common.errors import InputError, TooLittleDataError
from common.settings import Settings
from training.labels import DEAL_WON
from training.recipe import Context, Recipe
from training.results import Metric, TrainingOutcome
from training.study import Progress
from training.train import train_classifier, training_context

if TYPE_CHECKING:
    from features.repository import FeatureRepository
    from training.classifier import Developed
    from training.frame import Frame, Partition
    from training.registry import ModelRegistry
    from training.scoring.scoring_file import ScoringFile
    from warehouse.sources import Source
    from warehouse.store import Warehouse

FEATURE_SERVICE = "deal_win_v1"


def train_deal(
    repository: FeatureRepository,
    warehouse: Warehouse,
    registry: ModelRegistry,
    source: Source,
    *,
    trials: int,
    settings: Settings,
    horizon_days: int | None = None,
    scoring: ScoringFile | None = None,
    progress: Progress | None = None,
) -> TrainingOutcome:
    """Train, judge, register and maybe promote the deal model of a workspace.

    Args:
        repository: Features of the workspace.
        warehouse: Its history.
        registry: Where the model goes.
        source: The source; its deal protocol says horizon, spine and split.
        trials: Trials of the study in all; those an earlier run made on the same frame count.
        settings: Seed, threads and what "now" is.
        horizon_days: Horizon of the label; the source's protocol says it unless given.
        scoring: A scoring model of somebody's own; see `training.scoring`.
        progress: Told (what, done, total).

    Raises:
        InputError: if the source feeds no deal model, or the scoring model does not suit it.
        TooLittleDataError: if not one deal has ended; with too few of them, shrunken stage rates are registered.
        LeakError: if a field knows the outcome.
        UnavailableError: if the registry cannot be reached.
    """
    recipe = deal_recipe(source, horizon_days=horizon_days, scoring=scoring)
    try:
        return train_classifier(
            recipe, repository, warehouse, registry, source, trials=trials, settings=settings, progress=progress
        )
    except TooLittleDataError as error:
        if recipe.develop is None:
            raise
        from training.deals.few import train_stage_rates

        context = training_context(
            recipe, repository.workspace, warehouse, trials=trials, settings=settings, progress=progress
        )
        return train_stage_rates(context, repository, warehouse, registry, because=error)


def deal_recipe(source: Source, *, horizon_days: int | None = None, scoring: ScoringFile | None = None) -> Recipe:
    """What a training of the deal model makes of a source.

    Args:
        source: The source.
        horizon_days: Horizon of the label; the source's protocol says it unless given.
        scoring: A scoring model of somebody's own.

    Raises:
        InputError: if the source feeds no deal model.
    """
    protocol = source.deal
    if protocol is None:
        raise InputError(f"The source '{source.name}' feeds no deal model", next_step="choose a source that has deals")
    mode = protocol.spine

    def spine(history: Warehouse, until: datetime) -> pa.Table:
        from features.spines import deal_history_spine

        # Scorecards and the like take what the protocol judges; the deal model learns from every week.
        return deal_history_spine(history, mode=mode if scoring is not None else "weekly", until=until)

    def judged(history: Warehouse, until: datetime) -> pa.Table:
        from features.spines import deal_history_spine

        return deal_history_spine(history, mode=mode, until=until)

    def develop(context: Context, frame: Frame, partition: Partition) -> Developed:
        from training.deals.develop import develop_deals

        return develop_deals(context, frame, partition)

    def protocols(
        context: Context, frame: Frame, partition: Partition, developed: Developed
    ) -> dict[str, Mapping[str, Metric]]:
        from training.deals.protocols import deal_protocols

        return deal_protocols(context, frame, partition, developed)

    return Recipe(
        task="deal",
        feature_service=FEATURE_SERVICE,
        outcome=DEAL_WON,
        horizon_days=horizon_days or protocol.horizon_days,
        spine=spine,
        by_entity=mode == "stage_entries",
        test_from=protocol.test_from,
        test_share=protocol.test_share,
        stage="stage",
        scoring=scoring,
        develop=develop if scoring is None else None,
        protocols=protocols if scoring is None else None,
        judged=judged if scoring is None and mode != "weekly" else None,
    )
