"""The search for the row seen last: against a loop, with ties, and with times too long to be packed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.last_seen import last_seen, spread

NUMBERS = st.lists(st.tuples(st.integers(0, 4), st.integers(-5, 5)), max_size=30)


def _loop(stored: list[tuple[int, int]], code: int, moment: int) -> int | None:
    """The time of the row seen last."""
    times = [seen for one, seen in stored if one == code and seen <= moment]
    return max(times) if times else None


def _columns(rows: list[tuple[int, int]], unit: int) -> tuple[np.ndarray, np.ndarray]:
    pairs = np.array(rows, dtype=np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1] * unit


@pytest.mark.parametrize("unit", [1, 2**59], ids=["times that are packed", "times that are ranked"])
@given(stored=NUMBERS, asked=NUMBERS)
def test_the_row_seen_last_is_the_one_a_loop_finds(
    unit: int, stored: list[tuple[int, int]], asked: list[tuple[int, int]]
) -> None:
    stored_code, seen = _columns(stored, unit)
    code, moment = _columns(asked, unit)
    found = last_seen(stored_code, seen, code=code, moment=moment)
    for row, (one, when) in enumerate(asked):
        expected = _loop(stored, one, when)
        if expected is None:
            assert found.last[row] == -1
            assert found.tied[row] == 0
            continue
        winners = found.order[found.last[row] - found.tied[row] : found.last[row] + 1]
        assert sorted(winners) == [place for place, each in enumerate(stored) if each == (one, expected)]


def test_spread_counts_from_zero_below_each_count() -> None:
    assert spread(np.array([2, 1, 0, 3])).tolist() == [0, 1, 0, 0, 1, 2]
    assert spread(np.zeros(0, dtype=np.int64)).tolist() == []
