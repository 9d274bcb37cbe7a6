"""The parts of a forecast from deals: open deals, business not yet created, renewals; expected values and paths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from training.forecast.conversion import Conversion
from training.forecast.draws import Gathered, Ints, Layout, Shocks, draw_deals, summed_by
from training.forecast.frame import Cents, to_cents
from training.forecast.metrics import FloatArray
from training.forecast.new_business import NewBusiness
from training.forecast.renewals import Renewals

_MOST_CHANCE = 0.99


@dataclass(frozen=True, kw_only=True)
class OpenPart:
    """What is expected of the deals that are open.

    Args:
        by_stage: Stage to cents, shape (n_reps, n_months).
        moves: Cents by the month of the entered close date (the last place: no month of the forecast) and the month
            the win is expected in (the last place: later), shape (n_reps, n_months + 1, n_months + 1).
    """

    by_stage: Mapping[str, Cents]
    moves: Cents


def add_open(
    layout: Layout,
    gathered: Gathered,
    deals: pd.DataFrame,
    chances: FloatArray,
    *,
    conversion: Conversion,
    shocks: Shocks,
    levers: Mapping[str, FloatArray],
    elapsed: float,
) -> OpenPart:
    """Open deals: their expected value by stage and month, and their paths.

    Args:
        layout: The layout.
        gathered: Where the paths' amounts go.
        deals: Open deals, sorted by id.
        chances: Chance to be won at each lag, lag -1 first, shape (n_deals, n_lags).
        conversion: Booked over entered amount.
        shocks: Shared luck.
        levers: Factors by rep.
        elapsed: Share of the month of the moment that is over.
    """
    row, first = layout.row_of(deals["rep_id"]), layout.now - 1
    chances = _turn(chances, levers["cycle_length"][row], levers["win_rate"][row], elapsed=elapsed)
    amount = deals["amount_usd"].to_numpy(dtype=np.float64)
    mean_ratio = float(conversion.ratios.mean())
    entered = np.where(np.isnan(amount), conversion.typical_usd / mean_ratio, amount) * levers["amount"][row]
    draw_deals(
        layout,
        gathered,
        part="open",
        row=row,
        chances=chances,
        first=first,
        worth=entered,
        ratios=conversion.ratios,
        shocks=shocks,
    )
    value = chances * (entered * mean_ratio)[:, None]
    column = np.broadcast_to(first + np.arange(chances.shape[1]), value.shape)
    stages = deals["stage"].fillna("unknown").astype(str)
    by_stage = {
        stage: to_cents(layout.table(np.repeat(row[chosen], value.shape[1]), *_flat(column[chosen], value[chosen])))
        for stage in sorted(stages.unique())
        for chosen in [np.flatnonzero(stages == stage)]
    }
    return OpenPart(by_stage=by_stage, moves=_moves(layout, deals, row, column, value))


def add_new(
    layout: Layout,
    gathered: Gathered,
    learned: NewBusiness,
    season: FloatArray,
    *,
    shocks: Shocks,
    levers: Mapping[str, FloatArray],
    elapsed: float,
) -> FloatArray:
    """Business not yet created: expected value by rep and month, USD; the paths' amounts go to `gathered`."""
    usual = _wins(layout, learned, season, np.ones(layout.shape[0]), elapsed=elapsed)
    factor = levers["win_rate"] * levers["new_business"] * levers["headcount"]
    wanted = _wins(layout, learned, season, levers["cycle_length"], elapsed=elapsed) * factor[:, None]
    if len(learned.amounts) == 0:
        return np.zeros(layout.shape)
    level = shocks.volume[:, None] * shocks.by_rep
    counts = layout.stream("new").poisson(level[:, :, None] * usual)
    path, row, column = _events(counts)
    kept = np.minimum(np.divide(wanted, usual, out=np.ones_like(usual), where=usual > 0), 1.0)
    is_kept = layout.stream("new kept").random(len(path)) < kept[row, column]
    amount = layout.stream("new amounts").choice(learned.amounts, size=len(path)) * levers["amount"][row]
    gathered.add(path[is_kept], row[is_kept], column[is_kept], amount[is_kept])
    more = np.maximum(wanted - usual, 0.0)
    if more.any():
        counts = layout.stream("new more").poisson(level[:, :, None] * more)
        path, row, column = _events(counts)
        amount = layout.stream("new more amounts").choice(learned.amounts, size=len(path)) * levers["amount"][row]
        gathered.add(path, row, column, amount)
    return wanted * float(learned.amounts.mean()) * levers["amount"][:, None]


def add_renewals(layout: Layout, gathered: Gathered, learned: Renewals, *, elapsed: float) -> FloatArray:
    """Renewals: expected value by rep and month, USD; the paths' amounts go to `gathered`."""
    due = learned.due
    if due.empty or len(learned.ratio) == 0:
        return np.zeros(layout.shape)
    now = due["due_month"].to_numpy() == layout.month
    # A contract of this month that is still not renewed late in the month is less likely to be.
    late = learned.rate * (1 - elapsed) / max(1 - learned.rate * elapsed, 1e-9)
    chance = np.where(now, late, learned.rate)
    row, column = layout.row_of(due["rep_id"]), due["due_month"].to_numpy(dtype=np.int64) - layout.months[0]
    amount = due["amount_usd"].to_numpy(dtype=np.float64)
    inside = (column >= 0) & (column < len(layout.months))
    row, column, amount, chance = row[inside], column[inside], amount[inside], chance[inside]
    chances = np.zeros((len(row), len(layout.months)))
    chances[np.arange(len(row)), column] = chance
    draw_deals(
        layout,
        gathered,
        part="renewals",
        row=row,
        chances=chances,
        first=0,
        worth=amount,
        ratios=learned.ratio,
        shocks=None,
    )
    return layout.table(row, column, chance * amount * learned.ratio.mean())


def _turn(chances: FloatArray, cycle: FloatArray, win_rate: FloatArray, *, elapsed: float) -> FloatArray:
    """Chances with the levers on time and on winning; a deal's chances still sum to less than 1."""
    turned = chances
    for factor in np.unique(cycle[cycle != 1.0]).tolist():
        chosen = cycle == factor
        turned = turned.copy() if turned is chances else turned
        turned[chosen] = _stretch(chances[chosen], factor, elapsed=elapsed)
    if (win_rate == 1.0).all():
        return turned
    raised = turned * win_rate[:, None]
    total = raised.sum(axis=1, keepdims=True)
    return np.asarray(raised * np.minimum(1.0, _MOST_CHANCE / np.maximum(total, 1e-12)), dtype=np.float64)


def _stretch(chances: FloatArray, factor: float, *, elapsed: float) -> FloatArray:
    """The same chances, `factor` times as late; what is won already but not known (lag -1) stays."""
    ends = np.arange(1, chances.shape[1]) - elapsed
    reached = np.column_stack([np.zeros(len(chances)), np.cumsum(chances[:, 1:], axis=1)])
    grid = np.r_[0.0, ends]
    asked = np.minimum(grid / factor, grid[-1])
    place = np.clip(np.searchsorted(grid, asked, side="right") - 1, 0, len(grid) - 2)
    share = (asked - grid[place]) / (grid[place + 1] - grid[place])
    then = reached[:, place] * (1 - share) + reached[:, place + 1] * share
    return np.column_stack([chances[:, :1], np.diff(then, axis=1)])


def _wins(layout: Layout, learned: NewBusiness, season: FloatArray, cycle: FloatArray, *, elapsed: float) -> FloatArray:
    """Expected wins of deals to be created, by rep and month."""
    found = np.zeros(layout.shape)
    for factor in np.unique(cycle).tolist():
        wins = learned.wins(elapsed=elapsed, cycle=factor)
        wins = wins * season[(layout.month + np.arange(len(wins))) % len(season)]
        chosen = cycle == factor
        found[chosen, layout.now : layout.now + len(wins)] = np.outer(learned.shares[chosen], wins)
    return found


def _events(counts: Ints) -> tuple[Ints, Ints, Ints]:
    path, row, column = np.nonzero(counts)
    times = counts[path, row, column]
    return np.repeat(path, times), np.repeat(row, times), np.repeat(column, times)


def _flat(column: Ints, value: FloatArray) -> tuple[Ints, FloatArray]:
    return column.ravel(), value.ravel()


def _moves(layout: Layout, deals: pd.DataFrame, row: Ints, column: Ints, value: FloatArray) -> Cents:
    n_reps, n_months = layout.shape
    close = deals["close_date"]
    due = (close.dt.year * 12 + close.dt.month - 1 - layout.months[0]).fillna(-1).to_numpy(dtype=np.int64)
    due = np.where((due >= 0) & (due < n_months), due, n_months)
    flat = (row * (n_months + 1) + due)[:, None] * (n_months + 1) + np.minimum(column, n_months)
    inside = column >= 0
    summed = summed_by(flat[inside], value[inside], size=n_reps * (n_months + 1) ** 2)
    return to_cents(summed.reshape(n_reps, n_months + 1, n_months + 1))
