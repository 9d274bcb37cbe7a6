"""Where the present stands against what was learned: a level that drifts, and now and then jumps.

What is learned from two years of deals holds for their mean. Month by month the wins that came are set beside those
that were expected; their ratio is tracked as a hidden level by Bayes' rule on a grid. From month to month the level
wanders a little, and with a small chance it starts anew (a recession, a new way of selling). The forecast takes the
level as it stands, and its ranges take the level's uncertainty: it is wide after a surprise, before there is proof
whether the surprise will last. (Filter for a Markov-switching level: Hamilton 1989; West and Harrison 1997, ch. 12.)

Two years of one level hardly tell how much it wanders, those of several do: what earlier levels told of wandering is
taken along. In what is to come a jump is one of the times: all levels jump in the same month of a path, or none. And
where a test has shown that the times have changed (`turn`), every level may start anew from that month on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from training.forecast.metrics import FloatArray

_GRID = np.linspace(np.log(0.2), np.log(3.5), 144)
_START_SD = 0.1
_PRIOR_TURNS, _PRIOR_MONTHS = 1.0, 40.0
_JUMP_CHANCE, _JUMP_SD = _PRIOR_TURNS / _PRIOR_MONTHS, 0.35
_DRIFTS = (0.005, 0.03, 0.06)
_DISPERSIONS = (0.0, 0.005, 0.02, 0.05)
_TURN_CHANCE = 0.5
"""Chance that a level starts anew in the month in which the times are known to have changed: not all of them do."""


@dataclass(frozen=True, kw_only=True)
class Level:
    """A factor on what was learned, as known now.

    Args:
        weights: Probability of each place of the grid of log factors, shape (n_grid,).
        drift_sd: Standard deviation of a month's wandering, of the log.
        months: Months it was tracked over; 0 where it could not be.
        path: The factor as it was known after each of them.
        wandering: Log of how well each of three extents of wandering foretold them: what this level tells of it.
    """

    weights: FloatArray
    drift_sd: float
    months: int
    path: FloatArray = field(default_factory=lambda: np.zeros(0))
    wandering: FloatArray = field(default_factory=lambda: np.zeros(len(_DRIFTS)))

    @property
    def mean(self) -> float:
        """The factor now."""
        return float(self.weights @ np.exp(_GRID))

    @property
    def sd(self) -> float:
        """Standard deviation of the log of the factor now."""
        middle = self.weights @ _GRID
        return float(np.sqrt(self.weights @ (_GRID - middle) ** 2))

    @property
    def shift(self) -> float:
        """The factor now over its mean half a year to a quarter ago; 1 where it was not tracked so long."""
        before = self.path[-7:-3]
        return self.mean / float(before.mean()) if len(before) else 1.0

    def ahead(self, h: int) -> FloatArray:
        """Expected factor of each month from this one on, shape (h,)."""
        step, weights, found = _transition(self.drift_sd), self.weights, []
        for _ in range(h):
            found.append(float(weights @ np.exp(_GRID)))
            weights = weights @ step
        return np.array(found)

    def draw(self, rng: np.random.Generator, *, turns: NDArray[np.bool_]) -> FloatArray:
        """Paths of the factor over its expectation `ahead`: mean 1 in every month.

        Args:
            rng: The stream of the level's own luck.
            turns: In which months of each path the times change (`draw_turns`), shape (n_paths, h).

        Returns:
            Shape (n_paths, h).
        """
        start = rng.choice(_GRID, size=len(turns), p=self.weights)
        wander = self.drift_sd * rng.standard_normal(turns.shape)
        landing = _JUMP_SD * rng.standard_normal(turns.shape)
        level, found = start, np.empty(turns.shape)
        for month in range(turns.shape[1]):
            if month:
                level = np.where(turns[:, month], landing[:, month], level + wander[:, month])
            found[:, month] = level
        drawn = np.exp(np.clip(found, _GRID[0], _GRID[-1]))
        return np.asarray(drawn / drawn.mean(axis=0), dtype=np.float64)


def neutral_level(sd: float = _START_SD) -> Level:
    """The level where nothing can be compared: 1, with the uncertainty `sd` of its log."""
    return Level(weights=_normal(0.0, max(sd, 0.01)), drift_sd=_DRIFTS[1], months=0)


def chance_of_turn(*, months: int, turns: int) -> float:
    """Chance that the times change in a month, after so many months with so many changes: Beta(1, 39) before them.

    A company that has seen five years without a change expects fewer than one whose first two years are known.
    """
    return (_PRIOR_TURNS + turns) / (_PRIOR_MONTHS + months)


def draw_turns(rng: np.random.Generator, *, n_paths: int, h: int, chance: float = _JUMP_CHANCE) -> NDArray[np.bool_]:
    """In which months of each path the times change, for all levels alike: a recession spares none of them.

    Args:
        rng: The stream.
        n_paths: Sample paths.
        h: Months.
        chance: Chance of a change in a month (`chance_of_turn`).
    """
    return np.asarray(rng.random((n_paths, h)) < chance, dtype=bool)


def told_of_wandering(*levels: Level) -> FloatArray:
    """What levels tell together of how much things wander here."""
    return np.asarray(np.sum([level.wandering for level in levels], axis=0), dtype=np.float64)


def track_counts(
    happened: FloatArray, expected: FloatArray, *, wandering: FloatArray | None = None, turned: int = 0
) -> Level:
    """The level of counts against what was expected of them; see `track_together`."""
    (level,) = track_together([(happened, expected)], wandering=wandering, turned=turned)
    return level


def track_together(
    counts: Sequence[tuple[FloatArray, FloatArray]], *, wandering: FloatArray | None = None, turned: int = 0
) -> list[Level]:
    """The levels of several counts against what was expected of them, which are taken to wander alike.

    Counts are taken as Poisson, or more dispersed (deals of a rep and a season share their luck); dispersion and
    wandering are averaged over by how well they foretell the next month.

    Args:
        counts: Of each what came in each month, oldest first, and what was to be expected by what was learned.
        wandering: What other levels told of wandering (`told_of_wandering`).
        turned: How many of the newest months are later than a proven change of the times; 0 without one.
    """
    found = [_filter_all(_count_tables(*one), turned=turned) for one in counts]
    told = np.zeros(len(_DRIFTS)) if wandering is None else wandering
    told = told + sum(part.wandering for part in found if part.months)
    return [part.averaged(told) for part in found]


def track_means(
    mean_log: FloatArray, error: FloatArray, *, wandering: FloatArray | None = None, turned: int = 0
) -> Level:
    """The level of a mean against what was expected of it.

    Args:
        mean_log: Mean of the log of observed over expected in each month, oldest first.
        error: Its standard error.
        wandering: As in `track_together`.
        turned: As in `track_together`.
    """
    known = np.isfinite(mean_log) & (error > 0)
    distance = np.where(known, mean_log, 0.0)[:, None] - _GRID
    table = np.where(known[:, None], -0.5 * (distance / np.where(known, error, 1.0)[:, None]) ** 2, 0.0)
    found = _filter_all(([table], int(known.sum())), turned=turned)
    return found.averaged(found.wandering + (0.0 if wandering is None else wandering))


@dataclass(frozen=True, kw_only=True)
class _Filtered:
    """Weights after each month and log evidence, by drift and table: (n_drifts, n_tables, n_months, n_grid)."""

    weights: FloatArray
    evidence: FloatArray
    months: int

    @property
    def wandering(self) -> FloatArray:
        """Log evidence of each drift, the tables averaged over."""
        top = self.evidence.max()
        return np.asarray(top + np.log(np.exp(self.evidence - top).mean(axis=1)), dtype=np.float64)

    def averaged(self, told: FloatArray) -> Level:
        """The level, drifts weighted by what was told of them in sum."""
        if not self.months:
            return neutral_level()
        of_drift = np.exp(told - told.max())
        of_drift /= of_drift.sum()
        of_table = np.exp(self.evidence - self.evidence.max(axis=1, keepdims=True))
        of_table /= of_table.sum(axis=1, keepdims=True)
        weights = np.einsum("d,dt,dtmg->mg", of_drift, of_table, self.weights)
        return Level(
            weights=weights[-1] / weights[-1].sum(),
            drift_sd=float(np.sqrt(of_drift @ np.square(_DRIFTS))),
            months=self.months,
            path=weights @ np.exp(_GRID),
            wandering=self.wandering,
        )


def _count_tables(happened: FloatArray, expected: FloatArray) -> tuple[list[FloatArray], int]:
    """Log chance of each month's count by place of the grid, for each dispersion; and how many months tell anything."""
    known = expected > 0
    # A month of which nothing was expected says nothing.
    tables = [
        np.where(known[:, None], _log_chance(happened, np.where(known, expected, 1.0), dispersion), 0.0)
        for dispersion in _DISPERSIONS
    ]
    return tables, int(known.sum())


def _filter_all(tables: tuple[list[FloatArray], int], *, turned: int) -> _Filtered:
    rows, months = tables
    found = [[_filter(table, drift, turned=turned) for table in rows] for drift in _DRIFTS]
    return _Filtered(
        weights=np.array([[weights for weights, _ in of_drift] for of_drift in found]),
        evidence=np.array([[evidence for _, evidence in of_drift] for of_drift in found]),
        months=months,
    )


def _filter(table: FloatArray, drift: float, *, turned: int) -> tuple[FloatArray, float]:
    """The level's weights after each month, and the log of how well each month was foretold, in sum."""
    usual, anew = _transition(drift, _JUMP_CHANCE), _transition(drift, _TURN_CHANCE)
    weights, evidence, found = _normal(0.0, _START_SD), 0.0, []
    for left, row in zip(range(len(table), 0, -1), table, strict=True):
        top = row.max()
        weights = (weights @ (anew if left == turned else usual)) * np.exp(row - top)
        total = weights.sum()
        evidence += float(np.log(total) + top)
        weights = weights / total
        found.append(weights)
    return np.array(found), evidence


def _log_chance(happened: FloatArray, expected: FloatArray, dispersion: float) -> FloatArray:
    from scipy.special import gammaln

    mean = expected[:, None] * np.exp(_GRID)
    count = happened[:, None]
    if dispersion == 0.0:
        return np.asarray(count * np.log(mean) - mean - gammaln(count + 1), dtype=np.float64)
    size = 1.0 / dispersion
    found = gammaln(count + size) - gammaln(size) - gammaln(count + 1)
    found = found + size * np.log(size / (size + mean)) + count * np.log(mean / (size + mean))
    return np.asarray(found, dtype=np.float64)


def _normal(centre: float, sd: float) -> FloatArray:
    weights = np.exp(-0.5 * ((_GRID - centre) / sd) ** 2)
    return np.asarray(weights / weights.sum(), dtype=np.float64)


@lru_cache
def _transition(drift: float, jump_chance: float = _JUMP_CHANCE) -> FloatArray:
    # A drift finer than the grid is carried by as much weight on the neighbours as gives its variance.
    step = _GRID[1] - _GRID[0]
    n = len(_GRID)
    if drift < step:
        side = 0.5 * (drift / step) ** 2
        wander = (1 - 2 * side) * np.eye(n) + side * (np.eye(n, k=1) + np.eye(n, k=-1))
    else:
        wander = np.exp(-0.5 * ((_GRID[:, None] - _GRID[None, :]) / drift) ** 2)
    wander = wander / wander.sum(axis=1, keepdims=True)
    return np.asarray((1 - jump_chance) * wander + jump_chance * _normal(0.0, _JUMP_SD)[None, :], dtype=np.float64)
