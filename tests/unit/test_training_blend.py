"""A blend: what it adds up to, when it is worth its cost, and that it can be read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.blend import BlendModel, blend_of, choose_blend, fit_weights
from training.linear import fit_linear
from training.models import FitData, Model, load_model
from training.trees import fit_trees

GENERATOR = np.random.default_rng(8)
MATRIX = GENERATOR.normal(size=(1_000, 3))
LABEL = (GENERATOR.random(1_000) < 1 / (1 + np.exp(-(MATRIX[:, 0] + (MATRIX[:, 1] > 0.5))))).astype(float)
DATA = FitData(matrix=MATRIX, label=LABEL)


def parts() -> list[Model]:
    linear = fit_linear({"ridge_rows": 1.0, "lasso_rows": 0.5, "segments": 0}, DATA)
    return [linear, fit_trees("lightgbm", {"num_leaves": 4}, DATA, rounds=20, threads=1, seed=1)]


def outcomes(margin: np.ndarray) -> np.ndarray:
    return (GENERATOR.random(len(margin)) < 1 / (1 + np.exp(-margin))).astype(float)


def test_margin_and_contributions_are_the_weighted_sums() -> None:
    models = parts()
    blend = blend_of(models, (0.4, 0.7), -0.2)
    expected = 0.4 * models[0].margin(MATRIX) + 0.7 * models[1].margin(MATRIX) - 0.2
    assert blend.margin(MATRIX) == pytest.approx(expected)
    assert blend.contributions(MATRIX).sum(axis=1) == pytest.approx(expected, abs=1e-6)
    assert blend.rounds == 20


def test_a_saved_blend_answers_as_before(tmp_path: Path) -> None:
    blend = blend_of(parts(), (0.4, 0.7), -0.2)
    blend.save(tmp_path)
    again = load_model("blend", tmp_path)
    assert again.margin(MATRIX) == pytest.approx(blend.margin(MATRIX), abs=1e-9)
    assert (again.library, again.rounds) == ("blend", 20)


def test_a_part_without_weight_is_left_out() -> None:
    blend = blend_of(parts(), (0.0, 1.0), 0.0)
    assert [part.library for part in blend.parts] == ["lightgbm"]
    assert isinstance(blend, BlendModel)


def test_weights_are_recovered_and_never_negative() -> None:
    margins = GENERATOR.normal(size=(20_000, 3))
    weights, shift = fit_weights(margins, outcomes(0.8 * margins[:, 0] + 0.4 * margins[:, 1] + 0.3))
    assert weights == pytest.approx((0.8, 0.4, 0.0), abs=0.07)
    assert shift == pytest.approx(0.3, abs=0.07)
    assert fit_weights(margins, outcomes(-margins[:, 2]))[0][2] == 0.0


def test_parts_that_each_know_something_are_blended() -> None:
    known = GENERATOR.normal(size=(6_000, 2))
    chosen = choose_blend(known, outcomes(known.sum(axis=1)), best=0)
    assert chosen is not None
    assert chosen[0] == pytest.approx((1.0, 1.0), abs=0.1)


def test_equal_weights_are_taken_where_fitted_ones_are_no_better() -> None:
    known = GENERATOR.normal(size=3_000)
    noisy = known[:, None] + GENERATOR.normal(0, 1.0, (3_000, 3))
    chosen = choose_blend(noisy, outcomes(noisy.mean(axis=1)), best=0)
    assert chosen is not None
    assert sum(chosen[0]) == pytest.approx(1.0, abs=0.2)


def test_parts_that_say_the_same_are_not_blended() -> None:
    known = GENERATOR.normal(size=6_000)
    copies = np.column_stack([known, known + GENERATOR.normal(0, 0.05, 6_000)])
    assert choose_blend(copies, outcomes(known), best=0) is None


def test_a_slope_that_one_part_could_have_had_alone_is_no_reason_to_blend() -> None:
    known = GENERATOR.normal(size=6_000)
    noise = GENERATOR.normal(size=6_000)
    assert choose_blend(np.column_stack([2.0 * known, noise]), outcomes(known), best=0) is None


def test_too_few_outcomes_leave_the_best_alone() -> None:
    known = GENERATOR.normal(size=(150, 2))
    assert choose_blend(known, outcomes(known.sum(axis=1) - 2), best=0) is None


def test_parts_that_stand_together_stay_so_unless_one_alone_is_clearly_better() -> None:
    known = GENERATOR.normal(size=6_000)
    copies = np.column_stack([known, known + GENERATOR.normal(0, 0.05, 6_000)])
    assert choose_blend(copies, outcomes(known), best=0, together=True) == ((0.5, 0.5), 0.0)
    with_noise = np.column_stack([known, GENERATOR.normal(0, 2.0, 6_000)])
    assert choose_blend(with_noise, outcomes(known), best=0, together=True) is None


def test_with_few_outcomes_parts_that_stand_together_stay_so() -> None:
    known = GENERATOR.normal(size=(150, 2))
    assert choose_blend(known, outcomes(known.sum(axis=1) - 2), best=0, together=True) == ((0.5, 0.5), 0.0)
    assert choose_blend(known[:, :1], outcomes(known[:, 0]), best=0, together=True) is None
