"""Scenarios: what a file must say, what was measured, what levers are worth, and that all still adds up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import InputError, NotFoundError, TooLittleDataError
from tests.unit.forecast_toy import AS_OF, MONTHS, make_reps
from tests.unit.test_forecast_adding_up import TREES, largest_difference
from training.forecast.frame import BottomForecast, summarise
from training.forecast.levers import Levers
from training.forecast.periods import Period, parse_period, periods_within
from training.forecast.reconciliation import build_hierarchy
from training.forecast.scenario_file import Move, Scenario, Turned, parse_scenarios, read_scenarios, require_known
from training.forecast.scenario_spread import built_in_scenarios, spread_of
from training.forecast.scenarios import Question, compare_scenarios, move_reps, scenarios_id

REPS = make_reps()
QUESTION = Question(level="team", entity_id="east", period=parse_period("2026Q2"), as_of=AS_OF)


def make(levers: Levers, reps: pd.DataFrame = REPS) -> BottomForecast:
    """A toy forecast in which a won deal's amount and the win rate multiply what is open, and people what is new."""
    factors = levers.by_rep(reps)
    shape = (len(reps), len(MONTHS))
    usual = np.random.default_rng(3).integers(100_00, 900_00, shape)
    opened = np.rint(usual * (factors["win_rate"] * factors["amount"])[:, None]).astype(np.int64)
    new = np.rint(usual * (factors["headcount"] * factors["new_business"] * factors["amount"])[:, None])
    luck = np.random.default_rng(4).gamma(4.0, 0.25, (200, *shape))
    return BottomForecast(
        hierarchy=build_hierarchy(
            {
                "company": ["company"] * len(reps),
                "region": reps["region"].tolist(),
                "team": reps["team"].tolist(),
                "rep": reps["rep_id"].tolist(),
            }
        ),
        base=tuple(Period(month, 1) for month in MONTHS),
        components={"closed": opened * 0, "open": opened, "new": new.astype(np.int64), "renewal": opened * 0},
        paths=luck * (opened + new)[None] / 100.0,
        baselines={"commit": usual / 1.0, "naive": np.where(usual > 500_00, np.nan, 1.0)},
    )


def compare(*scenarios: Scenario, quota: float = 6_000.0) -> list[dict]:
    return compare_scenarios(make, scenarios, QUESTION, reps=REPS, quotas={"east": quota})


def test_a_lever_alone_is_worth_what_it_adds_and_the_rest_is_said_to_come_together() -> None:
    usual, found = compare(Scenario(name="both", win_rate=1.1, amount=1.2))
    assert usual["name"] == "realistic"
    base = next(row for row in usual["values"] if row["entity_id"] == "east")["expected"]
    labels = {item["lever"]: item["expected"] for item in found["worth"]}
    assert labels == {
        "win_rate × 1.1": pytest.approx(base / 2 * 0.1, abs=0.1),
        "amount × 1.2": pytest.approx(base * 0.2, abs=0.1),
    }
    assert sum(labels.values()) + found["together"] == pytest.approx(found["change"]["expected"], abs=0.001)
    assert found["together"] == pytest.approx(base / 2 * 0.02, abs=0.1)
    assert all(item["probability"] > 0 for item in found["worth"])


def test_a_higher_quota_is_less_likely_and_changes_no_expectation() -> None:
    usual, found = compare(Scenario(name="more", quota=1.2))
    assert found["change"]["expected"] == 0.0
    assert found["change"]["probability"] < 0
    assert found["values"][0]["quota"] is None or found["values"][0]["entity_id"] == "east"
    assert usual["values"][-1]["probability"] is None


def test_a_price_moves_amounts_and_wins_by_its_elasticity() -> None:
    levers = Scenario(name="p", price=1.1, price_elasticity=2.0).all_levers()
    assert (levers.amount, levers.win_rate) == pytest.approx((1.1, 1.1**-2))
    part = Scenario(name="p", price=1.1, price_elasticity=2.0, amount=1.3).parts()
    assert list(part) == ["amount × 1.3", "price × 1.1 (elasticity 2)"]


def test_levers_of_a_region_act_there_alone() -> None:
    usual, found = compare(Scenario(name="emea", regions={"EMEA": Turned(win_rate=2.0)}))
    before = {row["entity_id"]: row["expected"] for row in usual["values"]}
    after = {row["entity_id"]: row["expected"] for row in found["values"]}
    assert after["north"] == before["north"]
    assert after["east"] > before["east"]
    assert [item["lever"] for item in found["worth"]] == ["EMEA: win_rate × 2"]


@given(tree=TREES, moves=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3), st.integers(2, 6)), max_size=4))
@settings(max_examples=15, deadline=None)
def test_it_adds_up_with_levers_and_after_any_moves_of_reps(
    tree: list[tuple[str, str]], moves: list[tuple[int, int, int]]
) -> None:
    reps = make_reps(tree)
    usual = make(Levers(win_rate=1.3, headcount=0.7), reps)
    wanted = [Move(rep=f"R-{rep}", to_team=tree[team][1], from_month=f"2026-{month:02d}") for rep, team, month in moves]
    bottom = move_reps(usual, wanted, reps, as_of=AS_OF)
    periods = periods_within(MONTHS)
    before, after = summarise(usual, periods), summarise(bottom, periods)
    cents = {name: (frame["expected"] * 100).round().astype("int64") for name, frame in (("b", before), ("a", after))}
    for level in ("company", "rep"):
        # People move, money does not: the whole and each rep are as they were.
        rows = before["level"] == level
        assert (cents["a"][rows].to_numpy() == cents["b"][rows].to_numpy()).all()
    totals = after.assign(cents=cents["a"]).groupby(["period", "level"])["cents"].sum().unstack()
    assert (totals.nunique(axis=1) == 1).all()
    assert largest_difference(before, reps, "expected") == 0
    quarter = after[after["period"] == "2026Q2"].set_index(["level", "entity_id"])["expected"]
    months = after[after["period"].isin(["2026-04", "2026-05", "2026-06"])]
    assert (quarter - months.groupby(["level", "entity_id"])["expected"].sum()).abs().max() < 0.005


def test_a_rep_who_moves_in_may_counts_for_the_old_team_before_and_the_new_one_after() -> None:
    usual = make(Levers())
    moved = move_reps(usual, [Move(rep="R-1", to_team="north", from_month="2026-05")], REPS, as_of=AS_OF)
    periods = [parse_period(name) for name in ("2026-04", "2026-05")]
    before, after = (
        {(row.entity_id, row.period): row.expected for row in summarise(bottom, periods).itertuples()}
        for bottom in (usual, moved)
    )
    assert after["east", "2026-04"] == before["east", "2026-04"]
    assert after["east", "2026-05"] == pytest.approx(before["R-2", "2026-05"])
    assert after["AMER", "2026-05"] == pytest.approx(before["AMER", "2026-05"] + before["R-1", "2026-05"])


def test_a_territory_moves_with_all_its_reps() -> None:
    reps = REPS.assign(territory_id=["T-1", "T-1", "T-2", "T-3", None])
    moved = move_reps(make(Levers()), [Move(territory="T-1", to_team="north")], reps, as_of=AS_OF)
    values = summarise(moved, [parse_period("2026-03")]).set_index("entity_id")
    assert values.loc["east", "expected"] == 0.0
    assert values.loc["east", "median"] == 0.0


def test_the_same_inputs_have_the_same_id_and_others_another() -> None:
    one = scenarios_id(QUESTION, [Scenario(name="a", win_rate=1.1)], made_from={"seed": 1})
    assert one == scenarios_id(QUESTION, [Scenario(name="a", win_rate=1.1)], made_from={"seed": 1})
    assert one.startswith("20260210T000000Z-")
    assert one != scenarios_id(QUESTION, [Scenario(name="a", win_rate=1.2)], made_from={"seed": 1})
    assert one != scenarios_id(QUESTION, [Scenario(name="a", win_rate=1.1)], made_from={"seed": 2})


def test_a_file_of_scenarios_is_read(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        "scenarios:\n- name: people\n  headcount: 1.2\n  teams: {east: {win_rate: 1.1}}\n"
        "  moves: [{rep: R-1, to_team: north, from_month: 2026-05}]\n"
    )
    (found,) = read_scenarios(path)
    assert found.all_levers() == Levers(headcount=1.2, by_team={"east": Levers(win_rate=1.1)})
    assert list(found.parts()) == ["headcount × 1.2", "east: win_rate × 1.1", "rep R-1 to north"]
    require_known([found], REPS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("scenarios: [{name: a, luck: 2}]", r"scenarios\.0\.luck: Extra inputs"),
        ("scenarios: [{name: a, win_rate: 99}]", r"scenarios\.0\.win_rate: Input should be less than or equal to 10"),
        ("scenarios: [{win_rate: 1.1}]", r"scenarios\.0\.name: Field required"),
        ("scenarios: [{name: a}, {name: a}]", "the name 'a' comes twice"),
        ("scenarios: [{name: optimistic}]", "that of a built-in scenario"),
        ("scenarios: []", "0 scenarios; from 1 to 12"),
        ("scenarios: [{name: a, moves: [{to_team: x}]}]", "give either `rep` or `territory`"),
        ("scenarios: [{name: a, moves: [{rep: r, to_team: x, from_month: 2026Q1}]}]", "a month such as 2026-02"),
        ("levers: {}", "holds no scenarios.*the keys levers"),
        ("", "holds no scenarios.*Got: nothing"),
        ("a: [", "are no YAML"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_scenarios(path)


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_scenarios(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"regions": {"MARS": {"win_rate": 2.0}}}, "the region 'MARS'.*AMER, EMEA"),
        ({"teams": {"up": {"win_rate": 2.0}}}, "the team 'up'.*east, north"),
        ({"moves": [{"rep": "R-77", "to_team": "east"}]}, "the rep 'R-77'"),
        ({"moves": [{"rep": "R-1", "to_team": "up"}]}, "the team 'up'"),
        ({"moves": [{"territory": "T-1", "to_team": "east"}]}, "the territory 'T-1'.*a source that has a territory"),
    ],
)
def test_places_and_people_that_do_not_exist_are_named(more: dict, words: str) -> None:
    scenarios = parse_scenarios([{"name": "a", **more}], where="the request")
    with pytest.raises(NotFoundError, match=words):
        require_known(scenarios, REPS)


def test_the_past_spread_is_students_t_of_the_years_ratios() -> None:
    levels = np.exp(np.array([0.0, 0.1, 0.2, 0.3, 0.1, 0.1, 0.4, 0.3]))
    found = spread_of("win_rate", levels)
    ratios = np.array([0.1, 0.0, 0.2, 0.0])
    assert found.sd == pytest.approx(ratios.std(ddof=1) / np.sqrt(2))
    assert found.quarters == 4
    assert found.high == pytest.approx(np.exp(1.6377 * found.sd), rel=1e-4)
    assert found.low == pytest.approx(1 / found.high)
    assert found.compared == "the same quarter a year before"


def test_a_short_history_is_compared_quarter_by_quarter_and_a_shorter_one_refused() -> None:
    levels = np.array([1.0, 1.1, 0.9, 1.2, 1.0])
    assert "too short a history" in spread_of("win_rate", levels).compared
    with pytest.raises(TooLittleDataError, match=r"win rate varies cannot be measured.*with --file"):
        spread_of("win_rate", levels[:3])


def test_a_longer_cycle_is_pessimistic_and_a_higher_win_rate_optimistic() -> None:
    levels = np.array([1.0, 1.2, 0.9, 1.1, 1.2, 1.0, 1.1, 0.9])
    spreads = [spread_of(name, levels) for name in ("win_rate", "cycle_length", "new_business")]
    best, likely, worst = built_in_scenarios(spreads)
    assert best.win_rate > 1 > best.cycle_length
    assert worst.win_rate < 1 < worst.cycle_length
    assert likely.is_neutral
