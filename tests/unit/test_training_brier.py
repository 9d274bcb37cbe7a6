"""Brier terms, reliability and calibration over time, by formula and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.brier import calibration_by_month, decompose, reliability_bins, wilson

ROWS = st.lists(
    st.tuples(st.booleans(), st.floats(0.0, 1.0, allow_subnormal=False), st.integers(0, 8)), min_size=1, max_size=120
)


def alone(count: int) -> np.ndarray:
    return np.arange(count).astype(str).astype(object)


@settings(max_examples=80, deadline=None)
@given(ROWS)
def test_the_terms_add_up_to_the_brier_score(rows: list[tuple[bool, float, int]]) -> None:
    label = np.array([float(row[0]) for row in rows])
    probability = np.array([row[1] for row in rows])
    entity = np.array([f"lead {row[2]}" for row in rows], dtype=object)
    terms = decompose(label, probability, entity)
    assert terms.brier == pytest.approx(((probability - label) ** 2).mean())
    whole = terms.reliability - terms.resolution + terms.uncertainty + terms.within
    assert whole == pytest.approx(terms.brier, abs=1e-12)
    corrected = terms.reliability_corrected - terms.resolution_corrected + terms.uncertainty_corrected + terms.within
    assert corrected == pytest.approx(terms.brier, abs=1e-12)


def test_the_terms_are_murphys_where_probabilities_are_few() -> None:
    """Three probabilities, each a bin of its own: the textbook's sums, and nothing left within bins."""
    probability = np.repeat([0.1, 0.4, 0.8], [10, 20, 10])
    label = np.r_[np.repeat([1.0, 0.0], [2, 8]), np.repeat([1.0, 0.0], [6, 14]), np.repeat([1.0, 0.0], [9, 1])]
    rates, sizes, rate = np.array([0.2, 0.3, 0.9]), np.array([10, 20, 10]), 17 / 40
    terms = decompose(label, probability, alone(40))
    assert terms.reliability == pytest.approx((sizes * (np.array([0.1, 0.4, 0.8]) - rates) ** 2).sum() / 40)
    assert terms.resolution == pytest.approx((sizes * (rates - rate) ** 2).sum() / 40)
    assert terms.uncertainty == pytest.approx(rate * (1 - rate))
    assert terms.within == pytest.approx(0.0, abs=1e-12)


def test_the_correction_is_ferro_and_frickers_with_one_row_per_lead() -> None:
    probability = np.repeat([0.1, 0.5], 20)
    label = np.r_[np.repeat([1.0, 0.0], [4, 16]), np.repeat([1.0, 0.0], [11, 9])]
    terms = decompose(label, probability, alone(40))
    noise = (20 * 0.2 * 0.8 / 19 + 20 * 0.55 * 0.45 / 19) / 40
    rate = 15 / 40
    assert terms.reliability - terms.reliability_corrected == pytest.approx(noise)
    assert terms.uncertainty_corrected - terms.uncertainty == pytest.approx(rate * (1 - rate) / 39)
    assert terms.resolution - terms.resolution_corrected == pytest.approx(noise - rate * (1 - rate) / 39)


def test_corrected_reliability_of_true_probabilities_is_about_nothing() -> None:
    found, raw = [], []
    for seed in range(60):
        generator = np.random.default_rng(seed)
        truth = generator.beta(1, 6, 120)
        entity = np.repeat(np.arange(120), 4)
        probability = truth[entity]
        label = (generator.random(120) < truth).astype(float)[entity]
        terms = decompose(label, probability, entity.astype(str).astype(object))
        found.append(terms.reliability_corrected)
        raw.append(terms.reliability)
    assert np.mean(raw) > 0.004
    assert abs(np.mean(found)) < 0.2 * np.mean(raw)


@pytest.mark.parametrize("label", [[0.0], [1.0], [0.0, 0.0, 0.0], [1.0, 1.0]])
def test_one_class_and_one_row_have_terms_and_bins(label: list[float]) -> None:
    values, probability = np.array(label), np.full(len(label), 0.3)
    terms = decompose(values, probability, alone(len(label)))
    assert terms.resolution == 0.0
    assert terms.uncertainty == 0.0
    bins = reliability_bins(values, probability, alone(len(label)))
    assert [each.rows for each in bins] == [len(label)]
    assert bins[0].observed_low <= label[0] <= bins[0].observed_high


def test_no_rows_have_no_bins() -> None:
    assert reliability_bins(np.empty(0), np.empty(0), alone(0)) == ()


def test_rows_of_one_lead_count_once_in_a_bins_interval() -> None:
    label, probability = np.r_[np.ones(30), np.zeros(30)], np.full(60, 0.5)
    wide = reliability_bins(label, probability, np.repeat(["a", "b"], 30).astype(object))[0]
    narrow = reliability_bins(label, probability, alone(60))[0]
    assert (wide.entities, narrow.entities) == (2, 60)
    assert (wide.observed_low, wide.observed_high) == pytest.approx(wilson(0.5, 2))
    assert wide.observed_low < narrow.observed_low


def test_months_are_by_moment_of_scoring() -> None:
    as_of = np.array(["2024-01-31T23:59:59", "2024-02-01T00:00:00", "2024-02-29T12:00:00"], dtype="datetime64[us]")
    months = calibration_by_month(np.array([1.0, 0.0, 1.0]), np.array([0.4, 0.2, 0.6]), alone(3), as_of)
    assert [(each.month, each.rows, each.observed) for each in months] == [("2024-01", 1, 1.0), ("2024-02", 2, 0.5)]
    assert months[1].predicted == pytest.approx(0.4)
