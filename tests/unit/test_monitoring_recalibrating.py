"""What a recalibration foretells, from what, and where the level is in the end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from common.settings import GateSettings
from monitoring.recalibrating import LEAST_OUTCOMES, Foretold, foretell
from training.calibration import log_loss_rows, sigmoid
from training.gate.holdout import Holdout
from training.gate.judging import judge_quality

DAY = np.timedelta64(1, "D")
BEGIN = np.datetime64("2024-01-01T08:00", "us")
BEFORE = BEGIN - DAY


def rows(leads: int, *, each: int = 2, rate: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A lead a day with a row on each of so many weeks; every fourth converts."""
    lead = np.repeat(np.arange(leads), each)
    week = np.tile(np.arange(each), leads)
    as_of = BEGIN + (lead + 7 * week) * DAY
    entity = np.char.add("lead_", lead.astype(str)).astype(object)
    return as_of, entity, (lead % rate == 0).astype(float)


def followed(
    as_of: np.ndarray, entity: np.ndarray, label: np.ndarray, *, answer: float = 0.5, until: np.datetime64 = BEFORE
) -> Foretold | None:
    return foretell(as_of, entity, label, np.full(len(label), answer), learned_until=until)


def test_a_lead_is_answered_by_what_was_known_before_its_first_week_alone() -> None:
    """Whatever comes of a lead and of all later ones, what was foretold of it and of earlier ones stays the same."""
    as_of, entity, label = rows(400)
    found = followed(as_of, entity, label)
    assert found is not None
    turn = BEGIN + 210 * DAY
    first = {name: as_of[entity == name].min() for name in set(entity.tolist())}
    is_early = np.array([first[name] < turn for name in entity])
    other = followed(as_of, entity, np.where(is_early, label, 1 - label))
    assert other is not None
    assert np.array_equal(found.judged, other.judged)
    early = is_early[found.judged]
    assert np.array_equal(found.probability[early], other.probability[early])
    # The leads of that week are answered as before it; those of the next are not.
    later = as_of[found.judged] > turn + 14 * DAY
    assert (np.abs(found.probability - other.probability)[later & ~early] > 0).all()


def test_rows_of_one_week_get_one_level_and_a_leads_later_rows_that_of_its_first() -> None:
    as_of, entity, label = rows(400, each=3)
    found = followed(as_of, entity, label)
    assert found is not None
    for name in ("lead_8", "lead_201", "lead_390"):
        assert len(set(found.probability[entity[found.judged] == name].tolist())) == 1


def test_the_level_comes_to_the_outcomes() -> None:
    found = followed(*rows(2_000))
    assert found is not None
    assert found.probability[0] == 0.5
    assert 1 / (1 + np.exp(-found.level)) == pytest.approx(0.25, abs=0.02)
    # The newest are foretold nearly as well as they can be.
    assert found.probability[-200:].mean() == pytest.approx(0.25, abs=0.02)


def test_leads_that_the_champion_learned_from_teach_the_level_and_judge_nothing() -> None:
    as_of, entity, label = rows(400)
    until = BEGIN + 200 * DAY
    found = followed(as_of, entity, label, until=until)
    assert found is not None
    assert len(found.known) == len(label)
    judging = set(entity[found.judged].tolist())
    # Also a later row of a lead whose first one it learned from.
    assert min(int(name.removeprefix("lead_")) for name in judging) == 201
    assert found.probability[0] == pytest.approx(0.25, abs=0.04)


def test_rows_whose_labels_are_not_mature_neither_teach_nor_judge() -> None:
    as_of, entity, label = rows(400)
    newest = as_of > as_of.max() - 30 * DAY
    found = followed(as_of, entity, np.where(newest, np.nan, label))
    assert found is not None
    assert not newest[found.known].any()
    assert as_of[found.judged].max() == as_of[~newest].max()
    assert (np.diff(as_of[found.known]) >= np.timedelta64(0)).all()


def test_too_few_outcomes_to_judge_are_refused() -> None:
    assert followed(*rows(4 * (LEAST_OUTCOMES - 1))) is None
    assert followed(*rows(4 * LEAST_OUTCOMES)) is not None
    as_of, entity, label = rows(400)
    assert followed(as_of, entity, label, until=as_of.max() - 4 * (LEAST_OUTCOMES - 1) * DAY) is None
    assert followed(as_of, entity, np.full(len(label), np.nan)) is None


def test_the_gate_judges_what_was_foretold_but_ranks_by_what_the_challenger_says() -> None:
    """A level that fell in between puts the first week's leads before all others; nobody works them so."""
    random = np.random.default_rng(7)
    margin = random.normal(-2.0, 1.0, 2_000)
    label = (random.random(2_000) < sigmoid(margin)).astype(float)
    champion, challenger = sigmoid(margin + 1.5), sigmoid(margin)
    foretold = np.where(np.arange(2_000) < 200, champion, challenger)
    holdout = Holdout(columns={}, label=label, entity=np.arange(2_000).astype(str), base_rate=0.2, foretold=foretold)
    limits = GateSettings()
    checks = {check.name: check for check in judge_quality(challenger, champion, holdout, limits=limits, seed=1)}
    assert all(check.passed for check in checks.values())
    loss, value = checks["log_loss"].figures, checks["value"].figures
    assert loss["log_loss_challenger"] == pytest.approx(log_loss_rows(label, foretold).mean())
    assert value["value_challenger"] == value["value_champion"]
    assert checks["calibration"].figures["calibration_error_challenger"] > 0.01

    late = replace(holdout, foretold=champion)
    checks = {check.name: check for check in judge_quality(challenger, champion, late, limits=limits, seed=1)}
    assert not checks["log_loss"].passed
