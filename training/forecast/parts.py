"""The parts of a forecast from deals: open deals, business not yet created, renewals; expected values and paths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from training.forecast.draws import Gathered, Ints, Layout, Shocks, draw_deals
from training.forecast.frame import Cents, to_cents
from training.forecast.learning import Learned
from training.forecast.metrics import FloatArray, summed_by
from training.forecast.new_business import QUARTER_MONTHS
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
    learned: Learned,
    *,
    shocks: Shocks,
    levers: Mapping[str, FloatArray],
) -> OpenPart:
    """Open deals: their expected value by stage and month, and their paths.

    Args:
        layout: The layout.
        gathered: Where the paths' amounts go.
        learned: What was learned.
        shocks: Shared luck.
        levers: Factors by rep.
    """
    deals, conversion = learned.deals, learned.conversion
    row, first = layout.row_of(deals["rep_id"]), layout.now - 1
    chances = _at_level(learned)
    chances = _turn(chances, levers["cycle_length"][row], levers["win_rate"][row], elapsed=learned.elapsed)
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
        by_month=shocks.wins,
        by_rep=shocks.rep,
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
    learned: Learned,
    *,
    shocks: Shocks,
    levers: Mapping[str, FloatArray],
) -> FloatArray:
    """Business not yet created: expected value by rep and month, USD; the paths' amounts go to `gathered`."""
    amounts = learned.new_business.amounts
    if len(amounts) == 0:
        return np.zeros(layout.shape)
    usual = _wins(layout, learned, np.ones(layout.shape[0]))
    factor = levers["win_rate"] * levers["new_business"] * levers["headcount"]
    wanted = _wins(layout, learned, levers["cycle_length"]) * factor[:, None]
    size = np.ones(len(layout.months))
    size[layout.now :] = learned.amounts.ahead(len(layout.months) - layout.now)
    kept = np.minimum(np.divide(wanted, usual, out=np.ones_like(usual), where=usual > 0), 1.0)
    for part, rate, share in (("new", usual, kept), ("new more", np.maximum(wanted - usual, 0.0), None)):
        if not rate.any():
            continue
        path, row, column = _events(layout, part, rate, shocks)
        value = layout.stream(f"{part} amounts").choice(amounts, size=len(path)) * levers["amount"][row]
        value *= (size * _by_column(layout, shocks.amounts))[path, column]
        if share is not None and (share < 1.0).any():
            is_kept = layout.stream("new kept").random(len(path)) < share[row, column]
            path, row, column, value = path[is_kept], row[is_kept], column[is_kept], value[is_kept]
        gathered.add(path, row, column, value)
    return wanted * size * float(amounts.mean()) * levers["amount"][:, None]


def add_renewals(layout: Layout, gathered: Gathered, learned: Renewals, *, shocks: Shocks) -> FloatArray:
    """Renewals: expected value by rep and month, USD; the paths' amounts go to `gathered`."""
    due = learned.due
    if due.empty or len(learned.ratio) == 0:
        return np.zeros(layout.shape)
    chance = due["chance"].to_numpy(dtype=np.float64)
    row, column = layout.row_of(due["rep_id"]), due["due_month"].to_numpy(dtype=np.int64) - layout.months[0]
    amount = due["amount_usd"].to_numpy(dtype=np.float64)
    inside = (column >= layout.now) & (column < len(layout.months))
    row, column, amount, chance = row[inside], column[inside], amount[inside], chance[inside]
    chance = np.minimum(chance * learned.level.mean, _MOST_CHANCE)
    chances = np.zeros((len(row), len(layout.months) - layout.now))
    chances[np.arange(len(row)), column - layout.now] = chance
    draw_deals(
        layout,
        gathered,
        part="renewals",
        row=row,
        chances=chances,
        first=layout.now,
        worth=amount,
        ratios=learned.ratio,
        by_month=shocks.renewals,
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
    return _capped(turned * win_rate[:, None])


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


def _at_level(learned: Learned) -> FloatArray:
    """Chances at the level of wins as it stands; a deal's chances still sum to less than 1."""
    if learned.asks_model:
        return learned.chances
    level = np.r_[1.0, learned.wins.ahead(learned.chances.shape[1] - 1)]
    return _capped(learned.chances * level)


def _capped(chances: FloatArray) -> FloatArray:
    total = chances.sum(axis=1, keepdims=True)
    return np.asarray(chances * np.minimum(1.0, _MOST_CHANCE / np.maximum(total, 1e-12)), dtype=np.float64)


def _wins(layout: Layout, learned: Learned, cycle: FloatArray) -> FloatArray:
    """Expected wins of deals to be created, by rep and month."""
    found, business = np.zeros(layout.shape), learned.new_business
    for factor in np.unique(cycle).tolist():
        wins = business.wins(elapsed=learned.elapsed, cycle=factor)[: len(layout.months) - layout.now]
        ahead = layout.month + np.arange(len(wins))
        wins = wins * business.by_place[ahead % QUARTER_MONTHS]
        wins = wins * learned.new_wins.ahead(len(wins))
        chosen = cycle == factor
        found[chosen, layout.now : layout.now + len(wins)] = np.outer(business.shares[chosen], wins)
    return found


def _events(layout: Layout, part: str, rate: FloatArray, shocks: Shocks) -> tuple[Ints, Ints, Ints]:
    """Path, rep and month of each win, drawn at `rate` and the path's luck."""
    # Deals won in a month were created over it and those before.
    created = np.cumsum(shocks.volume, axis=1) / np.arange(1, shocks.volume.shape[1] + 1)
    ahead = rate[:, layout.now :]
    level = shocks.rep[:, :, None] * (created * shocks.new_wins)[:, None, : ahead.shape[1]]
    counts = layout.stream(part).poisson(level * ahead)
    path, row, column = np.nonzero(counts)
    times = counts[path, row, column]
    return np.repeat(path, times), np.repeat(row, times), np.repeat(column + layout.now, times)


def _by_column(layout: Layout, by_month: FloatArray) -> FloatArray:
    """Factors by path and month from the moment's on, laid out by path and column; 1 before."""
    found = np.ones((layout.n_paths, len(layout.months)))
    found[:, layout.now :] = by_month[:, : len(layout.months) - layout.now]
    return found


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
