"""Whether the times have changed of late: one test of all that shows early, with a known rate of false alarms.

What is asked of the newest one, two, three and six whole months is the same: are they what the months before them
taught? Asked of leads and of deals that became known (beside their trend and season), and of moves to a later stage
and of losses (beside what the stages of the open deals led to expect). Each answer is a prediction error over its
standard error, which knows how uncertain the expectation is (Chow 1960, the test of a prediction), taken to a normal
scale; of one stretch of months their squares add up to a chi-square, and of the four stretches the least probable
counts, its probability four times as high (Bonferroni). In steady times a test at 5 % therefore rings in at most one
forecast of twenty, whatever the company; what it costs to be so sure is told by `benchmarks/forecast.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.forecast.metrics import FloatArray

STRETCHES = (1, 2, 3, 6)
"""Newest whole months that are set beside those before them."""
ALARM = 0.05
_YEAR = 12
_SEASONS = 24
_LEAST_BEFORE = 6
_LEAST_FREEDOM = 3
_LEAST_COUNT = 5.0
_STANDS_OUT = 2.0
_MOST_SURPRISE = 8.0


@dataclass(frozen=True)
class Seen:
    """How far one kind of thing is off in the newest months.

    Args:
        name: What was counted.
        ratio: What came over what was to be expected.
        surprise: The error over its standard error, on a normal scale; above 0 where more came.
    """

    name: str
    ratio: float
    surprise: float


@dataclass(frozen=True)
class Turn:
    """What the test says.

    Args:
        chance: How probable so much surprise would be in steady times, four looks counted; 1 where nothing is told.
        months: The stretch of newest whole months that stands out most; 0 where nothing could be tested.
        seen: What came in it.
    """

    chance: float = 1.0
    months: int = 0
    seen: tuple[Seen, ...] = ()

    @property
    def has_come(self) -> bool:
        """Whether the times have changed, as far as a test with 5 % of false alarms tells."""
        return self.chance < ALARM

    @property
    def since(self) -> int:
        """Newest whole months that are later than the change; 0 where none is proven."""
        return self.months if self.has_come else 0

    @property
    def standing_out(self) -> tuple[Seen, ...]:
        """What differs beyond twice its standard error, the most surprising first."""
        found = [one for one in self.seen if abs(one.surprise) >= _STANDS_OUT]
        return tuple(sorted(found, key=lambda one: -abs(one.surprise)))

    def details(self) -> dict[str, Any]:
        """What was tested and what it said, as JSON values."""
        return {
            "chance_in_steady_times": self.chance,
            "months": self.months,
            "seen": {one.name: {"ratio": one.ratio, "surprise": one.surprise} for one in self.seen},
        }


@dataclass(frozen=True)
class Counts:
    """Something counted by whole month, oldest first.

    Args:
        name: What.
        happened: How often, shape (n_months,).
        expected: How often was to be expected by what the stages of open deals say; None where only the months before
            can tell.
        first: Number of the first month.
    """

    name: str
    happened: FloatArray
    expected: FloatArray | None = None
    first: int = 0

    def seen(self, stretch: int) -> Seen | None:
        """The newest months beside those before; None where there are too few to tell."""
        before = len(self.happened) - stretch
        if before < _LEAST_BEFORE:
            return None
        columns = self._columns(seasons=before >= _SEASONS)
        return _beside(self.name, self.happened, columns, base=self.expected, stretch=stretch)

    def _columns(self, *, seasons: bool) -> FloatArray:
        """What a month's count is explained by: a level; of what is not measured by stages a trend and the season."""
        size = len(self.happened)
        level = np.ones((size, 1))
        if self.expected is not None:
            return level
        trend = (np.arange(size) - size)[:, None] / _YEAR
        if not seasons:
            return np.hstack([level, trend])
        month = (self.first + np.arange(size)) % _YEAR
        return np.hstack([level, trend, np.eye(_YEAR)[month][:, 1:]])


def find_turn(counts: Sequence[Counts]) -> Turn:
    """Test whether the newest months are what those before them taught.

    Args:
        counts: What is counted; kinds with too few months, or too few things in them, say nothing.
    """
    from scipy.special import chdtrc

    best = Turn()
    for stretch in STRETCHES:
        seen = tuple(one for one in (part.seen(stretch) for part in counts) if one is not None)
        if not seen:
            continue
        total = sum(one.surprise**2 for one in seen)
        chance = min(1.0, len(STRETCHES) * float(chdtrc(len(seen), total)))
        if best.months == 0 or chance < best.chance:
            best = Turn(chance=chance, months=stretch, seen=seen)
    return best


def _beside(
    name: str, happened: FloatArray, columns: FloatArray, *, base: FloatArray | None, stretch: int
) -> Seen | None:
    """Counts of the newest months beside what a log-linear fit of those before foretold.

    The fit is weighted least squares of log counts, the weight of a month its count; counts scatter as the months
    before did, and at least as Poisson counts do.
    """
    base = np.ones(len(happened)) if base is None else np.maximum(base, 1e-9)
    before, newest = slice(0, len(happened) - stretch), slice(len(happened) - stretch, len(happened))
    freedom = len(happened) - stretch - columns.shape[1]
    if freedom < _LEAST_FREEDOM or happened[before].mean() < _LEAST_COUNT:
        return None
    weight = np.maximum(happened[before], 1.0)
    target = np.log((happened[before] + 0.5) / base[before])
    normal = columns[before].T @ (columns[before] * weight[:, None])
    # Months of the year that were never seen before have no season of their own.
    inverse = np.linalg.pinv(normal, hermitian=True)
    usual = base * np.exp(columns @ (inverse @ (columns[before].T @ (weight * target))))
    scatter = float((np.square(happened[before] - usual[before]) / np.maximum(usual[before], 0.5)).sum()) / freedom
    hoped = float(usual[newest].sum())
    direction = usual[newest] @ columns[newest] / hoped
    variance = max(scatter, 1.0) * (1.0 / hoped + float(direction @ inverse @ direction))
    ratio = (float(happened[newest].sum()) + 0.5) / (hoped + 0.5)
    return Seen(name, ratio, _normal_scale(float(np.log(ratio)) / np.sqrt(variance), freedom))


def _normal_scale(value: float, freedom: int) -> float:
    """The normal number that is as rare as `value` is of Student's t."""
    from scipy.special import ndtri, stdtr

    rarity = max(float(stdtr(freedom, -abs(value))), 1e-15)
    return float(np.sign(value) * min(-float(ndtri(rarity)), _MOST_SURPRISE))
