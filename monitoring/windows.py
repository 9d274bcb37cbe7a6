"""Which rows a champion's drift report compares: the newest weeks against the last equal stretch it learned from.

Both windows hold the rows of the same history spine, and of each lead or deal one row, drawn at random, stands for
it. Equal lengths matter: a thing that lives for months has more rows in a longer window, so windows of different
lengths differ in what they hold even when nothing has changed.

Some features are not compared. Those of a rep, segment or account have one value for all its rows of a moment, so a
batch holds few independent values of them, however many rows it has; those that name the month move with the
calendar.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from common.clock import parse_moment, utc
from common.errors import InputError, NotFoundError
from common.settings import Settings
from common.workspace import Workspace
from monitoring.columns import PREDICTION
from monitoring.drift import DriftReport, report_drift
from training.batch import KEYS
from training.scorer import Scorer

if TYPE_CHECKING:
    from features.repository import FeatureRepository
    from training.manifest import FeatureEntry
    from training.registry import ModelRegistry
    from warehouse.sources import Source
    from warehouse.store import Warehouse

Progress = Callable[[str, int, int], None]

# The shortest of these that holds enough things; the longest if none does.
WINDOWS_DAYS = (28, 56, 91, 182)
ENOUGH_ENTITIES = 300

_SHARED_GROUPS = ("rep", "segment", "account")


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
    """Compare the newest weeks before `at` with the last ones that the task's champion learned from.

    Args:
        repository: Features; rows not yet built are.
        warehouse: History; only what was known at each row's moment is read.
        registry: Models.
        source: Names the workspace and the spine's protocol.
        task: lead or deal.
        at: End of the current window, UTC.
        settings: Seed and folders.
        progress: Told what is being done.

    Raises:
        NotFoundError: if the task has no champion.
        InputError: if the source does not feed the task.
    """
    workspace = Workspace.of(settings, source.name)
    name = workspace.model_name(task)
    champion = registry.champion(name)
    if champion is None:
        raise NotFoundError(f"No champion of '{name}'", next_step=f"salience train {task} --source {source.name}")
    scorer = Scorer.load(champion.bundle, threads=2)
    spine = history_spine(warehouse, source, task=task, until=at)
    current, reference = choose_windows(
        spine, key=KEYS[task], at=at, learned_until=parse_moment(scorer.manifest.trained_until)
    )
    frames = [
        _scored_frame(repository, scorer, rows_within(spine, window), progress=progress)
        for window in (reference, current)
    ]
    compared, left_out = split_features(scorer.manifest.features)
    return report_drift(
        frames[0],
        frames[1],
        features=compared,
        task=task,
        workspace=workspace,
        window=current,
        reference_window=reference,
        model_version=champion.version,
        seed=settings.training.seed,
        importance={entry.name: entry.importance for entry in scorer.manifest.features},
        entity=KEYS[task],
        not_compared=left_out,
        progress=progress,
    )


def history_spine(warehouse: Warehouse, source: Source, *, task: str, until: datetime) -> pa.Table:
    """The spine that the task's training uses, up to `until`.

    Raises:
        InputError: if the source does not feed the task.
    """
    from features.spines import deal_history_spine, lead_history_spine

    if task == "lead" and source.lead is not None:
        return lead_history_spine(warehouse, mode=source.lead.spine, until=until)
    if task == "deal" and source.deal is not None:
        return deal_history_spine(warehouse, mode=source.deal.spine, until=until)
    raise InputError(
        f"Source '{source.name}' has no drift report for '{task}'",
        expected=f"one of {', '.join(t for t in source.tasks if t in KEYS) or 'no task'}",
        field="task",
    )


def choose_windows(
    spine: pa.Table, *, key: str, at: datetime, learned_until: datetime
) -> tuple[tuple[datetime, datetime], tuple[datetime, datetime]]:
    """Current and reference window: equally long, not overlapping, the shortest that holds enough things.

    Args:
        spine: Columns `key` and as_of.
        key: Column that names the thing.
        at: End of the current window.
        learned_until: Newest moment the model learned from; the reference ends there, or where the current one begins.

    Returns:
        (first, last) moment of the current and of the reference window; a row belongs to it if first < as_of <= last.
    """
    at, learned_until = utc(at), utc(learned_until)
    for days in WINDOWS_DAYS:
        length = timedelta(days=days)
        current = (at - length, at)
        end = min(learned_until, current[0])
        reference = (end - length, end)
        held = (pc.count_distinct(rows_within(spine, window)[key]).as_py() for window in (current, reference))
        if min(held) >= ENOUGH_ENTITIES:
            break
    return current, reference


def rows_within(spine: pa.Table, window: tuple[datetime, datetime]) -> pa.Table:
    """Rows of a spine with first < as_of <= last."""
    moments = pa.array(window, type=spine.schema.field("as_of").type)
    return spine.filter(pc.and_(pc.greater(spine["as_of"], moments[0]), pc.less_equal(spine["as_of"], moments[1])))


def split_features(features: Sequence[FeatureEntry]) -> tuple[list[FeatureEntry], dict[str, str]]:
    """The features to compare, and the others with the reason why not."""
    left_out: dict[str, str] = {}
    for feature in features:
        if feature.group in _SHARED_GROUPS:
            left_out[feature.name] = f"one value for all rows of a {feature.group} at a moment"
        elif feature.group == "time" and feature.unit.startswith("month"):
            left_out[feature.name] = "moves with the calendar"
    return [feature for feature in features if feature.name not in left_out], left_out


def _scored_frame(
    repository: FeatureRepository, scorer: Scorer, spine: pa.Table, *, progress: Progress | None
) -> pa.Table:
    """Features of the rows, and what the champion answers for them."""
    service = scorer.manifest.feature_service
    repository.build(service, spine, progress=progress)
    frame = repository.training_frame(service, spine)
    columns: Mapping[str, list[object]] = {
        entry.name: frame[entry.name].to_pylist() for entry in scorer.manifest.features
    }
    if frame.num_rows == 0:
        return frame.append_column(PREDICTION, pa.array([], type=pa.float64()))
    return frame.append_column(PREDICTION, pa.array(scorer.probability(scorer.encode(columns))))
