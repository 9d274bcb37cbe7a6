"""The distances against the textbook and against Evidently's own functions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.distances import jensen_shannon, missing_counts, wasserstein_norm


def split(reference: int, current: int) -> np.ndarray:
    return np.array([[False]] * reference + [[True]] * current)


def test_wasserstein_of_a_shift_is_the_shift_in_standard_deviations() -> None:
    reference = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    pooled = np.concatenate([reference, reference + 3.0])
    assert wasserstein_norm(pooled, is_current=split(5, 5))[0] == pytest.approx(3.0 / np.std(reference))


def test_jensen_shannon_of_disjoint_categories_is_the_root_of_log_two() -> None:
    codes = np.array([0] * 6 + [1] * 6)
    assert jensen_shannon(codes, is_current=split(6, 6))[0] == pytest.approx(np.sqrt(np.log(2)))


def test_equal_sides_have_no_distance() -> None:
    numbers, codes = np.array([1.0, 2.0, 2.0, 5.0, 9.0] * 2), np.array([0, 1, 1, 2, 0] * 2)
    assert wasserstein_norm(numbers, is_current=split(5, 5))[0] == pytest.approx(0.0)
    assert jensen_shannon(codes, is_current=split(5, 5))[0] == pytest.approx(0.0)


def test_missing_values_take_no_part_in_a_distance() -> None:
    with_gaps = np.array([1.0, np.nan, 2.0, 3.0, 4.0, 5.0, np.nan, 2.0, 3.0, 4.0, 5.0, 6.0])
    members = split(6, 6)
    without = with_gaps[~np.isnan(with_gaps)]
    expected = wasserstein_norm(without, is_current=members[~np.isnan(with_gaps)])
    assert wasserstein_norm(with_gaps, is_current=members) == pytest.approx(expected)


@pytest.mark.parametrize("distance", [wasserstein_norm, jensen_shannon])
def test_fewer_than_five_values_on_a_side_give_no_distance(distance) -> None:
    assert np.isnan(
        distance(np.zeros(10, dtype=float if distance is wasserstein_norm else int), is_current=split(6, 4))
    )


def test_missing_counts_are_those_of_the_current_side() -> None:
    assert missing_counts(np.array([True, False, True, True]), is_current=split(2, 2)).tolist() == [2]


@given(
    reference=st.lists(st.integers(-5, 5), min_size=5, max_size=30),
    current=st.lists(st.integers(-5, 5), min_size=5, max_size=30),
)
def test_distances_equal_scipy(reference: list[int], current: list[int]) -> None:
    from scipy.spatial.distance import jensenshannon
    from scipy.stats import wasserstein_distance

    members = split(len(reference), len(current))
    pooled = np.array(reference + current, dtype=float)
    expected = wasserstein_distance(reference, current) / max(np.std(reference), 0.001)
    assert wasserstein_norm(pooled, is_current=members)[0] == pytest.approx(expected, rel=1e-9, abs=1e-9)
    codes = (pooled + 5).astype(int)
    shares = [np.bincount(side, minlength=11) / len(side) for side in np.split(codes, [len(reference)])]
    found = jensen_shannon(codes, is_current=members)[0]
    assert found == pytest.approx(np.nan_to_num(jensenshannon(*shares)), abs=1e-7)


def test_distances_equal_evidently() -> None:
    from monitoring.evidently_report import METHODS, _evidently_quiet

    with _evidently_quiet():
        from evidently.legacy.calculations.stattests import get_stattest
        from evidently.legacy.core import ColumnType

    random = np.random.default_rng(5)
    for kind, reference, current in (
        ("numeric", random.lognormal(3, 2, 900), random.lognormal(3.2, 2, 130)),
        ("numeric", random.poisson(2, 900).astype(float), random.poisson(3, 130).astype(float)),
        ("categorical", random.choice(list("abcd"), 900), random.choice(list("abcde"), 130)),
    ):
        sides = [pd.Series(reference), pd.Series(current)]
        column_type = ColumnType.Numerical if kind == "numeric" else ColumnType.Categorical
        theirs = get_stattest(*sides, column_type, METHODS[kind])(*sides, column_type, 0.1).drift_score
        members = split(len(reference), len(current))
        if kind == "numeric":
            ours = wasserstein_norm(np.concatenate(sides), is_current=members)[0]
        else:
            codes = pd.factorize(np.concatenate(sides))[0].astype(np.int64)
            ours = jensen_shannon(codes, is_current=members)[0]
        assert ours == pytest.approx(theirs, rel=1e-9)
