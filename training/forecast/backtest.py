"""Backtests on rolling origins: what would have been forecast then, from what was known then, beside what happened.

The open deals' win chances in a backtest come from a small model trained at each origin (`origin_model`), not from the
deal champion: the champion was trained on outcomes that were not known at the origins, so its probabilities would leak.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from common.errors import TooLittleDataError
from training.forecast.frame import KEYS, summarise, to_cents
from training.forecast.history import LEVELS, PipelineHistory
from training.forecast.learning import rep_hierarchy, with_unassigned
from training.forecast.metrics import bias, conformal_factor, coverage, wape
from training.forecast.periods import Period, month_number, period_of
from training.forecast.pipeline import forecast_pipeline
from training.forecast.series import NOMINAL

Progress = Callable[[str, int, int], None]
Factors = dict[str, dict[int, float]]
PIPELINE_BASELINES = ("stage_weighted_pipeline", "commit", "seasonal_naive", "last_year_mean")
_NEARLY_OVER = timedelta(days=1)
_MONTHS_BEFORE_FIRST = 12


def backtest_origins(history: PipelineHistory, *, until: datetime, most: int) -> list[Period]:
    """The newest whole quarters that can be judged at `until` and have a year of history before them, oldest first."""
    first = history.first_known(until)
    if len(first) == 0:
        return []
    oldest = month_number(first.min()) + _MONTHS_BEFORE_FIRST
    last = period_of(until + _NEARLY_OVER, "quarter").shifted(-1)
    quarters = [last.shifted(-back) for back in range(most)]
    return sorted(quarter for quarter in quarters if quarter.first_month >= oldest)


def backtest_pipeline(
    history: PipelineHistory,
    quarters: Sequence[Period],
    *,
    until: datetime,
    season_length: int,
    n_paths: int,
    seed: int,
    progress: Progress | None = None,
) -> tuple[pd.DataFrame, Factors]:
    """Forecast each quarter at its first instant and set it beside what was booked.

    The intervals of a quarter are widened by factors learned on the quarters before it.

    Args:
        history: The canonical tables as they were known.
        quarters: Whole quarters, oldest first.
        until: The moment whose knowledge gives the actual values.
        season_length: Months of a season of deal creation.
        n_paths: Sample paths.
        seed: Seed.
        progress: Called with (what, done, total).

    Returns:
        One row per origin, level, entity and period (the quarter and its months): the columns of `frame.summarise`,
        plus `origin`, `grain`, `actual`, `at` (position of the origin); and the factors learned on all quarters.

    Raises:
        TooLittleDataError: if no quarter can be forecast.
    """
    rows: list[pd.DataFrame] = []
    raw: list[pd.DataFrame] = []
    for done, quarter in enumerate(quarters):
        if progress is not None:
            progress("backtest", done, len(quarters))
        origin = quarter.start
        months = range(quarter.first_month // 12 * 12, quarter.first_month + 3)
        made = forecast_pipeline(
            history, at=origin, months=months, season_length=season_length, n_paths=n_paths, seed=seed
        )
        periods = [quarter, *(Period(month, 1) for month in quarter.months)]
        plain = summarise(made.bottom, periods)
        learned = factors_from(pd.concat(raw)) if raw else {}
        widened = summarise(replace(made.bottom, factors=learned), periods)
        actual = actual_values(history, periods, reps_at=origin, known_at=until)
        # Factors for later origins are learned from what was known soon after the quarter, at the next one's start.
        then = actual_values(history, periods, reps_at=origin, known_at=min(quarter.stop, until))
        raw.append(plain.merge(then, on=list(KEYS)))
        rows.append(widened.merge(actual, on=list(KEYS)).assign(origin=origin, at=done))
    if not rows:
        raise TooLittleDataError(
            "A backtest needs a whole quarter with a year of deals before it", next_step="load more history"
        )
    frame = pd.concat(rows, ignore_index=True)
    frame["grain"] = np.where(frame["period"].str.contains("Q"), "quarter", "month")
    return frame, factors_from(pd.concat(raw))


def actual_values(
    history: PipelineHistory, periods: Sequence[Period], *, reps_at: datetime, known_at: datetime
) -> pd.DataFrame:
    """What was booked, per level, entity and period, by the teams as they were known at `reps_at`.

    Returns:
        Columns level, entity_id, period, actual.
    """
    reps = with_unassigned(history.reps(reps_at))
    money = history.transactions(known_at)
    month = money["event_timestamp"].dt.year * 12 + money["event_timestamp"].dt.month - 1
    position = {rep: row for row, rep in enumerate(reps["rep_id"])}
    row = money["rep_id"].map(position).fillna(len(reps) - 1).to_numpy(dtype=np.int64)
    cents = to_cents(money["amount_usd"].to_numpy(dtype=np.float64))
    hierarchy = rep_hierarchy(reps)
    members = hierarchy.summing.astype(np.int64)
    blocks = []
    for period in periods:
        inside = month.isin(list(period.months)).to_numpy()
        booked = np.zeros(len(reps), dtype=np.int64)
        np.add.at(booked, row[inside], cents[inside])
        values = members @ booked / 100.0
        for level in LEVELS:
            at = hierarchy.rows(level)
            blocks.append(
                pd.DataFrame(
                    {"level": level, "entity_id": hierarchy.ids[level], "period": period.name, "actual": values[at]}
                )
            )
    return pd.concat(blocks, ignore_index=True)


def factors_from(rows: pd.DataFrame) -> Factors:
    """Conformal factor of each level and nominal coverage, from unwidened intervals and what happened."""
    factors: Factors = {}
    for level, of_level in rows.groupby("level", sort=False):
        factors[str(level)] = {
            percent: conformal_factor(
                of_level["actual"].to_numpy(),
                of_level["median"].to_numpy(),
                of_level[f"lower_{percent}"].to_numpy(),
                of_level[f"upper_{percent}"].to_numpy(),
                nominal=nominal,
            )
            for percent, nominal in NOMINAL.items()
        }
    return factors


def backtest_metrics(rows: pd.DataFrame, levels: Sequence[str]) -> dict[str, float]:
    """`wape_{level}`, `bias_{level}`, `coverage_80_{level}`, `coverage_95_{level}` of a backtest's rows."""
    metrics: dict[str, float] = {}
    for level in levels:
        of_level = rows[rows["level"] == level]
        actual, expected = of_level["actual"].to_numpy(), of_level["expected"].to_numpy()
        metrics[f"wape_{level}"] = wape(actual, expected)
        metrics[f"bias_{level}"] = bias(actual, expected)
        for percent in NOMINAL:
            lower, upper = of_level[f"lower_{percent}"].to_numpy(), of_level[f"upper_{percent}"].to_numpy()
            metrics[f"coverage_{percent}_{level}"] = coverage(actual, lower, upper)
    return metrics


def baseline_metrics(
    rows: pd.DataFrame, levels: Sequence[str], baselines: Sequence[str]
) -> Mapping[str, dict[str, float]]:
    """`wape_{level}` and `bias_{level}` of each baseline on the same rows, where it is known for all of them."""
    found: dict[str, dict[str, float]] = {}
    for name in baselines:
        for level in levels:
            of_level = rows[rows["level"] == level]
            if name not in of_level or of_level[name].isna().any() or of_level.empty:
                continue
            actual, said = of_level["actual"].to_numpy(), of_level[name].to_numpy()
            found.setdefault(name, {}).update(
                {f"wape_{level}": wape(actual, said), f"bias_{level}": bias(actual, said)}
            )
    return found
