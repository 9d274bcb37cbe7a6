"""What a sales team says without a model: stage-weighted pipeline, commit, the same period a year ago, the mean."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import numpy as np
import pandas as pd

from training.forecast.history import PipelineHistory, snapshot_moments
from training.forecast.metrics import FloatArray
from training.forecast.periods import Period, month_number, month_numbers

_MEAN_MONTHS = 12
_YEAR = 12
_PRIOR_DEALS = 10.0


def pipeline_baselines(
    history: PipelineHistory,
    rep_ids: Sequence[str],
    *,
    at: datetime,
    months: Sequence[int],
    renewals: FloatArray,
    rates: tuple[pd.Series, float] | None = None,
) -> dict[str, FloatArray]:
    """The naive answers per rep and month, from what was known at `at`; they add up as the forecast does.

    A deal is due in the month of its entered close date; an overdue one in the month of `at`.

    Args:
        history: The canonical tables as they were known.
        rep_ids: Reps, `unassigned` last.
        at: The moment.
        months: Numbers of the months.
        renewals: Contracts due at their historical rate, shape (n_reps, n_months): a team that adds up its pipeline
            knows them too.
        rates: `known_stage_rates` at the moment, if they are at hand.

    Returns:
        `stage_weighted_pipeline` (closed + renewals + amount x historical win rate of its stage, of deals due),
        `commit` (closed + renewals + amount of deals due that reps call commit), `seasonal_naive` (the month a year
        before) and `last_year_mean` (mean of the twelve whole months before `at`), each shape (n_reps, n_months); NaN
        where the history does not reach. In months that are over, what was booked.
    """
    month = month_number(at)
    booked = _booked(history.transactions(at), rep_ids, first=min(months[0], month) - _YEAR, last=months[-1])
    offset = months[0] - (min(months[0], month) - _YEAR)
    columns = np.arange(len(months))
    closed = booked[:, offset : offset + len(months)]
    over = np.asarray(months) < month
    started = history.transactions(at)["event_timestamp"].min()
    first_known = month_number(started) if pd.notna(started) else month
    before = np.where(np.asarray(months) - _YEAR < month, booked[:, offset - _YEAR + columns], np.nan)
    before = np.where(np.asarray(months) - _YEAR >= first_known, before, np.nan)
    here = month - months[0] + offset
    mean = booked[:, here - _MEAN_MONTHS : here].mean(axis=1, keepdims=True)
    mean = mean if month - _MEAN_MONTHS >= first_known else np.full_like(mean, np.nan)
    due = _due(history, rep_ids, rates or known_stage_rates(history, at=at), at=at, months=months)
    return {
        "stage_weighted_pipeline": closed + np.where(over, 0.0, due["weighted"] + renewals),
        "commit": closed + np.where(over, 0.0, due["commit"] + renewals),
        "seasonal_naive": np.where(over, closed, before),
        "last_year_mean": np.where(over, closed, mean),
    }


def known_stage_rates(history: PipelineHistory, *, at: datetime) -> tuple[pd.Series, float]:
    """`stage_win_rates` at the moments that a forecast made at `at` learns from."""
    first = history.first_known(at)
    moments = snapshot_moments(at, first=first.min()) if len(first) else []
    return stage_win_rates(history, at=at, moments=moments) if moments else (pd.Series(dtype=float), 0.0)


def stage_win_rates(history: PipelineHistory, *, at: datetime, moments: Sequence[datetime]) -> tuple[pd.Series, float]:
    """Share of decided deals won, by the stages they were seen in at `moments`, shrunk to the rate of all.

    Only outcomes known at `at` count.

    Returns:
        Rates by stage, and the rate of all.
    """
    versions, stage = history.versions, history.versions.texts["stage"]
    width = len(stage.names) + 1
    # Deal and stage as one number: a deal counts once for each stage it was seen in.
    number = versions.deal * width + stage.code + 1
    is_seen = np.zeros(len(versions.ids) * width, dtype=bool)
    for place in history.open_places(moments):
        is_seen[number[place]] = True
    pairs = np.flatnonzero(is_seen)
    outcomes = history.outcomes(at)
    outcome = np.full(len(versions.ids), -1, dtype=np.int8)
    outcome[outcomes["number"]] = (outcomes["status"] == "won").to_numpy()
    of_pair = outcome[pairs // width]
    known = of_pair >= 0
    won = pd.Series(of_pair[known].astype(np.float64), name="outcome")
    overall = float(won.mean()) if len(won) else 0.0
    names = np.array([None, *stage.names], dtype=object)
    grouped = won.groupby(pd.Series(names[(pairs % width)[known]], name="stage"))
    rates: pd.Series = (grouped.sum() + _PRIOR_DEALS * overall) / (grouped.count() + _PRIOR_DEALS)
    return rates, overall


def quota_values(history: PipelineHistory, periods: Sequence[Period], *, at: datetime) -> pd.DataFrame:
    """Quotas known at `at` by level, entity and period: quarters as given, years where all four quarters are.

    Returns:
        Columns level, entity_id, period, quota.
    """
    quotas = history.quotas(at)
    columns = quotas[["level", "entity_id", "period_start", "amount_usd"]].to_dict("list")
    starts: dict[tuple[str, str, int], float] = {
        (level, entity, _first_month(start)): float(amount)
        for level, entity, start, amount in zip(*columns.values(), strict=True)
    }
    entities = dict.fromkeys((level, entity) for level, entity, _ in starts)
    found = []
    for period in periods:
        if period.n_months < 3:
            continue
        quarters = range(period.first_month, period.first_month + period.n_months, 3)
        for level, entity in entities:
            amounts = [starts.get((level, entity, quarter)) for quarter in quarters]
            if all(amount is not None for amount in amounts):
                found.append(
                    (level, entity, period.name, float(sum(amount for amount in amounts if amount is not None)))
                )
    return pd.DataFrame(found, columns=["level", "entity_id", "period", "quota"])


def _first_month(day: date) -> int:
    return pd.Timestamp(day).year * 12 + pd.Timestamp(day).month - 1


def _booked(transactions: pd.DataFrame, rep_ids: Sequence[str], *, first: int, last: int) -> FloatArray:
    position = {rep: row for row, rep in enumerate(rep_ids)}
    row = transactions["rep_id"].map(position).fillna(len(rep_ids) - 1).to_numpy(dtype=np.int64)
    column = month_numbers(transactions["event_timestamp"]) - first
    inside = (column >= 0) & (column <= last - first)
    found = np.zeros((len(rep_ids), last - first + 1))
    np.add.at(found, (row[inside], column[inside]), transactions["amount_usd"].to_numpy()[inside])
    return found


def _due(
    history: PipelineHistory,
    rep_ids: Sequence[str],
    known_rates: tuple[pd.Series, float],
    *,
    at: datetime,
    months: Sequence[int],
) -> dict[str, FloatArray]:
    month = month_number(at)
    deals = history.open_deals(at)
    deals = deals[deals["close_date"].notna()]
    rates, overall = known_rates
    rate = deals["stage"].map(rates).fillna(overall).to_numpy(dtype=np.float64)
    amount = deals["amount_usd"].fillna(0.0).to_numpy(dtype=np.float64)
    position = {rep: row for row, rep in enumerate(rep_ids)}
    row = deals["rep_id"].map(position).fillna(len(rep_ids) - 1).to_numpy(dtype=np.int64)
    due = (
        np.maximum((deals["close_date"].dt.year * 12 + deals["close_date"].dt.month - 1).to_numpy(), month) - months[0]
    )
    inside = (due >= 0) & (due < len(months))
    values = {"weighted": amount * rate, "commit": amount * (deals["forecast_category"] == "commit").to_numpy()}
    found = {}
    for name, value in values.items():
        table = np.zeros((len(rep_ids), len(months)))
        np.add.at(table, (row[inside], due[inside]), value[inside])
        found[name] = table
    return found
