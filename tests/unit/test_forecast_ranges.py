from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from training.forecast.frame import _settle_ties
from training.forecast.periods import parse_period
from training.forecast.ranges import _between, factor_of, learn_factors, range_key


def judged(scores: np.ndarray, *, entities: int = 1, group: str = "company") -> pd.DataFrame:
    """Rows whose actual values lie at `scores` times the half width above the median, oldest first."""
    half = {80: 1.2816, 95: 1.96}
    rows = pd.DataFrame({"actual": 100.0 + scores, "median": 100.0, "group": group})
    for percent, width in half.items():
        rows[f"lower_{percent}"], rows[f"upper_{percent}"] = 100.0 - width, 100.0 + width
    return rows.assign(at=np.arange(len(scores)) // entities)


def test_periods_are_grouped_by_length_and_by_how_far_ahead_they_end() -> None:
    january = 2026 * 12
    keys = {
        "2026-02": "team:month",
        "2026Q1": "team",
        "2026Q2": "team:later",
        "2026": "team:later",
    }
    for period, expected in keys.items():
        assert range_key("team", parse_period(period), origin_month=january) == expected
    assert range_key("team", parse_period("2026Q1"), origin_month=january + 1) == "team:rest"


def test_a_group_never_judged_takes_its_levels_factors() -> None:
    factors = {"team": {80: 1.2, 95: 1.1}}
    assert factor_of(factors, "team:later") == {80: 1.2, 95: 1.1}
    assert factor_of(factors, "rep") == {}


def test_ranges_that_held_as_often_as_they_say_are_kept() -> None:
    scores = np.random.default_rng(3).normal(size=12_000)
    factors = learn_factors(judged(scores, entities=300))
    assert factors["company"][80] == pytest.approx(1.0, abs=0.05)
    assert factors["company"][95] == pytest.approx(1.0, abs=0.06)


def test_ranges_that_were_too_narrow_are_widened() -> None:
    scores = 1.5 * np.random.default_rng(4).normal(size=12_000)
    factors = learn_factors(judged(scores, entities=300))
    assert factors["company"][80] == pytest.approx(1.5, abs=0.12)
    assert factors["company"][95] == pytest.approx(1.5, abs=0.15)


def test_few_origins_never_make_a_range_narrower() -> None:
    calm = judged(np.array([0.1, -0.1, 0.2]))
    assert learn_factors(calm)["company"] == {80: 1.0, 95: 1.0}
    # Four in five need at least four origins, nineteen in twenty at least nineteen.
    nine = judged(np.full(9, 0.1))
    assert learn_factors(nine)["company"][80] < 1.0
    assert learn_factors(nine)["company"][95] == 1.0


@pytest.mark.parametrize("shape", ["uniform", "normal"])
def test_few_origins_hold_the_nominal_share_and_not_more_on_average(shape: str) -> None:
    rng = np.random.default_rng(5)
    # Six scores and a seventh: of 6 (+ 1) the rank 5.6 is asked for, between the fifth and the widest.
    scores = rng.random((20_000, 7)) if shape == "uniform" else np.abs(rng.normal(size=(20_000, 7)))
    ordered = np.sort(scores[:, :6], axis=1)
    ends = [_between(row, np.arange(1.0, 7.0), 0.8 * 7, 5) for row in ordered]
    assert (scores[:, 6] <= ends).mean() == pytest.approx(0.8, abs=0.012)
    assert _between(ordered[0], np.arange(1.0, 7.0), 6.7, 6) == ordered[0, -1]


def test_recent_misses_count_more_than_old_ones() -> None:
    calm, wild = np.full(20, 0.3), np.full(4, 3.0)
    late = learn_factors(judged(np.r_[calm, wild]))["company"][80]
    early = learn_factors(judged(np.r_[wild, calm]))["company"][80]
    assert late > early


def test_entities_of_one_origin_count_less_than_as_many_origins() -> None:
    scores = np.full(8, 2.5)
    apart = learn_factors(judged(scores))["company"][80]
    together = learn_factors(judged(scores, entities=8))["company"][80]
    assert 1.0 < together < apart


def test_where_many_paths_are_nothing_the_range_holds_its_share_not_more() -> None:
    sums = np.r_[np.zeros(150), np.linspace(1.0, 100.0, 350)][:, None]
    found = {
        name: np.quantile(sums, level, axis=0)
        for name, level in {
            "lower_95": 0.025,
            "lower_80": 0.1,
            "median": 0.5,
            "upper_80": 0.9,
            "upper_95": 0.975,
        }.items()
    }
    _settle_ties(found, sums)
    for percent, share in ((80, 0.8), (95, 0.95)):
        inside = (sums >= found[f"lower_{percent}"]) & (sums <= found[f"upper_{percent}"])
        assert inside.mean() == pytest.approx(share, abs=0.005)


def test_without_ties_the_ends_stay_where_they_are() -> None:
    sums = np.random.default_rng(1).normal(size=(500, 3))
    names = {"lower_95": 0.025, "lower_80": 0.1, "median": 0.5, "upper_80": 0.9, "upper_95": 0.975}
    found = {name: np.quantile(sums, level, axis=0) for name, level in names.items()}
    kept = {name: values.copy() for name, values in found.items()}
    _settle_ties(found, sums)
    assert all(np.array_equal(found[name], kept[name]) for name in names)
