"""Scenarios and adjustments through HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from serving_stand_ins import VALUE, Desk, Stand, stand

from common.settings import Settings
from common.workspace import Workspace
from serving.access import Caller, Territories
from serving.asking import Asker
from serving.forecast_desk import ForecastDesk, standing_of
from tests.unit.forecast_toy import make_forecast, make_places, make_reps
from training.forecast.places import Places
from training.forecast.scenario_store import ScenarioStore
from training.forecast.spreading import ConflictError
from training.forecast.store import Forecast, ForecastStore

PATH = "/api/v1/forecasts/scenarios"
DOCUMENT: dict[str, Any] = {
    "scenario_id": "20260210T000000Z-0123456789",
    "status": "waiting",
    "problem": None,
    "submitted_at": "2026-02-10T00:00:00+00:00",
    "submitted_by": "ada",
    "level": "company",
    "entity_id": "company",
    "period": "2026Q2",
    "as_of": "2026-02-10T00:00:00+00:00",
    "unit": "USD",
    "is_built_in": True,
    "spreads": [],
    "inputs": [],
    "made_from": {},
    "scenarios": [],
    "digest": None,
    "notes": [],
}


class ScenarioDesk(Desk):
    """Keeps what is asked for, and starts nothing."""

    def __init__(self, folder: Path) -> None:
        self.scenarios = ScenarioStore(Workspace("toy", folder))
        self.asked: list[Any] = []
        self.started = 0

    def submit(self, scenarios: Any, **question: Any) -> dict[str, Any]:
        self.asked.append((scenarios, question))
        return self.scenarios.submit(DOCUMENT)

    def start(self) -> None:
        self.started += 1


@pytest.fixture
def served(tmp_path: Path) -> Stand:
    found = stand(tmp_path, tasks=("forecast",), champions=("forecast",))
    found.app.state.desk = ScenarioDesk(tmp_path)
    return found


def test_a_comparison_is_taken_on_and_told_when_it_is_done(served: Stand) -> None:
    answer = served.client.post(f"{PATH}/model", json={"period": "2026Q2"})
    assert (answer.status_code, answer.json()["status"]) == (202, "waiting")
    assert served.app.state.desk.asked[0][1]["period"] == "2026Q2"
    scenario_id = answer.json()["scenario_id"]
    assert served.client.get(f"{PATH}/{scenario_id}").json()["status"] == "waiting"
    # What was left by a killed process is taken up again by whoever asks.
    assert served.app.state.desk.started == 1
    served.app.state.desk.scenarios.save({**DOCUMENT, "status": "done", "digest": "d"})
    assert served.client.get(f"{PATH}/{scenario_id}").json()["digest"] == "d"
    assert served.app.state.desk.started == 1


def test_own_scenarios_are_checked_before_they_are_taken_on(served: Stand) -> None:
    body = {"period": "2026Q2", "scenarios": [{"name": "a", "win_rate": 1.1}]}
    assert served.client.post(f"{PATH}/model", json=body).status_code == 202
    assert served.app.state.desk.asked[0][0][0].win_rate == 1.1
    for wrong in ([{"name": "a", "luck": 2}], [{"win_rate": 1.1}], [{"name": "optimistic"}]):
        answer = served.client.post(f"{PATH}/model", json={**body, "scenarios": wrong})
        assert answer.status_code == 422
        assert answer.json()["field"] == "scenarios"
    assert served.client.post(f"{PATH}/model", json={"period": "soon"}).status_code == 422


@pytest.mark.parametrize("bad", ["nothing", "..%2F..%2Fetc", "20260210T000000Z-9999999999"])
def test_an_unknown_comparison_is_not_found(served: Stand, bad: str) -> None:
    assert served.client.get(f"{PATH}/{bad}").status_code == 404


def test_whoever_sees_a_territory_only_gets_no_scenarios(served: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    caller = Caller(name="ada", role="rep", reps=frozenset({"R-1"}))
    monkeypatch.setattr("serving.forecast_routes.asker_of", lambda _request: Asker(caller, Territories()))
    assert served.client.post(f"{PATH}/model", json={"period": "2026Q2"}).status_code == 403
    assert served.client.get(f"{PATH}/{DOCUMENT['scenario_id']}").status_code == 403


def test_an_adjustment_is_recorded_by_whose_and_when_and_holds_for_later_forecasts(served: Stand) -> None:
    path = f"/api/v1/forecasts/{VALUE['forecast_id']}"
    body = {"value": 130.0, "justification": "Two renewals were signed since."}
    answer = served.client.request("PUT", f"{path}/adjust", json=body).json()
    assert (answer["adjustment"]["value"], answer["adjusted"]) == (130.0, 130.0)
    (row,) = served.app.state.decisions.all()
    assert row["entity_id"] == f"{VALUE['level']}/{VALUE['entity_id']}/{VALUE['period']}"
    served.client.request("PUT", f"{path}/adjust", json={**body, "value": None})
    assert served.client.get(path).json()["adjusted"] is None


class Conflicting(Desk):
    def check(self, answer: Mapping[str, Any], value: float | None, held: Mapping[str, Any]) -> None:
        raise ConflictError(
            "company in 2026Q2 stands in its way", culprits=[0], expected="less", got="more", next_step="talk"
        )


def test_whoever_sees_a_territory_only_is_not_told_whose_figures_stand_in_the_way(
    served: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = Caller(name="ada", role="manager", reps=frozenset({VALUE["entity_id"]}))
    monkeypatch.setattr("serving.forecast_routes.asker_of", lambda _request: Asker(caller, Territories()))
    monkeypatch.setattr("serving.forecast_routes._require_own", lambda _asker, _answer: None)
    served.app.state.desk = Conflicting()
    path = f"/api/v1/forecasts/{VALUE['forecast_id']}/adjust"
    answer = served.client.request("PUT", path, json={"value": 1.0, "justification": "It is less than that."})
    assert answer.status_code == 409
    assert "company in 2026Q2" not in answer.text


def test_an_adjustment_that_cannot_hold_is_refused_and_not_recorded(served: Stand) -> None:
    served.app.state.desk = Conflicting()
    path = f"/api/v1/forecasts/{VALUE['forecast_id']}/adjust"
    answer = served.client.request("PUT", path, json={"value": 1.0, "justification": "It is less than that."})
    assert answer.status_code == 409
    assert "stands in its way" in answer.json()["detail"]
    assert served.app.state.decisions.all() == []


class OwnPlaces(ForecastDesk):
    """A desk whose tree is that of the toy forecast."""

    def _places(self, at: datetime) -> Places:
        return make_places(make_reps())


@pytest.fixture
def desk(tmp_path: Path) -> tuple[ForecastDesk, Forecast]:
    workspace = Workspace("toy", tmp_path)
    forecast = make_forecast(make_reps())
    ForecastStore(workspace.forecasts).save(forecast)
    return OwnPlaces(Settings(), workspace), forecast


def said(value: float) -> dict[str, Any]:
    return {"value": value, "justification": "it was signed", "by": "ada", "at": datetime(2026, 2, 11, tzinfo=UTC)}


def test_the_desk_spreads_and_sums_standing_adjustments(desk: tuple[ForecastDesk, Forecast]) -> None:
    found, forecast = desk
    team = forecast.answer(level="team", entity_id="east", period="2026Q2")
    held = {"team/east/2026Q2": said(90_000.0), "20250331T000000Z-0123456789-0": said(1.0)}
    assert found.adjusted(team, held) == 90_000.0
    region = forecast.answer(level="region", entity_id="EMEA", period="2026Q2")
    assert found.adjusted(region, held) == pytest.approx(region["expected"] + 90_000.0 - team["expected"])
    assert found.adjusted(region, {}) is None
    with pytest.raises(ConflictError, match="team east in 2026Q2"):
        found.check(region, 50_000.0, held)
    found.check(region, None, held)
    found.check(region, 95_000.0, held)


def test_the_standing_words_are_read_from_their_names() -> None:
    held = {"rep/R/1/2026-03": said(1.0), "20250331T000000Z-0123456789-0": said(2.0)}
    (one,) = standing_of(held)
    assert (one.level, one.entity_id, one.period, one.value) == ("rep", "R/1", "2026-03", 1.0)


def test_a_comparison_that_failed_is_taken_on_again_and_a_done_one_is_not(tmp_path: Path) -> None:
    store = ScenarioStore(Workspace("toy", tmp_path))
    assert store.submit(DOCUMENT)["status"] == "waiting"
    assert (store.next() or {})["scenario_id"] == DOCUMENT["scenario_id"]
    store.save({**DOCUMENT, "status": "failed", "problem": "no data"})
    assert store.next() is None
    assert store.submit(DOCUMENT)["status"] == "waiting"
    store.save({**DOCUMENT, "status": "done"})
    assert store.submit(DOCUMENT)["status"] == "done"
    with store.turn() as mine, store.turn() as other:
        assert (mine, other) == (True, False)
