"""The test for a change of the times: how often it rings in steady times, and what it sees."""

from __future__ import annotations

import numpy as np
import pytest

from training.forecast.metrics import FloatArray
from training.forecast.turn import ALARM, Counts, find_turn

SEASON = 1.0 + 0.25 * np.sin(np.arange(12) * np.pi / 6)
FIRST = 2024 * 12


def usual(months: int, level: float) -> FloatArray:
    """Counts to be expected: a season, and growth of a tenth a year."""
    return np.asarray(level * SEASON[np.arange(months) % 12] * 1.1 ** (np.arange(months) / 12), dtype=np.float64)


def drawn(rng: np.random.Generator, *, months: int = 40, newest: int = 2, **factors: float) -> list[Counts]:
    """Leads, deals and losses of a company; the newest months times the factors."""
    found = []
    for name, level in (("leads", 500.0), ("deals", 150.0)):
        mean = usual(months, level)
        mean[-newest:] *= factors.get(name, 1.0)
        found.append(Counts(name, rng.poisson(mean).astype(float), first=FIRST))
    expected = np.full(24, 90.0)
    mean = expected.copy()
    mean[-newest:] *= factors.get("losses", 1.0)
    return [*found, Counts("losses", rng.poisson(mean).astype(float), expected=expected)]


@pytest.mark.parametrize("months", [14, 23, 30, 48])
def test_in_steady_times_it_rings_in_at_most_one_forecast_of_twenty(months: int) -> None:
    rng = np.random.default_rng(months)
    # Before there are two years no season can be told: then there is none in what is counted, either.
    rings = 0
    for _ in range(400):
        counts = drawn(rng, months=months)
        if months < 30:
            flat = [Counts(one.name, rng.poisson(np.full(months, 150.0)).astype(float), first=FIRST) for one in counts]
            counts = [*flat[:2], counts[2]]
        rings += find_turn(counts).has_come
    assert rings / 400 <= ALARM + 0.022


def test_a_fall_of_leads_and_deals_and_a_rise_of_losses_is_seen_after_two_months() -> None:
    rng = np.random.default_rng(1)
    found = [find_turn(drawn(rng, leads=0.8, deals=0.8, losses=1.25)) for _ in range(50)]
    assert sum(turn.has_come for turn in found) >= 48
    turn = found[0]
    assert turn.since == turn.months
    ratios = {one.name: one.ratio for one in turn.seen}
    assert ratios["leads"] == pytest.approx(0.8, abs=0.1)
    assert ratios["losses"] == pytest.approx(1.25, abs=0.2)


def test_a_season_and_growth_that_were_there_before_are_no_change() -> None:
    exact = Counts("leads", usual(48, 500.0), first=FIRST)
    (seen,) = find_turn([exact]).seen
    assert seen.ratio == pytest.approx(1.0, abs=0.02)
    assert not find_turn([exact]).has_come


def test_counts_that_always_scattered_more_need_a_larger_surprise() -> None:
    rng = np.random.default_rng(2)
    expected = np.full(24, 100.0)
    calm = rng.poisson(expected).astype(float)
    wild = np.round(expected * np.exp(rng.normal(0.0, 0.3, 24)))
    calm[-2:], wild[-2:] = 135.0, 135.0
    (of_calm,) = find_turn([Counts("losses", calm, expected=expected)]).seen
    (of_wild,) = find_turn([Counts("losses", wild, expected=expected)]).seen
    assert of_calm.surprise > of_wild.surprise


def test_too_few_months_or_things_say_nothing() -> None:
    nothing = find_turn([Counts("leads", np.full(6, 100.0)), Counts("deals", np.full(40, 2.0))])
    assert (nothing.chance, nothing.months, nothing.seen) == (1.0, 0, ())
    assert nothing.since == 0
    assert find_turn([]).details() == {"chance_in_steady_times": 1.0, "months": 0, "seen": {}}


def test_months_of_the_year_never_seen_before_do_not_break_it() -> None:
    quiet = usual(40, 300.0)
    quiet[3:12] = 0.0
    assert 0.0 <= find_turn([Counts("leads", quiet, first=FIRST)]).chance <= 1.0


def test_the_most_surprising_is_named_first_and_what_is_usual_is_not() -> None:
    turn = find_turn(drawn(np.random.default_rng(5), leads=0.6, losses=1.5))
    names = [one.name for one in turn.standing_out]
    assert names[0] == "leads"
    assert "deals" not in names
