"""Which mature rows a recalibration learns from, and which judge it."""

from __future__ import annotations

import numpy as np

from monitoring.recalibrating import LEAST_OUTCOMES, MOST_JUDGING, divide


def rows(leads: int, *, each: int = 2, rate: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A lead a day with a row on each of so many weeks; every fourth converts."""
    lead = np.repeat(np.arange(leads), each)
    week = np.tile(np.arange(each), leads)
    as_of = np.datetime64("2024-01-01T08:00", "us") + (lead + 7 * week) * np.timedelta64(1, "D")
    entity = np.char.add("lead_", lead.astype(str)).astype(object)
    return as_of, entity, (lead % rate == 0).astype(float)


def test_the_newest_leads_judge_and_no_lead_stands_on_both_sides() -> None:
    as_of, entity, label = rows(4 * (2 * MOST_JUDGING + 10))
    division = divide(as_of, entity, label)
    assert division is not None
    learned, judged = set(entity[division.learned].tolist()), set(entity[division.judged].tolist())
    assert not learned & judged
    first = {name: as_of[entity == name].min() for name in (*learned, *judged)}
    assert max(first[name] for name in learned) < min(first[name] for name in judged)
    converted = {name for name, came in zip(entity, label, strict=True) if came and name in judged}
    assert MOST_JUDGING <= len(converted) <= MOST_JUDGING + 2
    assert (np.diff(as_of[division.learned]) >= np.timedelta64(0)).all()


def test_rows_whose_labels_are_not_mature_neither_teach_nor_judge() -> None:
    as_of, entity, label = rows(4 * (2 * MOST_JUDGING + 10))
    newest = as_of > as_of.max() - np.timedelta64(30, "D")
    division = divide(as_of, entity, np.where(newest, np.nan, label))
    assert division is not None
    used = np.concatenate([division.learned, division.judged])
    assert not newest[used].any()
    assert as_of[division.judged].max() == as_of[~newest].max()


def test_too_few_outcomes_to_learn_from_or_to_judge_are_refused() -> None:
    assert divide(*rows(4 * (2 * LEAST_OUTCOMES - 1))) is None
    assert divide(*rows(4 * 3 * LEAST_OUTCOMES)) is not None


def test_where_few_outcomes_are_known_half_of_them_judge() -> None:
    as_of, entity, label = rows(4 * 60)
    division = divide(as_of, entity, label)
    assert division is not None
    judging = {name for name, came in zip(entity[division.judged], label[division.judged], strict=True) if came}
    assert len(judging) == 30
