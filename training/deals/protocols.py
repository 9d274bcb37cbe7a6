"""Where the deal model helps beyond the stage's own win rate, and where not: by stage, by age, by period ahead, by day.

The figures stand in the report under "on other splits and by stage", and in the registry with the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from training.baselines import CRM_FEATURES
from training.classifier import Developed
from training.deals.columns import numbers
from training.deals.hazards import Futures
from training.deals.model import as_competing_risks
from training.deals.outcomes import Outcomes
from training.deals.periods import PERIOD_DAYS
from training.evaluation import evaluate
from training.frame import Frame, Partition
from training.recipe import Context
from training.results import Metric

Vector = NDArray[np.float64]
Rows = NDArray[np.bool_]

AGES = ((0.0, 14.0), (14.0, 30.0), (30.0, 90.0), (90.0, 180.0), (180.0, np.inf))
RIVALS = ("stage_win_rate", *CRM_FEATURES)
_LEAST_OUTCOMES = 10
_WATCHED_SHARE = 0.97
_REPLICATES = 100
DAYS = "day of closing, won deals"


def deal_protocols(
    context: Context, frame: Frame, partition: Partition, developed: Developed
) -> dict[str, Mapping[str, Metric]]:
    """Figures of the test rows by stage and age beside the stage's win rate, by period ahead, and of the days.

    Args:
        context: What every step of the training needs.
        frame: The frame.
        partition: Past and test.
        developed: The model and what it says of the test rows.
    """
    if frame.outcomes_at is None:
        return {}
    seed, threads = context.settings.training.seed, context.settings.training.threads
    outcomes = frame.outcomes_at(frame.cut).take(partition.test)
    futures = as_competing_risks(developed.model).futures(developed.test_matrix, threads=threads)
    found: dict[str, Mapping[str, Metric]] = {}
    for name, chosen in _groups(frame, partition):
        found |= _group(name, chosen, partition, developed, frame, seed=seed)
    found |= _by_period(futures, outcomes, frame.entity[partition.test], seed=seed)
    return found | _days(frame, partition, developed, futures, outcomes)


def _groups(frame: Frame, partition: Partition) -> Iterator[tuple[str, Rows]]:
    """Test rows by stage and by age; names of stages as in the data."""
    columns = {name: values[partition.test] for name, values in frame.columns.items()}
    if "stage" in columns:
        stages = columns["stage"]
        for name in sorted({str(value) for value in stages if value is not None}):
            yield f"@{name}", np.array([value == name for value in stages])
    age = numbers(columns, "deal_age_days", len(partition.test))
    for low, high in AGES:
        title = f"age {low:g} to {high:g} days" if np.isfinite(high) else f"age {low:g} days and more"
        yield title, (age >= low) & (age < high)


def _group(
    name: str, chosen: Rows, partition: Partition, developed: Developed, frame: Frame, *, seed: int
) -> dict[str, Mapping[str, Metric]]:
    label = partition.test_label[chosen]
    if min(label.sum(), (1 - label).sum()) < _LEAST_OUTCOMES:
        return {}
    entity = frame.entity[partition.test][chosen]
    found: dict[str, Mapping[str, Metric]] = {}
    found[name] = evaluate(label, developed.probability[chosen], entity=entity, seed=seed, replicates=_REPLICATES)
    for rival in RIVALS:
        if rival in developed.answers:
            answer = developed.answers[rival][chosen]
            found[f"{name}: {rival}"] = evaluate(label, answer, entity=entity, seed=seed, replicates=_REPLICATES)
    return found


def _by_period(
    futures: Futures, outcomes: Outcomes, entity: NDArray[np.object_], *, seed: int
) -> dict[str, Mapping[str, Metric]]:
    """P(won in a period ahead) against what came, on rows that were watched to its end: does the sum of them hold?"""
    won, _ = futures.between(np.r_[0.0, PERIOD_DAYS])
    starts = (0.0, *PERIOD_DAYS[:-1])
    found: dict[str, Mapping[str, Metric]] = {}
    for number, (start, end) in enumerate(zip(starts, PERIOD_DAYS, strict=True)):
        rows = np.flatnonzero(outcomes.watched_days >= end)
        days = np.nan_to_num(outcomes.days[rows], nan=np.inf)
        label = ((outcomes.won[rows] == 1.0) & (days > start) & (days <= end)).astype(np.float64)
        if len(rows) and min(label.sum(), (1 - label).sum()) >= _LEAST_OUTCOMES:
            found[f"won in days {start:g} to {end:g}"] = evaluate(
                label, won[rows, number], entity=entity[rows], seed=seed, replicates=_REPLICATES
            )
    return found


def _days(
    frame: Frame, partition: Partition, developed: Developed, futures: Futures, outcomes: Outcomes
) -> dict[str, Mapping[str, Metric]]:
    """Coverage of the 80 % interval of the day of closing, and the mean error beside that of the CRM's own date."""
    is_won = outcomes.won == 1.0
    if not is_won.any():
        return {}
    long_enough = outcomes.watched_days >= np.quantile(outcomes.days[is_won], _WATCHED_SHARE)
    rows = np.flatnonzero(is_won & long_enough)
    if len(rows) < _LEAST_OUTCOMES:
        return {}
    days = outcomes.days[rows]
    expected, low, high = as_competing_risks(developed.model).facts.dates.expect(futures.take(rows))
    figures = {
        "coverage": Metric(float(((days >= low) & (days <= high)).mean())),
        "error_days": Metric(float(np.abs(expected - days).mean())),
        "rows": Metric(float(len(rows))),
    }
    columns = (
        {"days_to_close_date": frame.columns["days_to_close_date"]} if "days_to_close_date" in frame.columns else {}
    )
    stated = numbers(columns, "days_to_close_date", frame.rows)[partition.test][rows]
    has_date = ~np.isnan(stated)
    if has_date.any():
        figures["crm_error_days"] = Metric(float(np.abs(stated[has_date] - days[has_date]).mean()))
        figures["error_days_where_stated"] = Metric(float(np.abs(expected[has_date] - days[has_date]).mean()))
    return {DAYS: figures}
