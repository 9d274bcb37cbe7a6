"""`salience forecast …` as typed, on a small simulated world: what is printed adds up, is kept, and comes out again."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from common.errors import InputError, NotFoundError
from common.settings import Settings
from common.workspace import Workspace
from flows import cli_forecast
from training.forecast import asking
from training.forecast.asking import Forecaster
from training.forecast.change import forecast_change
from training.forecast.deal_values import deal_values
from training.forecast.overrides import apply_overrides
from training.forecast.periods import parse_period
from training.forecast.scenario_store import ScenarioStore
from training.forecast.spreading import ConflictError
from training.forecast.store import ForecastStore
from warehouse.simulator import simulate
from warehouse.simulator.config import SimulationConfig
from warehouse.sources import load_source
from warehouse.views import memory_tables

TABLES = ("opportunities", "transactions", "reps", "quotas")
NOW = datetime(2024, 11, 15, tzinfo=UTC)
RUN = CliRunner()


@dataclass
class World:
    """A warehouse in memory, and all else that a command opens; there is no champion of anything."""

    tables: dict[str, pa.Table]
    workspace: Workspace
    settings: Settings
    now: datetime = NOW

    @property
    def warehouse(self) -> World:
        return self

    @property
    def repository(self) -> World:
        return self

    @property
    def registry(self) -> World:
        return self

    @property
    def source(self) -> Any:
        return load_source("simulated")

    def ibis(self) -> dict[str, Any]:
        return memory_tables(self.tables)

    def fingerprint(self) -> str:
        return "the same"

    def cut(self) -> datetime:
        return self.now

    def champion(self, name: str) -> None:
        return None

    def forecaster(self) -> Forecaster:
        return Forecaster(
            self.workspace,
            self,  # type: ignore[arg-type]
            repository=self,  # type: ignore[arg-type]
            registry=self,  # type: ignore[arg-type]
            protocol=self.source.forecast,
            settings=self.settings,
        )


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pa.Table]:
    home = tmp_path_factory.mktemp("world")
    config = SimulationConfig(years=2, reps=9, leads=400, deals=1_500, seed=11)
    simulate(config, landing=home / "landing", truth=home / "truth")
    return {name: pq.read_table(home / "landing" / f"{name}.parquet") for name in TABLES}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def shared() -> dict[datetime, Forecaster]:
    return {}


@pytest.fixture
def world(
    tables: dict[str, pa.Table], home: Path, shared: dict[datetime, Forecaster], monkeypatch: pytest.MonkeyPatch
) -> World:
    # The ranges learned for one test serve the others: the same code, data and moment have the same.
    monkeypatch.setenv("SALIENCE_CLOCK", "data")
    found = World(tables, Workspace("simulated", home), Settings())
    monkeypatch.setattr(cli_forecast, "_open", lambda _source: found)
    # Commands learn anew each; here they share what one of them learned, or the tests would take minutes.
    monkeypatch.setattr(asking, "Forecaster", lambda *_, **__: shared.setdefault(found.now, found.forecaster()))
    return found


def run(*arguments: str) -> Result:
    answer = RUN.invoke(cli_forecast.app, list(arguments), catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    return answer


def values_of(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_one_forecast_tells_range_parts_baselines_gap_and_change(world: World, tmp_path: Path) -> None:
    said = run("--period", "2024Q4", "--to", str(tmp_path / "f.json")).output
    for words in ("median", "80 %", "closed so far", "in Negotiation", "business not yet created", "renewals", "quota"):
        assert words in said
    for words in (
        "the reps' commit",
        "stage-weighted pipeline",
        "seasonal naive",
        "Gap",
        "Since 2024-11-08",
        "together",
    ):
        assert words in said
    story = values_of(tmp_path / "f.json")
    answer, change = story["answer"], story["change"]
    assert sum(answer["components"].values()) == pytest.approx(answer["expected"], abs=0.005)
    assert sum(story["stages"].values()) == pytest.approx(answer["components"]["open"], abs=0.005)
    cents = [round(100 * step["change"]) for step in change["steps"]]
    assert sum(cents) == round(100 * change["after"]) - round(100 * change["before"])
    assert change["after"] == answer["expected"]
    assert {"won", "lost", "new deals", "model or rates"} <= {step["step"] for step in change["steps"]}
    assert 0 < story["quota_probability"] < 1


@pytest.mark.parametrize("level", ["region", "team", "rep"])
def test_every_levels_list_adds_up_to_the_company(world: World, tmp_path: Path, level: str) -> None:
    run("--period", "2024Q4", "--level", "company", "--since", "none", "--to", str(tmp_path / "c.json"))
    run("--period", "2024Q4", "--level", level, "--to", str(tmp_path / "l.json"))
    whole = values_of(tmp_path / "c.json")["answer"]["expected"]
    parts = [round(100 * one["expected"]) for one in values_of(tmp_path / "l.json")["entities"]]
    assert sum(parts) == round(100 * whole)


def test_the_changes_of_the_teams_are_that_of_the_company(world: World) -> None:
    forecaster, since = world.forecaster(), NOW - timedelta(days=7)
    options: dict[str, Any] = {"period": "2024Q4", "at": NOW, "since": since}
    company = forecast_change(forecaster, level="company", entity_id="company", **options)
    teams = [
        forecast_change(forecaster, level="region", entity_id=region, **options)
        for region in sorted(set(forecaster.reps(NOW)["region"]))
    ]
    for step in company["steps"]:
        of_teams = [one["change"] for team in teams for one in team["steps"] if one["step"] == step["step"]]
        assert sum(of_teams) == pytest.approx(step["change"], abs=1.0)


def test_the_deals_parts_are_what_is_expected_of_all_open_deals(world: World) -> None:
    forecaster = world.forecaster()
    learned, _ = forecaster.learned(NOW)
    months = forecaster.months(NOW)
    names, cents = deal_values(learned, months)
    assert names == learned.deals["opportunity_id"].tolist()
    forecast = forecaster.ask(NOW, ranges=False).forecast
    for period in ("2024-12", "2025-02", "2025Q2"):
        columns = [months.index(month) for month in parse_period(period).months]
        told = forecast.answer(level="company", entity_id="company", period=period)["components"]["open"]
        # Each deal is rounded on its own, and the forecast by rep, stage and month.
        assert cents[:, columns].sum() / 100 == pytest.approx(told, abs=0.01 * len(names) * len(columns))


def test_months_quarters_and_years_are_answered_and_add_up(world: World) -> None:
    forecast = world.forecaster().ask(NOW).forecast
    answers = {
        period: round(100 * forecast.answer(level="company", entity_id="company", period=period)["expected"])
        for period in ("2025-01", "2025-02", "2025-03", "2025Q1", "2025Q2", "2025Q3", "2025Q4", "2025")
    }
    assert answers["2025Q1"] == answers["2025-01"] + answers["2025-02"] + answers["2025-03"]
    assert answers["2025"] == sum(answers[f"2025Q{number}"] for number in range(1, 5))


def test_a_forecast_of_a_past_day_holds_nothing_later_and_comes_out_the_same_bit_for_bit(world: World) -> None:
    past = NOW - timedelta(days=45)
    first = world.forecaster().ask(past).forecast
    known = {name: rows.filter(_known_by(rows, past)) for name, rows in world.tables.items()}
    then = World(known, Workspace("then", world.workspace.home), world.settings, now=past)
    assert then.forecaster().ask(past).forecast.forecast_id == first.forecast_id


def _known_by(rows: pa.Table, at: datetime) -> Any:
    import pyarrow.compute as pc

    return pc.less_equal(rows["created_timestamp"], pa.scalar(at))


def test_a_kept_forecast_is_told_as_kept_and_computed_again_is_the_same(world: World) -> None:
    store, moment = ForecastStore(world.workspace.forecasts), NOW - timedelta(days=10)
    with pytest.raises(InputError, match="No forecast is kept"):
        run("--period", "2024Q4", "--as-of", _text(moment), "--since", "none", "--again")
    store.save(world.forecaster().compute(moment).forecast)
    said = run("--period", "2024Q4", "--as-of", _text(moment), "--since", "none", "--again").output
    assert "as kept" in said
    assert "The same, bit for bit" in said


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def test_an_override_is_kept_spread_summed_listed_and_taken_back(world: World, tmp_path: Path) -> None:
    said = run("override", "--level", "region", "--entity", "EMEA", "--period", "2025Q1", "--value", "900000",
               "--because", "two large ones signed", "--who", "ada").output  # fmt: skip
    assert "by ada: 900,000.00 holds; the model says" in said
    told = run("--period", "2025Q1", "--level", "region", "--entity", "EMEA", "--since", "none").output
    assert "with overrides 900,000" in told
    assert "overridden by ada" in told
    with pytest.raises(ConflictError, match="region EMEA in 2025Q1"):
        run("override", "--period", "2025Q1", "--value", "800000", "--because", "less than that")
    run("--period", "2025Q1", "--level", "rep", "--to", str(tmp_path / "r.json"))
    run("--period", "2025Q1", "--since", "none", "--to", str(tmp_path / "c.json"))
    reps = sum(round(100 * one["adjusted"]) for one in values_of(tmp_path / "r.json")["entities"])
    assert reps == round(100 * values_of(tmp_path / "c.json")["adjusted"])
    listed = run("overrides").output
    assert "region EMEA" in listed
    assert "not over" in listed
    run("override", "--level", "region", "--entity", "EMEA", "--period", "2025Q1", "--withdraw",
        "--because", "they did not sign")  # fmt: skip
    assert "with overrides" not in run("--period", "2025Q1", "--since", "none").output
    with pytest.raises(InputError, match="no override of region EMEA in 2025Q1 to withdraw"):
        run("override", "--level", "region", "--entity", "EMEA", "--period", "2025Q1", "--withdraw",
            "--because", "once more")  # fmt: skip


def test_an_override_is_judged_when_its_period_is_over(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.now = datetime(2024, 7, 10, tzinfo=UTC)
    run("override", "--period", "2024Q3", "--value", "9000000", "--because", "it will be a lot", "--who", "ben")
    world.now = NOW
    said = run("overrides").output
    assert "9,000,000" in said
    assert re.search(r"On 1 whose period is over: error of the persons [\d.]+ %", said)
    assert "nearer 0 times of 1" in said


def test_built_in_scenarios_stand_side_by_side_and_are_kept(world: World, tmp_path: Path) -> None:
    said = run("scenarios", "--period", "2025Q1", "--to", str(tmp_path / "s.json")).output
    found = values_of(tmp_path / "s.json")
    expected = [scenario["values"][0]["expected"] for scenario in found["scenarios"]]
    assert [scenario["name"] for scenario in found["scenarios"]] == ["optimistic", "realistic", "pessimistic"]
    assert expected[0] > expected[1] > expected[2]
    assert expected[1] == world.forecaster().ask(NOW).forecast.answer(
        level="company", entity_id="company", period="2025Q1"
    )["expected"]  # fmt: skip
    assert "one quarter in ten was below" in said
    assert "win_rate ×" in said
    again = run("scenarios", "--period", "2025Q1").output
    assert "kept before; nothing was computed" in again
    shown = run("scenarios", "show", found["scenario_id"], "--again").output
    assert "The same, bit for bit" in shown
    assert found["scenario_id"] in run("scenarios", "list").output
    with pytest.raises(NotFoundError, match="no comparison of scenarios"):
        run("scenarios", "show", "20240101T000000Z-0123456789")


def test_own_scenarios_add_up_over_levels_and_moves_keep_the_whole(world: World, tmp_path: Path) -> None:
    reps = world.forecaster().reps(NOW)
    mover = reps[reps["rep_id"] != "unassigned"].iloc[0]
    other = next(team for team in reps["team"] if team not in (mover["team"], "unassigned"))
    path = tmp_path / "s.yaml"
    path.write_text(
        f"scenarios:\n- name: move\n  moves: [{{rep: {mover['rep_id']}, to_team: {other}, from_month: 2025-02}}]\n"
        "- name: more\n  win_rate: 1.1\n  headcount: 1.2\n",
        encoding="utf-8",
    )
    totals = {}
    for level, entity in (("company", "company"), ("team", mover["team"]), ("rep", mover["rep_id"])):
        target = str(tmp_path / f"{level}.json")
        run(
            "scenarios", "--period", "2025Q1", "--file", str(path), "--level", level, "--entity", entity, "--to", target
        )
        found = values_of(Path(target))
        totals[level] = [sum(round(100 * one["expected"]) for one in s["values"]) for s in found["scenarios"]]
        for scenario in found["scenarios"]:
            worth = sum(round(100 * one["expected"]) for one in scenario["worth"])
            assert worth + round(100 * scenario["together"]) == round(100 * scenario["change"]["expected"])
    assert totals["company"] == totals["team"] == totals["rep"]
    realistic, moved, more = totals["company"]
    assert realistic == moved < more
    assert ScenarioStore(world.workspace).ids()


def test_overrides_on_the_made_forecast_add_up_to_the_cent(world: World) -> None:
    forecaster = world.forecaster()
    forecast = forecaster.ask(NOW).forecast
    applied = apply_overrides(forecast, forecaster.places(NOW), [])
    assert applied.values["adjusted"].equals(forecast.values["expected"])


def test_the_backtest_prints_every_measure_and_writes_page_and_figures(world: World, tmp_path: Path) -> None:
    page = tmp_path / "b.html"
    said = run("backtest", "--origins", "2", "--to", str(page)).output
    for words in ("WAPE", "MAPE", "MAE", "bias", "pinball", "80 %", "95 %", "seasonal naive", "weeks before"):
        assert words in said
    document = values_of(page.with_suffix(".json"))
    assert {one["level"] for one in document["figures"]} == {"company", "region", "team", "rep"}
    assert {one["weeks_before_end"] for one in document["figures"]} >= {4, 9, 13}
    with pytest.raises(InputError, match=r"ends in \.html"):
        run("backtest", "--to", str(tmp_path / "b.pdf"))


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (["--period", "2024Q9"], InputError, "'2024Q9' is not a period"),
        (["--period", "2024Q3"], InputError, "was over on 2024-11-15"),
        (["--period", "2031Q1"], InputError, "outside the horizon.*months from 2024-01"),
        (["--period", "2025Q1", "--level", "planet"], NotFoundError, "no level 'planet'.*company, region, team, rep"),
        (["--period", "2025Q1", "--level", "team", "--entity", "No"], NotFoundError, "no team 'No' on 2024-11-15"),
        (["--period", "2025Q1", "--since", "2025-01-01"], InputError, "from an earlier moment"),
        (["scenarios", "--period", "2025Q1", "--level", "team"], InputError, "valued for one team"),
        (["override", "--period", "2025Q1", "--value", "1", "--because", "so"], InputError, "only for a reason"),
    ],
)
def test_what_cannot_be_answered_is_said_before_anything_is_computed(
    world: World, arguments: list[str], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        run(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [[], ["scenarios"], ["override", "--because", "x y"], ["override", "--because", "x y", "--period", "2025Q1"]],
)
def test_what_is_left_out_is_asked_for(world: World, arguments: list[str]) -> None:
    assert RUN.invoke(cli_forecast.app, arguments).exit_code == 2
