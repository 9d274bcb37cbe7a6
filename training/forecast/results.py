"""What a forecast's training hands on, whichever kind it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from training.results import Metric, TrainingOutcome

if TYPE_CHECKING:
    import pandas as pd

    from training.forecast.store import Forecast


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A forecast with its backtest, before it is registered.

    Args:
        forecast: The forecast, its version still "unregistered".
        backtest: The rows that the figures and the gate are about: origin, level, entity_id, period, actual, expected,
            intervals, baselines.
        metrics: Figures of the backtest.
        baselines: The same figures of the naive answers, by baseline.
        baseline_names: Columns of the backtest with naive answers.
        past: The newest judged period of the highest level: an answer's values and what then happened.
        next_period: Name of the period that comes next.
        params: Parameters for the run.
        frame: What it was learned from, as JSON values.
        verdict: Sentences for the report.
        warnings: Findings a person should read.
    """

    forecast: Forecast
    backtest: pd.DataFrame
    metrics: Mapping[str, float]
    baselines: Mapping[str, Mapping[str, float]]
    baseline_names: Sequence[str]
    past: Mapping[str, Any]
    next_period: str
    params: Mapping[str, Any]
    frame: Mapping[str, Any]
    verdict: Sequence[str]
    warnings: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True, kw_only=True)
class ForecastOutcome(TrainingOutcome):
    """What a caller learns from training a forecast.

    Args:
        forecast_id: The stored forecast that is now the newest.
        past: The newest judged period of the highest level: `level`, `entity_id`, `period`, `expected`, `median`,
            `lower_80`, `upper_80`, `lower_95`, `upper_95`, `actual`, and the naive answers.
        upcoming: The stored answer for the highest level and the period that comes next.
        question: What to ask the service for that answer: `level`, `entity_id`, `period`.
    """

    forecast_id: str
    past: Mapping[str, Any]
    upcoming: Mapping[str, Any]
    question: Mapping[str, str]


def as_metrics(figures: Mapping[str, float]) -> dict[str, Metric]:
    """Plain figures as metrics; those that are not known are left out."""
    return {name: Metric(value) for name, value in figures.items() if value == value}
