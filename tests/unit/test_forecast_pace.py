from __future__ import annotations

import numpy as np
import pytest

from training.forecast.pace import learn_pace, of_quarters

SEASON = np.array([0.8, 0.9, 1.0, 1.0, 1.1, 1.0, 0.9, 0.9, 1.0, 1.1, 1.2, 1.2])
SEASON /= np.exp(np.log(SEASON).mean())


def test_a_season_alike_in_all_years_is_taken_as_it_is_whatever_month_comes_first() -> None:
    expected = np.full(24, 1e6)
    for first in (0, 5, 24_299):
        happened = expected * SEASON[(first + np.arange(24)) % 12]
        assert learn_pace(happened, expected, first=first) == pytest.approx(SEASON, rel=1e-3)


def test_only_the_newest_whole_years_are_read() -> None:
    months = np.arange(27)
    happened = np.where(months < 3, 9e6, 1e6 * SEASON[months % 12])
    assert learn_pace(happened, np.full(27, 1e6), first=0) == pytest.approx(SEASON, rel=1e-3)


def test_years_that_differ_as_much_as_months_make_no_season() -> None:
    happened = 1e6 * np.r_[SEASON, 1.0 / SEASON]
    assert learn_pace(happened, np.full(24, 1e6), first=0) == pytest.approx(np.ones(12))


def test_scatter_of_few_events_is_mostly_not_taken_for_a_season() -> None:
    rng = np.random.default_rng(4)
    found = [np.log(learn_pace(rng.poisson(40.0, 24), np.full(24, 40.0), first=0)).std() for _ in range(60)]
    # Two years' means of such counts alone scatter by 0.11.
    assert np.mean(found) < 0.05


def test_a_year_that_went_better_than_the_other_makes_no_season() -> None:
    happened = np.r_[1e6 * SEASON, 1.3e6 * SEASON]
    assert learn_pace(happened, np.full(24, 1e6), first=0) == pytest.approx(SEASON, rel=1e-3)


def test_steady_growth_makes_no_season_where_it_is_to_be_expected() -> None:
    happened = 1e6 * 1.2 ** (np.arange(36) / 12)
    assert learn_pace(happened, np.full(36, 1e6), first=7, trend=True) == pytest.approx(np.ones(12), abs=1e-3)


def test_under_two_years_nothing_is_told() -> None:
    assert learn_pace(np.full(23, 5.0), np.full(23, 4.0), first=0).tolist() == [1.0] * 12
    assert learn_pace(np.full(24, 5.0), np.r_[0.0, np.full(23, 4.0)], first=0).tolist() == [1.0] * 12


def test_what_months_have_in_common_by_their_place_is_taken_out() -> None:
    by_quarter = np.repeat([0.8, 1.0, 1.0, 1.25], 3)
    by_place = np.tile([0.9, 1.0, 1.0 / 0.9], 4)
    assert of_quarters(by_quarter * by_place) == pytest.approx(by_quarter)
    assert of_quarters(by_place) == pytest.approx(np.ones(12))
