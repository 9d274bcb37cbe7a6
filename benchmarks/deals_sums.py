"""Expected wins by month ahead beside the true expectation, and how near a level learned from the past can come.

Truly expected wins are known in a simulation; the wins that came differ from them by chance alone. Two kinds of luck
stand between a model and the truth. It has its level from the wins of the past and cannot tell their luck from the
truth; and the later deals' hidden sides, which no CRM shows, do not average out over so few deals. So each month's
ratio stands beside the interval in which nineteen of twenty such samples leave whoever knows all but these two (whole
deals are drawn), beside the luck that the wins of the past really had, and beside what is left of the ratio without it.
The later deals' part is read off how the model's own misses spread over deals, so the interval is rather too wide.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from benchmarks.deals_world import HORIZON_WEEKS, Later, Trained

MONTH_WEEKS, MONTHS = 4, 6
IN_SUM = 0.02
REPLICATES = 1_000
_EDGES = [MONTH_WEEKS * month for month in range(MONTHS + 1)]
_SPANS = [*pairwise(_EDGES), (0, _EDGES[-1])]


@dataclass(frozen=True)
class Ratio:
    """One number of wins over another, by month ahead and then of all months together.

    Args:
        value: Shape (MONTHS + 1,).
        drawn: The same with whole deals drawn, over `value`: about 1, shape (MONTHS + 1, REPLICATES).
    """

    value: np.ndarray
    drawn: np.ndarray

    @classmethod
    def of(cls, entity: np.ndarray, pairs: list[tuple[np.ndarray, np.ndarray]], *, seed: int) -> Ratio:
        """The ratios of pairs of numbers by row, one pair for each span."""
        from training.evaluation import draw_weights

        deals, code = np.unique(entity, return_inverse=True)
        weights = draw_weights(deals, replicates=REPLICATES, seed=seed)
        value = np.array([above.sum() / below.sum() for above, below in pairs])
        sums = [tuple(np.bincount(code, each) @ weights for each in pair) for pair in pairs]
        return cls(value, np.array([above / below for above, below in sums]) / value[:, None])


def luck_of(rows: Later) -> Ratio:
    """Wins that came over those truly expected, each span of the rows that were watched to its end."""
    outcomes = rows.outcomes

    def pair(since: int, until: int) -> tuple[np.ndarray, np.ndarray]:
        usable = (outcomes.watched_days >= 7.0 * until) & ~outcomes.is_decided
        came = usable & (outcomes.won == 1.0) & (outcomes.days > 7.0 * since) & (outcomes.days <= 7.0 * until)
        return came.astype(float), np.where(usable, rows.won[:, until] - rows.won[:, since], 0.0)

    return Ratio.of(rows.entity, [pair(*span) for span in _SPANS], seed=1)


def show_sums(trained: Trained, later: Later, past: Later) -> tuple[list[float], np.ndarray, np.ndarray]:
    """Print the table; give each month's ratio, and the share open week by week: the model's and the truth's.

    Args:
        trained: The model.
        later: Rows after the split.
        past: Rows before it, with outcomes as known then: what the model learned from.
    """
    weeks = np.arange(HORIZON_WEEKS + 1)
    won, lost = trained.scorer.futures(later.matrix).by((7.0 * weeks)[None, :])
    still = 1.0 - won - lost
    pairs = [(won[:, until] - won[:, since], later.won[:, until] - later.won[:, since]) for since, until in _SPANS]
    ours, luck = Ratio.of(later.entity, pairs, seed=2), luck_of(past)
    chance = luck.drawn * ours.drawn
    low, high = np.quantile(chance, [0.025, 0.975], axis=1)
    print(f"\nin the large: {len(later.matrix):,} Monday snapshots after the split, months of {MONTH_WEEKS} weeks")
    print(f"{'month':<8}{'expected wins':>15}{'true':>12}{'ratio':>8}{'by chance (95 %)':>20}{'':>5}"
          f"{'luck of the past':>18}{'ratio without it':>18}{'open after it':>15}{'true':>8}")  # fmt: skip
    for place, (_, until) in enumerate(_SPANS):
        mine, right = (float(each.sum()) for each in pairs[place])
        ratio = float(ours.value[place])
        outside = "" if low[place] <= ratio <= high[place] else "OUT"
        print(f"{place + 1 if place < MONTHS else 'all six':<8}{mine:>15,.1f}{right:>12,.1f}{ratio:>8.3f}"
              f"{f'{low[place]:.3f}-{high[place]:.3f}':>20}{outside:>5}{luck.value[place]:>18.3f}"
              f"{ratio / luck.value[place]:>18.3f}{float(still[:, until].mean()):>15.3f}"
              f"{float(later.open[:, until].mean()):>8.3f}")  # fmt: skip
    held = np.abs(chance - 1.0) <= IN_SUM
    print(f"who knows all but these two kinds of luck holds {IN_SUM:.0%} in all six months with a chance of "
          f"{held[:-1].all(axis=0).mean():.0%}, and in their sum with {held[-1].mean():.0%}")  # fmt: skip
    _show_calendar(later.as_of, pairs[:-1])
    return ours.value[:-1].tolist(), still.mean(axis=0), later.open.mean(axis=0)


def _show_calendar(as_of: np.ndarray, pairs: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """The ratios by calendar month of the snapshot: what the model does not know of the months that lie ahead."""
    months = as_of.astype("datetime64[M]")
    print("\nratio by month of the snapshot: the calendar of the months ahead, which the model does not know")
    print(f"{'':<10}{'rows':>7}" + "".join(f"{f'month {number + 1}':>10}" for number in range(len(pairs))))
    for month in np.unique(months):
        rows = months == month
        ratios = [float(mine[rows].sum() / right[rows].sum()) for mine, right in pairs]
        print(f"{month!s:<10}{int(rows.sum()):>7,}" + "".join(f"{ratio:>10.3f}" for ratio in ratios))
