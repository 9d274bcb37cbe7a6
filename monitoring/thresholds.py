"""Alarm thresholds fitted to the batch: how large a distance gets when nothing has changed.

If nothing has changed, the rows of the reference and of the current batch are exchangeable. So the pooled rows are
shuffled anew many times, into groups of the two sizes, whole rows at a time (which keeps the columns' dependence), and
every statistic is computed each time. Each statistic is brought to a common scale, minus the logarithm of its tail
probability, and the largest over all statistics is noted: an alarm is a statistic beyond the 95 % quantile of that
largest one. This is the max-T procedure of Westfall and Young (Resampling-Based Multiple Testing, 1993); it holds the
chance of *any* false alarm in a report at `alpha`, for every batch size and number of columns. The tail probability (a
moment-matched gamma for distances, the hypergeometric for counts of missing values) only makes columns comparable; the
level comes from the shuffles alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from monitoring.columns import ColumnPair
from monitoring.distances import BoolArray, FloatArray, IntArray, jensen_shannon, missing_counts, wasserstein_norm

ALPHA = 0.05
DRAWS = 200
# A statistic must pass its threshold by more than rounding.
TOLERANCE = 1e-9
# Beyond this, exp(-surprise) is no number any more.
_MOST_SURPRISE = 700.0

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """One calibrated statistic of one column.

    Args:
        column: Column.
        what: values (distance between the present values) or missing (change of the missing share).
        statistic: Distance, or absolute change of the share (0 to 1); None where there is too little to compare.
        typical: Median when nothing has changed; None as above.
        threshold: Largest value that does not ring; None as above.
        p_value: Chance of a statistic this extreme in any column when nothing has changed (family-wise).
    """

    column: str
    what: Literal["values", "missing"]
    statistic: float | None
    typical: float | None
    threshold: float | None
    p_value: float

    @property
    def rings(self) -> bool:
        """Whether the statistic is beyond its threshold."""
        if self.statistic is None or self.threshold is None:
            return False
        return self.statistic > self.threshold + TOLERANCE


@dataclass(frozen=True)
class _Scaled:
    """A statistic over all splits (the real one first) with its common scale and the way back."""

    column: str
    what: Literal["values", "missing"]
    statistic: FloatArray
    surprise: FloatArray  # minus the logarithm of the tail probability, 0 where there is nothing to compare
    threshold_at: Callable[[float], float]


def calibrate(
    pairs: Sequence[ColumnPair],
    *,
    seed: int,
    draws: int = DRAWS,
    alpha: float = ALPHA,
    progress: Progress | None = None,
) -> tuple[Alarm, ...]:
    """Compute every column's statistics and thresholds for this reference and this batch.

    Args:
        pairs: Columns of both sides; all of the same rows.
        seed: Seed of the shuffles.
        draws: Number of shuffles; at least 1 / alpha.
        alpha: Chance of one or more false alarms in the whole report.
        progress: Told after each column.

    Returns:
        For each column its values alarm and, where any value is missing, its missing alarm.
    """
    if not pairs:
        return ()
    pooled = pairs[0].numbers.size or pairs[0].codes.size
    is_current = shuffle_splits(pooled, reference_rows=pairs[0].reference_rows, draws=draws, seed=seed)
    scaled: list[_Scaled] = []
    for done, pair in enumerate(pairs, start=1):
        scaled.append(_scale_values(pair, is_current))
        if pair.is_missing.any():
            scaled.append(_scale_missing(pair, is_current))
        if progress is not None:
            progress("calibrating thresholds", done, len(pairs))
    largest = np.sort(np.max([s.surprise[1:] for s in scaled], axis=0))
    critical = float(largest[critical_rank(draws, alpha=alpha) - 1])
    return tuple(_alarm(s, largest, critical) for s in scaled)


def critical_rank(draws: int, *, alpha: float) -> int:
    """Rank of the shuffle, counted from the smallest, beyond which the real split is one of the `alpha` largest.

    Example:
        >>> critical_rank(200, alpha=0.05)
        191
    """
    return min(draws, int(np.ceil((1 - alpha) * (draws + 1) - TOLERANCE)))


def shuffle_splits(pooled: int, *, reference_rows: int, draws: int, seed: int) -> BoolArray:
    """Membership matrix: the real split first, then `draws` random ones of the same sizes.

    Returns:
        Shape (pooled, 1 + draws); true where the row counts as current.
    """
    random = np.random.default_rng(seed)
    splits = np.zeros((1 + draws, pooled), dtype=np.bool_)
    splits[0, reference_rows:] = True
    for split in splits[1:]:
        split[random.choice(pooled, size=pooled - reference_rows, replace=False, shuffle=False)] = True
    return np.ascontiguousarray(splits.T)


def _scale_values(pair: ColumnPair, is_current: BoolArray) -> _Scaled:
    from scipy.stats import gamma

    if pair.kind == "numeric":
        statistic = wasserstein_norm(pair.numbers, is_current=is_current)
    else:
        statistic = jensen_shannon(pair.codes, is_current=is_current)
    shuffled = statistic[1:][~np.isnan(statistic[1:])]
    mean, variance = (float(shuffled.mean()), float(shuffled.var())) if shuffled.size else (0.0, 0.0)
    if variance <= TOLERANCE**2:  # no shuffle differs from another: this column cannot ring
        return _Scaled(pair.name, "values", statistic, np.zeros(len(statistic)), lambda _: mean)
    shape, scale = mean**2 / variance, variance / mean
    surprise = np.clip(np.nan_to_num(-gamma.logsf(statistic, shape, scale=scale), nan=0.0), 0.0, _MOST_SURPRISE)

    def threshold_at(critical: float) -> float:
        return float(gamma.isf(np.exp(-critical), shape, scale=scale))

    return _Scaled(pair.name, "values", statistic, surprise, threshold_at)


def _scale_missing(pair: ColumnPair, is_current: BoolArray) -> _Scaled:
    is_missing = pair.is_missing
    counts = missing_counts(is_missing, is_current=is_current)
    missing, rows = int(is_missing.sum()), is_missing.size
    current_rows = rows - pair.reference_rows
    possible = np.arange(max(0, missing - pair.reference_rows), min(missing, current_rows) + 1)
    surprise = _count_surprise(possible, rows=rows, missing=missing, current_rows=current_rows)
    change = possible / current_rows - (missing - possible) / pair.reference_rows
    more = change[counts[0] - possible[0]] >= 0

    def threshold_at(critical: float) -> float:
        quiet = np.abs(change[(surprise <= critical) & ((change >= 0) == more)])
        return float(quiet.max(initial=0.0))

    at = counts - possible[0]
    return _Scaled(pair.name, "missing", np.abs(change[at]), surprise[at], threshold_at)


def _count_surprise(counts: IntArray, *, rows: int, missing: int, current_rows: int) -> FloatArray:
    """Minus the logarithm of twice the smaller hypergeometric tail of each possible count (all of them, ascending)."""
    from scipy.special import betaln

    def log_choose(n: int, k: IntArray) -> FloatArray:
        return np.asarray(-betaln(n - k + 1, k + 1) - np.log(n + 1))

    log_share = log_choose(missing, counts) + log_choose(rows - missing, current_rows - counts)
    log_share -= np.logaddexp.reduce(log_share)
    lower = np.logaddexp.accumulate(log_share)
    upper = np.logaddexp.accumulate(log_share[::-1])[::-1]
    return np.asarray(np.clip(-np.minimum(upper, lower) - np.log(2), 0.0, _MOST_SURPRISE))


def _alarm(scaled: _Scaled, largest: FloatArray, critical: float) -> Alarm:
    as_extreme = largest.size - int(np.searchsorted(largest, scaled.surprise[0], side="left"))
    p_value = (1 + as_extreme) / (1 + largest.size)
    if np.isnan(scaled.statistic[0]):
        return Alarm(column=scaled.column, what=scaled.what, statistic=None, typical=None, threshold=None, p_value=1.0)
    return Alarm(
        column=scaled.column,
        what=scaled.what,
        statistic=float(scaled.statistic[0]),
        typical=float(np.nanmedian(scaled.statistic[1:])),
        threshold=scaled.threshold_at(critical),
        p_value=p_value,
    )
