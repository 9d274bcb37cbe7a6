"""Training of the forecast from series: weigh methods on rolling origins, judge on newer periods, forecast from now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from common.errors import TooLittleDataError
from training.forecast.backtest import backtest_metrics, baseline_metrics
from training.forecast.candidates import NAIVE, forecast_with, least_history
from training.forecast.columns import KEYS
from training.forecast.frame import BottomForecast, summarise, to_cents
from training.forecast.metrics import FloatArray
from training.forecast.periods import Grain, Period, periods_within
from training.forecast.results import Trained
from training.forecast.series import SeriesForecast, SeriesRecipe, apply_recipe, extend_recipe, learn_recipe
from training.forecast.series_data import TOTAL, SeriesData, arrange_series, read_series
from training.forecast.store import Forecast
from training.forecast.train_pipeline import past_of

if TYPE_CHECKING:
    from common.settings import Settings
    from warehouse.sources import ForecastProtocol
    from warehouse.store import Warehouse

Progress = Callable[[str, int, int], None]

N_PATHS = 500


def train_series(
    warehouse: Warehouse,
    protocol: ForecastProtocol,
    *,
    settings: Settings,
    at: datetime,
    progress: Progress | None = None,
) -> Trained:
    """Weigh methods, judge them on the newest `protocol.test_periods`, and forecast `protocol.horizon` periods.

    The test periods take no part in any choice. They do widen or narrow the intervals of the forecast as of now.

    Args:
        warehouse: The history.
        protocol: Horizon, season, test periods, names of levels.
        settings: Seed.
        at: The moment to forecast from.
        progress: Told (what, done, total).

    Raises:
        TooLittleDataError: if the series are too short.
        ContractError: if series have gaps.
    """
    data = arrange_series(read_series(warehouse, as_of=at), level_names=protocol.level_names or ("level_1", "level_2"))
    n_test, seed, season = protocol.test_periods, settings.training.seed, protocol.season_length
    n_past = len(data.periods) - n_test
    least = n_test + least_history(season)
    if len(data.periods) < least:
        raise TooLittleDataError(
            f"Judging a forecast on {n_test} periods needs {least} periods of history",
            got=f"{len(data.periods)}",
            next_step="load more history",
        )
    past = data.until(n_past)
    recipe = learn_recipe(past.bottom, past.hierarchy, h=n_test, season_length=season, progress=progress)
    options = {"season_length": season, "n_paths": N_PATHS, "seed": seed}
    tested = apply_recipe(recipe, past.bottom, past.hierarchy, h=n_test, **options)
    rows = _judged(data, past, tested, recipe, season_length=season)
    current = (
        extend_recipe(recipe, data.bottom[:, n_past:] - tested.bottom, data.hierarchy)
        if n_test == protocol.horizon
        else recipe
    )
    h = min(protocol.horizon, current.window_errors.shape[2])
    made = apply_recipe(current, data.bottom, data.hierarchy, h=h, **options)
    values = _values(data, made, current, h=h, season_length=season)
    levels = data.hierarchy.levels
    forecast = Forecast(
        as_of=at,
        kind="series",
        unit=protocol.unit,
        model_version="unregistered",
        created_at=datetime.now(UTC),
        levels=levels,
        values=values,
        details=recipe.describe(),
    )
    return Trained(
        forecast=forecast,
        backtest=rows,
        metrics=backtest_metrics(rows, levels),
        baselines=baseline_metrics(rows, levels, NAIVE),
        baseline_names=NAIVE,
        past=past_of(rows, TOTAL, NAIVE),
        next_period=data.periods[-1].shifted(1).name,
        params=_params(recipe, n_test=n_test, h=h),
        frame={
            "series": int(data.bottom.shape[0]),
            "first_period": data.periods[0].name,
            "last_period": data.periods[-1].name,
            "test_from": data.periods[n_past].name,
            "rolling_origins": [data.periods[cutoff].name for cutoff in recipe.cutoffs],
        },
        verdict=[
            f"Judged on {n_test} periods from {data.periods[n_past].name} on, which took no part in any choice; "
            f"methods were weighted on {len(recipe.cutoffs)} rolling origins before them.",
            "Heaviest of the methods: "
            + ", ".join(f"{level} {_heaviest(weights)}" for level, weights in recipe.weights.items())
            + f"; made to add up by {recipe.reconciliation}.",
        ],
    )


def _judged(
    data: SeriesData, past: SeriesData, tested: SeriesForecast, recipe: SeriesRecipe, *, season_length: int
) -> pd.DataFrame:
    """The test periods: forecast, intervals, naive answers and what happened."""
    n_past, h = len(past.periods), tested.bottom.shape[1]
    test = data.periods[n_past:]
    bottom = BottomForecast(
        hierarchy=past.hierarchy,
        base=test,
        components={"future": to_cents(tested.bottom)},
        paths=tested.paths,
        baselines=_naive(past.bottom, h=h, season_length=season_length),
        factors=recipe.factors,
    )
    happened = replace(bottom, components={"future": to_cents(data.bottom[:, n_past:])})
    rows = summarise(bottom, list(test))
    actual = summarise(happened, list(test))[[*KEYS, "expected"]].rename(columns={"expected": "actual"})
    origin = pd.Timestamp(test[0].start)
    return rows.merge(actual, on=list(KEYS)).assign(origin=origin, at=0)


def _values(
    data: SeriesData, made: SeriesForecast, recipe: SeriesRecipe, *, h: int, season_length: int
) -> pd.DataFrame:
    """Every period ahead, and every year that they complete."""
    ahead = tuple(data.periods[-1].shifted(step) for step in range(1, h + 1))
    n_months = ahead[0].n_months
    first_year = ahead[0].first_month // 12 * 12
    over = tuple(period for period in data.periods if period.first_month >= first_year)
    n_over = len(over)
    known = data.bottom[:, len(data.periods) - n_over :]
    n_bottom = len(known)
    nothing = np.zeros((n_bottom, h))
    naive = _naive(data.bottom, h=h, season_length=season_length)
    bottom = BottomForecast(
        hierarchy=data.hierarchy,
        base=over + ahead,
        components={
            "closed": to_cents(np.hstack([known, nothing])),
            "future": to_cents(np.hstack([np.zeros((n_bottom, n_over)), made.bottom])),
        },
        paths=np.concatenate([np.zeros((len(made.paths), n_bottom, n_over)), made.paths], axis=2),
        baselines={name: np.hstack([known, values]) for name, values in naive.items()},
        factors=recipe.factors,
    )
    months = [month for period in bottom.base for month in period.months]
    grains: tuple[Grain, ...] = ("month", "quarter", "year") if n_months == 1 else ("quarter", "year")
    after = ahead[0].first_month
    periods: list[Period] = [
        period for period in periods_within(months, grains=grains) if period.first_month + period.n_months > after
    ]
    return summarise(bottom, periods)


def _naive(bottom: FloatArray, *, h: int, season_length: int) -> dict[str, FloatArray]:
    # The naive answers are linear, so those of a sum are the sums of those of its parts.
    return {name: forecast_with(name, bottom, h=h, season_length=season_length).mean for name in NAIVE}


def _params(recipe: SeriesRecipe, *, n_test: int, h: int) -> Mapping[str, object]:
    return {
        **{f"method_{level}": _heaviest(weights) for level, weights in recipe.weights.items()},
        "reconciliation": recipe.reconciliation,
        "rolling_origins": len(recipe.cutoffs),
        "test_periods": n_test,
        "h": h,
        "n_paths": N_PATHS,
    }


def _heaviest(weights: Mapping[str, float], *, most: int = 3) -> str:
    """The methods that count most, such as `ets 24 %, theta 18 %, trees 15 %`."""
    first = sorted(weights, key=lambda name: -weights[name])[:most]
    return ", ".join(f"{name} {weights[name]:.0%}".replace("%", " %") for name in first)
