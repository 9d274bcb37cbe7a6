"""What people decide instead of a model is recorded for good, once, with their names."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving_stand_ins import VALUE, Stand, stand

from common.errors import UnavailableError
from common.workspace import Workspace
from serving.decisions import Decision, DecisionRecord, ReplayError

WHY = "The customer signed a letter of intent."


@pytest.fixture
def served(tmp_path: Path) -> Stand:
    return stand(tmp_path)


@pytest.fixture
def record(tmp_path: Path) -> DecisionRecord:
    return DecisionRecord(Workspace("toy", tmp_path))


def decide(record: DecisionRecord, value: str | float | None, **given: Any) -> Decision:
    whole = {
        "justification": WHY,
        "caller": "ada",
        "role": "rep",
        "request_id": "r",
        "model_said": {"grade": "cold"},
        **given,
    }
    return record.decide("lead", "a", value=value, **whole)


def test_without_a_body_the_models_word_is_given_and_nothing_recorded(served: Stand) -> None:
    answer = served.client.request("PUT", "/api/v1/leads/a/qualify").json()
    score = served.client.post("/api/v1/leads/a/score").json()
    assert answer["grade"] == answer["model_grade"] == score["grade"] == "hot"
    assert answer["evidence_for"] == [factor["text"] for factor in score["scoring_factors"]["for"]]
    assert answer["decision"] is None
    assert served.app.state.decisions.all() == []


def test_own_thresholds_grade_by_them(served: Stand) -> None:
    def grade(warm: float, hot: float) -> str:
        body = {"thresholds": {"warm": warm, "hot": hot}}
        return str(served.client.request("PUT", "/api/v1/leads/a/qualify", json=body).json()["grade"])

    probability = served.client.post("/api/v1/leads/a/score").json()["conversion_probability"]
    assert grade(probability - 0.02, probability - 0.01) == "hot"
    assert grade(probability - 0.01, probability + 0.01) == "warm"
    assert grade(probability + 0.01, probability + 0.02) == "cold"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"grade": "hot"}, "body"),
        ({"grade": None}, "body"),
        ({"grade": "hot", "justification": "because"}, "justification"),
        ({"grade": "boiling", "justification": WHY}, "grade"),
        ({"thresholds": {"warm": 0.5, "hot": 0.4}}, "body"),
        ({"thresholds": {"warm": 0.5}}, "thresholds"),
        ({"thresholds": {"warm": 0.0, "hot": 2}}, "thresholds.warm"),
    ],
)
def test_a_decision_without_a_reason_or_sense_is_refused(served: Stand, body: dict[str, Any], field: str) -> None:
    response = served.client.request("PUT", "/api/v1/leads/a/qualify", json=body)
    assert response.status_code == 422
    assert response.json()["field"] == field
    assert served.app.state.decisions.all() == []


def test_a_persons_grade_holds_until_it_is_taken_back_and_every_score_shows_it(served: Stand) -> None:
    body = {"grade": "cold", "justification": WHY}
    answer = served.client.request("PUT", "/api/v1/leads/a/qualify", json=body).json()
    assert (answer["grade"], answer["model_grade"], answer["decision"]) == ("cold", "hot", 1)
    score = served.client.post("/api/v1/leads/a/score").json()
    assert score["grade"] == "hot"
    assert (score["override"]["value"], score["override"]["by"]) == ("cold", "local")
    assert served.client.request("PUT", "/api/v1/leads/a/qualify").json()["grade"] == "cold"
    back = {"grade": None, "justification": "The letter was withdrawn."}
    assert served.client.request("PUT", "/api/v1/leads/a/qualify", json=back).json()["grade"] == "hot"
    assert served.client.post("/api/v1/leads/a/score").json()["override"] is None
    rows = served.app.state.decisions.all()
    assert [(row["value"], row["justification"]) for row in rows] == [
        ('"cold"', WHY),
        ("null", "The letter was withdrawn."),
    ]
    assert "conversion_probability" in rows[0]["model_said"]


def test_a_deals_override_stands_beside_the_models_probability(served: Stand) -> None:
    model = served.client.post("/api/v1/deals/a/score").json()["win_probability"]
    body = {"win_probability": 0.05, "justification": "Their budget was cut on Monday."}
    answer = served.client.request("PUT", "/api/v1/deals/a/override", json=body).json()
    assert (answer["win_probability"], answer["model_win_probability"]) == (0.05, model)
    score = served.client.post("/api/v1/deals/a/score").json()
    assert (score["win_probability"], score["override"]["value"]) == (model, 0.05)
    batch = served.client.post("/api/v1/deals/probabilities/batch", json={"ids": ["a", "b"]}).json()
    assert [row["override"] is None for row in batch["probabilities"]] == [False, True]
    for wrong in (1.5, "0.5", -0.1):
        response = served.client.request("PUT", "/api/v1/deals/a/override", json={**body, "win_probability": wrong})
        assert response.status_code == 422
    assert served.client.request("PUT", "/api/v1/deals/nobody/override", json=body).status_code == 404


def test_a_forecasts_adjustment_stands_beside_its_figures(served: Stand) -> None:
    path = f"/api/v1/forecasts/{VALUE['forecast_id']}"
    body = {"value": 130.0, "justification": "Two renewals were signed since."}
    answer = served.client.request("PUT", f"{path}/adjust", json=body).json()
    assert (answer["expected"], answer["adjustment"]["value"]) == (100.0, 130.0)
    assert served.client.get(path).json()["adjustment"]["justification"] == body["justification"]
    whole = served.client.request("PUT", "/api/v1/forecasts/20250331T000000Z-0123456789/adjust", json=body)
    assert whole.status_code == 403


def test_a_request_sent_again_is_recorded_once(served: Stand) -> None:
    body, key = {"grade": "cold", "justification": WHY}, {"Idempotency-Key": "12345678-a"}
    first, again = (
        served.client.request("PUT", "/api/v1/leads/a/qualify", json=body, headers=key).json() for _ in range(2)
    )
    assert (first["decision"], first["is_replay"]) == (1, False)
    assert (again["decision"], again["is_replay"]) == (1, True)
    other = served.client.request("PUT", "/api/v1/leads/b/qualify", json=body, headers=key)
    assert other.status_code == 409
    assert len(served.app.state.decisions.all()) == 1


def test_a_name_used_by_somebody_else_is_refused(record: DecisionRecord) -> None:
    decide(record, "hot", idempotency_key="12345678")
    assert decide(record, "hot", idempotency_key="12345678").is_replay
    with pytest.raises(ReplayError):
        decide(record, "hot", idempotency_key="12345678", caller="ben")


def test_the_record_cannot_be_changed_and_shows_a_change_behind_its_back(record: DecisionRecord) -> None:
    for value in ("hot", "cold", None):
        decide(record, value)
    assert record.broken_at() is None
    with sqlite3.connect(record.path) as connection:
        for statement in ("UPDATE decisions SET caller = 'eve'", "DELETE FROM decisions"):
            with pytest.raises(sqlite3.IntegrityError, match="never"):
                connection.execute(statement)
        connection.execute("DROP TRIGGER no_change")
        connection.execute("UPDATE decisions SET caller = 'eve' WHERE number = 2")
    connection.close()
    assert record.broken_at() == 2


def test_another_process_learns_of_a_decision(record: DecisionRecord, tmp_path: Path) -> None:
    other = DecisionRecord(Workspace("toy", tmp_path))
    other.refresh()
    decide(record, "hot")
    assert other.override_of("lead", "a") is None
    other.refresh()
    held = other.override_of("lead", "a")
    assert held is not None
    assert held["value"] == "hot"


def test_a_record_that_cannot_be_written_refuses_the_decision(tmp_path: Path) -> None:
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "serving").write_text("no folder")
    with pytest.raises(UnavailableError, match="cannot be used"):
        decide(DecisionRecord(Workspace("toy", tmp_path)), "hot")


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["hot", "warm", "cold", None]), min_size=1, max_size=8), st.text(max_size=40))
def test_the_newest_decision_holds_whatever_came_before(
    tmp_path_factory: pytest.TempPathFactory, values: list[str | None], why: str
) -> None:
    record = DecisionRecord(Workspace("toy", tmp_path_factory.mktemp("decisions")))
    for value in values:
        decide(record, value, justification=why)
    held = record.override_of("lead", "a")
    assert (None if held is None else held["value"]) == values[-1]
    assert record.broken_at() is None
    assert len(record.all()) == len(values)
