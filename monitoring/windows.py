"""The newest weeks against the rows the champion was judged on: both frames made in one way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from common.errors import NotFoundError
from common.settings import Settings
from monitoring.drift import DriftReport, report_drift
from training.batch import KEYS
from training.bundle import REFERENCE_FILE
from training.scorer import Scorer

if TYPE_CHECKING:
    from features.repository import FeatureRepository
    from training.registry import ModelRegistry
    from warehouse.sources import Source
    from warehouse.store import Warehouse

Progress = Callable[[str, int, int], None]

WINDOW_DAYS = 28
# What only tells the date differs between any two windows; that the calendar moved on is no drift.
CALENDAR_GROUP = "time"


def report_newest_window(
    repository: FeatureRepository,
    warehouse: Warehouse,
    registry: ModelRegistry,
    source: Source,
    *,
    task: str,
    at: datetime,
    settings: Settings,
    progress: Progress | None = None,
) -> DriftReport:
    """Compare the last four weeks before `at` with the champion's own test rows, and record the decision.

    Both are rows of the same training spine, so that neither the way rows are chosen nor their age differs.

    Args:
        repository: Features.
        warehouse: History; only what was known at `at` is read.
        registry: Models.
        source: Says how the model's spine is made.
        task: `lead` or `deal`.
        at: End of the window, UTC.
        settings: Seed of sampling.
        progress: Called with what, done, total.

    Raises:
        NotFoundError: if the task has no champion.
    """
    name = repository.workspace.model_name(task)
    champion = registry.champion(name)
    if champion is None:
        raise NotFoundError(f"No champion of '{name}'", next_step=f"salience train {task}")
    scorer = Scorer.load(champion.bundle, threads=settings.training.threads)
    watched = [entry for entry in scorer.manifest.features if entry.group != CALENDAR_GROUP]
    start = at - timedelta(days=WINDOW_DAYS)
    current = _window_frame(repository, warehouse, source, scorer, task=task, start=start, at=at)
    return report_drift(
        pq.read_table(champion.bundle / REFERENCE_FILE),
        current,
        features=watched,
        task=task,
        workspace=repository.workspace,
        window=(start, at),
        model_version=champion.version,
        seed=settings.training.seed,
        importance={entry.name: entry.importance for entry in watched},
        entity=KEYS[task],
        progress=progress,
    )


def _window_frame(
    repository: FeatureRepository,
    warehouse: Warehouse,
    source: Source,
    scorer: Scorer,
    *,
    task: str,
    start: datetime,
    at: datetime,
) -> pa.Table:
    """Spine rows of the window with their features and the champion's probabilities."""
    from features.spines import deal_history_spine, lead_history_spine

    if task == "lead":
        spine = lead_history_spine(warehouse, mode=source.lead.spine, until=at) if source.lead else None
    else:
        spine = deal_history_spine(warehouse, mode=source.deal.spine, until=at) if source.deal else None
    if spine is None:
        raise NotFoundError(f"Source '{source.name}' feeds no {task} model")
    spine = spine.filter(pc.greater(spine["as_of"], pa.scalar(start, spine.schema.field("as_of").type)))
    service = scorer.manifest.feature_service
    repository.build(service, spine)
    frame = repository.training_frame(service, spine)
    columns = {entry.name: frame[entry.name].to_pylist() for entry in scorer.manifest.features}
    return frame.append_column("probability", pa.array(scorer.probability(scorer.encode(columns))))
