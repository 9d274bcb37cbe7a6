from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from training.forecast.frame import BottomForecast, summarise
from training.forecast.periods import Period, parse_period
from training.forecast.reconciliation import build_hierarchy

HIERARCHY = build_hierarchy({"company": ["company"] * 3, "team": ["east", "east", "west"], "rep": ["r1", "r2", "r3"]})
MONTHS = tuple(Period(2026 * 12 + month, 1) for month in range(3))
QUARTER = parse_period("2026Q1")
CENTS = arrays(np.int64, (3, 3), elements=st.integers(-(10**9), 10**9))


def forecast(closed: np.ndarray, opened: np.ndarray, *, factors: dict | None = None, seed: int = 0) -> BottomForecast:
    paths = np.random.default_rng(seed).gamma(1.0, 100.0, (200, 3, 3))
    return BottomForecast(
        hierarchy=HIERARCHY,
        base=MONTHS,
        components={"closed": closed, "open": opened},
        paths=paths,
        factors=factors or {},
    )


@given(closed=CENTS, opened=CENTS)
@settings(max_examples=30, deadline=None)
def test_expected_values_add_up_to_the_cent_over_levels_and_months(closed: np.ndarray, opened: np.ndarray) -> None:
    values = summarise(forecast(closed, opened), [*MONTHS, QUARTER])
    cents = (values["expected"] * 100).round().astype("int64")
    table = cents.groupby([values["level"], values["period"]]).sum()
    for period in ("2026-01", "2026-02", "2026-03", "2026Q1"):
        assert table["company", period] == table["team", period] == table["rep", period]
    by_entity = cents.groupby([values["entity_id"], values["period"]]).sum()
    for entity in ("company", "east", "r3"):
        months = sum(by_entity[entity, month.name] for month in MONTHS)
        assert by_entity[entity, "2026Q1"] == months


@given(eighty=st.floats(0.5, 4.0), ninety_five=st.floats(0.5, 4.0))
@settings(max_examples=30, deadline=None)
def test_intervals_are_ordered_and_hold_the_median_whatever_the_factors(eighty: float, ninety_five: float) -> None:
    factors = {level: {80: eighty, 95: ninety_five} for level in HIERARCHY.levels}
    closed = np.full((3, 3), 5_000, dtype=np.int64)
    values = summarise(forecast(closed, closed, factors=factors), [*MONTHS, QUARTER])
    assert (values["lower_95"] <= values["lower_80"]).all()
    assert (values["lower_80"] <= values["median"]).all()
    assert (values["median"] <= values["upper_80"]).all()
    assert (values["upper_80"] <= values["upper_95"]).all()
    # What is closed already cannot be lost to a wide interval.
    assert (values["lower_95"] >= values["closed"]).all()


def test_the_components_add_up_to_the_expected_value() -> None:
    cents = np.arange(9, dtype=np.int64).reshape(3, 3)
    values = summarise(forecast(cents, cents * 2), [QUARTER])
    assert values["expected"].tolist() == pytest.approx((values["closed"] + values["open"]).tolist())
    assert values["new"].isna().all()


def test_the_median_is_that_of_the_sum_not_the_sum_of_medians() -> None:
    bottom = forecast(np.zeros((3, 3), np.int64), np.zeros((3, 3), np.int64))
    values = summarise(bottom, [QUARTER]).set_index("entity_id")
    assert values.loc["company", "median"] == pytest.approx(np.median(bottom.paths.sum(axis=(1, 2))), abs=0.01)


def test_a_baseline_that_is_not_known_for_every_month_is_missing_not_zero() -> None:
    baseline = np.ones((3, 3))
    baseline[0, 0] = np.nan
    zeros = np.zeros((3, 3), np.int64)
    made = BottomForecast(
        hierarchy=HIERARCHY,
        base=MONTHS,
        components={"closed": zeros},
        paths=np.zeros((2, 3, 3)),
        baselines={"naive": baseline},
    )
    values = summarise(made, [QUARTER]).set_index("entity_id")["naive"]
    assert np.isnan(values["company"])
    assert values["r2"] == 3.0
