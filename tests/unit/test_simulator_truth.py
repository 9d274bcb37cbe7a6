"""The truths against what happened, and against an independent computation with explicit matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from warehouse.simulator import parameters as p
from warehouse.simulator.accounts import Accounts
from warehouse.simulator.config import SimulationConfig
from warehouse.simulator.deal_records import booked_amount, expected_booking
from warehouse.simulator.deals import LOST, RIVAL, WON, DealRates, Deals, deal_rates, plan_deals
from warehouse.simulator.leads import CONVERTED, LeadPaths, Leads, arrive, lead_rates, live
from warehouse.simulator.moments import DAY, Calendar, Floats, Ints, worked_share
from warehouse.simulator.organisation import hire, plan_campaigns
from warehouse.simulator.pursuit import DealHistory, closed_at, pursue
from warehouse.simulator.truth import DealTruth, lead_truth


@dataclass(frozen=True)
class World:
    config: SimulationConfig
    calendar: Calendar
    leads: Leads
    paths: LeadPaths
    deals: Deals
    accounts: Accounts
    history: DealHistory
    truth: DealTruth
    of_leads: dict[str, Any]
    soon: Floats


def make(config: SimulationConfig) -> World:
    calendar, (cell,) = Calendar.of(config), config.cells()
    reps = hire(config, calendar)
    leads = arrive(cell, calendar, reps, plan_campaigns(config))
    paths = live(cell, calendar, leads)
    deals, accounts = plan_deals(cell, calendar, leads, paths, reps)
    history = pursue(cell, calendar, deals, accounts, reps)
    truth = DealTruth(calendar, deals, history)
    of_leads = lead_truth(calendar, leads, paths)
    return World(config, calendar, leads, paths, deals, accounts, history, truth, of_leads, truth.within_horizon())


@pytest.fixture(scope="module")
def world() -> World:
    return make(SimulationConfig(years=3, leads=8_000, deals=4_000, seed=3))


def deviations(truth: Floats, happened: Floats) -> Floats:
    """Realised minus predicted rate by decile of the truth, in standard errors."""
    parts = np.array_split(np.argsort(truth, kind="stable"), 10)
    spread = np.array([(truth[part] * (1 - truth[part])).sum() ** 0.5 for part in parts])
    return np.array([(happened[part] - truth[part]).sum() for part in parts]) / spread


def lead_rows(world: World) -> tuple[Ints, Ints, Floats, Floats]:
    """Lead, day, truth and outcome of the rows whose 90 days have passed."""
    truth = world.of_leads
    lead = np.array([int(text[2:]) - 1 for text in truth["lead_id"].to_pylist()])
    at, until = truth["as_of"], truth["as_of"] + 90 * DAY
    day = (at - world.leads.created[lead]) // DAY
    converted = (world.paths.outcome[lead] == CONVERTED) & (world.paths.outcome_at[lead] <= until)
    known = until < world.calendar.end
    return lead[known], day[known], truth["true_probability"][known], converted[known].astype(float)


@pytest.mark.parametrize("day", [0, 7, 30, 60])
def test_lead_truth_agrees_with_what_happened_in_every_decile(world: World, day: int) -> None:
    _, days, truth, converted = lead_rows(world)
    rows = days == day
    assert np.abs(deviations(truth[rows], converted[rows])).max() < 3.5


def test_leads_convert_as_often_and_can_be_ranked_as_well_as_intended(world: World) -> None:
    _, days, truth, converted = lead_rows(world)
    assert 0.08 < converted[days == 0].mean() < 0.12
    assert 0.80 < roc_auc_score(converted[days == 7], truth[days == 7]) < 0.86


def test_lead_truth_equals_the_product_of_explicit_transition_matrices(world: World) -> None:
    truth = world.of_leads
    lead = np.array([int(text[2:]) - 1 for text in truth["lead_id"].to_pylist()])
    factor = world.calendar.conversion_by_day(1_400)
    for row in range(0, len(lead), len(lead) // 7):
        who = lead[row]
        offset = (truth["as_of"][row] - world.leads.created[who]) // DAY
        rates = lead_rates(world.leads, np.array([who]))
        position = np.zeros(5)
        position[world.paths.states[offset, who]] = 1.0
        for step in range(90):
            day = world.leads.first_day(world.calendar)[who] + offset + step
            matrix = np.zeros((5, 5))
            matrix[4, 4] = 1.0
            for state in range(4):
                convert = rates.convert[0, state] * factor[day]
                alive = 1 - convert - rates.disqualify[0, state]
                up, down = rates.up[0, state], rates.down[0, state]
                matrix[state, 4] = convert
                matrix[state, state] += alive * (1 - up - down)
                matrix[state, min(state + 1, 3)] += alive * up
                matrix[state, max(state - 1, 0)] += alive * down
            position = position @ matrix
        assert truth["true_probability"][row] == pytest.approx(position[4], rel=1e-3, abs=1e-6)


def test_lead_truth_has_rows_for_open_leads_only(world: World) -> None:
    truth = world.of_leads
    lead = np.array([int(text[2:]) - 1 for text in truth["lead_id"].to_pylist()])
    assert (world.paths.outcome_at[lead] > truth["as_of"]).all()
    assert (truth["as_of"] < world.calendar.end).all()
    assert set((truth["as_of"] - world.leads.created[lead]) // DAY) == {0, 1, 3, 7, 14, 30, 60}


def test_duplicates_never_convert_and_the_truth_says_so(world: World) -> None:
    lead, _, truth, converted = lead_rows(world)
    twice = world.leads.is_duplicate[lead]
    assert twice.any()
    assert truth[twice].max() == 0
    assert converted[twice].max() == 0


def decided(world: World) -> tuple[Floats, Floats, Ints, Ints]:
    """Whether won, whether won within 180 days, age in weeks, and which rows are surely decided by the end."""
    history = world.history
    at, stage = closed_at(world.deals, history)
    won = stage[history.deal] == WON
    soon = won & (at[history.deal] <= world.truth.as_of + 180 * DAY)
    age = history.week - world.calendar.week_of(world.deals.opened)[history.deal]
    old = np.flatnonzero(world.deals.opened[history.deal] < world.calendar.end - 420 * DAY)
    return won.astype(float), soon.astype(float), age, old


@pytest.mark.parametrize("age", [0, 3, 6, 10])
def test_deal_truths_agree_with_what_happened_in_every_decile(world: World, age: int) -> None:
    won, soon, ages, old = decided(world)
    rows = old[ages[old] == age]
    assert np.abs(deviations(world.truth.won_ever[rows], won[rows])).max() < 3.5
    assert np.abs(deviations(world.soon[rows], soon[rows])).max() < 3.5


def test_deals_are_won_as_often_and_can_be_ranked_as_well_as_intended(world: World) -> None:
    won, _, ages, old = decided(world)
    rows = old[ages[old] == 6]
    at, stage = closed_at(world.deals, world.history)
    closed = stage > 0
    days = (at - world.deals.opened)[closed] / DAY
    assert 0.26 < (stage[closed] == WON).mean() < 0.36
    assert 50 < np.median(days) < 90
    assert 0.76 < roc_auc_score(won[rows], world.truth.won_ever[rows]) < 0.84


def turns_of(rates: DealRates) -> Floats:
    """Chances of going from each mode to each other in a week: momentum, stalled, and the same with a rival."""
    turns = np.zeros((4, 4))
    enter = rates.enter[0]
    for rival in (0, 1):
        stall, revive = rates.stall[0, rival], rates.revive[0, rival]
        moods = np.array([[1 - stall, stall], [revive, 1 - revive]])
        turns[2 * rival : 2 * rival + 2, 2 * rival : 2 * rival + 2] = moods * (1 if rival else 1 - enter)
        if not rival:
            turns[:2, 2:] = moods * enter
    return turns


def test_deal_truth_equals_the_product_of_explicit_transition_matrices(world: World) -> None:
    weeks = 26
    advance, lose = world.calendar.advance_by_week(400), world.calendar.lose_by_week(400)
    horizon = world.soon
    history = world.history
    share = worked_share(world.truth.as_of + 180 * DAY - world.calendar.mondays(world.truth.first_step + weeks - 1))
    for row in range(0, len(history.deal), len(history.deal) // 7):
        rates = deal_rates(world.deals, history.deal[row : row + 1])
        position = np.zeros((6, 4))
        position[world.truth.stage[row], history.mode[row]] = 1.0
        for step in range(weeks):
            week = world.truth.first_step[row] + step
            after = np.zeros((6, 4))
            after[WON], after[LOST] = position[WON], position[LOST]
            for stage in range(4):
                for mode in range(4):
                    mass = position[stage, mode]
                    forward = min(rates.advance[0, stage, mode] * advance[week, stage], p.MOST_ADVANCE)
                    lost = min(rates.lose[0, stage, mode] * lose[week], p.MOST_LOSE)
                    back = p.DEAL_REGRESS[stage]
                    counted = share[row] if step == weeks - 1 and stage == 3 else 1.0
                    after[LOST, mode] += mass * lost
                    moves = ((stage + 1, forward * counted), (stage - 1, back), (stage, 1 - forward - lost - back))
                    for target, chance in moves:
                        if target == WON:
                            after[WON, mode] += mass * chance
                        elif chance > 0:
                            for moved, turn in enumerate(turns_of(rates)[mode]):
                                after[target, moved] += mass * chance * turn
            position = after
        assert horizon[row] == pytest.approx(position[WON].sum(), rel=1e-3, abs=1e-5)


def test_rivals_appear_as_often_as_the_parameters_say_and_make_losing_likelier(world: World) -> None:
    history = world.history
    clear = world.deals.competitor[history.deal] == 0
    steps = np.flatnonzero(clear & ~history.is_opening)
    followed = steps[:-1][history.deal[steps[:-1]] == history.deal[steps[:-1] + 1]]
    alone = followed[history.mode[followed] < RIVAL]
    enters = history.mode[alone + 1] >= RIVAL
    assert enters.mean() == pytest.approx(p.RIVAL_ENTERS, rel=0.15)
    assert (history.mode[~clear] < RIVAL).all()
    with_rival = history.mode[steps] >= RIVAL
    lost = history.after[steps] == LOST
    assert lost[with_rival].mean() > 1.3 * lost[~with_rival].mean()
    soon = world.soon[steps]
    late = history.stage[steps] == WON - 1
    assert soon[with_rival & late].mean() < 0.85 * soon[~with_rival & late].mean()


def test_expected_revenue_agrees_with_booked_revenue(world: World) -> None:
    chance = world.truth.win_this_week()
    mean = expected_booking(world.calendar, world.history)
    booked = booked_amount(world.config.cells()[0], world.calendar, world.history)[world.history.after == WON].sum()
    spread = (chance * (1 - chance) * (1.4 * mean) ** 2).sum() ** 0.5
    assert abs(booked - (chance * mean).sum()) < 3 * spread


def test_a_recession_lowers_conversion_and_winning_after_its_moment() -> None:
    config = SimulationConfig(years=3, leads=6_000, deals=2_500, seed=3, scenario="recession")
    world = make(config)
    lead, days, truth, converted = lead_rows(world)
    rows = days == 0
    late = world.leads.created[lead[rows]] > world.calendar.change
    assert converted[rows][late].mean() < 0.85 * converted[rows][~late].mean()
    assert np.abs(deviations(truth[rows], converted[rows])).max() < 3.5
    opening = np.flatnonzero(world.history.is_opening)
    after = world.deals.opened[world.history.deal[opening]] > world.calendar.change
    chance = world.truth.won_ever[opening]
    assert chance[after].mean() < 0.85 * chance[~after].mean()
