"""Weights of methods and choices on rolling origins: what was known then, and newer origins count more."""

from __future__ import annotations

import numpy as np
import pytest

from training.forecast.metrics import FloatArray
from training.forecast.reconciliation import build_hierarchy
from training.forecast.series import learn_recipe

SEASON = np.array([10.0, 20.0, 40.0, 30.0])
HIERARCHY = build_hierarchy({"total": ["all"] * 3, "series": ["a", "b", "c"]})


def noisy(seed: int, n_periods: int = 44) -> FloatArray:
    rng = np.random.default_rng(seed)
    return np.array([[1.0], [2.0], [3.0]]) * np.resize(SEASON, n_periods) * rng.lognormal(0, 0.1, (3, n_periods))


def test_methods_that_were_wrong_weigh_little_and_weights_sum_to_1() -> None:
    recipe = learn_recipe(noisy(1), HIERARCHY, h=4, season_length=4)
    for level in HIERARCHY.levels:
        weights, scores = recipe.weights[level], recipe.scores[level]
        assert sum(weights.values()) == pytest.approx(1.0)
        # One over the error: the mean of a season misses the season, the season before does not.
        ratio = scores["season_mean"] / scores["seasonal_naive"]
        assert weights["seasonal_naive"] / weights["season_mean"] == pytest.approx(ratio)
        assert ratio > 2


def test_newer_origins_count_more_half_after_two_seasons() -> None:
    values = noisy(2)
    recipe = learn_recipe(values, HIERARCHY, h=4, season_length=4, n_windows=8)
    assert recipe.cutoffs == tuple(range(26, 41, 2))
    errors = []
    for cutoff in recipe.cutoffs:
        actual, said = values[:, cutoff : cutoff + 4], values[:, cutoff - 4 : cutoff]
        errors.append(np.abs(actual - said).sum() / actual.sum())
    weights = 0.5 ** ((44 - np.array(recipe.cutoffs)) / 8)
    assert recipe.scores["series"]["seasonal_naive"] == pytest.approx(np.average(errors, weights=weights))


def test_errors_at_an_origin_do_not_depend_on_what_came_after_its_periods() -> None:
    # One level alone is the same however it is reconciled, so that only weights could carry the future back.
    alone = build_hierarchy({"series": ["a", "b", "c"]})
    values = noisy(3)
    changed = values.copy()
    changed[:, 36:] *= 5.0
    first, second = (learn_recipe(one, alone, h=4, season_length=4) for one in (values, changed))
    assert first.cutoffs == second.cutoffs
    over = sum(cutoff + 4 <= 36 for cutoff in first.cutoffs)
    assert over >= 3
    assert first.window_errors[:over] == pytest.approx(second.window_errors[:over], abs=1e-8)
    assert first.weights != second.weights
