"""Sudden changes in how much comes each week.

Each week is compared with the 26 before it (at least 8): the expected count is their median, and its scale the
largest of 1.4826 times their median absolute deviation (a robust standard deviation: Iglewicz and Hoaglin, 1993), the
square root of the median (a Poisson count's own spread) and a tenth of the median. A week is flagged when it is more
than 5 scales and at least 50 rows off, and half as much again beyond the greatest or the least of those weeks, unless
the same week of the year before, give or take one, was off in the same direction by at least half as many scales:
that is the season. So the first week of a lasting change is flagged, and not those after it. Where more than half of
those weeks are empty nothing is expected and nothing flagged.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from warehouse.quality.reading import MOST_EXAMPLES, Reading
from warehouse.quality.results import Found, WeekVolume

_WINDOW = 26
_LEAST_WEEKS = 8
_THRESHOLD = 5.0
_LEAST_DIFFERENCE = 50
_BEYOND = 1.5
_YEAR = (51, 52, 53)
_MOST_WEEKS = 260
_RECENT_WEEKS = 13


@dataclass(frozen=True)
class _Expectation:
    median: float
    scale: float
    least: int
    greatest: int

    @property
    def low(self) -> float:
        return max(0.0, min(self.median - _THRESHOLD * self.scale, self.least / _BEYOND))

    @property
    def high(self) -> float:
        return max(self.median + _THRESHOLD * self.scale, self.greatest * _BEYOND)

    def distance(self, count: int) -> float:
        return (count - self.median) / self.scale


def weekly_counts(reading: Reading, table: str, *, lag_hours: float) -> list[tuple[date, int]]:
    """Rows per whole week, gaps as 0, oldest first; the first week and those not yet complete are left out.

    Args:
        reading: The tables.
        table: Which.
        lag_hours: How long most rows take to become known: a week is complete only that much after its end.
    """
    complete = f"{reading.moment} - INTERVAL {max(0, math.ceil(lag_hours))} HOUR"
    counted = reading.all(
        f"""SELECT date_trunc('week', event_timestamp)::DATE AS week, count(*) FROM {reading.rows_of(table)}
            WHERE date_trunc('week', event_timestamp) + INTERVAL 7 DAY <= {complete}
            GROUP BY week ORDER BY week DESC LIMIT {_MOST_WEEKS}"""  # noqa: S608
    )
    if len(counted) < 2:
        return []
    counts: dict[date, int] = dict(counted)
    first, last = counted[-1][0] + timedelta(days=7), counted[0][0]
    weeks = [first + timedelta(days=7 * step) for step in range((last - first).days // 7 + 1)]
    return [(week, counts.get(week, 0)) for week in weeks[-_MOST_WEEKS:]]


def judge_weeks(counts: Sequence[tuple[date, int]]) -> tuple[WeekVolume, ...]:
    """Each week with what was to be expected and whether it is a sudden change."""
    expected = [_expectation([count for _, count in counts[max(0, i - _WINDOW) : i]]) for i in range(len(counts))]
    distances = [None if e is None else e.distance(count) for e, (_, count) in zip(expected, counts, strict=True)]
    return tuple(
        WeekVolume(
            week=week,
            rows=count,
            low=None if e is None else e.low,
            high=None if e is None else e.high,
            flagged=e is not None and _is_outside(e, count) and not _is_season(distances, place),
        )
        for place, ((week, count), e) in enumerate(zip(counts, expected, strict=True))
    )


def _expectation(before: Sequence[int]) -> _Expectation | None:
    if len(before) < _LEAST_WEEKS or 2 * before.count(0) > len(before):
        return None
    median = statistics.median(before)
    deviation = statistics.median(abs(count - median) for count in before)
    scale = max(1.4826 * deviation, math.sqrt(max(median, 1.0)), 0.1 * median)
    return _Expectation(median, scale, min(before), max(before))


def _is_outside(expected: _Expectation, count: int) -> bool:
    return not expected.low <= count <= expected.high and abs(count - expected.median) >= _LEAST_DIFFERENCE


def _is_season(distances: Sequence[float | None], place: int) -> bool:
    """Whether the week of the year before moved alike."""
    distance = distances[place] or 0.0
    year_ago = [distances[place - weeks] for weeks in _YEAR if place >= weeks]
    return any(then is not None and then * math.copysign(1, distance) >= abs(distance) / 2 for then in year_ago)


def volume_findings(table: str, weeks: Sequence[WeekVolume]) -> list[Found]:
    """One finding for all flagged weeks of a table; it costs no points."""
    flagged = [week for week in weeks if week.flagged]
    if not flagged:
        return []
    newest = flagged[-1]
    recent = (weeks[-1].week - newest.week).days <= 7 * _RECENT_WEEKS
    advice = (
        "Ask what changed in that week: an import, a campaign, a lost connection, a new process. If it was a change of "
        "process, look at `salience drift` before the next training."
    )
    return [
        Found(
            check="volumes.sudden" if recent else "volumes.sudden_long_ago",
            table=table,
            what=f"{len(flagged):,} of {len(weeks):,} weeks {'differs' if len(flagged) == 1 else 'differ'} suddenly "
            f"from those before, last the week of "
            f"{newest.week}: {newest.rows:,} rows where {newest.low:,.0f} to {newest.high:,.0f} were to be expected",
            advice=advice if recent else "Long ago: only worth a look if a model is trained on that time.",
            count=len(flagged),
            examples=tuple(
                f"{week.week}: {week.rows:,} (expected {week.low:,.0f} to {week.high:,.0f})"
                for week in reversed(flagged[-MOST_EXAMPLES:])
            ),
        )
    ]
