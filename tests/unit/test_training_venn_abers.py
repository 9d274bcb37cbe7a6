"""Isotonic regression and Venn-Abers bands against scikit-learn and against their own definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from training.venn_abers import fit_venn_abers, isotonic_steps, pool_adjacent

GENERATOR = np.random.default_rng(6)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.1, 5)), min_size=1, max_size=40))
def test_pooling_agrees_with_scikit_learn(pairs: list[tuple[float, float]]) -> None:
    rate, weight = (np.array(values) for values in zip(*pairs, strict=True))
    peer = IsotonicRegression().fit(np.arange(len(rate)), rate, sample_weight=weight)
    assert pool_adjacent(rate, weight) == pytest.approx(peer.predict(np.arange(len(rate))), abs=1e-9)


def test_steps_are_the_isotonic_regression_with_ties() -> None:
    score = GENERATOR.integers(0, 30, 500) / 30.0
    label = (GENERATOR.random(500) < score).astype(float)
    x, y = isotonic_steps(score, label, np.ones(500))
    peer = IsotonicRegression(out_of_bounds="clip").fit(score, label)
    assert np.interp(score, x, y) == pytest.approx(peer.predict(score), abs=1e-9)


def test_few_distinct_scores_give_the_two_probabilities_of_the_definition() -> None:
    score = np.repeat([0.0, 1.0, 2.0], [4, 4, 4])
    label = np.array([0, 0, 0, 1, 0, 0, 1, 1, 1, 1, 1, 0], dtype=float)
    found = fit_venn_abers(score, label, np.ones(12))
    assert found.x.tolist() == [0.0, 1.0, 2.0]
    # Rates 1/4, 2/4, 3/4; with the row added: (1 + outcome) / 5 and so on, nothing to pool.
    assert found.low == pytest.approx([1 / 5, 2 / 5, 3 / 5])
    assert found.high == pytest.approx([2 / 5, 3 / 5, 4 / 5])
    assert found.probability == pytest.approx([0.4 / 1.2, 0.6 / 1.2, 0.8 / 1.2])


def test_the_band_is_wide_where_rows_are_few() -> None:
    score = np.concatenate([GENERATOR.normal(0, 0.1, 5_000), GENERATOR.normal(3, 0.1, 100)])
    label = (GENERATOR.random(5_100) < 1 / (1 + np.exp(-score))).astype(float)
    found = fit_venn_abers(score, label, np.ones(5_100))
    width = found.high - found.low
    assert width[found.x < 0.2].mean() < width[found.x > 2].mean()
    assert (width > 0).all()
    assert (np.diff(found.probability) >= 0).all()
