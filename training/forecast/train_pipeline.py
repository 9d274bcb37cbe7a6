"""Training of the forecast from deals: backtest on rolling origins, then the forecast as of now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from training.deals.periods import N_MONTHS
from training.forecast.backtest import (
    MONTH,
    PIPELINE_BASELINES,
    QUARTER,
    backtest_metrics,
    backtest_origins,
    backtest_pipeline,
    baseline_metrics,
)
from training.forecast.frame import summarise
from training.forecast.history import COMPANY, LEVELS, PipelineHistory
from training.forecast.learning import WinProbabilities
from training.forecast.metrics import FloatArray
from training.forecast.periods import Period, month_number, month_start, period_of, periods_within
from training.forecast.pipeline import forecast_pipeline
from training.forecast.pipeline_baselines import quota_values
from training.forecast.results import Trained
from training.forecast.store import Forecast

if TYPE_CHECKING:
    from common.settings import Settings
    from features.repository import FeatureRepository
    from training.registry import ModelRegistry
    from warehouse.sources import ForecastProtocol
    from warehouse.store import Warehouse

Progress = Callable[[str, int, int], None]

N_PATHS = 500
MOST_ORIGINS = 6
_LEAST_MONTHS_AHEAD = 12
_ENOUGH_ORIGINS = 19
_PAST_COLUMNS = (
    "level",
    "entity_id",
    "period",
    "expected",
    "median",
    "lower_80",
    "upper_80",
    "lower_95",
    "upper_95",
    "actual",
)


def train_pipeline(
    repository: FeatureRepository,
    warehouse: Warehouse,
    registry: ModelRegistry,
    protocol: ForecastProtocol,
    *,
    settings: Settings,
    at: datetime,
    progress: Progress | None = None,
) -> Trained:
    """Backtest and forecast booked revenue of company, regions, teams and reps.

    Args:
        repository: Features, for the deal champion's probabilities of the open deals.
        warehouse: The history.
        registry: Where the deal champion is found; without one the small model of `origin_model` speaks.
        protocol: Horizon and season.
        settings: Seed.
        at: The moment to forecast from.
        progress: Told (what, done, total).

    Raises:
        TooLittleDataError: if there is too little history, or no quarter to judge the forecast on.
    """
    seed, season = settings.training.seed, protocol.season_length
    history = PipelineHistory(warehouse.ibis())
    quarters = backtest_origins(history, until=at, most=MOST_ORIGINS)
    options: dict[str, Any] = {"season_length": season, "n_paths": N_PATHS, "seed": seed}
    rows, factors = backtest_pipeline(history, quarters, until=at, progress=progress, **options)
    probabilities, warnings = champion_probabilities(repository, warehouse, registry, at=at)
    if progress is not None:
        progress("forecast", len(quarters), len(quarters))
    months = months_ahead(at, horizon=protocol.horizon)
    made = forecast_pipeline(history, at=at, months=months, win_probabilities=probabilities, **options)
    bottom = replace(made.bottom, factors=factors)
    first = month_number(at)
    periods = [period for period in periods_within(months) if period.first_month + period.n_months > first]
    values = summarise(bottom, periods)
    quotas = quota_values(history, periods, at=at)
    values = values.merge(quotas, on=["level", "entity_id", "period"], how="left")
    quarterly = rows[rows["grain"] == QUARTER].reset_index(drop=True)
    metrics = backtest_metrics(quarterly, LEVELS)
    monthly = backtest_metrics(rows[rows["grain"] == MONTH], LEVELS)
    metrics |= {f"monthly_{name}": value for name, value in monthly.items() if name.startswith("wape")}
    notes = [*made.details["notes"], *_few_origins(len(quarters))]
    forecast = Forecast(
        as_of=at,
        kind="pipeline",
        unit=protocol.unit,
        model_version="unregistered",
        created_at=datetime.now(UTC),
        levels=LEVELS,
        values=values,
        details={**made.details, "range_factors": factors, "judged_quarters": len(quarters), "notes": notes},
    )
    upcoming = period_of(at + timedelta(days=1), "quarter")
    if upcoming.start <= at:
        upcoming = upcoming.shifted(1)
    return Trained(
        forecast=forecast,
        backtest=quarterly,
        metrics=metrics,
        baselines=baseline_metrics(quarterly, LEVELS, PIPELINE_BASELINES),
        baseline_names=PIPELINE_BASELINES,
        past=past_of(quarterly, COMPANY, PIPELINE_BASELINES),
        next_period=upcoming.name,
        params={
            "n_paths": N_PATHS,
            "origins": len(quarters),
            "seed": seed,
            "season_length": season,
            **_scalars(made.details),
        },
        frame={
            "quarters": [quarter.name for quarter in quarters],
            "snapshots": made.details["snapshots_learned_from"],
            "as_of": at.isoformat(),
        },
        verdict=_verdict(quarters),
        warnings=warnings,
    )


def past_of(rows: pd.DataFrame, level: str, baselines: tuple[str, ...]) -> dict[str, Any]:
    """The newest period of one level's first entity in a backtest, as JSON values."""
    of_level = rows[rows["level"] == level]
    newest = of_level.sort_values(["period_start"]).iloc[-1]
    found: dict[str, Any] = {name: newest[name] for name in _PAST_COLUMNS}
    found["as_of"] = pd.Timestamp(newest["origin"]).isoformat()
    found["baselines"] = {name: float(newest[name]) for name in baselines if pd.notna(newest.get(name))}
    return {name: float(value) if isinstance(value, float) else value for name, value in found.items()}


def months_ahead(at: datetime, *, horizon: int) -> range:
    """From the January of the moment's year to the end of the quarter that holds the horizon's last month."""
    month = month_number(at)
    last = month + max(horizon, _LEAST_MONTHS_AHEAD)
    return range(month // 12 * 12, last // 3 * 3 + 3)


def champion_probabilities(
    repository: FeatureRepository, warehouse: Warehouse, registry: ModelRegistry, *, at: datetime
) -> tuple[WinProbabilities | None, list[str]]:
    """What the deal champion says about the deals open at a moment, and what a reader should know of it.

    Args:
        repository: Features of the open deals.
        warehouse: The history.
        registry: Where the champion is found.
        at: The moment, UTC.

    Returns:
        None and why, where there is no champion.
    """
    champion = registry.champion(repository.workspace.model_name("deal"))
    if champion is None:
        return None, [
            "There is no deal champion: a small model of open deals, trained for the forecast alone, speaks for it."
        ]
    from training.batch import open_frame
    from training.deals.scorer import DealScorer
    from training.scorer import Scorer

    scorer = Scorer.load(champion.bundle)
    frame = open_frame(repository, warehouse, scorer, task="deal", at=at)
    columns = {entry.name: frame[entry.name].to_pylist() for entry in scorer.manifest.features}
    matrix = scorer.encode(columns)
    ids = frame["opportunity_id"].to_pylist()
    by_deal = pd.Series(scorer.label_probability(matrix), index=ids, dtype="float64")
    by_month = None
    if isinstance(scorer, DealScorer):
        won, _ = scorer.futures(matrix).between(_month_ends(at))
        by_month = pd.DataFrame(won, index=ids)
        by_month = by_month[~by_month.index.duplicated()]
    return (
        WinProbabilities(
            by_deal[~by_deal.index.duplicated()], scorer.manifest.horizon_days, champion.version, by_month=by_month
        ),
        [],
    )


def _month_ends(at: datetime) -> FloatArray:
    """Days from the moment to itself, to the end of its month, of the next one, …: the deal model's months."""
    month = month_number(at)
    ends = [month_start(month + ahead) for ahead in range(1, N_MONTHS + 1)]
    return np.array([0.0, *((end - at) / timedelta(days=1) for end in ends)])


def _scalars(details: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in details.items() if isinstance(value, int | float | str)}


def _few_origins(count: int) -> list[str]:
    """How sure the ranges are of themselves: a 95 % range needs 19 judged quarters, an 80 % range four."""
    if count >= _ENOUGH_ORIGINS:
        return []
    return [
        f"Only {count} past quarters could be judged ({_ENOUGH_ORIGINS} are needed to know a 95 % range): no 95 % "
        "range of the company was made narrower than the forecast's own, and some are wider for it."
    ]


def _verdict(quarters: list[Period]) -> list[str]:
    return [
        f"Judged on {len(quarters)} quarters ({quarters[0].name} to {quarters[-1].name}), each forecast at its first "
        "instant from what was known then.",
        "In the backtest the open deals' chances come from a small model trained at each origin on outcomes known by "
        "then. Today's deal champion has learned from later outcomes, so it speaks only in the forecast as of now.",
    ]
