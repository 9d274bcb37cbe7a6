"""Trend of a score since last week: the same model on what was known seven days ago, beside what is known now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

IMPROVING, STEADY, DECLINING, UNKNOWN = "improving", "steady", "declining", "not enough info"

TREND_OVER = timedelta(days=7)
STEADY_POINTS = 5.0
"""Less than this many points of 100 up or down is steady."""


def trends(points: Sequence[float], week_ago: Sequence[float | None]) -> dict[str, list[str] | list[float | None]]:
    """Trend of each score.

    Args:
        points: Scores now, 0 to 100.
        week_ago: Scores of the same model on the features as they were known seven days ago; None where the lead or
            deal was not open then, or nobody looked.

    Returns:
        `trend`: improving, steady, declining or not enough info; `trend_points`: the change, None where not known.

    Example:
        >>> trends([60.0, 50.0, 20.0], [40.0, 49.0, None])
        {'trend': ['improving', 'steady', 'not enough info'], 'trend_points': [20.0, 1.0, None]}
    """
    changes = [None if before is None else round(now - before, 2) for now, before in zip(points, week_ago, strict=True)]
    return {"trend": [_word(change) for change in changes], "trend_points": changes}


def _word(change: float | None) -> str:
    if change is None:
        return UNKNOWN
    if abs(change) < STEADY_POINTS:
        return STEADY
    return IMPROVING if change > 0 else DECLINING
