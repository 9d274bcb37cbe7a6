"""Batch scoring: everything open, as of one moment, through the offline path (never through the online store)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from common.clock import utc
from common.errors import NotFoundError
from common.workspace import Workspace
from training.frame import column_values
from training.scorer import Scorer
from training.trend import KEYS as KEYS
from training.trend import TREND_OVER, WeekAgo
from training.workspace_scorer import scorer_of, scores_file

if TYPE_CHECKING:
    from features.repository import FeatureRepository
    from training.registry import ModelRegistry
    from warehouse.store import Warehouse

Progress = Callable[[str, int, int], None]

PROBABILITIES = {"lead": "conversion_probability", "deal": "win_probability"}
DUE_WITHIN_DAYS = 90


@dataclass(frozen=True, kw_only=True)
class BatchScores:
    """What a batch gave.

    Args:
        task: `lead` or `deal`.
        as_of: Moment that the features stand for, UTC.
        model_version: Champion that scored.
        count: Things scored.
        mean_probability: Mean probability; NaN when nothing is open.
        file: Parquet file with one score record a row, best first.
        top: The few that a person looks at first: best leads, or deals most at risk, strongest first.
    """

    task: str
    as_of: datetime
    model_version: str
    count: int
    mean_probability: float
    file: Path
    top: tuple[dict[str, Any], ...]

    def as_record(self) -> dict[str, Any]:
        """The batch as JSON values."""
        return {
            "task": self.task,
            "as_of": self.as_of.isoformat(),
            "model_version": self.model_version,
            "count": self.count,
            "mean_probability": self.mean_probability,
            "file": str(self.file),
            "top": json.loads(json.dumps(list(self.top), default=str)),
        }


def score_open(
    repository: FeatureRepository,
    warehouse: Warehouse,
    registry: ModelRegistry,
    workspace: Workspace,
    *,
    task: str,
    at: datetime,
    top: int = 5,
    progress: Progress | None = None,
) -> BatchScores:
    """Score every open lead or deal with the champion and keep the records.

    Args:
        repository: Features.
        warehouse: History; only what was known at `at` is read.
        registry: Models.
        workspace: Where the scores go.
        task: `lead` or `deal`.
        at: Moment to score at, UTC.
        top: How many to name.
        progress: Called with what, done, total.

    Raises:
        NotFoundError: if the task has no champion.
    """
    name = workspace.model_name(task)
    champion = registry.champion(name)
    if champion is None:
        raise NotFoundError(f"No champion of '{name}'", next_step=f"salience train {task} --source {workspace.name}")
    scorer = scorer_of(workspace, task, champion.bundle, threads=2)
    frame = open_frame(repository, warehouse, scorer, task=task, at=at, progress=progress)
    ids = frame[KEYS[task]].to_pylist()
    before = week_ago(repository, warehouse, scorer, task=task, at=at, ids=ids, progress=progress)
    scorer.week_ago = lambda: before
    records = scorer.record(_columns(frame, scorer), ids=ids, at=at)
    order = np.argsort([-record[PROBABILITIES[task]] for record in records], kind="stable")
    file = scores_file(workspace, task)
    write_records([records[position] for position in order], file)
    ranking = order if task == "lead" else _most_at_risk(frame, records)
    return BatchScores(
        task=task,
        as_of=utc(at),
        model_version=champion.version,
        count=len(records),
        mean_probability=float(np.mean([record[PROBABILITIES[task]] for record in records]))
        if records
        else float("nan"),
        file=file,
        top=tuple(_named(frame, records, int(position)) for position in ranking[:top]),
    )


def week_ago(
    repository: FeatureRepository,
    warehouse: Warehouse,
    scorer: Scorer,
    *,
    task: str,
    at: datetime,
    ids: Sequence[str],
    progress: Progress | None = None,
) -> WeekAgo:
    """What the same model says of the same things as they were known a week before `at`; of those open then too.

    Args:
        repository: Features, computed for that moment on the same offline path.
        warehouse: History.
        scorer: The model.
        task: `lead` or `deal`.
        at: Moment of the scores now, UTC.
        ids: What is scored now.
        progress: Called with what, done, total.
    """
    since = utc(at) - TREND_OVER
    spine = _open_spine(warehouse, task, since)
    spine = spine.filter(pc.is_in(spine[KEYS[task]], pa.array(ids, pa.string())))
    points: dict[str, float] = {}
    if spine.num_rows:
        frame = _frame(repository, scorer, spine, progress=progress)
        scores = scorer.points(scorer.probability(scorer.encode(_columns(frame, scorer))))
        points = dict(zip(frame[KEYS[task]].to_pylist(), scores.tolist(), strict=True))
    return WeekAgo(points, since, scorer.manifest.version)


def open_frame(
    repository: FeatureRepository,
    warehouse: Warehouse,
    scorer: Scorer,
    *,
    task: str,
    at: datetime,
    progress: Progress | None = None,
) -> pa.Table:
    """Features of everything open at `at`, as the model's service names them; one row per lead or deal."""
    return _frame(repository, scorer, _open_spine(warehouse, task, at), progress=progress)


def _open_spine(warehouse: Warehouse, task: str, at: datetime) -> pa.Table:
    from features.spines import open_deal_spine, open_lead_spine

    return (open_lead_spine if task == "lead" else open_deal_spine)(warehouse, at)


def _frame(repository: FeatureRepository, scorer: Scorer, spine: pa.Table, *, progress: Progress | None) -> pa.Table:
    service = scorer.manifest.feature_service
    repository.build(service, spine, progress=progress)
    return repository.training_frame(service, spine)


def _columns(frame: pa.Table, scorer: Scorer) -> dict[str, Any]:
    """Columns as the scorer encodes them fastest: numbers as arrays, text as objects."""
    return {entry.name: column_values(frame[entry.name], entry.dtype) for entry in scorer.manifest.features}


def write_records(records: Sequence[dict[str, Any]], file: Path) -> None:
    """Write score records as Parquet, at once or not at all; nested factors as JSON text."""
    import pyarrow.parquet as pq

    rows = [{**record, "scoring_factors": json.dumps(record["scoring_factors"])} for record in records]
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(f".{os.getpid()}.tmp")
    pq.write_table(pa.Table.from_pylist(rows), unfinished)
    unfinished.replace(file)


def _most_at_risk(frame: pa.Table, records: Sequence[dict[str, Any]]) -> np.ndarray[Any, Any]:
    """Deals by value at risk: amount times the probability of not winning it, among those due within a quarter.

    Where the source has no close dates every open deal counts; a deal without an amount comes last.
    """
    amounts = _numbers(frame, "amount_usd")
    due = _numbers(frame, "days_to_close_date")
    losing = np.array([1.0 - record[PROBABILITIES["deal"]] for record in records])
    at_risk = np.nan_to_num(amounts, nan=0.0) * losing
    if not np.isnan(due).all():
        at_risk = np.where(due <= DUE_WITHIN_DAYS, at_risk, -1.0)
    return np.argsort(-at_risk, kind="stable")


def _numbers(frame: pa.Table, name: str) -> np.ndarray[Any, Any]:
    if name not in frame.column_names:
        return np.full(frame.num_rows, np.nan)
    return np.asarray(frame[name].cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def _named(frame: pa.Table, records: Sequence[dict[str, Any]], position: int) -> dict[str, Any]:
    """A record with what a person needs to recognise the thing."""
    known = {
        name: frame[name][position].as_py()
        for name in ("amount_usd", "stage", "source", "industry", "days_to_close_date", "rep_id")
        if name in frame.column_names
    }
    return {**known, **records[position]}
