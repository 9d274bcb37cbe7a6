from __future__ import annotations

import numpy as np
import pytest

from training.forecast.drift import (
    chance_of_turn,
    draw_turns,
    neutral_level,
    told_of_wandering,
    track_counts,
    track_means,
    track_together,
)
from training.forecast.rep_factors import learn_rep_factors


def test_counts_as_expected_leave_the_level_at_one() -> None:
    level = track_counts(np.full(24, 100.0), np.full(24, 100.0))
    assert level.mean == pytest.approx(1.0, abs=0.02)
    assert level.months == 24


def test_a_lasting_fall_is_followed_within_a_few_months() -> None:
    happened = np.r_[np.full(20, 100.0), np.full(3, 65.0)]
    level = track_counts(happened, np.full(23, 100.0))
    assert level.mean == pytest.approx(0.66, abs=0.05)
    assert level.shift == pytest.approx(0.66, abs=0.06)


def test_a_surprise_makes_the_level_less_certain_before_it_is_believed() -> None:
    expected = np.full(25, 100.0)
    calm = track_counts(np.full(24, 100.0), expected[:24])
    surprised = track_counts(np.r_[np.full(24, 100.0), 78.0], expected)
    assert surprised.sd > 1.5 * calm.sd
    assert 0.78 < surprised.mean < 1.0


def test_few_counts_move_the_level_little() -> None:
    few = track_counts(np.r_[np.full(20, 3.0), 1.0], np.full(21, 3.0))
    many = track_counts(np.r_[np.full(20, 300.0), 100.0], np.full(21, 300.0))
    assert few.mean > 0.85
    assert many.mean < 0.4


def test_months_of_which_nothing_was_expected_say_nothing() -> None:
    happened, expected = np.array([0.0, 10.0, 10.0]), np.array([0.0, 10.0, 10.0])
    assert track_counts(happened, expected).months == 2
    assert track_counts(np.zeros(3), np.zeros(3)).months == 0


def test_paths_of_the_level_have_mean_one_in_every_month_and_spread_with_time() -> None:
    level = track_counts(np.full(24, 100.0), np.full(24, 100.0))
    rng = np.random.default_rng(1)
    drawn = level.draw(rng, turns=draw_turns(rng, n_paths=4_000, h=6))
    assert drawn.mean(axis=0) == pytest.approx(np.ones(6))
    assert (drawn > 0).all()
    assert drawn[:, 5].std() > drawn[:, 0].std()


def test_levels_jump_in_the_same_months_of_a_path_or_not_at_all() -> None:
    level = track_counts(np.full(24, 1_000.0), np.full(24, 1_000.0))
    rng = np.random.default_rng(3)
    turns = draw_turns(rng, n_paths=4_000, h=6)
    one, other = level.draw(rng, turns=turns), level.draw(rng, turns=turns)
    is_steady = ~turns[:, 1:].any(axis=1)
    far = [np.abs(np.log(paths[:, 5] / paths[:, 0])) > 0.25 for paths in (one, other)]
    assert not (far[0] & is_steady).any()
    # Independent jumps would coincide in the square of their share.
    assert (far[0] & far[1]).mean() > 2 * far[0].mean() * far[1].mean()


def test_who_has_seen_more_months_without_a_change_expects_fewer() -> None:
    assert chance_of_turn(months=0, turns=0) == pytest.approx(1 / 40)
    assert chance_of_turn(months=60, turns=0) == pytest.approx(1 / 100)
    assert chance_of_turn(months=60, turns=1) == pytest.approx(2 / 100)
    drawn = draw_turns(np.random.default_rng(5), n_paths=4_000, h=10, chance=0.01)
    assert drawn.mean() == pytest.approx(0.01, abs=0.002)


def test_what_other_levels_tell_of_wandering_is_taken_along() -> None:
    rng = np.random.default_rng(4)
    expected = np.full(24, 400.0)
    steady = [track_counts(rng.poisson(expected).astype(float), expected) for _ in range(4)]
    wild = [
        track_counts(rng.poisson(expected * np.exp(np.cumsum(rng.normal(0.0, 0.06, 24)))).astype(float), expected)
        for _ in range(4)
    ]
    counts = rng.poisson(np.full(24, 60.0)).astype(float)
    alone = track_counts(counts, np.full(24, 60.0))
    calm = track_counts(counts, np.full(24, 60.0), wandering=told_of_wandering(*steady))
    moved = track_counts(counts, np.full(24, 60.0), wandering=told_of_wandering(*wild))
    assert calm.drift_sd < alone.drift_sd < moved.drift_sd
    assert calm.sd < moved.sd


def test_levels_tracked_together_are_those_that_each_would_be_by_what_the_other_told() -> None:
    expected = np.full(24, 100.0)
    first, second = np.r_[np.full(20, 100.0), np.full(4, 80.0)], np.full(24, 103.0)
    both = track_together([(first, expected), (second, expected)])
    told = told_of_wandering(track_counts(second, expected))
    assert both[0].mean == pytest.approx(track_counts(first, expected, wandering=told).mean)
    assert both[0].drift_sd == both[1].drift_sd


def test_a_level_may_start_anew_where_the_times_are_known_to_have_changed() -> None:
    happened, expected = np.r_[np.full(22, 100.0), 84.0, 84.0], np.full(24, 100.0)
    usual, turned = track_counts(happened, expected), track_counts(happened, expected, turned=2)
    assert 0.84 < turned.mean < usual.mean
    steady = np.full(24, 100.0)
    # Where nothing is seen of the change, the level stays and is a little less certain.
    assert track_counts(steady, expected, turned=2).mean == pytest.approx(1.0, abs=0.02)
    assert track_counts(steady, expected, turned=2).sd > track_counts(steady, expected).sd


def test_the_expectation_ahead_is_that_of_the_paths() -> None:
    level = track_counts(np.r_[np.full(20, 100.0), np.full(4, 60.0)], np.full(24, 100.0))
    ahead = level.ahead(4)
    assert ahead[0] == pytest.approx(level.mean)
    # A level that may start anew goes back towards what was learned.
    assert ahead[0] < ahead[3] < 1.0


def test_a_level_of_means_weighs_months_by_their_error() -> None:
    sure = track_means(np.r_[np.zeros(12), -0.2, -0.2], np.full(14, 0.02))
    unsure = track_means(np.r_[np.zeros(12), -0.2, -0.2], np.full(14, 0.4))
    assert sure.mean == pytest.approx(np.exp(-0.2), abs=0.02)
    assert unsure.mean > 0.95
    assert track_means(np.array([np.nan]), np.array([0.1])).months == 0
    with_gap = track_means(np.r_[np.zeros(12), np.nan, -0.2, -0.2], np.full(15, 0.02))
    assert with_gap.months == 14
    assert with_gap.mean == pytest.approx(sure.mean, abs=0.02)


def test_a_neutral_level_is_one_with_the_given_uncertainty() -> None:
    level = neutral_level(0.3)
    assert level.mean == pytest.approx(np.exp(0.3**2 / 2), abs=0.01)
    assert level.sd == pytest.approx(0.3, abs=0.01)
    assert level.shift == 1.0


def test_reps_who_only_differ_by_chance_keep_factors_near_one() -> None:
    rng = np.random.default_rng(5)
    expected = np.full(200, 20.0)
    learned = learn_rep_factors(rng.poisson(expected).astype(float), expected)
    assert learned.variance < 0.012
    assert np.abs(learned.factor - 1.0).max() < 0.25


def test_reps_who_differ_get_shrunk_factors_and_less_is_left_unknown_of_those_with_many_deals() -> None:
    rng = np.random.default_rng(6)
    truth = rng.gamma(10.0, 0.1, 300)
    expected = np.where(np.arange(300) % 2, 5.0, 80.0)
    learned = learn_rep_factors(rng.poisson(truth * expected).astype(float), expected)
    assert learned.variance == pytest.approx(0.1, abs=0.04)
    assert np.corrcoef(learned.factor[::2], truth[::2])[0, 1] > 0.8
    assert learned.remaining[::2].mean() < 0.5 * learned.remaining[1::2].mean()


def test_a_rep_without_history_has_the_factor_one() -> None:
    learned = learn_rep_factors(np.array([0.0, 30.0]), np.array([0.0, 25.0]))
    assert learned.factor[0] == pytest.approx(1.0)
    assert learn_rep_factors(np.zeros(2), np.zeros(2)).factor.tolist() == [1.0, 1.0]
