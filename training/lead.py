"""The lead model: P(a lead converts within the horizon), with component scores, grade, confidence and reasons."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from common.errors import InputError
from common.settings import Settings
from training.labels import LEAD_CONVERTED
from training.recipe import Recipe
from training.results import TrainingOutcome
from training.study import Progress
from training.train import train_classifier

if TYPE_CHECKING:
    from features.repository import FeatureRepository
    from training.registry import ModelRegistry
    from training.scoring.scoring_file import ScoringFile
    from warehouse.sources import Source
    from warehouse.store import Warehouse

FEATURE_SERVICE = "lead_score_v1"


def train_lead(
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
    """Train, judge, register and maybe promote the lead model of a workspace.

    Args:
        repository: Features of the workspace.
        warehouse: Its history.
        registry: Where the model goes.
        source: The source; its lead protocol says horizon, spine and split.
        trials: Trials of the study in all; those an earlier run made on the same frame count.
        settings: Seed, threads and what "now" is.
        horizon_days: Horizon of the label; the source's protocol says it unless given.
        scoring: A scoring model of somebody's own; see `training.scoring`.
        progress: Told (what, done, total).

    Raises:
        InputError: if the source feeds no lead model, or the scoring model does not suit it.
        TooLittleDataError: if there are too few conversions; the message says how many.
        LeakError: if a field knows the outcome.
        UnavailableError: if the registry cannot be reached.
    """
    recipe = lead_recipe(source, horizon_days=horizon_days, scoring=scoring)
    return train_classifier(
        recipe, repository, warehouse, registry, source, trials=trials, settings=settings, progress=progress
    )


def lead_recipe(source: Source, *, horizon_days: int | None = None, scoring: ScoringFile | None = None) -> Recipe:
    """What a training of the lead model makes of a source.

    Args:
        source: The source.
        horizon_days: Horizon of the label; the source's protocol says it unless given.
        scoring: A scoring model of somebody's own.

    Raises:
        InputError: if the source feeds no lead model.
    """
    protocol = source.lead
    if protocol is None:
        raise InputError(f"The source '{source.name}' feeds no lead model", next_step="choose a source that has leads")
    mode = protocol.spine

    def spine(history: Warehouse, until: datetime) -> pa.Table:
        from features.spines import lead_history_spine

        return lead_history_spine(history, mode=mode, until=until)

    return Recipe(
        task="lead",
        feature_service=FEATURE_SERVICE,
        outcome=LEAD_CONVERTED,
        horizon_days=horizon_days or protocol.horizon_days,
        spine=spine,
        by_entity=mode == "creation",
        test_from=protocol.test_from,
        test_share=protocol.test_share,
        scoring=scoring,
    )
