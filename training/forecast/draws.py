"""Sample paths of what is still to come, laid out by path, rep and month.

Each part has a random stream of its own, and what is drawn from it does not depend on the levers: a scenario's paths
meet the same luck as the forecast's, so their difference is the levers' doing (common random numbers).
"""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.forecast.metrics import FloatArray

Ints = NDArray[np.int64]
_CHUNK = 2_000_000
_FLUSH = 4_000_000


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

    def stream(self, part: str) -> np.random.Generator:
        """The random stream of a part: the same key and part give the same draws."""
        return np.random.default_rng([*self.key, crc32(part.encode())])

    def row_of(self, rep_ids: pd.Series) -> Ints:
        """Row of each rep; those not known at the moment go to the last row, `unassigned`."""
        position = {rep: row for row, rep in enumerate(self.rep_ids)}
        return np.asarray(rep_ids.map(position).fillna(len(self.rep_ids) - 1), dtype=np.int64)

    def closed(self, transactions: pd.DataFrame) -> FloatArray:
        """Money booked so far."""
        when = transactions["event_timestamp"]
        column = (when.dt.year * 12 + when.dt.month - 1 - self.months[0]).to_numpy()
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


def summed_by(place: Ints, value: FloatArray, *, size: int) -> FloatArray:
    """Values summed by place, shape (size,)."""
    return np.asarray(np.bincount(place, weights=value, minlength=size), dtype=np.float64)


class Gathered:
    """Drawn amounts summed by path, rep and month as they come.

    Args:
        layout: The layout of the sums.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._sums = np.zeros(layout.n_paths * layout.shape[0] * layout.shape[1])
        self._waiting: list[tuple[Ints, FloatArray]] = []
        self._count = 0

    def add(self, path: Ints, row: Ints, column: Ints, amount: FloatArray) -> None:
        """Add amounts; columns outside the months are left out."""
        n_reps, n_months = self._layout.shape
        flat = (path * n_reps + row) * n_months + column
        inside = (column >= 0) & (column < n_months)
        if not inside.all():
            flat, amount = flat[inside], amount[inside]
        self._waiting.append((flat, amount))
        self._count += len(flat)
        if self._count > _FLUSH:
            self._flush()

    def paths(self) -> FloatArray:
        """The sums, shape (n_paths, n_reps, n_months)."""
        self._flush()
        return self._sums.reshape(self._layout.n_paths, *self._layout.shape)

    def _flush(self) -> None:
        if self._waiting:
            flat = np.concatenate([part for part, _ in self._waiting])
            amount = np.concatenate([part for _, part in self._waiting])
            self._sums += summed_by(flat, amount, size=len(self._sums))
        self._waiting, self._count = [], 0


@dataclass(frozen=True, kw_only=True)
class Shocks:
    """How much better or worse than learned everything goes in each path: shared luck, mean 1.

    Args:
        by_rep: Factor on chances, company's and rep's together, shape (n_paths, n_reps).
        company: The company's part of it, shape (n_paths,).
        volume: Factor on the number of deals to be created, shape (n_paths,).
    """

    by_rep: NDArray[np.float32]
    company: FloatArray
    volume: FloatArray


def draw_shocks(layout: Layout, *, company: float, rep: float, volume: float) -> Shocks:
    """Log-normal factors of mean 1.

    Args:
        layout: Paths and reps.
        company: Standard deviation (of the log) of what all deals share.
        rep: Of what one rep's deals share.
        volume: Of the number of deals to be created.
    """
    rng = layout.stream("shocks")
    shared = _lognormal(rng, company, (layout.n_paths,))
    created = _lognormal(rng, volume, (layout.n_paths,))
    own = _lognormal(rng, rep, (layout.n_paths, layout.shape[0]))
    return Shocks(by_rep=(shared[:, None] * own).astype(np.float32), company=shared, volume=created)


def _lognormal(rng: np.random.Generator, sd: float, shape: tuple[int, ...]) -> FloatArray:
    drawn: FloatArray = np.exp(sd * rng.standard_normal(shape) - sd**2 / 2)
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
    shocks: Shocks | None,
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
        shocks: Shared luck; None without.
    """
    start, stop = max(0, -first), min(chances.shape[1], len(layout.months) - first)
    inside = chances[:, start:stop].astype(np.float32)
    total = inside.sum(axis=1)
    steps = np.cumsum(inside, axis=1) / np.maximum(total, np.float32(1e-12))[:, None]
    rng, amounts = layout.stream(part), layout.stream(f"{part} amounts")
    height = max(1, _CHUNK // layout.n_paths)
    for begin in range(0, len(row), height):
        piece = slice(begin, begin + height)
        limit = total[piece, None]
        if shocks is not None:
            limit = limit * shocks.by_rep.T[row[piece]]
        draw = rng.random((len(row[piece]), layout.n_paths), dtype=np.float32)
        # Every deal has an amount in every path, won or not: a lever on the chances leaves the others' amounts alone.
        ratio = amounts.integers(0, len(ratios), size=draw.shape, dtype=np.uint16)
        deal, path = np.nonzero(draw < limit)
        share = draw[deal, path] / np.broadcast_to(limit, draw.shape)[deal, path]
        deal_number = deal + begin
        column = np.full(len(deal), start + first, dtype=np.int64)
        for step in range(steps.shape[1] - 1):
            column += share >= steps[deal_number, step]
        gathered.add(path, row[deal_number], column, worth[deal_number] * ratios[ratio[deal, path]])
