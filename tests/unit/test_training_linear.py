"""The logistic regression as a model: exact pieces, signs, missing and unseen values, a file that answers as before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from common.errors import ContractError
from training.linear import MODEL_FILE, LinearModel, fit_linear, signed_log
from training.linear_design import expand, fit_basis
from training.linear_solver import fit_elastic_net
from training.models import FitData, load_model

GENERATOR = np.random.default_rng(5)
ROWS = 1_500
NUMBERS = GENERATOR.lognormal(1.0, 1.0, (ROWS, 2))
CODES = GENERATOR.integers(0, 3, ROWS).astype(float)
GAPS = GENERATOR.random(ROWS) < 0.2
MATRIX = np.column_stack([np.where(GAPS, np.nan, NUMBERS[:, 0]), NUMBERS[:, 1], CODES])
MARGIN = 0.9 * np.log1p(NUMBERS[:, 0]) * ~GAPS - 0.6 * (CODES == 2) - 1.5
LABEL = (GENERATOR.random(ROWS) < 1 / (1 + np.exp(-MARGIN))).astype(float)
PARAMS: dict[str, Any] = {"ridge_rows": 1.0, "lasso_rows": 0.5, "segments": 4}


def fitted(**changes: Any) -> LinearModel:
    model = fit_linear({**PARAMS, **changes}, FitData(matrix=MATRIX, label=LABEL, categorical=[2]))
    assert isinstance(model, LinearModel)
    return model


@pytest.mark.parametrize(("ridge", "lasso"), [(5.0, 0.0), (5.0, 20.0), (0.01, 20.0)])
def test_the_solver_agrees_with_scikit_learn(ridge: float, lasso: float) -> None:
    design = GENERATOR.normal(size=(600, 6)).astype(np.float32)
    label = (GENERATOR.random(600) < 1 / (1 + np.exp(1 - design[:, 0] + 0.7 * design[:, 2]))).astype(float)
    intercept, weights = fit_elastic_net(design, label, ridge=ridge / 600, lasso=lasso / 600)
    total = ridge + lasso
    peer = LogisticRegression(C=1 / total, l1_ratio=lasso / total, solver="saga", max_iter=5_000, tol=1e-7)
    peer.fit(design, label)
    assert weights == pytest.approx(peer.coef_[0], abs=2e-3)
    assert intercept == pytest.approx(peer.intercept_[0], abs=2e-3)


def test_row_weights_count_like_repeated_rows() -> None:
    design = GENERATOR.normal(size=(300, 3)).astype(np.float32)
    label = (GENERATOR.random(300) < 1 / (1 + np.exp(-design[:, 0]))).astype(float)
    times = GENERATOR.integers(1, 4, 300)
    weighted = fit_elastic_net(design, label, ridge=0.01, lasso=0.001, weight=times.astype(float))
    repeated = fit_elastic_net(design.repeat(times, axis=0), label.repeat(times), ridge=0.01, lasso=0.001)
    assert weighted[1] == pytest.approx(repeated[1], abs=1e-3)


@pytest.mark.parametrize("lasso", [0.0, 0.001])
def test_a_weight_keeps_its_sign_against_the_data(lasso: float) -> None:
    design = GENERATOR.normal(size=(500, 2)).astype(np.float32)
    label = (GENERATOR.random(500) < 1 / (1 + np.exp(-2 * design[:, 0]))).astype(float)
    _, weights = fit_elastic_net(design, label, ridge=1e-3, lasso=lasso, signs=np.array([-1, 0]))
    assert weights[0] == 0.0


@pytest.mark.parametrize("segments", [0, 4])
def test_the_tables_say_what_the_design_and_its_weights_say(segments: int) -> None:
    basis = fit_basis(signed_log, MATRIX, categorical=[2], monotone=[], segments=segments)
    design = expand(basis, signed_log, MATRIX)
    intercept, weights = fit_elastic_net(design, LABEL, ridge=1.0 / ROWS, lasso=0.5 / ROWS)
    assert fitted(segments=segments).margin(MATRIX) == pytest.approx(intercept + design @ weights, abs=1e-4)


def test_contributions_add_up_and_are_zero_on_average() -> None:
    model = fitted()
    contributions = model.contributions(MATRIX)
    assert contributions.sum(axis=1) == pytest.approx(model.margin(MATRIX), abs=1e-9)
    assert contributions[:, :-1].mean(axis=0) == pytest.approx(0.0, abs=1e-9)


def test_a_feature_without_variation_or_without_any_value_adds_nothing() -> None:
    matrix = np.column_stack([MATRIX, np.full(ROWS, 3.0), np.full(ROWS, np.nan)])
    model = fit_linear(PARAMS, FitData(matrix=matrix, label=LABEL, categorical=[2]))
    assert (model.contributions(matrix)[:, 3:5] == 0.0).all()


def test_an_unseen_category_and_a_gap_never_seen_are_as_the_intercept_says() -> None:
    model = fitted()
    row = MATRIX[:1].copy()
    row[0, 1:] = [np.nan, 17.0]
    parts = model.contributions(row)[0] + np.append(model.mean, 0.0)
    assert parts[1:3] == pytest.approx([0.0, 0.0])


@settings(max_examples=40, deadline=None)
@given(st.floats(allow_nan=True, allow_infinity=True))
def test_no_value_makes_the_answer_other_than_a_number(value: float) -> None:
    row = np.array([[value, value, 1.0]])
    assert np.isfinite(fitted_once().margin(row)).all()


@pytest.mark.parametrize("segments", [0, 4])
def test_beyond_what_was_seen_the_line_goes_on_level(segments: int) -> None:
    model = fitted(segments=segments)
    low, high = np.nanmin(MATRIX[:, 0]), np.nanmax(MATRIX[:, 0])
    rows = np.array([[low, 1.0, 0.0], [-1e6, 1.0, 0.0], [high, 1.0, 0.0], [1e9, 1.0, 0.0]])
    below, lowest, highest, above = model.margin(rows)[[1, 0, 2, 3]]
    assert below == pytest.approx(lowest, abs=1e-9)
    bounded = np.log1p(high) <= np.median(np.log1p(NUMBERS[:, 0])) + 5 * np.log1p(NUMBERS[:, 0]).std()
    assert bounded
    assert above == pytest.approx(highest, abs=1e-9)


def test_a_direction_holds_along_the_whole_line() -> None:
    model = fit_linear(PARAMS, FitData(matrix=MATRIX, label=LABEL, categorical=[2], monotone=[-1, 1, 0]))
    line = np.column_stack([np.linspace(-5, 90, 300), np.zeros(300), np.zeros(300)])
    assert (np.diff(model.margin(line)) <= 1e-12).all()
    line[:, [0, 1]] = line[:, [1, 0]]
    assert (np.diff(model.margin(line)) >= -1e-12).all()


def test_a_saved_model_answers_bit_for_bit(tmp_path: Path) -> None:
    model = fitted()
    model.save(tmp_path)
    again = load_model("linear", tmp_path)
    assert (again.margin(MATRIX) == model.margin(MATRIX)).all()
    assert (again.contributions(MATRIX) == model.contributions(MATRIX)).all()
    assert again.rounds == 0


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / MODEL_FILE).write_text('{"format": 99}')
    with pytest.raises(ContractError, match=r"another version.*format 1.*format 99"):
        load_model("linear", tmp_path)


def test_a_matrix_of_another_width_is_refused() -> None:
    with pytest.raises(ContractError, match=r"3 features.*Got: 2"):
        fitted_once().margin(np.zeros((1, 2)))


def test_no_rows_are_answered_with_none() -> None:
    assert fitted_once().margin(np.empty((0, 3))).shape == (0,)
    assert fitted_once().contributions(np.empty((0, 3))).shape == (0, 4)


_MODELS: list[LinearModel] = []


def fitted_once() -> LinearModel:
    if not _MODELS:
        _MODELS.append(fitted())
    return _MODELS[0]


def test_a_row_alone_has_the_bits_that_it_has_among_others() -> None:
    model = fitted()
    odd = np.array([[np.nan, np.nan, np.nan], [np.inf, -np.inf, 7.0], [0.0, -0.0, -1.0], [1e300, -1e300, 1.0]])
    rows = np.concatenate([odd, MATRIX[:200]])
    together = model.contributions(rows)
    for at, row in enumerate(rows):
        assert np.array_equal(model.contributions(row[None])[0], together[at], equal_nan=True)
        assert model.margin(row[None])[0] == model.margin(rows)[at]
    for count in (2, 31, 32, 33):
        assert np.array_equal(model.contributions(rows[:count]), together[:count], equal_nan=True)
