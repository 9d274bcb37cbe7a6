"""Trend of a score since last week: the same model on what was known seven days ago, beside what is known now."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from common.clock import utc

IMPROVING, STEADY, DECLINING, UNKNOWN = "improving", "steady", "declining", "not enough info"

TREND_OVER = timedelta(days=7)
logger = logging.getLogger(__name__)

STEADY_POINTS = 5.0
"""Less than this many points of 100 up or down is steady."""

KEYS = {"lead": "lead_id", "deal": "opportunity_id"}


@dataclass(frozen=True)
class WeekAgo:
    """Scores of a week ago.

    Args:
        points: Score by id, 0 to 100, see `Scorer.points`.
        since: The moment they stand for, UTC.
        model_version: Version of the model that made them; another one's say nothing about a trend.
    """

    points: Mapping[str, float]
    since: datetime
    model_version: str


def trends(points: Sequence[float], ids: Sequence[str], week_ago: WeekAgo | None) -> dict[str, list[Any]]:
    """Trend of each score.

    Args:
        points: Scores now, 0 to 100.
        ids: Whose.
        week_ago: Scores of the same model on the features as they were known seven days ago; None where nobody looked.

    Returns:
        `trend`: improving, steady, declining or not enough info (the lead or deal was not open then); `trend_points`:
            the change; `trend_since`: since when. The last two are None where there is not enough info.
    """
    before = {} if week_ago is None else week_ago.points
    changes = [round(now - before[key], 2) if key in before else None for now, key in zip(points, ids, strict=True)]
    since = None if week_ago is None else week_ago.since
    return {
        "trend": [_word(change) for change in changes],
        "trend_points": changes,
        "trend_since": [None if change is None else since for change in changes],
    }


def _word(change: float | None) -> str:
    if change is None:
        return UNKNOWN
    if abs(change) < STEADY_POINTS:
        return STEADY
    return IMPROVING if change > 0 else DECLINING


class WeekAgoFile:
    """The scores of a week ago that the newest batch worked out, for answers in between batches.

    Args:
        file: Parquet file of the batch's score records, see `training.batch`.
        task: `lead` or `deal`.
    """

    def __init__(self, file: Path, task: str) -> None:
        self._file = file
        self._task = task
        self._read_at: int | None = None
        self._found: WeekAgo | None = None

    def __call__(self) -> WeekAgo | None:
        """What the file says now; None where there is none. Read anew after each batch."""
        try:
            changed_at = self._file.stat().st_mtime_ns
        except FileNotFoundError:
            return None
        if changed_at != self._read_at:
            self._found, self._read_at = self._read(), changed_at
        return self._found

    def _read(self) -> WeekAgo | None:
        from pyarrow import ArrowException

        try:
            return read_week_ago(self._file, self._task)
        except (OSError, ArrowException) as error:
            # A score without its trend is better than none.
            logger.warning("%s cannot be read, so no trend is told: %s", self._file, error)
            return None


def read_week_ago(file: Path, task: str) -> WeekAgo | None:
    """The scores of a week ago in a batch's file; None where it holds none.

    Args:
        file: Parquet file of score records.
        task: `lead` or `deal`.
    """
    import pyarrow.parquet as pq

    score = "composite_score" if task == "lead" else "win_probability"
    names = [KEYS[task], score, "trend_points", "trend_since", "model_version"]
    if not set(names) <= set(pq.read_schema(file).names):
        return None
    table = pq.read_table(file, columns=names)
    rows = table.filter(table["trend_points"].is_valid()).to_pydict()
    if not rows["trend_since"]:
        return None
    scale = 1.0 if task == "lead" else 100.0
    points = {
        key: round(scale * now - change, 2)
        for key, now, change in zip(rows[KEYS[task]], rows[score], rows["trend_points"], strict=True)
    }
    return WeekAgo(points, utc(rows["trend_since"][0]), rows["model_version"][0])
