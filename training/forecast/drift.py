"""Where the present stands against what was learned: a level that drifts, and now and then jumps.

What is learned from two years of deals holds for their mean. Month by month the wins that came are set beside those
that were expected; their ratio is tracked as a hidden level by Bayes' rule on a grid. From month to month the level
wanders a little, and with a small chance it starts anew (a recession, a new way of selling). The forecast takes the
level as it stands, and its ranges take the level's uncertainty: it is wide after a surprise, before there is proof
whether the surprise will last. (Filter for a Markov-switching level: Hamilton 1989; West and Harrison 1997, ch. 12.)
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from training.forecast.metrics import FloatArray

_GRID = np.linspace(np.log(0.2), np.log(3.5), 144)
_START_SD = 0.1
_JUMP_CHANCE, _JUMP_SD = 0.025, 0.35
_DRIFTS = (0.005, 0.03, 0.06)
_DISPERSIONS = (0.0, 0.005, 0.02, 0.05)
_TRUSTED = 0.8
_MARGIN = 0.05
_SURE = 1.28


@dataclass(frozen=True, kw_only=True)
class Level:
    """A factor on what was learned, as known now.

    Args:
        weights: Probability of each place of the grid of log factors, shape (n_grid,).
        drift_sd: Standard deviation of a month's wandering, of the log.
        months: Months it was tracked over; 0 where it could not be.
        path: The factor as it was known after each of them.
    """

    weights: FloatArray
    drift_sd: float
    months: int
    path: FloatArray = field(default_factory=lambda: np.zeros(0))

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
    def chance_lower(self) -> float:
        """P(the factor lies more than 5 % below 1)."""
        return float(self.weights[np.log1p(-_MARGIN) > _GRID].sum())

    @property
    def chance_higher(self) -> float:
        """P(the factor lies more than 5 % above 1)."""
        return float(self.weights[np.log1p(_MARGIN) < _GRID].sum())

    @property
    def has_moved(self) -> bool:
        """Whether things differ from what was learned with a probability of four in five."""
        return max(self.chance_lower, self.chance_higher) >= _TRUSTED

    @property
    def shift(self) -> float:
        """The factor now over its mean half a year to a quarter ago; 1 where it was not tracked so long."""
        before = self.path[-7:-3]
        return self.mean / float(before.mean()) if len(before) else 1.0

    @property
    def has_shifted(self) -> bool:
        """Whether it has changed since then, by more than 5 % and beyond its uncertainty (nine in ten, one-sided)."""
        change = abs(float(np.log(self.shift)))
        return change > max(_MARGIN, _SURE * self.sd)

    def ahead(self, h: int) -> FloatArray:
        """Expected factor of each month from this one on, shape (h,)."""
        step, weights, found = _transition(self.drift_sd), self.weights, []
        for _ in range(h):
            found.append(float(weights @ np.exp(_GRID)))
            weights = weights @ step
        return np.array(found)

    def draw(self, rng: np.random.Generator, *, n_paths: int, h: int) -> FloatArray:
        """Paths of the factor over its expectation `ahead`: mean 1 in every month, shape (n_paths, h)."""
        start = rng.choice(_GRID, size=n_paths, p=self.weights)
        wander = self.drift_sd * rng.standard_normal((n_paths, h))
        jumps = rng.random((n_paths, h)) < _JUMP_CHANCE
        landing = _JUMP_SD * rng.standard_normal((n_paths, h))
        level, found = start, np.empty((n_paths, h))
        for month in range(h):
            if month:
                level = np.where(jumps[:, month], landing[:, month], level + wander[:, month])
            found[:, month] = level
        drawn = np.exp(np.clip(found, _GRID[0], _GRID[-1]))
        return np.asarray(drawn / drawn.mean(axis=0), dtype=np.float64)


def neutral_level(sd: float = _START_SD) -> Level:
    """The level where nothing can be compared: 1, with the uncertainty `sd` of its log."""
    return Level(weights=_normal(0.0, max(sd, 0.01)), drift_sd=_DRIFTS[1], months=0)


def track_counts(happened: FloatArray, expected: FloatArray) -> Level:
    """The level of counts against what was expected of them.

    Counts are taken as Poisson, or more dispersed (deals of a rep and a season share their luck); dispersion and
    wandering are averaged over by how well they foretell the next month.

    Args:
        happened: What came in each month, oldest first, shape (n_months,).
        expected: What was to be expected by what was learned, the same shape.
    """
    known = expected > 0
    if not known.any():
        return neutral_level()
    # A month of which nothing was expected says nothing.
    tables = [
        np.where(known[:, None], _log_chance(happened, np.where(known, expected, 1.0), dispersion), 0.0)
        for dispersion in _DISPERSIONS
    ]
    return _averaged(tables, months=int(known.sum()))


def track_means(mean_log: FloatArray, error: FloatArray) -> Level:
    """The level of a mean against what was expected of it.

    Args:
        mean_log: Mean of the log of observed over expected in each month, oldest first.
        error: Its standard error.
    """
    known = np.isfinite(mean_log) & (error > 0)
    if not known.any():
        return neutral_level()
    table = -0.5 * ((mean_log[known, None] - _GRID) / error[known, None]) ** 2
    return _averaged([table], months=int(known.sum()))


def _averaged(tables: list[FloatArray], *, months: int) -> Level:
    drifts = np.tile(_DRIFTS, len(tables))
    found = [_filter(table, drift) for table in tables for drift in _DRIFTS]
    evidence = np.array([value for _, value in found])
    share = np.exp(evidence - evidence.max())
    share /= share.sum()
    weights = np.einsum("k,kmg->mg", share, np.stack([part for part, _ in found]))
    return Level(
        weights=weights[-1] / weights[-1].sum(),
        drift_sd=float(np.sqrt(share @ drifts**2)),
        months=months,
        path=weights @ np.exp(_GRID),
    )


def _filter(table: FloatArray, drift: float) -> tuple[FloatArray, float]:
    """The level's weights after each month, and the log of how well each month was foretold, in sum."""
    step, weights, evidence, found = _transition(drift), _normal(0.0, _START_SD), 0.0, []
    for row in table:
        top = row.max()
        weights = (weights @ step) * np.exp(row - top)
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


def _transition(drift: float) -> FloatArray:
    # A drift finer than the grid is carried by as much weight on the neighbours as gives its variance.
    step = _GRID[1] - _GRID[0]
    n = len(_GRID)
    if drift < step:
        side = 0.5 * (drift / step) ** 2
        wander = (1 - 2 * side) * np.eye(n) + side * (np.eye(n, k=1) + np.eye(n, k=-1))
    else:
        wander = np.exp(-0.5 * ((_GRID[:, None] - _GRID[None, :]) / drift) ** 2)
    wander = wander / wander.sum(axis=1, keepdims=True)
    return np.asarray((1 - _JUMP_CHANCE) * wander + _JUMP_CHANCE * _normal(0.0, _JUMP_SD)[None, :], dtype=np.float64)
