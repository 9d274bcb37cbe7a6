"""The two libraries behind one interface; the loss that stops a fit."""

from __future__ import annotations

import pickle
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.few_rows import MOST_ROWS
from training.models import FitData, Model, load_model
from training.trees import Library, fit_trees, shifted_log_loss

GENERATOR = np.random.default_rng(4)
MATRIX = GENERATOR.normal(size=(1_200, 3))
TRUE_MARGIN = 1.2 * MATRIX[:, 0] - 1.5
LABEL = (GENERATOR.random(1_200) < 1 / (1 + np.exp(-TRUE_MARGIN))).astype(float)
LIBRARIES: tuple[Library, ...] = ("lightgbm", "xgboost")


def test_a_moved_base_rate_costs_nothing() -> None:
    loss = [shifted_log_loss(LABEL, 1 / (1 + np.exp(-(TRUE_MARGIN + shift)))) for shift in (-2.0, 0.0, 1.5)]
    assert loss == pytest.approx([loss[1]] * 3, abs=1e-4)


def test_the_shift_is_the_best_one() -> None:
    probability = 1 / (1 + np.exp(-(TRUE_MARGIN - 1.0)))
    tried = []
    for shift in np.linspace(-1, 3, 401):
        shifted = 1 / (1 + np.exp(-(TRUE_MARGIN - 1.0 + shift)))
        tried.append(-(LABEL * np.log(shifted) + (1 - LABEL) * np.log(1 - shifted)).mean())
    assert shifted_log_loss(LABEL, probability) == pytest.approx(min(tried), abs=1e-5)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_jump_of_the_base_rate_does_not_end_the_fit(library: Library) -> None:
    later = GENERATOR.normal(size=(800, 3))
    jumped = (GENERATOR.random(800) < 1 / (1 + np.exp(-(1.2 * later[:, 0] + 0.5)))).astype(float)
    data = FitData(matrix=MATRIX, label=LABEL, stop_matrix=later, stop_label=jumped)
    assert fit_trees(library, {}, data, rounds=200, threads=1, seed=1).rounds >= 5


@pytest.mark.parametrize("library", LIBRARIES)
def test_saved_trees_answer_as_before(library: Library, tmp_path: Path) -> None:
    data = FitData(matrix=MATRIX[:900], label=LABEL[:900], stop_matrix=MATRIX[900:], stop_label=LABEL[900:])
    fitted = fit_trees(library, {}, data, rounds=80, threads=1, seed=1)
    fitted.save(tmp_path)
    again = load_model(library, tmp_path)
    assert again.rounds == fitted.rounds
    assert again.margin(MATRIX) == pytest.approx(fitted.margin(MATRIX), abs=1e-5)
    assert fitted.contributions(MATRIX).sum(axis=1) == pytest.approx(fitted.margin(MATRIX), abs=1e-4)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_direction_is_kept_against_the_data(library: Library) -> None:
    data = FitData(matrix=MATRIX, label=LABEL, monotone=[-1, 0, 0])
    fitted = fit_trees(library, {}, data, rounds=30, threads=1, seed=1)
    line = np.column_stack([np.linspace(-2, 2, 50), np.zeros(50), np.zeros(50)])
    assert (np.diff(fitted.margin(line)) <= 1e-9).all()


@given(st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(float("nan"))), min_size=3, max_size=3))
def test_xgboost_alone_or_among_others_a_row_has_the_same_margin(row: list[float]) -> None:
    model = _xgboost()
    # More than `FewRows` takes, so that the library's own path answers.
    rows = np.array([row, *([0.0, 1.0, float(place)] for place in range(MOST_ROWS))])
    among, alone = model.margin(rows), model.margin(rows[:1])
    assert alone.shape == (1,)
    assert alone[0] == among[0]
    for count in (2, MOST_ROWS - 1, MOST_ROWS):
        assert np.array_equal(model.margin(rows[:count]), among[:count])
    again = pickle.loads(pickle.dumps(model))  # noqa: S301 - our own bytes
    assert again.margin(rows[:1])[0] == among[0]


@cache
def _xgboost() -> Model:
    random = np.random.default_rng(7)
    matrix = random.normal(size=(300, 3)) * 1_000
    data = FitData(matrix=matrix, label=(matrix[:, 0] > 0).astype(float))
    return fit_trees("xgboost", {"max_depth": 4}, data, rounds=12, threads=1, seed=7)
