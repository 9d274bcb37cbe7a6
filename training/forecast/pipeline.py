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
from training.forecast.draws import Gathered, Layout, draw_shocks
from training.forecast.frame import BottomForecast, to_cents
from training.forecast.history import COMPANY, UNASSIGNED, PipelineHistory, booked_by_deal, snapshot_moments
from training.forecast.levers import Levers
from training.forecast.metrics import FloatArray
from training.forecast.new_business import NewBusiness, forecast_volume, learn_wins_by_lag, rep_shares
from training.forecast.origin_model import HORIZON_DAYS, origin_win_probability
from training.forecast.parts import add_new, add_open, add_renewals
from training.forecast.periods import Period, month_number, month_start
from training.forecast.pipeline_baselines import pipeline_baselines
from training.forecast.reconciliation import Hierarchy, build_hierarchy
from training.forecast.renewals import Renewals, learn_renewals

NEUTRAL = Levers()
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
    levers: Levers = NEUTRAL,
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
        levers: Factors of a scenario; they act on what is drawn, so that everything still adds up, and the luck drawn
            is the same whatever they are.

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
    layout = Layout(
        rep_ids=tuple(reps["rep_id"]),
        months=tuple(months),
        month=month,
        n_paths=n_paths,
        key=(seed, int(at.timestamp())),
    )
    turned = levers.by_rep(reps)
    shocks = draw_shocks(layout, company=0.0, rep=0.0, volume=min(new_business.volume.spread, 1.0))
    gathered = Gathered(layout)
    opened = add_open(
        layout,
        gathered,
        open_deals,
        chances,
        conversion=conversion,
        shocks=shocks,
        levers=turned,
        elapsed=elapsed,
    )
    created = add_new(layout, gathered, new_business, season, shocks=shocks, levers=turned, elapsed=elapsed)
    due = add_renewals(layout, gathered, renewals, elapsed=elapsed)
    none = np.zeros(layout.shape, dtype=np.int64)
    bottom = BottomForecast(
        hierarchy=rep_hierarchy(reps),
        base=tuple(Period(number, 1) for number in months),
        components={
            "closed": to_cents(layout.closed(history.transactions(at))),
            "open": sum(opened.by_stage.values(), none),
            "new": to_cents(created),
            "renewal": to_cents(due),
        },
        paths=gathered.paths(),
        baselines=pipeline_baselines(history, layout.rep_ids, at=at, months=months, renewals=due),
        stages=opened.by_stage,
        moves=opened.moves,
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
