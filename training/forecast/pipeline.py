"""The forecast from deals: closed so far, open deals, business not yet created, renewals; as sample paths per rep.

Everything is learned from what was known at `at`, from nothing else: see `history.PipelineHistory`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from common.errors import TooLittleDataError
from training.forecast.conversion import (
    MAX_LAG,
    Conversion,
    apply_season,
    apply_win_probability,
    due_bucket,
    learn_conversion,
    learn_season,
    shift_into_month,
)
from training.forecast.frame import BottomForecast, to_cents
from training.forecast.history import COMPANY, UNASSIGNED, PipelineHistory, booked_by_deal, snapshot_moments
from training.forecast.metrics import FloatArray
from training.forecast.new_business import NewBusiness, forecast_volume, learn_wins_by_lag, rep_shares
from training.forecast.origin_model import HORIZON_DAYS, origin_win_probability
from training.forecast.periods import Period, month_number, month_start
from training.forecast.pipeline_baselines import pipeline_baselines
from training.forecast.reconciliation import Hierarchy, build_hierarchy
from training.forecast.renewals import Renewals, learn_renewals

_LEAST_DECIDED = 100
_LEAST_MONTHS = 6
_RECENT_DAYS = 365


@dataclass(frozen=True)
class WinProbabilities:
    """What the deal model says about open deals at one moment.

    Args:
        by_deal: P(won within the horizon) by opportunity_id.
        horizon_days: The horizon.
        version: Version of the deal model.
    """

    by_deal: pd.Series
    horizon_days: int
    version: str = "unregistered"


@dataclass(frozen=True)
class PipelineForecast:
    """A forecast at one moment and what it was made of.

    Args:
        bottom: Components, paths and baselines per rep and month.
        details: What was learned, as JSON values.
    """

    bottom: BottomForecast
    details: dict[str, Any]


def forecast_pipeline(
    history: PipelineHistory,
    *,
    at: datetime,
    months: Sequence[int],
    season_length: int,
    n_paths: int,
    seed: int,
    win_probabilities: WinProbabilities | None = None,
) -> PipelineForecast:
    """Forecast booked revenue per rep and month from what was known at `at`.

    Args:
        history: The canonical tables as they were known.
        at: The moment, UTC.
        months: Numbers of consecutive months, from the January of the moment's year (or earlier) to the horizon's end.
        season_length: Months of a season of deal creation.
        n_paths: Sample paths.
        seed: Seed; the same seed, moment and history give the same forecast, bit for bit.
        win_probabilities: The deal model's; without them `origin_model` speaks.

    Raises:
        TooLittleDataError: if there are too few decided deals or months known at `at`.
    """
    month, elapsed = month_number(at), share_of_month(at)
    moment = pd.Timestamp(at)
    reps = with_unassigned(history.reps(at))
    snapshots = _snapshots(history, at=at)
    conversion = learn_conversion(snapshots)
    season = learn_season(snapshots, conversion.expected(snapshots))
    new_business = _learn_new_business(history, reps, at=at, h=months[-1] - month + 1, season_length=season_length)
    renewals = learn_renewals(history.transactions(at), month=month)
    open_deals = _open_deals(history, at=at)
    chances = shift_into_month(conversion.win_chances(open_deals, at=moment), elapsed=elapsed)
    chances = apply_season(chances, season, month=month)
    asked, horizon_days = _asked(win_probabilities, snapshots, open_deals, at=moment, seed=seed)
    chances = apply_win_probability(chances, asked, horizon_days=horizon_days)
    frame = _Frame(
        rep_ids=reps["rep_id"].tolist(),
        months=tuple(months),
        month=month,
        n_paths=n_paths,
        rng=np.random.default_rng([seed, int(at.timestamp())]),
    )
    open_expected, open_paths = _draw_open(frame, open_deals, chances, conversion)
    new_expected, new_paths = _draw_new(frame, new_business, season, elapsed=elapsed)
    due_expected, due_paths = _draw_renewals(frame, renewals, elapsed=elapsed)
    closed = frame.closed(history.transactions(at))
    bottom = BottomForecast(
        hierarchy=rep_hierarchy(reps),
        base=tuple(Period(number, 1) for number in months),
        components={
            "closed": to_cents(closed),
            "open": to_cents(open_expected),
            "new": to_cents(new_expected),
            "renewal": to_cents(due_expected),
        },
        paths=open_paths + new_paths + due_paths,
        baselines=pipeline_baselines(history, frame.rep_ids, at=at, months=months, renewals=due_expected),
    )
    return PipelineForecast(bottom, _details(conversion, new_business, renewals, open_deals, win_probabilities, season))


def share_of_month(at: datetime) -> float:
    """Share of the month of `at` that is over at `at`."""
    number = month_number(at)
    start, stop = month_start(number), month_start(number + 1)
    return (at - start) / (stop - start)


def rep_hierarchy(reps: pd.DataFrame) -> Hierarchy:
    """Company, region, team, rep, as known when `reps` was."""
    return build_hierarchy(
        {
            COMPANY: [COMPANY] * len(reps),
            "region": reps["region"].tolist(),
            "team": reps["team"].tolist(),
            "rep": reps["rep_id"].tolist(),
        }
    )


@dataclass
class _Frame:
    """Rows (reps) and columns (months) that every part is laid out on, and the draws' source."""

    rep_ids: list[str]
    months: tuple[int, ...]
    month: int
    n_paths: int
    rng: np.random.Generator

    def row_of(self, rep_ids: pd.Series) -> np.ndarray:
        """Row of each rep; those not known at the moment go to the last row, `unassigned`."""
        position = {rep: row for row, rep in enumerate(self.rep_ids)}
        return rep_ids.map(position).fillna(len(self.rep_ids) - 1).to_numpy(dtype=np.int64)

    @property
    def shape(self) -> tuple[int, int]:
        """Reps and months."""
        return len(self.rep_ids), len(self.months)

    def closed(self, transactions: pd.DataFrame) -> FloatArray:
        """Money booked so far."""
        column = (
            transactions["event_timestamp"].dt.year * 12 + transactions["event_timestamp"].dt.month - 1 - self.months[0]
        )
        inside = ((column >= 0) & (column < len(self.months))).to_numpy()
        found = np.zeros(self.shape)
        rows = self.row_of(transactions["rep_id"])
        np.add.at(found, (rows[inside], column.to_numpy()[inside]), transactions["amount_usd"].to_numpy()[inside])
        return found

    def gather(self, path: np.ndarray, row: np.ndarray, column: np.ndarray, amount: FloatArray) -> FloatArray:
        """Drawn amounts summed by path, rep and month; columns outside the months are left out."""
        n_reps, n_months = self.shape
        inside = (column >= 0) & (column < n_months)
        flat = ((path * n_reps + row) * n_months + column)[inside]
        summed = np.bincount(flat, weights=amount[inside], minlength=self.n_paths * n_reps * n_months)
        paths: FloatArray = np.asarray(summed, dtype=np.float64).reshape(self.n_paths, n_reps, n_months)
        return paths


def _draw_open(
    frame: _Frame, deals: pd.DataFrame, chances: FloatArray, conversion: Conversion
) -> tuple[FloatArray, FloatArray]:
    n_deals, n_lags = chances.shape
    amount = deals["amount_usd"].to_numpy(dtype=np.float64)
    entered = ~np.isnan(amount)
    mean_ratio = float(conversion.ratios.mean())
    worth = np.where(entered, amount * mean_ratio, conversion.typical_usd)
    row, first = frame.row_of(deals["rep_id"]), frame.month - frame.months[0] - 1
    expected = np.zeros(frame.shape)
    for ahead in range(n_lags):
        if 0 <= first + ahead < len(frame.months):
            np.add.at(expected[:, first + ahead], row, chances[:, ahead] * worth)
    # Stratified draws: over the paths each deal is won as often as its chance says, to within one path.
    strata = frame.rng.permuted(np.tile(np.arange(frame.n_paths), (n_deals, 1)), axis=1)
    draw = (strata + frame.rng.random(strata.shape)) / frame.n_paths
    lag = np.zeros(draw.shape, dtype=np.int64)
    for threshold in np.cumsum(chances, axis=1).T:
        lag += draw >= threshold[:, None]
    ratio = frame.rng.choice(conversion.ratios, size=draw.shape)
    drawn = np.where(
        entered[:, None], np.nan_to_num(amount)[:, None] * ratio, conversion.typical_usd * ratio / mean_ratio
    )
    deal, path = np.nonzero(lag < n_lags)
    paths = frame.gather(path, row[deal], first + lag[deal, path], drawn[deal, path])
    return expected, paths


def _draw_new(
    frame: _Frame, learned: NewBusiness, season: FloatArray, *, elapsed: float
) -> tuple[FloatArray, FloatArray]:
    wins = learned.wins(elapsed=elapsed)
    wins = wins * season[(frame.month + np.arange(len(wins))) % len(season)]
    first = frame.month - frame.months[0]
    expected = np.zeros(frame.shape)
    mean_amount = float(learned.amounts.mean()) if len(learned.amounts) else 0.0
    expected[:, first : first + len(wins)] = np.outer(learned.shares, wins) * mean_amount
    if mean_amount == 0.0:
        return expected, np.zeros((frame.n_paths, *frame.shape))
    spread = min(learned.volume.spread, 1.0)
    # One level a path, with mean 1: the error of a whole quarter, not of each month on its own.
    level = np.exp(spread * frame.rng.standard_normal(frame.n_paths) - spread**2 / 2)
    counts = frame.rng.poisson(level[:, None] * wins)
    places = np.indices(counts.shape).reshape(2, -1)
    path, column = np.repeat(places, counts.ravel(), axis=1)
    row = frame.rng.choice(len(learned.shares), size=len(path), p=learned.shares)
    amount = frame.rng.choice(learned.amounts, size=len(path))
    return expected, frame.gather(path, row, first + column, amount)


def _draw_renewals(frame: _Frame, learned: Renewals, *, elapsed: float) -> tuple[FloatArray, FloatArray]:
    expected = np.zeros(frame.shape)
    due = learned.due
    if due.empty or len(learned.ratio) == 0:
        return expected, np.zeros((frame.n_paths, *frame.shape))
    now = due["due_month"].to_numpy() == frame.month
    # A contract of this month that is still not renewed late in the month is less likely to be.
    late = learned.rate * (1 - elapsed) / max(1 - learned.rate * elapsed, 1e-9)
    chance = np.where(now, late, learned.rate)
    row, column = frame.row_of(due["rep_id"]), due["due_month"].to_numpy(dtype=np.int64) - frame.months[0]
    amount = due["amount_usd"].to_numpy(dtype=np.float64)
    inside = (column >= 0) & (column < len(frame.months))
    np.add.at(expected, (row[inside], column[inside]), (chance * amount * learned.ratio.mean())[inside])
    contract, path = np.nonzero(frame.rng.random((len(due), frame.n_paths)) < chance[:, None])
    drawn = amount[contract] * frame.rng.choice(learned.ratio, size=len(contract))
    return expected, frame.gather(path, row[contract], column[contract], drawn)


def _asked(
    win_probabilities: WinProbabilities | None,
    snapshots: pd.DataFrame,
    open_deals: pd.DataFrame,
    *,
    at: pd.Timestamp,
    seed: int,
) -> tuple[FloatArray, int]:
    if win_probabilities is None:
        return origin_win_probability(snapshots, open_deals, at=at, seed=seed), HORIZON_DAYS
    asked = win_probabilities.by_deal.reindex(open_deals["opportunity_id"]).to_numpy(dtype=np.float64)
    return asked, win_probabilities.horizon_days


def _open_deals(history: PipelineHistory, *, at: datetime) -> pd.DataFrame:
    deals = history.deals(at)
    return deals[deals["status"] == "open"].reset_index(drop=True)


def _snapshots(history: PipelineHistory, *, at: datetime) -> pd.DataFrame:
    first = history.first_known(at)
    month = month_number(at)
    moments = snapshot_moments(at, first=first.min()) if len(first) else []
    if len(moments) < _LEAST_MONTHS:
        raise TooLittleDataError(
            f"A forecast from deals as of {at:%Y-%m-%d} needs {_LEAST_MONTHS} months of deals before it",
            got=f"{len(moments)}",
            next_step="load more history",
        )
    history.prepare([*moments, at])
    outcomes, booked = history.outcomes(at), booked_by_deal(history.transactions(at))
    if len(outcomes) < _LEAST_DECIDED:
        raise TooLittleDataError(
            f"A forecast from deals as of {at:%Y-%m-%d} needs {_LEAST_DECIDED} decided deals",
            got=f"{len(outcomes)}",
            next_step="load more history",
        )
    parts = []
    for moment in moments:
        deals = _open_deals(history, at=moment)
        number = month_number(moment)
        parts.append(
            deals.assign(
                due=due_bucket(deals["close_date"], at=pd.Timestamp(moment)),
                month=number,
                moment=pd.Timestamp(moment),
                watched=month - number,
            )
        )
    rows = (
        pd.concat(parts, ignore_index=True)
        .join(outcomes["decided_at"], on="opportunity_id")
        .join(booked, on="opportunity_id")
    )
    status = rows["opportunity_id"].map(outcomes["status"])
    when = rows["booked_at"].where((status == "won") & rows["booked_at"].notna(), rows["decided_at"])
    rows["won"] = (status == "won").to_numpy()
    rows["lag"] = (when.dt.year * 12 + when.dt.month - 1 - rows["month"]).clip(lower=-1)
    rows["ratio"] = (rows["booked_usd"] / rows["amount_usd"]).where(rows["won"] & (rows["amount_usd"] > 0))
    return rows


def _learn_new_business(
    history: PipelineHistory, reps: pd.DataFrame, *, at: datetime, h: int, season_length: int
) -> NewBusiness:
    moment, month = pd.Timestamp(at), month_number(at)
    since = history.first_known(at)
    cohort = since.dt.year * 12 + since.dt.month - 1
    # The first month of a history is seldom whole, and holds what was there before it.
    first = int(cohort.min()) + 1
    n_months = month - first
    opened = np.bincount(cohort[(cohort >= first) & (cohort < month)] - first, minlength=n_months).astype(np.float64)
    sales = booked_by_deal(history.transactions(at)).join(since, how="inner")
    when = sales["booked_at"].dt.year * 12 + sales["booked_at"].dt.month - 1
    begun = sales["since"].dt.year * 12 + sales["since"].dt.month - 1
    lag = (when - begun).clip(lower=0)
    counted = ((begun >= first) & (when < month) & (lag <= MAX_LAG)).to_numpy()
    wins = np.zeros((n_months, MAX_LAG + 1))
    np.add.at(wins, ((begun - first).to_numpy()[counted], lag.to_numpy()[counted]), 1.0)
    recent = sales[sales["booked_at"] > moment - pd.Timedelta(days=_RECENT_DAYS)]
    owner = history.deals(at).set_index("opportunity_id")["rep_id"]
    revenue = recent["booked_usd"].groupby(owner.reindex(recent.index)).sum()
    return NewBusiness(
        volume=forecast_volume(opened, h=h, season_length=season_length),
        wins_by_lag=learn_wins_by_lag(opened, wins),
        amounts=recent["booked_usd"].to_numpy(dtype=np.float64),
        shares=rep_shares(revenue, reps, at=moment),
    )


def with_unassigned(reps: pd.DataFrame) -> pd.DataFrame:
    """The reps and, last, `unassigned`, who takes what belongs to nobody known."""
    columns = ["rep_id", "team", "region", "is_active", "hired_at"]
    nobody = {"rep_id": UNASSIGNED, "team": UNASSIGNED, "region": UNASSIGNED, "is_active": False}
    return pd.concat([reps[columns], pd.DataFrame([nobody])], ignore_index=True)


def _details(
    conversion: Conversion,
    new_business: NewBusiness,
    renewals: Renewals,
    open_deals: pd.DataFrame,
    win_probabilities: WinProbabilities | None,
    season: FloatArray,
) -> dict[str, Any]:
    return {
        "open_deals": len(open_deals),
        "open_amount_usd": float(open_deals["amount_usd"].sum()),
        "snapshots_learned_from": conversion.n_snapshots,
        "booked_over_entered": float(conversion.ratios.mean()),
        "win_rate_of_open_deals": float(conversion.chances[None].sum()),
        "new_deals_method": new_business.volume.method,
        "new_deals_errors": new_business.volume.errors,
        "new_deals_spread": new_business.volume.spread,
        "new_deals_per_month": [float(value) for value in new_business.volume.mean],
        "wins_per_new_deal": float(new_business.wins_by_lag.sum()),
        "renewal_term_months": renewals.term_months,
        "renewal_rate": renewals.rate,
        "season_by_quarter": [float(value) for value in season[::3]],
        "deal_model_version": win_probabilities.version if win_probabilities is not None else None,
    }
