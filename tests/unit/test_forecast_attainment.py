"""The probability of reaching a figure agrees with the range."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.forecast.attainment import probability_of_reaching

ROW = {"lower_95": 60.0, "lower_80": 75.0, "median": 100.0, "upper_80": 130.0, "upper_95": 160.0, "closed": 20.0}


@pytest.mark.parametrize(("figure", "chance"), [(100.0, 0.5), (75.0, 0.9), (130.0, 0.1), (160.0, 0.025), (60.0, 0.975)])
def test_at_the_ranges_ends_it_is_what_the_range_says(figure: float, chance: float) -> None:
    assert probability_of_reaching(ROW, figure) == pytest.approx(chance)


def test_what_is_booked_is_reached_for_sure_and_nothing_else_is() -> None:
    assert probability_of_reaching(ROW, 20.0) == 1.0
    assert probability_of_reaching(ROW, 21.0) == 0.995
    assert probability_of_reaching(ROW, 10_000.0) == pytest.approx(0.005)


@given(st.floats(0, 300), st.floats(0, 300))
def test_a_higher_figure_is_never_likelier(one: float, other: float) -> None:
    low, high = sorted((one, other))
    first, second = probability_of_reaching(ROW, low), probability_of_reaching(ROW, high)
    assert first is not None
    assert second is not None
    assert first >= second


def test_a_range_without_width_and_no_range_at_all_are_answered() -> None:
    flat = dict.fromkeys(("lower_95", "lower_80", "median", "upper_80", "upper_95"), 50.0) | {"closed": 0.0}
    assert probability_of_reaching(flat, 49.0) == 0.995
    assert probability_of_reaching(flat, 51.0) == pytest.approx(0.005)
    assert probability_of_reaching({**ROW, "median": float("nan")}, 90.0) is None
