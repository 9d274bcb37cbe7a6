"""How much win rate, cycle and volume varied in the past: what the optimistic and pessimistic scenarios turn.

Each quarter is set beside the same quarter a year before, so that the season falls out. Both ends of such a ratio
vary, so the logarithm of one quarter's level has the ratios' standard deviation over the square root of 2. A scenario
turns each lever to what one quarter in ten is worse (or better) than, by Student's t: with few quarters, further.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from common.errors import TooLittleDataError
from training.forecast.history import PipelineHistory
from training.forecast.metrics import FloatArray
from training.forecast.periods import Period, month_number, period_of
from training.forecast.scenario_file import BUILT_IN, Scenario

_TAIL = 0.9
_LEAST_RATIOS = 3
_LEAST_DEALS = 10
_YEAR = 4
_MOST_FACTOR = 3.0


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How much a part of the business varied.

    Args:
        lever: Its lever.
        sd: Standard deviation of the logarithm of a quarter's level.
        quarters: Pairs of quarters it was measured on.
        low: Factor that one quarter in ten falls below.
        high: Factor that one quarter in ten exceeds.
        compared: What each quarter was set beside.
    """

    lever: str
    sd: float
    quarters: int
    low: float
    high: float
    compared: str


def measure_spreads(history: PipelineHistory, *, at: datetime) -> list[Spread]:
    """The past spread of win rate, cycle length and new business by quarter, as known at `at`.

    Raises:
        TooLittleDataError: if too few whole quarters are known.
    """
    since = history.first_known(at)
    outcomes = history.outcomes(at).join(since)
    quarters = _whole_quarters(since, at=at)
    measured = {
        "win_rate": [_win_rate(outcomes, quarter) for quarter in quarters],
        "cycle_length": [_cycle(outcomes, quarter) for quarter in quarters],
        "new_business": [_created(since, quarter) for quarter in quarters],
    }
    return [spread_of(name, np.array(levels, dtype=np.float64)) for name, levels in measured.items()]


def spread_of(lever: str, levels: FloatArray) -> Spread:
    """The spread of one part from its level in consecutive quarters.

    Args:
        lever: Its lever.
        levels: Levels above 0, oldest first; NaN where a quarter had too few deals.

    Raises:
        TooLittleDataError: if fewer than three quarters can be compared.
    """
    from scipy.special import stdtrit

    compared = "the same quarter a year before"
    ratios = _log_ratios(levels, lag=_YEAR)
    if len(ratios) < _LEAST_RATIOS:
        compared = "the quarter before (too short a history for years; the season is in it)"
        ratios = _log_ratios(levels, lag=1)
    if len(ratios) < _LEAST_RATIOS:
        raise TooLittleDataError(
            f"How much the {lever.replace('_', ' ')} varies cannot be measured",
            expected=f"{_LEAST_RATIOS + 1} whole quarters with {_LEAST_DEALS} deals each",
            got=f"{len(ratios)} that can be compared",
            next_step="load more history, or give scenarios of your own with --file",
        )
    sd = float(ratios.std(ddof=1) / np.sqrt(2.0))
    reach = float(np.clip(np.exp(float(stdtrit(len(ratios) - 1, _TAIL)) * sd), 1.0, _MOST_FACTOR))
    return Spread(lever=lever, sd=sd, quarters=len(ratios), low=1.0 / reach, high=reach, compared=compared)


def built_in_scenarios(spreads: list[Spread]) -> list[Scenario]:
    """Optimistic, realistic and pessimistic, from what was measured."""
    good = {one.lever: one.low if one.lever == "cycle_length" else one.high for one in spreads}
    bad = {one.lever: one.high if one.lever == "cycle_length" else one.low for one in spreads}
    best, likely, worst = BUILT_IN
    return [
        Scenario(name=best, about="Each lever as good as one quarter in ten was.", **_rounded(good)),
        Scenario(name=likely, about="As forecast."),
        Scenario(name=worst, about="Each lever as bad as one quarter in ten was.", **_rounded(bad)),
    ]


def _rounded(factors: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in factors.items()}


def _log_ratios(levels: FloatArray, *, lag: int) -> FloatArray:
    if len(levels) <= lag:
        return np.zeros(0)
    both = np.isfinite(levels[lag:]) & np.isfinite(levels[:-lag])
    found: FloatArray = np.log(levels[lag:][both]) - np.log(levels[:-lag][both])
    return found


def _whole_quarters(since: pd.Series, *, at: datetime) -> list[Period]:
    if since.empty:
        return []
    # The first month of a history holds what was there before it.
    first = period_of(since.min(), "quarter")
    if month_number(since.min()) + 1 > first.first_month:
        first = first.shifted(1)
    last = period_of(at, "quarter")
    return [first.shifted(number) for number in range((last.first_month - first.first_month) // 3)]


def _inside(times: pd.Series, quarter: Period) -> pd.Series:
    return (times >= pd.Timestamp(quarter.start)) & (times < pd.Timestamp(quarter.stop))


def _win_rate(outcomes: pd.DataFrame, quarter: Period) -> float:
    decided = outcomes[_inside(outcomes["decided_at"], quarter)]
    won = int((decided["status"] == "won").sum())
    return won / len(decided) if len(decided) >= _LEAST_DEALS and won > 0 else float("nan")


def _cycle(outcomes: pd.DataFrame, quarter: Period) -> float:
    won = outcomes[_inside(outcomes["decided_at"], quarter) & (outcomes["status"] == "won")]
    days = (won["decided_at"] - won["since"]).dt.days
    return float(max(days.median(), 1.0)) if len(won) >= _LEAST_DEALS else float("nan")


def _created(since: pd.Series, quarter: Period) -> float:
    count = int(_inside(since, quarter).sum())
    return float(count) if count >= _LEAST_DEALS else float("nan")
