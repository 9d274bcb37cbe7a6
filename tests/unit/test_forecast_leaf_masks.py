"""Ensembles answered by leaf masks say what LightGBM says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from training.forecast.leaf_masks import MOST_LEAVES, LeafMasks
from training.forecast.tree_library import lightgbm_alone

FIXED, MOVING = [0, 1, 2, 3], [4, 5]


def table(n_rows: int, *, seed: int, missing: float = 0.1) -> NDArray[np.float64]:
    """Two columns of categories, four of numbers; some values are missing."""
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(n_rows, 6))
    found[:, :2] = rng.integers(-1, 6, size=(n_rows, 2))
    found[:, 4] = rng.integers(0, 4, size=n_rows)
    found[:, 2:][rng.random((n_rows, 4)) < missing] = np.nan
    return found


def booster(rows: NDArray[np.float64], *, column: int, rounds: int = 12, leaves: int = MOST_LEAVES) -> Any:
    """A booster of a column's sign and of a category."""
    lightgbm = lightgbm_alone()
    label = (np.nan_to_num(rows[:, column]) + (rows[:, 0] > 2) > 0.5).astype(float)
    options = {"objective": "binary", "num_leaves": leaves, "min_data_in_leaf": 5, "verbosity": -1, "num_threads": 1}
    data = lightgbm.Dataset(rows, label, categorical_feature=[0, 1], params=options)
    return lightgbm.train(options, data, num_boost_round=rounds)


@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_many_rows_are_answered_as_lightgbm_answers_them(missing: float) -> None:
    learned = table(2_000, seed=1, missing=missing)
    boosters = [booster(learned, column=2), booster(learned, column=5, rounds=7)]
    asked = table(5_000, seed=2)
    asked[0, :2] = 99.0  # categories that nobody has seen
    masks = LeafMasks(boosters)
    found = masks.answer(masks.begin(asked[:, FIXED], FIXED), asked[:, MOVING], MOVING)
    for number, one in enumerate(boosters):
        assert found[:, number] == pytest.approx(one.predict(asked, raw_score=True), abs=1e-12)


def test_what_was_ruled_out_once_serves_for_other_values_of_the_rest() -> None:
    learned = table(1_000, seed=1)
    one = booster(learned, column=4)
    masks = LeafMasks([one])
    asked = table(50, seed=3)
    left = masks.begin(asked[:, FIXED], FIXED)
    masks.answer(left, asked[:, MOVING], MOVING)
    asked[:, MOVING] = table(50, seed=4)[:, MOVING]
    found = masks.answer(left, asked[:, MOVING], MOVING)
    assert found[:, 0] == pytest.approx(one.predict(asked, raw_score=True), abs=1e-12)


def test_trees_of_one_leaf_and_no_rows() -> None:
    rows = np.zeros((100, 6))
    masks = LeafMasks([booster(rows, column=2, rounds=2)])
    constant = masks.answer(masks.begin(rows[:, FIXED], FIXED), rows[:, MOVING], MOVING)
    assert len(np.unique(constant)) == 1
    none = rows[:0]
    assert masks.answer(masks.begin(none[:, FIXED], FIXED), none[:, MOVING], MOVING).shape == (0, 1)
