"""Puts the engine of a workspace together from the other folders' parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import SourceError
from common.settings import Settings
from common.workspace import Workspace
from serving.ahead_store import AheadReader, ahead_file
from serving.aliases import AliasReader
from serving.champions import ChampionSlot, load_scorer
from serving.engine import SCORED, Engine
from serving.moment import Moment
from serving.open_finder import find_beside
from serving.open_things import OpenThings
from serving.prediction_log import PredictionLog
from serving.sources import Forecasts
from serving.stored_features import StoredFeatures
from serving.trial import CHALLENGER, Trial

if TYPE_CHECKING:
    from training.scorer import Scorer
    from warehouse.store import Warehouse


def open_engine(
    settings: Settings,
    workspace: Workspace,
    *,
    tasks: Sequence[str],
    log: PredictionLog | None = None,
    override_of: Callable[[str, str], Mapping[str, Any] | None] = lambda _task, _id: None,
    tells_open: bool = True,
) -> Engine:
    """The engine of a workspace, with whatever champions there are loaded.

    Args:
        settings: Stores, clock, and the challenger's trial.
        workspace: What to serve.
        tasks: `lead`, `deal`, `forecast`, or some of them.
        log: Where predictions are kept; None: nowhere.
        override_of: What a person decided about a task's lead or deal, if anybody did.
        tells_open: Whether anybody will ask what is open.
    """
    from features.stream_clock import StreamClock
    from warehouse.store import Warehouse

    warehouse = Warehouse(workspace.warehouse)
    registry = AliasReader(settings)
    left_out = _left_out(workspace, tasks)
    slots = {
        task: ChampionSlot(
            task,
            name=workspace.model_name(task),
            registry=registry,
            load=_loader(workspace, task) if task in SCORED else None,
        )
        for task in tasks
        if task not in left_out
    }
    scored = [task for task in slots if task in SCORED]
    engine = Engine(
        workspace.name,
        slots=slots,
        open_features=lambda: _open_features(settings, workspace, warehouse),
        open_forecasts=lambda: _open_forecasts(workspace),
        moment=Moment(settings, warehouse, stream_now=StreamClock(workspace).now),
        left_out=left_out,
        trial=_trial(settings, workspace, registry, tasks=scored),
        log=log,
        cached_scores=settings.serving.cached_scores,
        ahead=AheadReader(ahead_file(workspace)) if settings.serving.scores_ahead else None,
        open_things=OpenThings(find_beside(settings, workspace, scored)) if tells_open and scored else None,
        override_of=override_of,
        # A local file answers within a fraction of a millisecond; a server may take its time, or never answer.
        reads_inline=settings.online_store.kind == "sqlite",
    )
    engine.refresh()
    engine.warm_up()
    return engine


def _loader(workspace: Workspace, task: str) -> Callable[[Path], Scorer]:
    """Reads a bundle, probes it, and lets it grade and tell trends as the workspace does."""

    def load(bundle: Path) -> Scorer:
        from training.workspace_scorer import adopt

        scorer = load_scorer(bundle)
        adopt(scorer, workspace, task)
        return scorer

    return load


def _trial(settings: Settings, workspace: Workspace, registry: AliasReader, *, tasks: Sequence[str]) -> Trial:
    slots = {
        task: ChampionSlot(
            task,
            name=workspace.model_name(task),
            registry=registry,
            alias=CHALLENGER,
            load=_loader(workspace, task),
        )
        for task in tasks
    }
    return Trial(settings.serving.trial, share=settings.serving.trial_share, slots=slots)


def _open_features(settings: Settings, workspace: Workspace, warehouse: Warehouse) -> StoredFeatures:
    from features.online_store_rows import open_rows
    from features.repository import FeatureRepository

    repository = FeatureRepository(workspace, warehouse, settings.online_store)
    return StoredFeatures(repository, open_rows(workspace, settings.online_store, is_patient=False))


def _open_forecasts(workspace: Workspace) -> Forecasts:
    from training.forecast.store import ForecastStore

    return ForecastStore(workspace.forecasts)


def territories_of(warehouse: Warehouse) -> Mapping[str, str]:
    """The territory that each rep works in, as known now; reps without one are absent."""
    with warehouse.duckdb() as connection:
        rows = connection.sql(
            """SELECT rep_id, arg_max(territory_id, (event_timestamp, created_timestamp)) AS territory_id FROM reps
            WHERE territory_id IS NOT NULL GROUP BY rep_id"""
        ).fetchall()
    return {str(rep): str(territory) for rep, territory in rows}


def _left_out(workspace: Workspace, tasks: Sequence[str]) -> dict[str, str]:
    """Tasks that the workspace's source cannot have, and why; nothing for a workspace without a source."""
    from warehouse.own_mapping import source_of

    try:
        source = source_of(workspace)
    except SourceError:
        return {}
    return {
        task: f"The source {workspace.name} has no {task} model, because it lacks the tables for it"
        for task in tasks
        if getattr(source, task) is None
    }
