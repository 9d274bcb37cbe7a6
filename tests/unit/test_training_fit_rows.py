"""Rows to fit on: what an entity's first row counts, and that parts of the rows keep it."""

from __future__ import annotations

import numpy as np
import pytest

from training.fit_rows import FIRST_COUNTS, fit_rows, is_first_row, rows_of
from training.models import FitData
from training.search import fading
from training.study import TRIAL_ROWS, _part

DAY = np.timedelta64(1, "D")
WHEN = np.datetime64("2025-01-01", "us") + np.array([5, 0, 3, 1, 9]) * DAY
LEAD = np.array(["a", "a", "b", "b", "c"], dtype=object)
FIRST = np.array([False, True, False, True, True])


def rows(is_first: np.ndarray | None) -> FitData:
    return fit_rows(np.arange(5.0)[:, None], np.array([0.0, 1, 0, 1, 1]), (), when=WHEN, is_first=is_first)


def test_the_first_row_is_that_of_the_earliest_moment_wherever_it_stands() -> None:
    assert is_first_row(LEAD, WHEN).tolist() == FIRST.tolist()


def test_a_first_row_counts_three_times_a_later_one_and_all_count_one_on_average() -> None:
    weight = rows(FIRST).weight
    assert weight is not None
    assert weight[FIRST] == pytest.approx(FIRST_COUNTS * weight[~FIRST].mean())
    assert weight.mean() == pytest.approx(1.0)


@pytest.mark.parametrize("is_first", [None, np.ones(5, dtype=bool), np.zeros(5, dtype=bool)])
def test_where_all_are_alike_there_are_no_weights(is_first: np.ndarray | None) -> None:
    assert rows(is_first).weight is None


def test_a_part_of_the_rows_keeps_its_weights_and_old_rows_fade_on_top_of_them() -> None:
    data = rows(FIRST)
    part = rows_of(data, np.array([1, 2, 4]))
    assert data.weight is not None
    assert part.weight is not None
    assert part.weight.tolist() == data.weight[[1, 2, 4]].tolist()
    faded, plain = fading(data, 0.5).weight, fading(rows(None), 0.5).weight
    assert faded is not None
    assert plain is not None
    assert faded / plain == pytest.approx(data.weight / np.average(data.weight, weights=plain))


def test_the_part_that_a_trial_sees_keeps_its_weights() -> None:
    count = TRIAL_ROWS + 10
    data = FitData(matrix=np.zeros((count, 1)), label=np.zeros(count), weight=np.arange(float(count)))
    seen = _part(data, seed=1).weight
    assert seen is not None
    assert len(seen) == TRIAL_ROWS
    assert (np.diff(seen) > 0).all()
