"""Calibration recovers known distortions, forward in time, and leaves good probabilities alone."""

from __future__ import annotations

import numpy as np
import pytest

from training.calibration import (
    METHODS,
    Calibration,
    choose_calibration,
    fit_calibration,
    log_loss_rows,
    logit,
    sigmoid,
)

GENERATOR = np.random.default_rng(11)
MARGIN = GENERATOR.normal(-1.0, 1.2, 20_000)


def outcomes(margin: np.ndarray) -> np.ndarray:
    return (np.random.default_rng(3).random(len(margin)) < sigmoid(margin)).astype(float)


def test_platt_recovers_slope_and_shift() -> None:
    fitted = fit_calibration("platt", MARGIN, outcomes(0.5 * MARGIN + 0.7))
    assert fitted.weights == pytest.approx((0.5, 0.7), abs=0.05)


def test_intercept_recovers_a_moved_base_rate() -> None:
    fitted = fit_calibration("intercept", MARGIN, outcomes(MARGIN + 0.8))
    assert fitted.weights == pytest.approx((1.0, 0.8), abs=0.05)


def test_recent_recovers_a_jump_that_the_older_half_did_not_see() -> None:
    half = len(MARGIN) // 2
    label = np.r_[outcomes(MARGIN[:half]), outcomes(MARGIN[half:] + 1.0)]
    assert fit_calibration("recent", MARGIN, label).weights[1] == pytest.approx(1.0, abs=0.07)
    assert fit_calibration("intercept", MARGIN, label).weights[1] < 0.7


@pytest.mark.parametrize("method", ["platt", "beta", "isotonic"])
def test_each_flexible_method_undoes_overconfidence(method: str) -> None:
    label = outcomes(MARGIN / 2)
    fitted = fit_calibration(method, MARGIN[::2], label[::2])
    true, given = sigmoid(MARGIN / 2)[1::2], fitted.apply(MARGIN[1::2])
    assert np.abs(given - true).mean() < 0.02


def test_good_probabilities_are_left_alone() -> None:
    chosen, losses = choose_calibration(MARGIN, outcomes(MARGIN))
    assert chosen.method == "none"
    assert set(losses) == set(METHODS)


def test_a_distorted_slope_is_found_and_repaired() -> None:
    label = outcomes(0.4 * MARGIN)
    chosen, _ = choose_calibration(MARGIN, label)
    assert chosen.method in ("platt", "beta", "isotonic")
    assert log_loss_rows(label, chosen.apply(MARGIN)).mean() < log_loss_rows(label, sigmoid(MARGIN)).mean()


def test_too_few_outcomes_leave_nothing_to_choose() -> None:
    label = np.zeros(50)
    label[[3, 30]] = 1.0
    chosen, losses = choose_calibration(MARGIN[:50], label)
    assert (chosen.method, losses) == ("none", {})


@pytest.mark.parametrize("method", METHODS)
def test_a_calibration_survives_the_manifest_and_stays_between_zero_and_one(method: str) -> None:
    fitted = fit_calibration(method, MARGIN, outcomes(MARGIN))
    again = Calibration.from_dict(fitted.to_dict())
    extreme = np.array([-80.0, -3.0, 0.0, 3.0, 80.0])
    assert (again.apply(extreme) == fitted.apply(extreme)).all()
    assert ((again.apply(extreme) >= 0) & (again.apply(extreme) <= 1)).all()
    assert (np.diff(again.apply(extreme)) >= 0).all()


def test_logit_undoes_sigmoid() -> None:
    assert logit(sigmoid(np.array([-4.0, 0.0, 2.5]))) == pytest.approx([-4.0, 0.0, 2.5])
