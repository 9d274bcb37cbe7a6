"""Hierarchical forecasts of series: methods are weighted on rolling origins, levels are reconciled, paths give ranges.

The forecast of a level is the mean of all methods' forecasts, each weighted by one over its error at past origins,
recent ones counting more: with few origins the method that was best is seldom the one that will be, and weights by the
squared error (Bates and Granger 1969) trust them too much. An origin inside the history is forecast as the forecast of
now is: with the weights that were known then, so that reconciliation is chosen, and ranges are measured, on errors that
nobody could have known. Nothing here sees the test periods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from common.errors import TooLittleDataError
from training.forecast.candidates import NAIVE, BaseForecast, all_forecasts, combine, least_history, methods_for
from training.forecast.global_trees import IntArray
from training.forecast.metrics import FloatArray, conformal_factor, wape
from training.forecast.reconciliation import METHODS, Hierarchy, Method, projection

Progress = Callable[[str, int, int], None]
NOMINAL = {80: 0.8, 95: 0.95}
_Z = {80: 1.2815515655446004, 95: 1.959963984540054}
_MIN_WINDOWS = 2
_LEAST_ERROR = 1e-6
Weights = Mapping[str, Mapping[str, float]]
"""Level, then method, to weight; those of a level sum to 1."""
Scores = Mapping[str, Mapping[str, float]]
"""Level, then method, to WAPE."""
_HALF_LIFE_SEASONS, _LEAST_HALF_LIFE = 2, 8


@dataclass(frozen=True)
class SeriesRecipe:
    """What the rolling origins chose and taught.

    Args:
        weights: Weight of each method at each level.
        reconciliation: How the levels are made to add up.
        window_errors: Actual minus reconciled bottom forecast, shape (n_windows, n_bottom, h).
        factors: Conformal factor of each level and nominal coverage in percent.
        scores: WAPE by level and method, mean of the rolling origins, before reconciliation.
        reconciled_scores: The same of the weighted forecasts by reconciliation and level.
        cutoffs: Length of the history at each origin, in periods.
    """

    weights: Weights
    reconciliation: Method
    window_errors: FloatArray
    factors: Mapping[str, Mapping[int, float]]
    scores: Scores
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
    n_windows: int = 12,
    step_size: int = 2,
    progress: Progress | None = None,
) -> SeriesRecipe:
    """Weight the methods by rolling origins inside `bottom`, and choose how levels are made to add up.

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
        made.append(all_forecasts(values[:, :cutoff], level=_level(hierarchy), h=h, season_length=season_length))
    actual = np.stack([values[:, cutoff : cutoff + h] for cutoff in cutoffs])
    scores = [_scores(actual[number], made[number], hierarchy) for number in range(len(cutoffs))]
    bases = []
    for number, cutoff in enumerate(cutoffs):
        known = [past for past, earlier in enumerate(cutoffs) if earlier + h <= cutoff]
        counted = _recency([cutoffs[past] for past in known], at=cutoff, season_length=season_length)
        weights = _weights([scores[past] for past in known], counted, hierarchy)
        bases.append(_weighted(made[number], weights, hierarchy))
    reconciled = {method: np.stack([_reconcile(base, hierarchy, method) for base in bases]) for method in METHODS}
    counted = _recency(cutoffs, at=bottom.shape[1], season_length=season_length)
    reconciled_scores = {
        method: {
            level: float(counted @ [wape(*pair) for pair in zip(actual[:, rows], of_all[:, rows], strict=True)])
            for level in hierarchy.levels
            for rows in [hierarchy.rows(level)]
        }
        for method, of_all in ((method, hierarchy.summing @ forecasts) for method, forecasts in reconciled.items())
    }
    mean_scores = _mean_scores(scores, counted)
    chosen = min(METHODS, key=lambda method: _mean_ratio_to_naive(reconciled_scores[method], mean_scores))
    errors: FloatArray = actual[:, hierarchy.bottom] - reconciled[chosen]
    return SeriesRecipe(
        weights=_weights(scores, counted, hierarchy),
        reconciliation=chosen,
        window_errors=errors,
        factors=_factors(errors, hierarchy),
        scores=mean_scores,
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
    made = all_forecasts(values, level=_level(hierarchy), h=h, season_length=season_length)
    point = _reconcile(_weighted(made, recipe.weights, hierarchy), hierarchy, recipe.reconciliation)
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


def _level(hierarchy: Hierarchy) -> IntArray:
    """Number of the level of each series."""
    return np.repeat(np.arange(len(hierarchy.levels)), [len(hierarchy.ids[level]) for level in hierarchy.levels])


def _recency(cutoffs: Sequence[int], *, at: int, season_length: int) -> FloatArray:
    """What each origin counts: half after two seasons, as for the ranges of the forecast from deals; sums to 1."""
    half_life = max(_HALF_LIFE_SEASONS * season_length, _LEAST_HALF_LIFE)
    weights = 0.5 ** ((at - np.asarray(cutoffs, dtype=np.float64)) / half_life)
    return np.asarray(weights / max(weights.sum(), 1e-12), dtype=np.float64)


def _scores(actual: FloatArray, made: Mapping[str, BaseForecast], hierarchy: Hierarchy) -> Scores:
    """WAPE of one origin by level and method."""
    return {
        level: {name: wape(actual[rows], made[name].mean[rows]) for name in methods_for(len(hierarchy.ids[level]))}
        for level in hierarchy.levels
        for rows in [hierarchy.rows(level)]
    }


def _mean_scores(scores: Sequence[Scores], counted: FloatArray) -> Scores:
    return {
        level: {name: float(counted @ [one[level][name] for one in scores]) for name in methods}
        for level, methods in scores[0].items()
    }


def _weights(scores: Sequence[Scores], counted: FloatArray, hierarchy: Hierarchy) -> Weights:
    """One over each method's error; equal weights where no origin has told yet, or nothing ever came."""
    found = {}
    for level in hierarchy.levels:
        names = methods_for(len(hierarchy.ids[level]))
        worth = np.ones(len(names))
        if scores:
            errors = _mean_scores(scores, counted)[level]
            worth = np.nan_to_num([1.0 / max(errors[name], _LEAST_ERROR) for name in names], nan=1.0)
        found[level] = dict(zip(names, (worth / worth.sum()).tolist(), strict=True))
    return found


def _weighted(made: Mapping[str, BaseForecast], weights: Weights, hierarchy: Hierarchy) -> BaseForecast:
    level = _level(hierarchy)
    by_method = {
        name: np.array([weights[one].get(name, 0.0) for one in hierarchy.levels], dtype=np.float64)[level]
        for name in made
    }
    return combine(made, by_method)


def _reconcile(base: BaseForecast, hierarchy: Hierarchy, method: Method) -> FloatArray:
    reconciled: FloatArray = projection(hierarchy, base.residuals, method=method) @ base.mean
    return reconciled


def _mean_ratio_to_naive(reconciled: Mapping[str, float], scores: Scores) -> float:
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
