"""The gap to the quota, and how much pipeline has to be created to close it, from rates known at the moment.

What a dollar of new pipeline brings within so many days of its creation is the cumulative incidence of winning, deals
weighted by amount and lost deals a competing outcome (Aalen and Johansen 1978), times booked over entered amount. It
is read at the days left in the period.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from training.forecast.history import PipelineHistory, booked_by_deal, snapshot_moments
from training.forecast.metrics import FloatArray
from training.forecast.periods import Period, month_number, month_start
from training.forecast.pipeline_baselines import stage_win_rates

_LOOK_BACK_MONTHS = 24
_PACE_MONTHS = 12
_LONGEST_DAYS = 730
_ENOUGH_WINS = 40
_LEAST_YIELD = 0.005
_DAY = pd.Timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class PipelineRates:
    """How pipeline turns into money, as known at a moment.

    Args:
        based_on: Whose deals it is learned from.
        deals: Deals created in the two years before.
        wins: Of them won so far.
        win_rate: Share of their amount that is won in the end.
        booked_over_entered: Booked over entered amount of deals won.
        median_cycle_days: Days from creation within which half of what is won is won; None without wins.
        mean_amount_usd: Mean entered amount.
        created_per_month: Deals created a month in the last year.
        yields: Booked dollars per dollar created, within so many days, shape (731,).
    """

    based_on: str
    deals: int
    wins: int
    win_rate: float
    booked_over_entered: float
    median_cycle_days: int | None
    mean_amount_usd: float
    created_per_month: float
    yields: FloatArray


@dataclass(frozen=True, kw_only=True)
class Gap:
    """What is missing to a quota.

    Args:
        quota: The quota; None where there is none.
        expected: What is expected.
        closed: What is booked.
        gap: Quota less expected; below 0 it is exceeded. None without a quota.
        open_pipeline_usd: Entered amount of the open deals.
        coverage: Open pipeline over what of the quota is not booked yet; None where nothing is missing.
        days_left: Days until the period's end.
        yield_now: Booked within the period per dollar of pipeline created now.
        yield_even: The same, created evenly until its end.
        needed_now_usd: Pipeline that closes the gap if it is created now; None where nothing is missing or too little
            of it would close in time.
        needed_even_usd: If it is created evenly until the end.
        needed_deals: Deals of mean amount that `needed_even_usd` is.
        times_usual: `needed_even_usd` over what is usually created in that time; it comes on top of that.
        rates: What it is computed from, without the curve.
        win_rate_by_stage: Share of decided deals won, by the stage they were seen in.
        remark: What the figures mean, in a sentence.
    """

    quota: float | None
    expected: float
    closed: float
    gap: float | None
    open_pipeline_usd: float
    coverage: float | None
    days_left: int
    yield_now: float
    yield_even: float
    needed_now_usd: float | None
    needed_even_usd: float | None
    needed_deals: int | None
    times_usual: float | None
    rates: Mapping[str, Any]
    win_rate_by_stage: Mapping[str, float]
    remark: str


def pipeline_gap(
    history: PipelineHistory,
    answer: Mapping[str, Any],
    period: Period,
    circles: Sequence[tuple[str, Sequence[str]]],
    *,
    at: datetime,
) -> Gap:
    """The gap of one entity and period.

    Args:
        history: The canonical tables as they were known.
        answer: `expected`, `components` and `baselines` of the entity and period, as `Forecast.answer` gives them.
        period: The period.
        circles: (name, rep ids) of the entity, then of what is around it, the company last: the rates come from the
            first whose reps won 40 deals.
        at: The moment, UTC.
    """
    rates = _rates_of(history, circles, at=at)
    expected = float(answer["expected"])
    closed = float(answer["components"].get("closed") or 0.0)
    quota = answer["baselines"].get("quota")
    days_left = max(0, int((pd.Timestamp(period.stop) - pd.Timestamp(at)) / _DAY))
    now, even = _yields(rates, days_left)
    gap = None if quota is None else float(quota) - expected
    is_short = gap is not None and gap > 0
    needed_now = gap / now if is_short and gap is not None and now >= _LEAST_YIELD else None
    needed_even = gap / even if is_short and gap is not None and even >= _LEAST_YIELD else None
    own = _deals(history, circles[0][1], at=at)
    open_usd = float(own.loc[own["status"] == "open", "amount_usd"].fillna(0.0).sum())
    usual = _pace(own, at=at) * days_left / 30.4375 * rates.mean_amount_usd
    missing = None if quota is None else float(quota) - closed
    return Gap(
        quota=quota,
        expected=expected,
        closed=closed,
        gap=gap,
        open_pipeline_usd=open_usd,
        coverage=open_usd / missing if missing is not None and missing > 0 else None,
        days_left=days_left,
        yield_now=now,
        yield_even=even,
        needed_now_usd=needed_now,
        needed_even_usd=needed_even,
        needed_deals=_count(needed_even, rates.mean_amount_usd),
        times_usual=needed_even / usual if needed_even is not None and usual > 0 else None,
        rates={name: value for name, value in asdict(rates).items() if name != "yields"},
        win_rate_by_stage=_by_stage(history, at=at),
        remark=_remark(gap, needed_now, needed_even, days_left, rates),
    )


def learn_rates(deals: pd.DataFrame, *, based_on: str, at: datetime) -> PipelineRates:
    """Rates of the deals created in the two years before a moment.

    Args:
        deals: `since` (when first known), `status` (open, won, lost), `decided_at`, `amount_usd`, `booked_usd`, one row
            per deal as known at the moment.
        based_on: Whose they are.
        at: The moment, UTC.
    """
    moment = pd.Timestamp(at)
    recent = deals[deals["since"] >= pd.Timestamp(month_start(month_number(at) - _LOOK_BACK_MONTHS))]
    recent = recent[recent["amount_usd"] > 0]
    until = recent["decided_at"].fillna(moment)
    days = np.clip((until - recent["since"]).dt.days.to_numpy(dtype=np.float64), 0, _LONGEST_DAYS).astype(np.int64)
    amount = recent["amount_usd"].to_numpy(dtype=np.float64)
    won = (recent["status"] == "won").to_numpy() & recent["decided_at"].notna().to_numpy()
    lost = (recent["status"] == "lost").to_numpy() & recent["decided_at"].notna().to_numpy()
    incidence = _incidence(days, amount, won=won, lost=lost)
    booked = recent.loc[won, "booked_usd"]
    entered = recent.loc[won, "amount_usd"][booked.notna()]
    ratio = float(booked.sum() / entered.sum()) if len(entered) else 1.0
    final = float(incidence[-1])
    return PipelineRates(
        based_on=based_on,
        deals=len(recent),
        wins=int(won.sum()),
        win_rate=final,
        booked_over_entered=ratio,
        median_cycle_days=int(np.argmax(incidence >= final / 2)) if final > 0 else None,
        mean_amount_usd=float(amount.mean()) if len(amount) else 0.0,
        created_per_month=_pace(deals, at=at),
        yields=incidence * ratio,
    )


def _incidence(days: np.ndarray, weight: FloatArray, *, won: np.ndarray, lost: np.ndarray) -> FloatArray:
    """Share won by the end of each day since creation; deals still open count for as long as they were watched."""
    size = _LONGEST_DAYS + 1
    leaving = np.bincount(days, weight, size)
    at_risk = leaving[::-1].cumsum()[::-1]
    wins, losses = (np.bincount(days[chosen], weight[chosen], size) for chosen in (won, lost))
    hazard_won, hazard_lost = (np.divide(x, at_risk, out=np.zeros(size), where=at_risk > 0) for x in (wins, losses))
    still = np.concatenate([[1.0], np.cumprod(1.0 - hazard_won - hazard_lost)[:-1]])
    found: FloatArray = np.cumsum(still * hazard_won)
    return found


def _yields(rates: PipelineRates, days_left: int) -> tuple[float, float]:
    curve = rates.yields[: min(days_left, _LONGEST_DAYS) + 1]
    return float(curve[-1]), float(curve.mean())


def _rates_of(history: PipelineHistory, circles: Sequence[tuple[str, Sequence[str]]], *, at: datetime) -> PipelineRates:
    found: PipelineRates | None = None
    for name, reps in circles:
        found = learn_rates(_deals(history, reps, at=at), based_on=name, at=at)
        if found.wins >= _ENOUGH_WINS:
            break
    if found is None:
        raise ValueError("At least one circle of reps is needed.")
    return found


def _deals(history: PipelineHistory, reps: Sequence[str], *, at: datetime) -> pd.DataFrame:
    deals = history.deals(at)
    since = history.first_known(at)
    # The first month of a history holds what was there before it, whose age is not known.
    whole = pd.Timestamp(month_start(month_number(since.min()) + 1)) if len(since) else pd.Timestamp(at)
    frame = (
        deals[deals["rep_id"].isin(list(reps))]
        .join(since, on="opportunity_id")
        .join(history.outcomes(at)["decided_at"], on="opportunity_id")
        .join(booked_by_deal(history.transactions(at))["booked_usd"], on="opportunity_id")
    )
    return frame[frame["since"] >= whole]


def _pace(deals: pd.DataFrame, *, at: datetime) -> float:
    month = month_number(at)
    first = month_number(deals["since"].min()) if len(deals) else month
    months = min(_PACE_MONTHS, month - first)
    if months < 1:
        return 0.0
    begin, end = (pd.Timestamp(month_start(number)) for number in (month - months, month))
    return float(((deals["since"] >= begin) & (deals["since"] < end)).sum() / months)


def _count(usd: float | None, mean_amount: float) -> int | None:
    return None if usd is None or mean_amount <= 0 else int(np.ceil(usd / mean_amount))


def _by_stage(history: PipelineHistory, *, at: datetime) -> dict[str, float]:
    first = history.first_known(at)
    moments = snapshot_moments(at, first=first.min()) if len(first) else []
    if not moments:
        return {}
    rates, _ = stage_win_rates(history, at=at, moments=moments)
    return {str(stage): float(rate) for stage, rate in rates.items()}


def _remark(
    gap: float | None, needed_now: float | None, needed_even: float | None, days_left: int, rates: PipelineRates
) -> str:
    if gap is None:
        return "There is no quota for this entity and period."
    if gap <= 0:
        return f"The quota is expected to be exceeded by {-gap:,.0f}."
    if days_left == 0:
        return f"The period is over; {gap:,.0f} are missing to the quota."
    if needed_now is None:
        return (
            f"{gap:,.0f} are missing, and pipeline created now comes too late for them: half of what is won takes "
            f"{rates.median_cycle_days} days or more, and {days_left} are left."
        )
    late = (
        "" if needed_even is None else f", or {needed_even:,.0f} if it is created evenly over the {days_left} days left"
    )
    return (
        f"{gap:,.0f} are missing. To close that, pipeline of {needed_now:,.0f} would have to be created now{late}, on "
        "top of what is usually created."
    )
