"""What is learned of business that no open deal stands for: deals yet to be created, contracts that come up again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.forecast.conversion import MAX_LAG
from training.forecast.drift import Level, neutral_level, told_of_wandering, track_counts, track_means
from training.forecast.flow import Flow, Moved
from training.forecast.history import PipelineHistory
from training.forecast.metrics import FloatArray
from training.forecast.new_business import (
    QUARTER_MONTHS,
    NewBusiness,
    forecast_volume,
    learn_places,
    learn_wins_by_lag,
    rep_shares,
)
from training.forecast.origin_model import CHECKED_LAGS
from training.forecast.pace import YEAR, learn_pace
from training.forecast.periods import month_number, month_numbers
from training.forecast.renewals import Renewals, learn_renewals
from training.forecast.succession import heirs
from training.forecast.turn import Counts, Turn, find_turn

_RECENT_DAYS = 365
_AHEAD_MONTHS = 36
_TRACKED_MONTHS = 24
_LEAST_CREATED = 5


@dataclass(frozen=True)
class Opened:
    """Deals by the month in which they were first known.

    Args:
        first: Number of the first month counted: a history's first is seldom whole, and holds what was there before.
        counts: Deals of each whole month from then on, shape (n_months,).
        cohort: Number of each deal's month, in the order of `history.fates`.
    """

    first: int
    counts: FloatArray
    cohort: NDArray[np.int64]


def count_opened(history: PipelineHistory, *, at: datetime) -> Opened:
    """Count the deals known at `at`."""
    month, cohort = month_number(at), month_numbers(history.fates(at)["since"])
    first = int(cohort.min()) + 1
    inside = (cohort >= first) & (cohort < month)
    counts = np.bincount(cohort[inside] - first, minlength=month - first)
    return Opened(first=first, counts=counts.astype(np.float64), cohort=cohort)


def count_leads(history: PipelineHistory, *, at: datetime) -> Counts | None:
    """Leads by the whole month in which they were first known, but for the history's first; None without leads.

    Where none at all came in the newest month the source has ceased to give them, and says nothing of the times.
    """
    by_month = history.leads_by_month
    month = month_number(at)
    known = by_month[by_month.index < month]
    if len(known) < 2 or known.index[-1] < month - 1:
        return None
    first = int(known.index[0]) + 1
    happened = known.reindex(range(first, month), fill_value=0).to_numpy(dtype=np.float64)
    return Counts("new leads", happened, first=first)


def look_for_turn(history: PipelineHistory, moved: Moved, opened: Opened, *, at: datetime) -> Turn:
    """Whether leads, new deals, moves and losses of the newest whole months are what those before them taught."""
    leads, whole = count_leads(history, at=at), slice(0, moved.whole)
    return find_turn(
        [
            *([] if leads is None else [leads]),
            Counts("new deals", opened.counts, first=opened.first),
            Counts("moves to a later stage", moved.ahead[0][whole], expected=moved.ahead[1][whole]),
            Counts("losses", moved.lost[0][whole], expected=moved.lost[1][whole]),
        ]
    )


def learn_created(
    history: PipelineHistory,
    reps: pd.DataFrame,
    *,
    at: datetime,
    season_length: int,
    flow: Flow,
    opened: Opened,
    turned: int = 0,
) -> tuple[NewBusiness, Level]:
    """Volume, conversion and amounts of deals yet to be created, and the level of their wins.

    Args:
        history: The canonical tables as they were known.
        reps: Reps as known at `at`.
        at: The moment, UTC.
        season_length: Months of a season of deal creation.
        flow: Moves between stages and their levels.
        opened: `count_opened`.
        turned: How many of the newest whole months are later than a proven change of the times.
    """
    moment, month = pd.Timestamp(at), month_number(at)
    fates, cohort, first = history.fates(at), opened.cohort, opened.first
    n_months = len(opened.counts)
    booked = history.booked(at)
    place = fates.index.get_indexer(booked.index)
    sales, place = booked[place >= 0], place[place >= 0]
    when, begun = month_numbers(sales["booked_at"]), cohort[place]
    lag = np.maximum(when - begun, 0)
    counted = (begun >= first) & (when < month) & (lag <= MAX_LAG)
    won = np.zeros((n_months, MAX_LAG + 1))
    np.add.at(won, (begun[counted] - first, lag[counted]), 1.0)
    is_recent = (sales["booked_at"] > moment - pd.Timedelta(days=_RECENT_DAYS)).to_numpy()
    recent, owner = sales[is_recent], fates["rep_id"].to_numpy()[place[is_recent]]
    revenue = recent["booked_usd"].groupby(owner).sum()
    by_lag = learn_wins_by_lag(opened.counts[-_TRACKED_MONTHS:], won[-_TRACKED_MONTHS:])
    told = told_of_wandering(flow.advance, flow.lose)
    seasonal = _seasonal(opened, won, by_lag, flow)
    happened, hoped = _new_wins(opened, won, by_lag * seasonal, flow, lags=range(CHECKED_LAGS))
    happened, hoped = happened[-_TRACKED_MONTHS:], hoped[-_TRACKED_MONTHS:]
    newest = month - len(hoped)
    by_place = learn_places(happened, hoped, first=newest)
    learned = NewBusiness(
        volume=forecast_volume(
            opened.counts, h=_AHEAD_MONTHS, season_length=season_length, first=first, wandering=told, turned=turned
        ),
        wins_by_lag=by_lag * seasonal * flow.entry_ratios() / flow.entry_season(),
        amounts=recent["booked_usd"].to_numpy(dtype=np.float64),
        shares=rep_shares(revenue, reps, at=moment),
        by_place=by_place,
        month=month,
    )
    hoped = hoped * by_place[(newest + np.arange(len(hoped))) % QUARTER_MONTHS]
    return learned, track_counts(happened, hoped, wandering=told, turned=turned)


def learn_due(
    history: PipelineHistory,
    reps: pd.DataFrame,
    snapshots: pd.DataFrame,
    *,
    at: datetime,
    wandering: FloatArray | None = None,
) -> Renewals:
    """Contracts that come up again, those of reps who have left with whoever took over."""
    transactions = history.transactions(at)
    learned = learn_renewals(transactions, at=at, wandering=wandering)
    takes_over = heirs(reps.iloc[:-1], transactions, snapshots)
    owner = learned.due["rep_id"]
    return replace(learned, due=learned.due.assign(rep_id=owner.map(takes_over).fillna(owner)))


def _seasonal(opened: Opened, won: FloatArray, wins_by_lag: FloatArray, flow: Flow) -> FloatArray:
    """Factors on wins by lag by the month of the year in which deals were first known, shape (12, MAX_LAG + 1).

    The pace of moves says most of it. What is beyond, by the calendar quarter of the win, is learned from deals won
    soon, and by itself from those won a little later: what a slow quarter leaves undone is done in the next.
    """
    found = flow.entry_season()
    month = (np.arange(YEAR)[:, None] + np.arange(found.shape[1])) % YEAR
    for lags in (range(CHECKED_LAGS), range(CHECKED_LAGS, 2 * CHECKED_LAGS)):
        happened, hoped = _new_wins(opened, won, wins_by_lag * found, flow, lags=lags)
        whole = slice(lags.start, None)
        season = learn_pace(happened[whole], hoped[whole], first=opened.first + lags.start, by_quarter=True)
        found[:, lags] *= season[month[:, lags]]
    return found


def _new_wins(
    opened: Opened, won: FloatArray, wins_by_lag: FloatArray, flow: Flow, *, lags: range
) -> tuple[FloatArray, FloatArray]:
    """Wins by month, of deals that were as many months old, against what was expected of them.

    Args:
        opened: `count_opened`.
        won: Wins by month first known and lag.
        wins_by_lag: Wins per deal by the month of the year in which it was first known, shape (12, MAX_LAG + 1).
        flow: Moves between stages and their levels.
        lags: Ages in months.
    """
    n_months = len(opened.counts)
    happened, hoped = np.zeros(n_months), np.zeros(n_months)
    expected = opened.counts[:, None] * wins_by_lag[(opened.first + np.arange(n_months)) % YEAR]
    for lag in lags[: max(n_months - lags.start, 0)]:
        happened[lag:] += won[: n_months - lag, lag]
        hoped[lag:] += expected[: n_months - lag, lag]
    # What changes for all deals is known sooner from their moves between stages: only what is beyond is tracked here.
    shared = flow.entry_path()[-n_months:]
    hoped[n_months - len(shared) :] *= shared
    return happened, hoped


def track_amounts(
    snapshots: pd.DataFrame, *, month: int, wandering: FloatArray | None = None, turned: int = 0
) -> Level:
    """Entered amounts of deals when they were first seen, by month, against those of the last year."""
    first = snapshots.drop_duplicates("opportunity_id")
    first = first[(first["amount_usd"] > 0) & (first["month"] > snapshots["month"].min())]
    logs = np.log(first["amount_usd"])
    usual = logs[first["month"] >= month - 12].mean()
    grouped = logs.groupby(first["month"])
    count, mean = grouped.size(), grouped.mean()
    enough = (count >= _LEAST_CREATED).to_numpy()
    if not enough.any():
        return neutral_level()
    error = logs.std() / np.sqrt(count)
    return track_means((mean - usual).to_numpy()[enough], error.to_numpy()[enough], wandering=wandering, turned=turned)
