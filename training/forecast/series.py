"""Hierarchical forecasts of series: methods compete on rolling origins, levels are reconciled, paths give ranges.

Nothing here sees the test periods: method and reconciliation are chosen by errors on origins inside the history given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from common.errors import TooLittleDataError
from training.forecast.candidates import NAIVE, BaseForecast, all_forecasts, forecast_with, least_history
from training.forecast.metrics import FloatArray, conformal_factor, wape
from training.forecast.reconciliation import METHODS, Hierarchy, Method, projection

Progress = Callable[[str, int, int], None]
NOMINAL = {80: 0.8, 95: 0.95}
_Z = {80: 1.2815515655446004, 95: 1.959963984540054}
_MIN_WINDOWS = 2


@dataclass(frozen=True)
class SeriesRecipe:
    """What the rolling origins chose and taught.

    Args:
        methods: Method of each level.
        reconciliation: How the levels are made to add up.
        window_errors: Actual minus reconciled bottom forecast, shape (n_windows, n_bottom, h).
        factors: Conformal factor of each level and nominal coverage in percent.
        scores: WAPE over the rolling origins by level and method (before reconciliation).
        reconciled_scores: WAPE over the rolling origins by reconciliation and level.
        cutoffs: Length of the history at each origin, in periods.
    """

    methods: Mapping[str, str]
    reconciliation: Method
    window_errors: FloatArray
    factors: Mapping[str, Mapping[int, float]]
    scores: Mapping[str, Mapping[str, float]]
    reconciled_scores: Mapping[Method, Mapping[str, float]]
    cutoffs: tuple[int, ...]

    def describe(self) -> dict[str, Any]:
        """The choice as JSON values, without the errors."""
        plain = asdict(self)
        del plain["window_errors"]
        return plain


@dataclass(frozen=True)
class SeriesForecast:
    """Forecasts of the bottom series; every other level is a sum of them.

    Args:
        bottom: Point forecasts, shape (n_bottom, h).
        paths: Sample paths, shape (n_paths, n_bottom, h).
    """

    bottom: FloatArray
    paths: FloatArray


def learn_recipe(
    bottom: FloatArray,
    hierarchy: Hierarchy,
    *,
    h: int,
    season_length: int,
    n_windows: int = 6,
    step_size: int = 2,
    progress: Progress | None = None,
) -> SeriesRecipe:
    """Let the methods compete on rolling origins inside `bottom` and keep the best per level.

    Args:
        bottom: Values of the bottom series, shape (n_bottom, n_periods), oldest first.
        hierarchy: Levels above them.
        h: Periods ahead.
        season_length: Periods of a season.
        n_windows: Rolling origins; fewer where the history is too short.
        step_size: Periods between origins.
        progress: Called with (what, done, total).

    Raises:
        TooLittleDataError: if fewer than two origins leave `least_history` before them.
    """
    cutoffs = _cutoffs(bottom.shape[1], h=h, season_length=season_length, n_windows=n_windows, step_size=step_size)
    values = hierarchy.summing @ bottom
    made = []
    for done, cutoff in enumerate(cutoffs):
        if progress is not None:
            progress("rolling origins", done, len(cutoffs))
        history = values[:, :cutoff]
        made.append(
            {
                level: all_forecasts(history[hierarchy.rows(level)], h=h, season_length=season_length)
                for level in hierarchy.levels
            }
        )
    actual = np.stack([values[:, cutoff : cutoff + h] for cutoff in cutoffs])
    scores = {
        level: _score(actual[:, hierarchy.rows(level)], [window[level] for window in made])
        for level in hierarchy.levels
    }
    methods = {level: min(scores[level], key=scores[level].__getitem__) for level in hierarchy.levels}
    chosen_fits = [{level: window[level][methods[level]] for level in hierarchy.levels} for window in made]
    bases = [_stack(fits, hierarchy) for fits in chosen_fits]
    reconciled = {method: np.stack([_reconcile(base, hierarchy, method) for base in bases]) for method in METHODS}
    reconciled_scores = {
        method: {
            level: wape(actual[:, rows], (hierarchy.summing @ forecasts)[:, rows])
            for level in hierarchy.levels
            for rows in [hierarchy.rows(level)]
        }
        for method, forecasts in reconciled.items()
    }
    chosen = min(METHODS, key=lambda method: _mean_ratio_to_naive(reconciled_scores[method], scores))
    errors: FloatArray = actual[:, hierarchy.bottom] - reconciled[chosen]
    return SeriesRecipe(
        methods=methods,
        reconciliation=chosen,
        window_errors=errors,
        factors=_factors(errors, hierarchy),
        scores=scores,
        reconciled_scores=reconciled_scores,
        cutoffs=cutoffs,
    )


def apply_recipe(
    recipe: SeriesRecipe,
    bottom: FloatArray,
    hierarchy: Hierarchy,
    *,
    h: int,
    season_length: int,
    n_paths: int,
    seed: int,
) -> SeriesForecast:
    """Forecast the `h` periods after `bottom` as `recipe` says.

    A path adds to the point forecast a random combination of the whole error trajectories of the rolling origins, so
    that it keeps their correlation between series and between periods. Paths come in pairs of opposite sign: their
    median is the point forecast. Series that were never negative stay so.
    """
    values = hierarchy.summing @ bottom
    fits = {
        level: forecast_with(method, values[hierarchy.rows(level)], h=h, season_length=season_length)
        for level, method in recipe.methods.items()
    }
    point = _reconcile(_stack(fits, hierarchy), hierarchy, recipe.reconciliation)
    n_windows = recipe.window_errors.shape[0]
    half = np.random.default_rng([seed, bottom.shape[1]]).standard_normal((n_paths // 2, n_windows))
    weights = np.concatenate([half, -half]) / np.sqrt(n_windows)
    paths = point + np.tensordot(weights, recipe.window_errors, axes=1)
    if bottom.min() >= 0:
        point, paths = np.maximum(point, 0.0), np.maximum(paths, 0.0)
    return SeriesForecast(bottom=point, paths=paths)


def extend_recipe(recipe: SeriesRecipe, errors: FloatArray, hierarchy: Hierarchy) -> SeriesRecipe:
    """The same choices, with one more origin's errors behind the intervals.

    Args:
        recipe: What was chosen.
        errors: Actual minus forecast of the bottom series at the further origin, shape (n_bottom, h).
        hierarchy: The levels.
    """
    window_errors = np.concatenate([recipe.window_errors, errors[None]])
    return replace(recipe, window_errors=window_errors, factors=_factors(window_errors, hierarchy))


def _cutoffs(n_periods: int, *, h: int, season_length: int, n_windows: int, step_size: int) -> tuple[int, ...]:
    least = least_history(season_length)
    cutoffs = [n_periods - h - step * step_size for step in range(n_windows)]
    usable = tuple(sorted(cutoff for cutoff in cutoffs if cutoff >= least))
    if len(usable) < _MIN_WINDOWS:
        raise TooLittleDataError(
            f"Choosing a forecasting method for {h} periods ahead needs {_MIN_WINDOWS} rolling origins,"
            f" so at least {least + h + (_MIN_WINDOWS - 1) * step_size} periods of history",
            got=f"{n_periods}",
            next_step="load more history or forecast fewer periods ahead",
        )
    return usable


def _score(actual: FloatArray, windows: Sequence[Mapping[str, BaseForecast]]) -> dict[str, float]:
    return {name: wape(actual, np.stack([window[name].mean for window in windows])) for name in windows[0]}


def _stack(fits: Mapping[str, BaseForecast], hierarchy: Hierarchy) -> BaseForecast:
    return BaseForecast(
        mean=np.vstack([fits[level].mean for level in hierarchy.levels]),
        residuals=np.vstack([fits[level].residuals for level in hierarchy.levels]),
    )


def _reconcile(base: BaseForecast, hierarchy: Hierarchy, method: Method) -> FloatArray:
    reconciled: FloatArray = projection(hierarchy, base.residuals, method=method) @ base.mean
    return reconciled


def _mean_ratio_to_naive(reconciled: Mapping[str, float], scores: Mapping[str, Mapping[str, float]]) -> float:
    # A level's WAPE counts relative to the best naive one there: levels differ much in how hard they are.
    return float(np.mean([reconciled[level] / min(scores[level][name] for name in NAIVE) for level in reconciled]))


def _factors(errors: FloatArray, hierarchy: Hierarchy) -> dict[str, dict[int, float]]:
    # The spread that an origin is judged by comes from the other origins.
    all_errors = hierarchy.summing @ errors
    n_windows = errors.shape[0]
    others = (np.sum(all_errors**2, axis=0) - all_errors**2) / (n_windows - 1)
    deviation = np.sqrt(np.maximum(others, 0.0))
    factors: dict[str, dict[int, float]] = {}
    for level in hierarchy.levels:
        rows = hierarchy.rows(level)
        error, spread = all_errors[:, rows].ravel(), deviation[:, rows].ravel()
        factors[level] = {
            percent: conformal_factor(
                error, np.zeros_like(error), -_Z[percent] * spread, _Z[percent] * spread, nominal=nominal
            )
            for percent, nominal in NOMINAL.items()
        }
    return factors
