"""Backtests on rolling origins: what would have been forecast then, from what was known then, beside what happened.

The open deals' win chances in a backtest come from a small model trained at each origin (`origin_model`), not from the
deal champion: the champion was trained on outcomes that were not known at the origins, so its probabilities would leak.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from common.errors import TooLittleDataError
from training.forecast.columns import KEYS
from training.forecast.frame import summarise, to_cents
from training.forecast.history import LEVELS, PipelineHistory
from training.forecast.learning import with_unassigned
from training.forecast.metrics import bias, coverage, wape
from training.forecast.periods import Period, month_number, month_start, period_of
from training.forecast.pipeline import forecast_pipeline
from training.forecast.ranges import Factors, learn_factors, range_key, says_nothing
from training.forecast.series import NOMINAL
from training.forecast.tree import build_tree

Progress = Callable[[str, int, int], None]
PIPELINE_BASELINES = ("stage_weighted_pipeline", "commit", "seasonal_naive", "last_year_mean")
QUARTER, REST, NEXT, MONTH = "quarter", "rest_of_quarter", "next_quarter", "month"
"""Grains of a backtest's rows: a quarter at its first instant, later within it, before it begins; a month."""
_TOLD = ("level_of", "times_have", "new_deals_shift")
_NEARLY_OVER = timedelta(days=1)
_MONTHS_BEFORE_FIRST = 12


@dataclass(frozen=True)
class _Said:
    """What was said at one origin, before any widening."""

    origin: datetime
    periods: tuple[Period, ...]
    values: pd.DataFrame


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
    within: bool = False,
    progress: Progress | None = None,
) -> tuple[pd.DataFrame, Factors]:
    """Forecast each quarter at its first instant and set it beside what was booked.

    The ranges are widened by factors learned on what was over and known at their origin.

    Args:
        history: The canonical tables as they were known.
        quarters: Whole quarters, oldest first.
        until: The moment whose knowledge gives the actual values.
        season_length: Months of a season of deal creation.
        n_paths: Sample paths.
        seed: Seed.
        within: Whether the quarter is forecast at the starts of its second and third month too.
        progress: Called with (what, done, total).

    Returns:
        One row per origin, level, entity and period (the quarter and, at its first instant, its months and the quarter
        after it): the columns of `frame.summarise`, plus `origin`, `grain`, `group` (`ranges.range_key`), `actual`,
        `at` (position of the origin's quarter), and of its details `level_of_*`, `new_deals_shift` and
        `times_have_changed`; and the factors learned on all.

    Raises:
        TooLittleDataError: if no quarter can be forecast.
    """
    if not quarters:
        raise TooLittleDataError(
            "A backtest needs a whole quarter with a year of deals before it", next_step="load more history"
        )
    moments = [month_start(q.first_month + late) for q in quarters for late in range(3 if within else 1)]
    options: dict[str, Any] = {"season_length": season_length, "n_paths": n_paths, "seed": seed}
    said: list[_Said] = []
    rows = []
    for done, moment in enumerate(moments):
        if progress is not None:
            progress("backtest", done, len(moments))
        quarter = period_of(moment, "quarter")
        periods = _periods(quarter, moment, last=quarters[-1])
        months = range(quarter.first_month // 12 * 12, max(p.first_month + p.n_months for p in periods))
        made = forecast_pipeline(history, at=moment, months=months, **options)
        widened = replace(made.bottom, factors=learn_ranges(history, said, known_at=moment))
        actual = actual_values(history, periods, reps_at=moment, known_at=until)
        block = _marked(summarise(widened, periods).merge(actual, on=list(KEYS)), moment)
        told = {name: value for name, value in made.details.items() if name.startswith(_TOLD)}
        rows.append(block.assign(at=quarters.index(quarter), **told))
        said.append(_Said(moment, tuple(periods), summarise(made.bottom, periods)))
    return pd.concat(rows, ignore_index=True), learn_ranges(history, said, known_at=until)


def learn_ranges(history: PipelineHistory, said: Sequence[_Said], *, known_at: datetime) -> Factors:
    """Factors from what was said at past origins about periods that are over, as known at a moment."""
    blocks = []
    for number, one in enumerate(said):
        over = [period for period in one.periods if period.stop <= known_at + _NEARLY_OVER]
        if over:
            actual = actual_values(history, over, reps_at=one.origin, known_at=known_at)
            block = one.values.merge(actual, on=list(KEYS))
            blocks.append(_marked(block, one.origin).assign(at=number))
    if not blocks:
        return {}
    rows = pd.concat(blocks, ignore_index=True)
    # Several origins of one quarter share what came: they count as one.
    rows["at"] = rows["origin"].map(lambda origin: period_of(origin, "quarter").first_month // 3)
    rows["at"] -= rows["at"].min()
    return learn_factors(rows)


def _periods(quarter: Period, moment: datetime, *, last: Period) -> list[Period]:
    if moment > quarter.start:
        return [quarter]
    later = [quarter.shifted(1)] if quarter < last else []
    return [quarter, *(Period(month, 1) for month in quarter.months), *later]


def _marked(rows: pd.DataFrame, origin: datetime) -> pd.DataFrame:
    """Rows with `origin`, `grain` and `group`."""
    now = month_number(origin)
    start = pd.to_datetime(rows["period_start"])
    first = start.dt.year * 12 + start.dt.month - 1
    length = np.where(rows["period"].str.contains("Q"), 3, 1)
    grain = np.select([length == 1, first > now, first < now], [MONTH, NEXT, REST], QUARTER)
    group = [
        range_key(level, Period(number, months), origin_month=now)
        for level, number, months in zip(rows["level"], first.tolist(), length.tolist(), strict=True)
    ]
    return rows.assign(origin=origin, grain=grain, group=group)


def actual_values(
    history: PipelineHistory, periods: Sequence[Period], *, reps_at: datetime, known_at: datetime
) -> pd.DataFrame:
    """What was booked, per level, entity and period, by the teams as they were known at `reps_at`, planned changes too.

    Returns:
        Columns level, entity_id, period, actual.
    """
    reps = with_unassigned(history.reps(reps_at))
    money = history.transactions(known_at)
    month = money["event_timestamp"].dt.year * 12 + money["event_timestamp"].dt.month - 1
    position = {rep: row for row, rep in enumerate(reps["rep_id"])}
    row = money["rep_id"].map(position).fillna(len(reps) - 1).to_numpy(dtype=np.int64)
    cents = to_cents(money["amount_usd"].to_numpy(dtype=np.float64))
    months = range(min(p.first_month for p in periods), max(p.first_month + p.n_months for p in periods))
    tree = build_tree(reps, history.teams(reps_at), months=months)
    hierarchy = tree.hierarchy
    members = hierarchy.summing.astype(np.int64)
    column = month.to_numpy(dtype=np.int64) - months[0]
    inside = (column >= 0) & (column < len(months))
    booked = np.zeros((len(reps), len(months)), dtype=np.int64)
    np.add.at(booked, (row[inside], column[inside]), cents[inside])
    booked = tree.spread(booked)
    blocks = []
    for period in periods:
        first = period.first_month - months[0]
        values = members @ booked[:, first : first + period.n_months].sum(axis=1) / 100.0
        for level in LEVELS:
            at = hierarchy.rows(level)
            blocks.append(
                pd.DataFrame(
                    {"level": level, "entity_id": hierarchy.ids[level], "period": period.name, "actual": values[at]}
                )
            )
    return pd.concat(blocks, ignore_index=True)


def backtest_metrics(rows: pd.DataFrame, levels: Sequence[str]) -> dict[str, float]:
    """`wape_{level}`, `bias_{level}`, `coverage_80_{level}`, `coverage_95_{level}` of a backtest's rows."""
    metrics: dict[str, float] = {}
    for level in levels:
        of_level = rows[rows["level"] == level]
        actual, expected = of_level["actual"].to_numpy(), of_level["expected"].to_numpy()
        metrics[f"wape_{level}"] = wape(actual, expected)
        metrics[f"bias_{level}"] = bias(actual, expected)
        for percent in NOMINAL:
            told = of_level[~says_nothing(of_level)]
            ends = (told[name].to_numpy() for name in ("actual", f"lower_{percent}", f"upper_{percent}"))
            metrics[f"coverage_{percent}_{level}"] = coverage(*ends)
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
