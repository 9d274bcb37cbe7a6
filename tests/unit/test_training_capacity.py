"""Value at capacity and the replayed weeks, by hand-made examples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.capacity import CHANCE, at_capacity, first_rows, gain_curve, share_of
from training.replay import replay_quarter

# Ten leads; the score finds the outcomes a, c and h in places 1, 3 and 8.
LABEL = np.array([1, 0, 1, 0, 0, 0, 0, 1, 0, 0], dtype=float)
SCORE = np.linspace(0.9, 0.1, 10)
WHO = np.array(list("abcdefghij"), dtype=object)


def test_caught_precision_and_share_found_by_hand() -> None:
    [table] = at_capacity(LABEL, {"model": SCORE}, entity=WHO, shares=(0.4,), seed=1)
    ours, chance = table.by_order["model"], table.by_order[CHANCE]
    assert table.count == 4
    assert ours.caught.value == pytest.approx(2.0)
    assert ours.precision.value == pytest.approx(0.5)
    assert ours.found.value == pytest.approx(2 / 3)
    assert chance.caught.value == pytest.approx(1.2)
    assert ours.gain.value == pytest.approx(0.8)
    assert table.ahead[CHANCE].value == pytest.approx(0.8)


def test_value_is_what_the_caught_outcomes_are_worth_and_expected_what_was_foretold() -> None:
    worth = np.array([100, 9, 10, 9, 9, 9, 9, 1000, 9, 9], dtype=float)
    [table] = at_capacity(
        LABEL, {"model": SCORE}, entity=WHO, shares=(0.3,), worth=worth, probabilities=("model",), seed=1
    )
    assert table.by_order["model"].value.value == pytest.approx(110.0)
    assert table.by_order["model"].expected == pytest.approx((SCORE * worth)[:3].sum())
    assert table.by_order[CHANCE].value.value == pytest.approx(0.3 * 1110)
    assert table.by_order[CHANCE].expected is None


def test_a_rule_that_says_the_same_of_all_is_chance() -> None:
    [table] = at_capacity(LABEL, {"model": SCORE, "rule_score": np.zeros(10)}, entity=WHO, shares=(0.25,), seed=1)
    rule, chance = table.by_order["rule_score"], table.by_order[CHANCE]
    assert rule.caught.value == pytest.approx(chance.caught.value)
    assert rule.caught.low == pytest.approx(chance.caught.low)
    assert table.ahead["rule_score"].value == pytest.approx(table.ahead[CHANCE].value)


def test_intervals_of_differences_are_paired() -> None:
    """Two orders that are the same never differ, in no replicate."""
    generator = np.random.default_rng(0)
    label = (generator.random(500) < 0.2).astype(float)
    score = generator.random(500)
    [table] = at_capacity(
        label, {"model": score, "rule_score": 2 * score}, entity=np.arange(500), shares=(0.1,), seed=1
    )
    ahead = table.ahead["rule_score"]
    assert (ahead.value, ahead.low, ahead.high) == (0.0, 0.0, 0.0)
    assert table.by_order["model"].caught.low < table.by_order["model"].caught.high  # type: ignore[operator]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.1, 0.3, 0.3, 0.8])), min_size=1, max_size=40))
def test_the_gain_curve_rises_from_nothing_to_all(rows: list[tuple[bool, float]]) -> None:
    label, score = np.array([float(row[0]) for row in rows]), np.array([row[1] for row in rows])
    curve = gain_curve(label, score)
    assert curve[0] == 0.0
    assert curve[-1] == pytest.approx(1.0 if label.any() else 0.0)
    assert np.all(np.diff(curve) >= -1e-12)


def test_no_outcome_at_all_is_caught_by_nobody() -> None:
    [table] = at_capacity(np.zeros(10), {"model": SCORE}, entity=WHO, shares=(0.5,), seed=1)
    assert table.by_order["model"].caught.value == 0.0
    assert gain_curve(np.zeros(10), SCORE, shares=(0.5,)) == (0.0,)


def test_each_lead_counts_at_its_first_row() -> None:
    as_of = np.array(["2024-02-01", "2024-01-01", "2024-03-01", "2024-01-15"], dtype="datetime64[us]")
    assert first_rows(np.array(["a", "a", "b", "b"], dtype=object), as_of).tolist() == [1, 3]


def test_a_number_a_week_becomes_a_share_of_those_that_come() -> None:
    as_of = np.datetime64("2024-01-01", "us") + np.arange(71) * np.timedelta64(1, "D")
    assert share_of(0.2, as_of) == 0.2
    assert share_of(3, as_of) == pytest.approx(30 / 71)
    assert share_of(1_000, as_of) == 1.0


def week(number: int) -> np.datetime64:
    return np.datetime64("2024-01-01T12:00:00", "us") + np.timedelta64(7 * number, "D")


def test_the_replay_works_the_best_of_each_weeks_queue_and_nobody_twice() -> None:
    """Two weeks, one lead a week. The score takes a, then c: a is done. The rule takes b, then a's newer row."""
    entity = np.array(["a", "b", "a", "c"], dtype=object)
    as_of = np.array([week(0), week(0), week(1), week(1)])
    label = np.array([1.0, 0.0, 1.0, 1.0])
    orders = {"model": np.array([0.9, 0.1, 0.95, 0.5]), "rule_score": np.array([1.0, 2.0, 3.0, 0.0])}
    found = replay_quarter(label, orders, entity=entity, as_of=as_of, capacity=1, seed=3)
    assert found is not None
    assert (found.per_week, found.worked, found.entities, found.outcomes) == (1, 2, 3, 2)
    assert [each.caught["model"] for each in found.weeks] == [1.0, 1.0]
    assert [each.caught["rule_score"] for each in found.weeks] == [0.0, 1.0]
    assert found.ahead["rule_score"].value == 1.0
    assert [each.queue for each in found.weeks] == [2, 2]


def test_chance_in_the_replay_finds_the_rate() -> None:
    generator = np.random.default_rng(2)
    count = 1_300
    as_of = week(0) + (np.arange(count) * 100) * np.timedelta64(1, "m")
    label = (generator.random(count) < 0.3).astype(float)
    found = replay_quarter(
        label, {"model": label + generator.random(count)}, entity=np.arange(count), as_of=as_of, capacity=0.2, seed=1
    )
    assert found is not None
    assert len(found.weeks) == 13
    assert found.totals[CHANCE].value == pytest.approx(0.3 * found.worked, rel=0.15)
    assert found.totals["model"].value > 3 * found.totals[CHANCE].value


def test_a_test_period_of_one_week_is_not_replayed() -> None:
    as_of = np.array([week(0), week(0)])
    assert (
        replay_quarter(np.ones(2), {"model": np.ones(2)}, entity=np.arange(2), as_of=as_of, capacity=0.5, seed=1)
        is None
    )
    assert (
        replay_quarter(np.ones(0), {"model": np.ones(0)}, entity=np.arange(0), as_of=as_of[:0], capacity=0.5, seed=1)
        is None
    )
