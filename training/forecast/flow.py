"""How deals move from stage to stage in a month, and whether they move on, or are lost, faster or slower of late.

Wins are few and come late; moves from stage to stage are many and come at once. A change of the times is therefore
seen first in the moves, and what it does to wins in later months follows from the chain of stages (roll rates). Two
levels are tracked, on moves ahead and on losses; a move over d stages counts with the level's d-th power. The season
of the year is one of the moves, too (`pace`), and goes through the same chain.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.forecast.conversion import MAX_LAG
from training.forecast.drift import Level, track_together
from training.forecast.metrics import FloatArray, summed_by
from training.forecast.pace import YEAR, learn_pace, of_quarters

_MOST_RATIO = 3.0
_PRIOR_ROWS = 20.0
_LEAST_WINS = 1e-9


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Moves in a month.

    Args:
        stages: Open stages, the least promising first.
        moves: Chance to stand in each stage, won and lost a month later, shape (n_stages, n_stages + 2).
        entry: Where deals stand when they are first seen, shape (n_stages,).
        advance: Level of moves ahead and wins.
        lose: Level of losses.
        month: Number of the month of the moment.
        pace: Factors on moves ahead, and on losses, by month of the year, shape (2, 12).
    """

    stages: tuple[str, ...]
    moves: FloatArray
    entry: FloatArray
    advance: Level
    lose: Level
    month: int = 0
    pace: FloatArray = field(default_factory=lambda: np.ones((2, YEAR)))

    def ratios(self) -> FloatArray:
        """Wins at each lag at the present levels over wins as learned, by stage, shape (n_stages, MAX_LAG + 1)."""
        advance, lose = self._paced(self.month, pace=of_quarters(self.pace))
        return _ratio(self._wins(self.advance.mean * advance, self.lose.mean * lose)[0], self._usual()[0])

    def entry_ratios(self) -> FloatArray:
        """The same for deals that are first seen in each month of the year, shape (12, MAX_LAG + 1)."""
        advance, lose = self._paced(np.arange(YEAR))
        then = self._wins(self.advance.mean * advance, self.lose.mean * lose)
        return self._of_entry(then)

    def entry_season(self) -> FloatArray:
        """`entry_ratios` at the usual levels: what the season alone does, shape (12, MAX_LAG + 1)."""
        return self._of_entry(self._wins(*self._paced(np.arange(YEAR))))

    def season(
        self, stages: pd.Series, month: NDArray[np.int64], *, lags: int, knows_places: bool = True
    ) -> FloatArray:
        """Wins at the first lags over those learned that the season alone makes, by each snapshot's stage and month.

        Args:
            stages: Stages of the snapshots.
            month: Number of each snapshot's month.
            lags: How many lags.
            knows_places: Whether what it is to be put on knows the place of a month in its quarter, as what is learned
                of open deals here does.

        Returns:
            Shape (n_snapshots, lags); 1 for stages not seen before.
        """
        pace = of_quarters(self.pace) if knows_places else self.pace
        then = self._wins(*self._paced(np.arange(YEAR), h=lags, pace=pace))
        table = _ratio(then, np.broadcast_to(self._usual(h=lags), then.shape))
        table = np.concatenate([table, np.ones((YEAR, 1, lags))], axis=1)
        return np.asarray(table[month % YEAR, self._places(stages)], dtype=np.float64)

    def of_stages(self, stages: pd.Series) -> FloatArray:
        """`ratios` of each deal by its stage, lag -1 first and 1 there; 1 for stages not seen before."""
        table = np.vstack([self.ratios(), np.ones(MAX_LAG + 1)])
        return np.column_stack([np.ones(len(stages)), table[self._places(stages)]])

    def one_month(self, stages: pd.Series, number: np.ndarray) -> FloatArray:
        """Wins of the next month over those learned, by each snapshot's stage and the levels as known in its month.

        Args:
            stages: Stages of the snapshots.
            number: Place of each snapshot's month among the months the levels were tracked over.
        """
        path = self._first_month(self.advance.path, self.lose.path)
        path = np.column_stack([path, np.ones(len(path))])
        last = np.minimum(number, len(path) - 1)
        return np.asarray(path[last, self._places(stages)], dtype=np.float64)

    def entry_path(self) -> FloatArray:
        """Wins soon after creation over those learned, by the months the levels were tracked over."""
        levels = zip(self.advance.path, self.lose.path, strict=True)
        usual = (self.entry @ self._usual(h=3)[0]).sum()
        then = [(self.entry @ self._wins(np.full((1, 3), a), np.full((1, 3), b))[0]).sum() for a, b in levels]
        return _ratio(np.array(then), np.full(len(then), usual))

    def _places(self, stages: pd.Series) -> NDArray[np.int64]:
        place = stages.map({name: row for row, name in enumerate(self.stages)}).fillna(len(self.stages))
        return np.asarray(place, dtype=np.int64)

    def _paced(
        self, first: int | NDArray[np.int64], h: int = MAX_LAG + 1, *, pace: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """The season's factors on moves ahead and on losses from each of some months on, shape (n, h)."""
        month = (np.atleast_1d(first)[:, None] + np.arange(h)) % YEAR
        advance, lose = self.pace if pace is None else pace
        return advance[month], lose[month]

    def _usual(self, h: int = MAX_LAG + 1) -> FloatArray:
        return self._wins(np.ones((1, h)), np.ones((1, h)))

    def _of_entry(self, then: FloatArray) -> FloatArray:
        return _ratio(self.entry @ then, np.broadcast_to(self.entry @ self._usual()[0], (len(then), MAX_LAG + 1)))

    def _first_month(self, advance: FloatArray, lose: FloatArray) -> FloatArray:
        usual = self._usual(h=1)[:, :, 0]
        return _ratio(self._wins(advance[:, None], lose[:, None])[:, :, 0], np.repeat(usual, len(advance), axis=0))

    def draw(
        self, rng: np.random.Generator, *, weights: FloatArray, turns: NDArray[np.bool_]
    ) -> tuple[FloatArray, FloatArray]:
        """Paths of wins by month over their mean, of deals that stand in the stages with `weights`, and of new deals.

        Args:
            rng: The stream.
            weights: Worth of the open deals by stage.
            turns: In which months of each path the times change, shape (n_paths, h).

        Returns:
            Two arrays of shape (n_paths, h), mean 1 in every month.
        """
        paced = self._paced(self.month, h=turns.shape[1])
        advance = paced[0] * self.advance.mean * self.advance.draw(rng, turns=turns)
        lose = paced[1] * self.lose.mean * self.lose.draw(rng, turns=turns)
        wins = self._wins(advance, lose)
        known = np.einsum("s,psm->pm", weights, wins)
        created = np.cumsum(np.einsum("s,psm->pm", self.entry, wins), axis=1)
        return _around_mean(known), _around_mean(created)

    def _wins(self, advance: FloatArray, lose: FloatArray) -> FloatArray:
        """P(won in each month) from each stage, given the levels by path and month, shape (n_paths, n_stages, h)."""
        n_paths, h = advance.shape
        n = len(self.stages)
        steps = np.arange(n + 1)[None, :] - np.arange(n)[:, None]
        at = np.broadcast_to(np.eye(n), (n_paths, n, n))
        found = np.empty((n_paths, n, h))
        for month in range(h):
            ahead = np.where(steps > 0, advance[:, month, None, None] ** np.maximum(steps, 0), 1.0)
            forward = self.moves[:, : n + 1] * ahead
            lost = self.moves[:, n + 1] * lose[:, month, None]
            staying = forward * (steps != 0)
            total = staying.sum(axis=2) + lost
            excess = np.maximum(total, 1.0)
            staying = staying / excess[:, :, None]
            kept = np.maximum(1.0 - total, 0.0)
            found[:, :, month] = np.einsum("psk,pk->ps", at, staying[:, :, n])
            step = staying[:, :, :n] + kept[:, :, None] * np.eye(n)
            at = at @ step
        return found


@dataclass(frozen=True, kw_only=True)
class Moved:
    """Moves of past months, counted, beside those that were to be expected by their mean.

    Args:
        stages: As in `Flow`.
        moves: As in `Flow`.
        entry: As in `Flow`.
        ahead: Moves ahead and wins in each whole month, oldest first, and how many were to be expected.
        lost: The same of losses.
        whole: How many months these are.
        first: Number of the first of them.
    """

    stages: tuple[str, ...]
    moves: FloatArray
    entry: FloatArray
    ahead: tuple[FloatArray, FloatArray]
    lost: tuple[FloatArray, FloatArray]
    whole: int
    first: int = 0

    def flow(self, *, turned: int = 0) -> Flow:
        """The flow, its levels tracked up to now.

        Args:
            turned: How many of the newest whole months are later than a proven change of the times.
        """
        both, number = (self.ahead, self.lost), self.first + np.arange(len(self.lost[0]))
        pace = [learn_pace(came, hoped, first=self.first) for came, hoped in both]
        beside = [(came, hoped * by_month[number % YEAR]) for (came, hoped), by_month in zip(both, pace, strict=True)]
        advance, lose = track_together(beside, turned=turned)
        return Flow(
            stages=self.stages,
            moves=self.moves,
            entry=self.entry,
            advance=advance,
            lose=lose,
            month=self.first + self.whole,
            pace=np.array(pace),
        )


def count_moves(snapshots: pd.DataFrame, deals: pd.DataFrame, *, month: int) -> Moved:
    """Count moves from past snapshots and where their deals stood a month later.

    The month of the moment takes no part: who moves soon does so in the first days after a snapshot, so that after a
    quarter of a month twice as many have moved as in a quarter of the time.

    Args:
        snapshots: Rows as `snapshots.learn_from` gives them.
        deals: Deals open now.
        month: Number of the month of the moment.
    """
    stages = _in_order(snapshots)
    place = {name: row for row, name in enumerate(stages)}
    n = len(stages)
    after = _next_state(snapshots, deals, place, month=month)
    known = (after >= 0) & (snapshots["month"].to_numpy(dtype=np.int64) < month)
    rows, then = snapshots["stage"].map(place).to_numpy(dtype=np.int64)[known], after[known]
    number = snapshots["month"].to_numpy(dtype=np.int64)[known]
    counts = np.bincount(rows * (n + 2) + then, minlength=n * (n + 2)).reshape(n, n + 2).astype(float)
    # A stage seen in a few snapshots only stays where it is, as far as they do not say otherwise.
    moves = counts + _PRIOR_ROWS * np.eye(n, n + 2) * (counts.sum(axis=1, keepdims=True) < _PRIOR_ROWS)
    moves = moves / moves.sum(axis=1, keepdims=True)
    steps = np.arange(n + 1)[None, :] - np.arange(n)[:, None]
    forward = (moves[:, : n + 1] * (steps > 0)).sum(axis=1)
    first = int(snapshots["month"].min())
    size = month - first

    def beside(happened: NDArray[np.bool_], chance: FloatArray) -> tuple[FloatArray, FloatArray]:
        came = np.bincount(number[happened] - first, minlength=size).astype(np.float64)
        return came, summed_by(number - first, chance[rows], size=size)

    new = snapshots[snapshots["month"] > first].drop_duplicates("opportunity_id")
    entry = np.bincount(new["stage"].map(place).to_numpy(dtype=np.int64), minlength=n) + 1.0 / n
    return Moved(
        stages=stages,
        moves=moves,
        entry=entry / entry.sum(),
        ahead=beside((then > rows) & (then <= n), forward),
        lost=beside(then == n + 1, moves[:, n + 1]),
        whole=month - first,
        first=first,
    )


def _in_order(snapshots: pd.DataFrame) -> tuple[str, ...]:
    """Stages by the share of their decided deals that were won."""
    decided = snapshots[snapshots["lag"].notna()]
    won = decided.groupby("stage")["won"]
    share = (won.sum() + 1.0) / (won.count() + 2.0)
    share = share.reindex(sorted(snapshots["stage"].unique())).fillna(0.5)
    return tuple(str(name) for name in share.sort_values(kind="stable").index)


def _next_state(snapshots: pd.DataFrame, deals: pd.DataFrame, place: dict[str, int], *, month: int) -> np.ndarray:
    """Stage a month later; behind the stages won and lost; -1 where it is not known."""
    n = len(place)
    both = pd.concat([snapshots[["opportunity_id", "stage"]], deals[["opportunity_id", "stage"]]], ignore_index=True)
    months = np.r_[snapshots["month"].to_numpy(), np.full(len(deals), _month_after(snapshots, month))].astype(np.int64)
    # Deal and month as one number; of rows of one deal and month the first counts.
    key = pd.factorize(both["opportunity_id"])[0] * (int(months.max(initial=0)) + 2) + months
    known, row = np.unique(key, return_index=True)
    awaited = key[: len(snapshots)] + 1
    at = np.minimum(np.searchsorted(known, awaited), len(known) - 1)
    stage = both["stage"].map(place).fillna(-1).to_numpy(dtype=np.int64)
    then = np.where(known[at] == awaited, stage[row[at]], -1)
    ended = (snapshots["lag"] == 0).to_numpy()
    won = snapshots["won"].to_numpy(dtype=bool)
    return np.where(ended, np.where(won, n, n + 1), then)


def _month_after(snapshots: pd.DataFrame, month: int) -> int:
    # The open deals of now stand for the month after the newest snapshot's.
    return int(snapshots["month"].max()) + 1 if len(snapshots) else month


def _ratio(then: FloatArray, usual: FloatArray) -> FloatArray:
    found = np.divide(then, usual, out=np.ones_like(then), where=usual > _LEAST_WINS)
    return np.asarray(np.clip(found, 1.0 / _MOST_RATIO, _MOST_RATIO), dtype=np.float64)


def _around_mean(paths: FloatArray) -> FloatArray:
    mean = paths.mean(axis=0)
    found = np.divide(paths, mean, out=np.ones_like(paths), where=mean > _LEAST_WINS)
    return np.asarray(np.clip(found, 1.0 / _MOST_RATIO, _MOST_RATIO), dtype=np.float64)
