"""Sample paths of what is still to come, laid out by path, rep and month.

Each part has a random stream of its own, and what is drawn from it does not depend on the levers: a scenario's paths
meet the same luck as the forecast's, so their difference is the levers' doing (common random numbers).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.forecast.drift import draw_turns
from training.forecast.metrics import FloatArray, summed_by
from training.forecast.periods import month_numbers

if TYPE_CHECKING:
    from training.forecast.learning import Learned

Ints = NDArray[np.int64]
_PIECE = 256
_FEW_PIECES, _THREADS = 8, 2
_LEAST_LUCK = np.float32(1e-30)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Rows (reps) and columns (months) that every part is laid out on, and the streams.

    Args:
        rep_ids: Reps, `unassigned` last.
        months: Numbers of the months.
        month: Number of the month of the moment.
        n_paths: Sample paths.
        key: What the streams are keyed by.
    """

    rep_ids: tuple[str, ...]
    months: tuple[int, ...]
    month: int
    n_paths: int
    key: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Reps and months."""
        return len(self.rep_ids), len(self.months)

    @property
    def now(self) -> int:
        """Column of the month of the moment."""
        return self.month - self.months[0]

    def stream(self, part: str, piece: int = 0) -> np.random.Generator:
        """The random stream of a part, or a piece of one: the same key, part and piece give the same draws."""
        return np.random.default_rng([*self.key, crc32(part.encode()), piece])

    def row_of(self, rep_ids: pd.Series) -> Ints:
        """Row of each rep; those not known at the moment go to the last row, `unassigned`."""
        position = {rep: row for row, rep in enumerate(self.rep_ids)}
        return np.asarray(rep_ids.map(position).fillna(len(self.rep_ids) - 1), dtype=np.int64)

    def closed(self, transactions: pd.DataFrame) -> FloatArray:
        """Money booked so far."""
        column = month_numbers(transactions["event_timestamp"]) - self.months[0]
        inside = (column >= 0) & (column < len(self.months))
        found = np.zeros(self.shape)
        rows = self.row_of(transactions["rep_id"])
        np.add.at(found, (rows[inside], column[inside]), transactions["amount_usd"].to_numpy()[inside])
        return found

    def table(self, row: Ints, column: Ints, value: FloatArray) -> FloatArray:
        """Values summed by rep and month; columns outside the months are left out."""
        n_reps, n_months = self.shape
        inside = (column >= 0) & (column < n_months)
        flat = row[inside] * n_months + column[inside]
        return summed_by(flat, value[inside], size=n_reps * n_months).reshape(n_reps, n_months)


class Gathered:
    """Drawn amounts summed by rep, month and path as they come.

    Args:
        layout: The layout of the sums.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._sums = np.zeros((*layout.shape, layout.n_paths))

    def add(self, path: Ints, row: Ints, column: Ints, amount: FloatArray) -> None:
        """Add amounts one by one."""
        flat = (row * self._layout.shape[1] + column) * self._layout.n_paths + path
        self._sums += summed_by(flat, amount, size=self._sums.size).reshape(self._sums.shape)

    def add_block(self, rows: Ints, first: int, amounts: FloatArray) -> None:
        """Add sums of some reps, each once, in consecutive months, shape (n_rows, n_columns, n_paths)."""
        self._sums[rows, first : first + amounts.shape[1]] += amounts

    def paths(self) -> FloatArray:
        """The sums, shape (n_paths, n_reps, n_months)."""
        return np.moveaxis(self._sums, -1, 0)


@dataclass(frozen=True, kw_only=True)
class Shocks:
    """How much better or worse than expected everything goes in each path: shared luck, mean 1.

    Args:
        wins: Factor on the chances of all deals by month from the moment's on, shape (n_paths, n).
        new_wins: Factor on wins of deals not yet created, the same shape.
        rep: Factor on the chances of one rep's deals, shape (n_paths, n_reps).
        volume: Factor on the number of deals to be created, shape (n_paths, n).
        amounts: Factor on amounts of deals not yet created, shape (n_paths, n).
        renewals: Factor on the chances of renewals, shape (n_paths, n).
    """

    wins: FloatArray
    new_wins: FloatArray
    rep: FloatArray
    volume: FloatArray
    amounts: FloatArray
    renewals: FloatArray


def draw_shocks(layout: Layout, learned: Learned) -> Shocks:
    """Draw the shared luck from what was learned about it.

    Args:
        layout: Paths, reps and months.
        learned: Levels with their uncertainty, variance of reps, spread of volume, and what little history adds.
    """
    rng, n = layout.stream("shocks"), layout.n_paths
    h = max(len(layout.months) - layout.now, 1)
    shared = lognormal(rng, learned.more_sd, (n, 1))
    turns = draw_turns(rng, n_paths=n, h=h, chance=learned.turn_chance)
    # A contract that was made a year ago comes up whatever is sold today.
    spared = np.zeros_like(turns)
    known, created = learned.flow.draw(rng, weights=learned.worth_by_stage(), turns=turns)
    return Shocks(
        wins=shared * known * learned.wins.draw(rng, turns=turns),
        new_wins=shared * created * learned.new_wins.draw(rng, turns=turns),
        amounts=learned.amounts.draw(rng, turns=turns),
        renewals=learned.renewals.level.draw(rng, turns=spared),
        volume=learned.new_business.volume.level.draw(rng, turns=turns),
        rep=lognormal(rng, np.sqrt(np.log1p(learned.rep_factors.remaining)), (n, layout.shape[0])),
    )


def lognormal(rng: np.random.Generator, sd: float | FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Log-normal numbers of mean 1 with the standard deviation `sd` of their log."""
    drawn: FloatArray = np.exp(sd * rng.standard_normal(shape) - np.square(sd) / 2)
    return drawn


def draw_deals(
    layout: Layout,
    gathered: Gathered,
    *,
    part: str,
    row: Ints,
    chances: FloatArray,
    first: int,
    worth: FloatArray,
    ratios: FloatArray,
    by_month: FloatArray | None = None,
    by_rep: FloatArray | None = None,
) -> None:
    """Draw which deals are won in which path and month, and for how much.

    Args:
        layout: The layout.
        gathered: Where the amounts go.
        part: Name of the stream.
        row: Rep's row of each deal.
        chances: Chance to be won in each month from column `first` on, shape (n_deals, n).
        first: Column of the first chance; may be negative.
        worth: Amount of each deal that the ratios multiply, USD.
        ratios: What is drawn from for booked over `worth`.
        by_month: Shared luck by path and month from the moment's on, shape (n_paths, n); None without.
        by_rep: Shared luck by path and rep; None without.
    """
    start, stop = max(0, -first), min(chances.shape[1], len(layout.months) - first)
    # Deals of one rep lie side by side, so that a piece is summed up before it leaves its thread.
    order = np.argsort(row, kind="stable")
    row, worth = row[order], worth[order]
    inside = chances[order, start:stop].astype(np.float32)
    luck = _luck(layout, by_month, columns=range(first + start, first + stop))
    own = None if by_rep is None else np.maximum(by_rep.T, _LEAST_LUCK).astype(np.float32)
    size = _Sizes.drawn(layout.stream(f"{part} amounts"), ratios, n_deals=len(row), n_paths=layout.n_paths)

    def draw_piece(begin: int) -> tuple[Ints, int, FloatArray]:
        piece = slice(begin, begin + _PIECE)
        rows, place = np.unique(row[piece], return_inverse=True)
        left = layout.stream(part, begin).random((len(place), layout.n_paths), dtype=np.float32)
        if own is not None:
            left /= own[row[piece]]
        won = _first_below(left, inside[piece], luck)
        found = np.flatnonzero(won.ravel() < len(luck))
        deal = found // layout.n_paths
        path, column = found - deal * layout.n_paths, won.ravel()[found]
        amount = worth[piece][deal] * size.of(deal + begin, path)
        flat = (place[deal] * len(luck) + column) * layout.n_paths + path
        summed = summed_by(flat, amount, size=len(rows) * luck.size)
        return rows, first + start, summed.reshape(len(rows), *luck.shape)

    # A piece has a stream of its own, so that it does not matter which thread draws it, nor when.
    pieces = range(0, len(row), _PIECE)
    if len(pieces) < _FEW_PIECES:
        for drawn in map(draw_piece, pieces):
            gathered.add_block(*drawn)
        return
    with ThreadPoolExecutor(max_workers=_THREADS) as pool:
        for drawn in pool.map(draw_piece, pieces):
            gathered.add_block(*drawn)


@dataclass(frozen=True, kw_only=True)
class _Sizes:
    """Booked over entered amount of each deal in each path, won or not: a lever on chances leaves the amounts alone.

    Every deal goes through the ratios from a place of its own, in an order drawn by chance, so that over the paths it
    has each ratio about as often, and two deals have theirs independently of each other.
    """

    ratios: FloatArray
    place: Ints
    turn: Ints

    @classmethod
    def drawn(cls, rng: np.random.Generator, ratios: FloatArray, *, n_deals: int, n_paths: int) -> _Sizes:
        """Orders and places, drawn by chance."""
        times = -(-n_paths // len(ratios))
        order = np.concatenate([rng.permutation(len(ratios)) for _ in range(times)])
        return cls(
            # Twice over, so that no place has to start anew.
            ratios=np.tile(ratios[order], 2),
            place=rng.integers(0, len(order), size=n_deals),
            turn=rng.permutation(len(order))[:n_paths],
        )

    def of(self, deal: Ints, path: Ints) -> FloatArray:
        """The ratios of deals in paths."""
        return np.asarray(self.ratios[self.place[deal] + self.turn[path]], dtype=np.float64)


def _luck(layout: Layout, by_month: FloatArray | None, *, columns: range) -> NDArray[np.float32]:
    """Factors by column and path, shape (n_columns, n_paths); months before the moment's take the moment's."""
    if by_month is None:
        return np.ones((len(columns), layout.n_paths), dtype=np.float32)
    ahead = np.clip(np.array(columns) - layout.now, 0, by_month.shape[1] - 1)
    return np.ascontiguousarray(by_month[:, ahead].T, dtype=np.float32)


def _first_below(
    left: NDArray[np.float32], chances: NDArray[np.float32], luck: NDArray[np.float32]
) -> NDArray[np.int16]:
    """The first month by which the chances reach what was drawn, by deal and path; the number of months for none.

    Month by month over whole arrays, and not as a product of matrices: that would wait for threads of its own.
    """
    found = np.zeros(left.shape, dtype=np.int16)
    reached = np.zeros_like(left)
    for month in range(len(luck)):
        reached += chances[:, month, None] * luck[month]
        found += left >= reached
    return found
