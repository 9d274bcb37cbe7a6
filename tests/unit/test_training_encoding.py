"""Columns to matrix: missing stays missing, an unseen category has a code of its own."""

from __future__ import annotations

import numpy as np
import pytest

from common.errors import ContractError
from training.encoding import encode_columns, fit_categories
from training.manifest import FeatureEntry


def entry(name: str, dtype: str, categories: tuple[str | None, ...] = (), other: int = -1) -> FeatureEntry:
    return FeatureEntry(
        name=name,
        dtype=dtype,
        group="fit",
        about=name,
        unit="usd",
        phrase="{value}",
        categories=categories,
        other_code=other,
    )


def test_categories_are_ordered_by_outcome_rate_and_rare_ones_share_a_code() -> None:
    values = ["low"] * 100 + ["high"] * 100 + ["rare"] * 3 + [None] * 10
    label = np.r_[np.zeros(100), np.ones(100), np.zeros(13)]
    categories, other = fit_categories(values, label)
    assert categories == ("low", None, "high")
    assert other == 1


def test_unseen_and_rare_categories_have_their_own_code_and_missing_stays_nan() -> None:
    source = entry("source", "category", ("web", None, "event"), 1)
    matrix = encode_columns({"source": ["event", "never seen", None, "web"]}, [source])
    assert matrix[:, 0].tolist()[:2] == [2.0, 1.0]
    assert np.isnan(matrix[2, 0])
    assert matrix[3, 0] == 0.0


def test_missing_numbers_are_nan_and_never_zero() -> None:
    matrix = encode_columns({"amount": [1.5, None, float("nan"), 0]}, [entry("amount", "float")])
    assert matrix[[0, 3], 0].tolist() == [1.5, 0.0]
    assert np.isnan(matrix[1:3, 0]).all()


def test_a_bool_is_one_zero_or_missing() -> None:
    matrix = encode_columns({"flag": [True, False, None]}, [entry("flag", "bool")])
    assert matrix[:2, 0].tolist() == [1.0, 0.0]
    assert np.isnan(matrix[2, 0])


def test_columns_are_taken_by_name_whatever_their_order_and_a_missing_one_is_nan() -> None:
    features = [entry("a", "float"), entry("b", "float"), entry("c", "float")]
    matrix = encode_columns({"b": [2.0], "extra": [9.0], "a": [1.0]}, features)
    assert matrix[0, :2].tolist() == [1.0, 2.0]
    assert np.isnan(matrix[0, 2])


def test_a_text_where_a_number_is_needed_names_the_field() -> None:
    with pytest.raises(ContractError, match=r"'amount' holds values that are no numbers.*'much'") as caught:
        encode_columns({"amount": [1.0, "much"]}, [entry("amount", "float")])
    assert caught.value.field == "amount"


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ContractError, match="different lengths"):
        encode_columns({"a": [1.0], "b": [1.0, 2.0]}, [entry("a", "float"), entry("b", "float")])


def test_one_row_is_encoded_as_it_is_among_others() -> None:
    features = [entry("source", "category", ("web", None, "event"), 1), entry("amount", "float"), entry("flag", "bool")]
    columns = {
        "source": ["event", "never seen", None, "web", float("nan")],
        "amount": [1.5, None, float("nan"), 0, -2],
        "flag": [True, False, None, True, False],
    }
    whole = encode_columns(columns, features)
    for row in range(len(whole)):
        alone = encode_columns({name: values[row : row + 1] for name, values in columns.items()}, features)
        np.testing.assert_array_equal(alone, whole[row : row + 1])
    with pytest.raises(ContractError, match="'amount' holds values that are no numbers"):
        encode_columns({"amount": ["much"]}, features)
