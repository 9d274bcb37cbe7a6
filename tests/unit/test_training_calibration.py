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


def test_a_jump_is_followed_although_most_rows_came_before_it() -> None:
    before = len(MARGIN) * 4 // 5
    label = np.r_[outcomes(MARGIN[:before]), outcomes(MARGIN[before:] + 1.0)]
    chosen, _ = choose_calibration(MARGIN, label)
    assert chosen.half_life_rows is not None
    raised = logit(chosen.apply(np.array([-1.0])))[0] + 1.0
    assert raised == pytest.approx(1.0, abs=0.2)
    assert fit_calibration("intercept", MARGIN, label).weights[1] < 0.4


def test_a_level_that_stays_is_learned_from_all_rows() -> None:
    chosen, _ = choose_calibration(MARGIN, outcomes(MARGIN + 0.8))
    assert chosen.half_life_rows is None
    assert chosen.method == "intercept"


def test_a_spike_of_a_few_rows_does_not_set_the_level() -> None:
    label = np.r_[outcomes(MARGIN[:-15]), np.ones(15)]
    chosen, _ = choose_calibration(MARGIN, label)
    assert np.abs(chosen.apply(MARGIN).mean() - sigmoid(MARGIN).mean()) < 0.02


def test_rows_that_weigh_nothing_do_not_count() -> None:
    weight = np.r_[np.zeros(5_000), np.ones(15_000)]
    label = np.r_[np.ones(5_000), outcomes(MARGIN[5_000:])]
    for method in METHODS[1:6]:
        fitted = fit_calibration(method, MARGIN, label, weight=weight)
        assert np.abs(fitted.apply(MARGIN) - sigmoid(MARGIN)).mean() < 0.02, method


def test_the_band_lies_about_the_probability_and_holds_the_truth_mostly() -> None:
    chosen, _ = choose_calibration(MARGIN, outcomes(0.5 * MARGIN))
    band = chosen.band(MARGIN)
    assert band is not None
    low, high = band
    assert (low <= chosen.apply(MARGIN) + 1e-9).all()
    assert (chosen.apply(MARGIN) <= high + 1e-9).all()
    assert (high - low).max() < 0.3


def test_few_rows_have_no_band() -> None:
    chosen, _ = choose_calibration(MARGIN[:300], outcomes(MARGIN[:300]))
    assert chosen.band(MARGIN[:5]) is None


def test_a_calibration_of_an_older_bundle_is_still_read() -> None:
    old = Calibration.from_dict({"method": "recent", "weights": [1.0, 0.5], "x": [], "y": []})
    assert old.apply(np.array([-0.5])) == pytest.approx([0.5])


@pytest.mark.parametrize("method", ["temperature", "platt", "beta", "isotonic", "venn_abers"])
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
    assert chosen.method == "temperature"
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
