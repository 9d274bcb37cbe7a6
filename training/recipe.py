"""What distinguishes one classifier from another, and what every step of one training needs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from common.settings import Settings
from training.labels import Outcome
from training.probes.acceptance import Acceptance
from training.study import Progress, StudyResult

if TYPE_CHECKING:
    from training.classifier import Developed
    from training.frame import Frame, Partition
    from training.results import Metric
    from training.scoring.scoring_file import ScoringFile
    from warehouse.store import Warehouse

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What distinguishes one classifier from another.

    Args:
        task: `lead` or `deal`.
        feature_service: Feature service of the model.
        outcome: What decides.
        horizon_days: Horizon of the label, in days.
        spine: Moments that were to be scored, until a time.
        judged: Of these the moments that a protocol judges; None for all.
        by_entity: Whether past and test share no entity (public protocols with a row per entity or stage).
        test_from: Where the test begins, if the protocol says so.
        test_share: Share of the entities, newest first, that the protocol tests on.
        stage: Feature to show figures by, if any.
        scoring: A scoring model of somebody's own; None for the trained kinds on all features.
        protocols: Further figures from (context, frame, partition, what was developed), by name.
        develop: Makes the model from (context, frame, partition); None for a binary classifier of the horizon's label.
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
    judged: Callable[[Warehouse, datetime], pa.Table] | None = None
    scoring: ScoringFile | None = None
    develop: Callable[[Context, Frame, Partition], Developed] | None = None
    protocols: Callable[[Context, Frame, Partition, Developed], Mapping[str, Mapping[str, Metric]]] | None = None


@dataclass(frozen=True, kw_only=True)
class Context:
    """What every step of one training needs; `settled` is what an earlier study came to, where none shall be run."""

    recipe: Recipe
    settings: Settings
    name: str
    workspace: str
    cut: datetime
    journal: Path
    trials: int
    accepted: Mapping[str, Acceptance]
    progress: Progress | None
    settled: StudyResult | None = None

    def say(self, what: str, done: int, total: int) -> None:
        """Log a step, and tell whoever watches."""
        logger.info("%s: %s (%d of %d)", self.name, what, done, total)
        if self.progress is not None:
            self.progress(what, done, total)
