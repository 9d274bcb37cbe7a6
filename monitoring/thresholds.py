"""Alarm thresholds fitted to the batch: how large a distance gets when nothing has changed.

Two things make a batch differ from its reference though nothing has changed, and an alarm must be beyond both.

*Chance of rows.* If rows are independent, those of the reference and of the current batch are exchangeable. So the
pooled rows are shuffled anew many times, into groups of the two sizes, whole rows at a time (which keeps the columns'
dependence), and every statistic is computed each time.

*The ordinary difference between weeks.* Weeks differ by season, campaigns and what rows of a week have in common. So
each stretch of the reference, as long as the current window, is compared with everything else in the same way. Of as
many weeks the current one must stand out (this needs `FEWEST_BLOCKS` of them; without, chance of rows decides alone).

In both, each statistic is brought to a common scale, minus the logarithm of its tail probability, and the largest over
all statistics is noted: an alarm is a statistic beyond the quantile of that largest one. This is the max-T procedure
of Westfall and Young (Resampling-Based Multiple Testing, 1993); it holds the chance of *any* false alarm in a report,
for every batch size and number of columns. The tail probability (a moment-matched gamma for distances, the
hypergeometric for counts of missing values) only makes columns comparable; the level comes from the resampling alone.
One of the statistics is the sum of all others' surprise: many small shifts in common ring though none does alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from monitoring.columns import ColumnPair
from monitoring.counting import Coded, Members, by_block, distances, encode, shuffled
from monitoring.distances import FloatArray, IntArray, jensen_shannon, wasserstein_norm

# Of the promised 5 %: what became of open things (`monitoring.pace`) takes 1 %, mature labels (`monitoring.outcomes`)
# take 2 %.
ALPHA = 0.02
ALPHA_BLOCKS = 0.05
FEWEST_BLOCKS = 19
DRAWS = 200
ALL_COLUMNS = "(all columns)"
# A statistic must pass its threshold by more than rounding.
TOLERANCE = 1e-9
# Beyond this, exp(-surprise) is no number any more.
_MOST_SURPRISE = 700.0
# What one column may add to the sum: one that rings by itself shall not make all of them ring in common.
_MOST_IN_COMMON = 3.0
_FEWEST_IN_COMMON = 5

What = Literal["values", "missing", "common"]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """One calibrated statistic of one column.

    Args:
        column: Column, or `ALL_COLUMNS`.
        what: values (distance between the present values), missing (change of the missing share) or common (sum of
            the others' surprise).
        statistic: Distance, absolute change of the share (0 to 1) or sum; None where there is too little to compare.
        typical: Median when nothing has changed; None as above.
        threshold: Largest value that does not ring; None as above.
        p_value: Chance of a statistic this extreme in any column when nothing has changed (family-wise): the larger of
            the two tests'.
        rings: Whether it is beyond what chance of rows and the ordinary difference between weeks do.
    """

    column: str
    what: What
    statistic: float | None
    typical: float | None
    threshold: float | None
    p_value: float
    rings: bool


@dataclass(frozen=True)
class _Scaled:
    """A statistic over all splits (the real one first) with its common scale and the way back."""

    column: str
    what: What
    statistic: FloatArray
    surprise: FloatArray  # minus the logarithm of the tail probability, 0 where there is nothing to compare
    threshold_at: Callable[[float], float]


@dataclass(frozen=True)
class _Tested:
    """One column's statistic in one of the two tests."""

    statistic: float
    typical: float
    threshold: float
    p_value: float
    rings: bool


def calibrate(
    pairs: Sequence[ColumnPair],
    *,
    seed: int,
    blocks: IntArray | None = None,
    draws: int = DRAWS,
    alpha: float = ALPHA,
    progress: Progress | None = None,
) -> tuple[Alarm, ...]:
    """Compute every column's statistics and thresholds for this reference and this batch.

    Args:
        pairs: Columns of both sides; all of the same rows.
        seed: Seed of the shuffles.
        blocks: For each pooled row the stretch of the reference it lies in, -1 for current rows; None where the
            reference is one stretch.
        draws: Number of shuffles; at least 1 / alpha.
        alpha: Chance of one or more false alarms in the whole report.
        progress: Told after each column.

    Returns:
        For each column its values alarm and, where any value is missing, its missing alarm; last, where there are
        enough of these, the alarm of all in common.
    """
    if not pairs:
        return ()
    pooled = pairs[0].numbers.size or pairs[0].codes.size
    splits = shuffled(pooled, reference_rows=pairs[0].reference_rows, draws=draws, seed=seed)
    stretches = _stretches(blocks, current_rows=pooled - pairs[0].reference_rows, seed=seed)
    rows: list[_Scaled] = []
    weeks: list[_Scaled] = []
    for done, pair in enumerate(pairs, start=1):
        coded = encode(pair)
        rows += _scale(pair, coded, splits)
        if stretches is not None:
            weeks += _scale_blocks(pair, coded, stretches)
        if progress is not None:
            progress("calibrating thresholds", done, len(pairs))
    by_rows = _test(_with_common(rows), alpha=alpha)
    by_weeks = _test(_with_common(weeks), alpha=ALPHA_BLOCKS) if weeks else {}
    exact = {pair.name: exact_distance(pair) for pair in pairs}
    return tuple(_alarm(key, found, by_weeks.get(key), exact) for key, found in by_rows.items())


def critical_rank(draws: int, *, alpha: float) -> int:
    """Rank of the shuffle, counted from the smallest, beyond which the real split is one of the `alpha` largest.

    Example:
        >>> critical_rank(200, alpha=0.05)
        191
    """
    return min(draws, int(np.ceil((1 - alpha) * (draws + 1) - TOLERANCE)))


def _stretches(blocks: IntArray | None, *, current_rows: int, seed: int) -> Members | None:
    if blocks is None or len(np.unique(blocks[blocks >= 0])) < FEWEST_BLOCKS or not current_rows:
        return None
    return by_block(blocks, most=current_rows, seed=seed)


def _scale(pair: ColumnPair, coded: Coded, splits: Members) -> list[_Scaled]:
    """The column's statistics over the shuffles."""
    counts = splits.count(coded)
    statistic = distances(coded, counts)
    scaled = [_gamma_scaled(pair.name, "values", statistic, fitted_on=statistic[1:])]
    if pair.is_missing.any():
        scaled.append(_scale_missing(pair, counts[:, -1]))
    return scaled


def _scale_blocks(pair: ColumnPair, coded: Coded, stretches: Members) -> list[_Scaled]:
    """The same over the stretches. The scale is fitted on all of them, the current one too: none is special then."""
    counts = stretches.count(coded)
    statistic = distances(coded, counts)
    scaled = [_gamma_scaled(pair.name, "values", statistic, fitted_on=statistic)]
    if pair.is_missing.any():
        missing = int(pair.is_missing.sum())
        others = np.maximum(stretches.rows - stretches.current_rows, 1)
        change = counts[:, -1] / np.maximum(stretches.current_rows, 1) - (missing - counts[:, -1]) / others
        scaled.append(_gamma_scaled(pair.name, "missing", np.abs(change), fitted_on=np.abs(change)))
    return scaled


def _gamma_scaled(column: str, what: What, statistic: FloatArray, *, fitted_on: FloatArray) -> _Scaled:
    from scipy.stats import gamma

    known = fitted_on[~np.isnan(fitted_on)]
    mean, variance = (float(known.mean()), float(known.var())) if known.size else (0.0, 0.0)
    if variance <= TOLERANCE**2 or mean <= 0:  # no split differs from another: this column cannot ring
        return _Scaled(column, what, statistic, np.zeros(len(statistic)), lambda _: mean)
    shape, scale = mean**2 / variance, variance / mean
    surprise = np.clip(np.nan_to_num(-gamma.logsf(statistic, shape, scale=scale), nan=0.0), 0.0, _MOST_SURPRISE)

    def threshold_at(critical: float) -> float:
        return float(gamma.isf(np.exp(-critical), shape, scale=scale))

    return _Scaled(column, what, statistic, surprise, threshold_at)


def _scale_missing(pair: ColumnPair, counts: IntArray) -> _Scaled:
    missing, rows = int(pair.is_missing.sum()), pair.is_missing.size
    current_rows = rows - pair.reference_rows
    possible = np.arange(max(0, missing - pair.reference_rows), min(missing, current_rows) + 1)
    surprise = _count_surprise(possible, rows=rows, missing=missing, current_rows=current_rows)
    change = possible / current_rows - (missing - possible) / pair.reference_rows
    at = counts - possible[0]
    more = change[at[0]] >= 0

    def threshold_at(critical: float) -> float:
        quiet = np.abs(change[(surprise <= critical) & ((change >= 0) == more)])
        return float(quiet.max(initial=0.0))

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


def _with_common(scaled: Sequence[_Scaled]) -> list[_Scaled]:
    """All statistics, and the sum of their surprise where there are enough of them to have something in common."""
    if len(scaled) < _FEWEST_IN_COMMON:
        return list(scaled)
    total = np.sum([np.minimum(each.surprise, _MOST_IN_COMMON) for each in scaled], axis=0)
    return [*scaled, _gamma_scaled(ALL_COLUMNS, "common", total, fitted_on=total[1:])]


def _test(scaled: Sequence[_Scaled], *, alpha: float) -> dict[tuple[str, What], _Tested]:
    largest = np.sort(np.max([each.surprise[1:] for each in scaled], axis=0))
    critical = float(largest[critical_rank(largest.size, alpha=alpha) - 1])
    found: dict[tuple[str, What], _Tested] = {}
    for each in scaled:
        as_extreme = largest.size - int(np.searchsorted(largest, each.surprise[0], side="left"))
        found[each.column, each.what] = _Tested(
            statistic=float(each.statistic[0]),
            typical=float(np.nanmedian(each.statistic[1:])) if not np.isnan(each.statistic[1:]).all() else np.nan,
            threshold=each.threshold_at(critical),
            p_value=(1 + as_extreme) / (1 + largest.size),
            rings=bool(each.surprise[0] > critical + TOLERANCE),
        )
    return found


def exact_distance(pair: ColumnPair) -> float:
    """The distance of the real split without bins."""
    is_current = np.zeros((pair.is_missing.size, 1), dtype=np.bool_)
    is_current[pair.reference_rows :] = True
    if pair.kind == "numeric":
        return float(wasserstein_norm(pair.numbers, is_current=is_current)[0])
    return float(jensen_shannon(pair.codes, is_current=is_current)[0])


def _alarm(key: tuple[str, What], rows: _Tested, weeks: _Tested | None, exact: dict[str, float]) -> Alarm:
    column, what = key
    if np.isnan(rows.statistic):
        return Alarm(column=column, what=what, statistic=None, typical=None, threshold=None, p_value=1.0, rings=False)
    # What is decided on bins is told on the exact scale.
    scale = exact[column] / rows.statistic if what == "values" and rows.statistic > 0 else 1.0
    threshold = rows.threshold
    if weeks is not None and what != "common":
        threshold = max(threshold, weeks.threshold)
    return Alarm(
        column=column,
        what=what,
        statistic=rows.statistic * scale,
        typical=rows.typical * scale,
        threshold=threshold * scale,
        p_value=rows.p_value if weeks is None else max(rows.p_value, weeks.p_value),
        rings=rows.rings and (weeks is None or weeks.rings),
    )
