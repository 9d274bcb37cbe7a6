"""What is learned of business that no open deal stands for: deals yet to be created, contracts that come up again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import pandas as pd

from training.forecast.conversion import MAX_LAG
from training.forecast.drift import Level, neutral_level, track_counts, track_means
from training.forecast.flow import Flow
from training.forecast.history import PipelineHistory
from training.forecast.metrics import FloatArray
from training.forecast.new_business import NewBusiness, forecast_volume, learn_wins_by_lag, rep_shares
from training.forecast.origin_model import CHECKED_LAGS
from training.forecast.periods import month_number, month_numbers
from training.forecast.renewals import Renewals, learn_renewals
from training.forecast.succession import heirs

_RECENT_DAYS = 365
_AHEAD_MONTHS = 36
_TRACKED_MONTHS = 24
_LEAST_CREATED = 5


def learn_created(
    history: PipelineHistory, reps: pd.DataFrame, *, at: datetime, season_length: int, flow: Flow
) -> tuple[NewBusiness, Level]:
    """Volume, conversion and amounts of deals yet to be created, and the level of their wins."""
    moment, month = pd.Timestamp(at), month_number(at)
    fates = history.fates(at)
    cohort = month_numbers(fates["since"])
    # The first month of a history is seldom whole, and holds what was there before it.
    first = int(cohort.min()) + 1
    n_months = month - first
    opened = np.bincount(cohort[(cohort >= first) & (cohort < month)] - first, minlength=n_months).astype(np.float64)
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
    by_lag = learn_wins_by_lag(opened[-_TRACKED_MONTHS:], won[-_TRACKED_MONTHS:])
    learned = NewBusiness(
        volume=forecast_volume(opened, h=_AHEAD_MONTHS, season_length=season_length, first=first),
        wins_by_lag=by_lag * flow.entry_ratios(),
        amounts=recent["booked_usd"].to_numpy(dtype=np.float64),
        shares=rep_shares(revenue, reps, at=moment),
    )
    return learned, _track_new_wins(opened, won, by_lag, flow)


def learn_due(history: PipelineHistory, reps: pd.DataFrame, snapshots: pd.DataFrame, *, at: datetime) -> Renewals:
    """Contracts that come up again, those of reps who have left with whoever took over."""
    transactions = history.transactions(at)
    learned = learn_renewals(transactions, month=month_number(at))
    takes_over = heirs(reps.iloc[:-1], transactions, snapshots)
    owner = learned.due["rep_id"]
    return replace(learned, due=learned.due.assign(rep_id=owner.map(takes_over).fillna(owner)))


def _track_new_wins(opened: FloatArray, won: FloatArray, wins_by_lag: FloatArray, flow: Flow) -> Level:
    """Wins of deals at most so many months old as are checked, by month, against what was expected of them."""
    n_months = len(opened)
    happened, hoped = np.zeros(n_months), np.zeros(n_months)
    for lag in range(min(CHECKED_LAGS, n_months)):
        happened[lag:] += won[: n_months - lag, lag]
        hoped[lag:] += opened[: n_months - lag] * wins_by_lag[lag]
    # What changes for all deals is known sooner from their moves between stages: only what is beyond is tracked here.
    shared = flow.entry_path()[-n_months:]
    hoped[n_months - len(shared) :] *= shared
    window = slice(max(0, n_months - _TRACKED_MONTHS), None)
    return track_counts(happened[window], hoped[window])


def track_amounts(snapshots: pd.DataFrame, *, month: int) -> Level:
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
    return track_means((mean - usual).to_numpy()[enough], error.to_numpy()[enough])
