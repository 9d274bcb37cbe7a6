"""What became of open leads and deals within a week: counted as it was known, and tested at its level."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import pytest
from features_world import connect, day, deal, lead
from scipy.stats import binom

from monitoring.checks import State
from monitoring.pace import ALPHA, EVENTS, Weeks, check_pace, compare_pace, split_weeks, weekly_pace

RATES = np.array([[0.15, 0.02, 0.05], [0.10, 0.06, 0.04]])


def simulated(random: np.random.Generator, weeks: int, *, things: int, factors=(1.0, 1.0, 1.0), week: float = 0.0):
    """Weeks whose things stand in two places and do what `RATES` say, times `factors` and what a week does to all."""
    of_them = np.full((weeks, 2), things // 2)
    lift = np.exp(random.normal(0, week, (weeks, 1, 3))) * np.array(factors)
    rates = np.clip(RATES[None] * lift, 0, 0.3)
    events = np.array(
        [
            [random.multinomial(things // 2, [*rates[w, place], 1 - rates[w, place].sum()])[:3] for place in range(2)]
            for w in range(weeks)
        ]
    )
    return Weeks(things=of_them.astype(float), events=events.astype(float))


@pytest.mark.parametrize(("things", "week"), [(100, 0.0), (1_000, 0.0), (1_000, 0.15), (20_000, 0.15)])
def test_weeks_without_change_ring_at_the_stated_rate(things: int, week: float) -> None:
    random = np.random.default_rng(things)
    reports = 300
    rung = 0
    for _ in range(reports):
        past, newest = (simulated(random, count, things=things, week=week) for count in (80, 8))
        pace = compare_pace(past, newest)
        assert pace is not None
        rung += pace.rings
    # A true rate of 1 % exceeds this in one of a thousand sets of reports.
    assert rung <= binom.ppf(0.999, reports, ALPHA)


def test_a_faster_pace_is_found_and_what_changed_is_named() -> None:
    random = np.random.default_rng(5)
    past = simulated(random, 80, things=400, week=0.05)
    check = check_pace(past, simulated(random, 8, things=400, factors=(1.0, 1.0, 1.6), week=0.05), things="deals")
    assert (check.state, check.cause) == (State.NOTICE, "lost")
    assert "lost where" in check.says
    assert [event["event"] for event in check.figures["events"]] == list(EVENTS)
    quiet = check_pace(past, simulated(random, 8, things=400, week=0.05), things="deals")
    assert quiet.state == State.OK
    assert "as it was" in quiet.says


def test_more_things_in_a_place_are_no_change_of_pace() -> None:
    random = np.random.default_rng(6)
    past, newest = (simulated(random, count, things=2_000) for count in (80, 8))
    doubled = Weeks(things=newest.things * [[2, 1]], events=newest.events * [[[2], [1]]])
    pace = compare_pace(past, doubled)
    assert pace is not None
    assert not pace.rings


def test_too_few_weeks_are_not_compared() -> None:
    random = np.random.default_rng(7)
    past, newest = simulated(random, 80, things=200), simulated(random, 8, things=200)
    assert compare_pace(past, newest) is not None
    assert compare_pace(past, newest.rows(slice(0, 0))) is None
    check = check_pace(past.rows(slice(0, 10)), newest, things="deals")
    assert check.state == State.UNKNOWN
    assert "10 reference weeks of open deals; 26 are needed" in check.says


def counted(tables, *, task: str, end: float, most: int) -> dict[str, list[float]]:
    warehouse = SimpleNamespace(duckdb=lambda: connect(tables))
    weeks = weekly_pace(warehouse, task=task, end=day(end), most=most)
    found = {name: weeks.events[:, :, place].sum(axis=1).tolist() for place, name in enumerate(EVENTS)}
    return found | {"things": weeks.things.sum(axis=1).tolist()}


def test_a_weeks_events_are_what_was_known_as_it_ended() -> None:
    deals = [
        deal("old", 0),  # from here on the ages are known: day 84
        deal("mover", 80), deal("mover", 100, stage="propose"),
        deal("winner", 80), deal("winner", 93, 99, status="won"),  # won in one week, known in the next
        deal("loser", 80), deal("loser", 92, status="lost"),
        deal("late", 97),
    ]  # fmt: skip
    found = counted({"opportunities": deals}, task="deal", end=105, most=20)
    # Weeks end on days 105, 98, 91; that which began on day 77 is before the ages are known.
    assert found == {"moved": [0, 0, 1], "won": [0, 0, 1], "lost": [0, 1, 0], "things": [4, 4, 4]}


def test_leads_are_counted_by_their_status() -> None:
    leads = [
        lead("old", 0),
        lead("a", 80), lead("a", 86, status="working"),
        lead("b", 80), lead("b", 86, status="converted"),
        lead("c", 80), lead("c", 86, status="disqualified"),
        lead("gone", 80), lead("gone", 86, is_deleted=True),
    ]  # fmt: skip
    found = counted({"leads": leads}, task="lead", end=91, most=1)
    assert found == {"moved": [1], "won": [1], "lost": [1], "things": [5]}


def test_a_later_correction_changes_no_earlier_week() -> None:
    deals = [deal("old", 0), deal("x", 80), deal("x", 86, status="lost")]
    before = counted({"opportunities": deals}, task="deal", end=91, most=1)
    corrected = [*deals, deal("x", 86, 95, status="won")]
    assert counted({"opportunities": corrected}, task="deal", end=91, most=1) == before


def test_weeks_are_split_where_the_model_stopped_learning_and_leave_the_newest_eight() -> None:
    weeks = Weeks(things=np.arange(40.0)[:, None], events=np.zeros((40, 1, 3)))
    for ago, newest in ((1, 8), (15 * 7, 15), (15 * 7 - 2, 15), (1_000, 40)):
        past, since = split_weeks(weeks, end=day(0), learned_until=day(0) - timedelta(days=ago))
        assert (len(past), len(since)) == (40 - newest, newest)
