"""Every error of the services has one shape, names the field at fault and says what to do."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving_stand_ins import Stand, stand

from common.settings import Settings
from serving.boundary import MAX_BODY_BYTES, OTHER_PATH, Boundary
from serving.guard import Guard, OverloadError
from serving.problems import field_path

LEAD = {"lead_created_at": "2025-01-01T00:00:00Z"}
DEAL = {"opened_at": "2025-01-01T00:00:00Z", "stage": "Proposal"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Stand:
    return stand(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(autouse=True)
def _all_at_home(served: Stand) -> Iterator[None]:
    yield
    served.features.is_away, served.features.defect = False, None


def problem_of(response: Any, status: int) -> dict[str, Any]:
    """The problem a response holds, its shape checked."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = response.json()
    assert set(found) >= {"type", "title", "status", "detail", "field", "errors", "next_step", "request_id"}
    assert found["status"] == status
    assert found["next_step"]
    assert found["request_id"] == response.headers["x-request-id"]
    assert "Traceback" not in response.text
    assert "site-packages" not in response.text
    return found


@pytest.mark.parametrize(("path", "thing"), [("leads", "lead"), ("deals", "deal")])
def test_unknown_id_is_404_that_names_it(served: Stand, path: str, thing: str) -> None:
    found = problem_of(served.client.post(f"/api/v1/{path}/nobody/score"), 404)
    assert "'nobody'" in found["detail"]
    assert found["field"] == f"{thing}_id"
    assert "payload" in found["next_step"]


def test_unknown_path_is_404_that_points_to_the_list(served: Stand) -> None:
    found = problem_of(served.client.get("/api/v1/customers/1"), 404)
    assert "/api/v1/customers/1" in found["detail"]
    assert "open /" in found["next_step"]


def test_wrong_method_is_405_that_names_the_right_one(served: Stand) -> None:
    response = served.client.get("/api/v1/leads/a/score")
    assert "POST" in problem_of(response, 405)["detail"]
    assert response.headers["allow"] == "POST"


def test_malformed_json_is_400_that_says_where(served: Stand) -> None:
    response = served.client.post(
        "/api/v1/leads/a/score", content='{"lead": }', headers={"content-type": "application/json"}
    )
    found = problem_of(response, 400)
    assert found["title"] == "Malformed JSON"
    assert "character 9" in found["detail"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("leads/a/score", {"lead": {**LEAD, "employee_count": "many"}}, "lead.employee_count"),
        ("leads/a/score", {"lead": {**LEAD, "employee_count": "5"}}, "lead.employee_count"),
        ("leads/a/score", {"lead": {**LEAD, "employee_count": -1}}, "lead.employee_count"),
        ("leads/a/score", {"lead": {**LEAD, "industry": 7}}, "lead.industry"),
        ("leads/a/score", {"lead": {**LEAD, "status": "hopeful"}}, "lead.status"),
        ("leads/a/score", {"lead": {**LEAD, "colour": "red"}}, "lead.colour"),
        ("leads/a/score", {"lead": {**LEAD, "account_id": "known only afterwards"}}, "lead.account_id"),
        ("leads/a/score", {"lead": {"lead_created_at": "2025-01-01T00:00:00"}}, "lead.lead_created_at"),
        ("leads/a/score", {"lead": {}}, "lead.lead_created_at"),
        ("leads/a/score", {"led": {}}, "led"),
        ("leads/a/score", {"lead": LEAD, "events": [{"kind": "page_view"}]}, "events.0.event_timestamp"),
        (
            "leads/a/score",
            {"lead": LEAD, "events": [{"kind": "dance", "event_timestamp": "2025-01-01T00:00:00Z"}]},
            "events.0.kind",
        ),
        ("leads/a/score", {"events": [{"kind": "page_view", "event_timestamp": "2025-01-01T00:00:00Z"}]}, "body"),
        ("leads/a/score", {"lead": LEAD, "versions": [{**LEAD, "industry": 1}]}, "versions.0.industry"),
        ("deals/a/score", {"versions": [DEAL]}, "body"),
        ("leads/a/score", [], "body"),
        ("leads/scores/batch", {"ids": []}, "ids"),
        ("leads/scores/batch", {"ids": ["a"] * 10_001}, "ids"),
        ("leads/scores/batch", {"ids": [1]}, "ids.0"),
        ("leads/scores/batch", {}, "ids"),
        ("deals/a/score", {"deal": {**DEAL, "amount_usd": "much"}}, "deal.amount_usd"),
        ("deals/a/score", {"deal": {**DEAL, "crm_probability": 40}}, "deal.crm_probability"),
        ("deals/a/score", {"deal": {**DEAL, "close_date": "soon"}}, "deal.close_date"),
        ("deals/probabilities/batch", {"ids": "a"}, "ids"),
        ("forecasts/revenue/generate", {"level": "company", "period": "next year"}, "period"),
        ("forecasts/revenue/generate", {"level": "company", "period": "2025-13"}, "period"),
        ("forecasts/revenue/generate", {"level": "company", "period": "2031Q1"}, "period"),
        ("forecasts/revenue/generate", {"period": "2025Q2"}, "level"),
    ],
)
def test_wrong_input_is_422_that_names_the_field(served: Stand, path: str, body: Any, field: str) -> None:
    found = problem_of(served.client.post(f"/api/v1/{path}", json=body), 422)
    assert found["field"] == field
    assert found["errors"][0]["field"] == field


def test_every_wrong_field_is_named_and_no_value_is_repeated(served: Stand) -> None:
    body = {"lead": {**LEAD, "employee_count": "jane@example.org", "industry": 7}}
    response = served.client.post("/api/v1/leads/a/score", json=body)
    found = problem_of(response, 422)
    assert {item["field"] for item in found["errors"]} == {"lead.employee_count", "lead.industry"}
    assert "jane" not in response.text


def test_body_of_the_wrong_kind_is_422(served: Stand) -> None:
    assert problem_of(served.client.post("/api/v1/leads/a/score", content="a=1"), 422)["field"] == "body"


def test_too_large_body_is_413_and_is_not_read(served: Stand) -> None:
    response = served.client.post("/api/v1/leads/a/score", content=b"x" * (MAX_BODY_BYTES + 1))
    assert str(MAX_BODY_BYTES) in problem_of(response, 413)["detail"]


def test_missing_model_is_503_that_names_the_command(tmp_path: Path) -> None:
    served = stand(tmp_path, champions=["lead"])
    response = served.client.post("/api/v1/deals/a/score")
    found = problem_of(response, 503)
    assert found["detail"] == "toy-deal has no champion."
    assert found["next_step"] == "run: salience train deal"
    assert int(response.headers["retry-after"]) > 0
    assert served.client.post("/api/v1/leads/a/score").status_code == 200


def test_task_that_the_source_cannot_have_is_404(tmp_path: Path) -> None:
    served = stand(tmp_path, tasks=["lead"], champions=["lead"])
    served.engine.left_out["deal"] = "The source toy has no deal model, because it lacks the tables for it"
    with pytest.raises(Exception, match="has no deal model"):
        served.engine.score("deal", ["a"], request_id="r")


def test_store_away_is_503_for_what_was_never_asked(served: Stand) -> None:
    served.features.is_away = True
    response = served.client.post("/api/v1/leads/never/score")
    found = problem_of(response, 503)
    assert "feature store is away" in found["detail"]
    assert "retry-after" in response.headers


def test_defect_is_500_without_its_text_and_is_logged_once(served: Stand, caplog: pytest.LogCaptureFixture) -> None:
    served.features.defect = RuntimeError("jane@example.org")
    with caplog.at_level(logging.ERROR):
        response = served.client.post("/api/v1/leads/a/score", headers={"x-request-id": "my-request"})
    found = problem_of(response, 500)
    assert found["request_id"] == "my-request"
    records = [record for record in caplog.records if record.name == "serving.boundary"]
    assert len(records) == 1
    text = records[0].getMessage()
    assert "RuntimeError in POST /api/v1/leads/{lead_id}/score (request my-request)" in text
    assert "serving_stand_ins.py" in text
    assert "jane" not in text + response.text


def test_request_id_is_made_when_the_given_one_is_unusable(served: Stand) -> None:
    response = served.client.get("/nowhere", headers={"x-request-id": "a b\tc" * 40})
    assert problem_of(response, 404)["request_id"].isalnum()


def test_metrics_label_is_the_route_and_never_the_id() -> None:
    async def nothing(*_: Any) -> None:
        return

    boundary = Boundary(nothing, paths=["/api/v1/leads/{lead_id}/score", "/health", "/"])
    assert boundary.label("/api/v1/leads/42/score") == "/api/v1/leads/{lead_id}/score"
    assert boundary.label("/health") == "/health"
    assert boundary.label("/") == "/"
    assert boundary.label("/metrics") == "/metrics"
    assert boundary.label("/static_content/swagger-ui.css") == "/static_content"
    assert boundary.label("/api/v1/leads/42/score/more") == OTHER_PATH
    assert boundary.label("/wp-admin.php") == OTHER_PATH


def test_field_path_is_the_senders() -> None:
    assert field_path(("body", "lead", "employee_count")) == "lead.employee_count"
    assert field_path(("query", "ids")) == "ids"
    assert field_path(("body",)) == "body"


def in_pieces(
    served: Stand, pieces: list[bytes], *, pause: float = 0.0, headers: Any = ()
) -> tuple[int, dict[str, Any]]:
    """Send a body in pieces, as a slow client does; gives the status and the problem."""
    waiting = list(pieces)
    told: list[Any] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(pause)
        if not waiting:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": waiting.pop(0), "more_body": True}

    async def send(message: Any) -> None:
        told.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/v1/leads/scores/batch",
        "query_string": b"",
        "headers": [(b"transfer-encoding", b"chunked"), *headers],
        "client": ("127.0.0.1", 1),
    }
    asyncio.run(served.client.app(scope, receive, send))
    return told[0]["status"], json.loads(told[1]["body"])


def test_a_body_that_comes_too_slowly_is_given_up(served: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.boundary.BODY_SECONDS", 0.1)
    status, found = in_pieces(served, [b" "] * 1_000, pause=0.02)
    assert (status, found["title"]) == (408, "Request timeout")
    assert served.client.post("/api/v1/leads/a/score").status_code == 200


def test_a_body_that_does_not_say_its_length_is_measured(served: Stand) -> None:
    status, found = in_pieces(served, [b" " * 1_000_000] * 6)
    assert (status, found["title"]) == (413, "Content too large")


def test_a_client_that_goes_is_no_defect(served: Stand, caplog: pytest.LogCaptureFixture) -> None:
    status, _ = in_pieces(served, [b"{"])
    assert status == 408
    assert caplog.text == ""


def test_too_many_large_bodies_at_once_are_turned_away(served: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.guard._MOST_HELD_BYTES", 1_500_000)
    status, found = in_pieces(served, [b" " * 1_000_000] * 2)
    assert (status, found["title"]) == (503, "Overloaded")
    status, _ = in_pieces(served, [b" " * 1_000_000])
    assert status == 408


def test_a_full_service_turns_away_at_once_and_says_when_to_come_back(served: Stand) -> None:
    guard = served.client.app.guard
    guard.waiting = guard.max_waiting
    try:
        response = served.client.post("/api/v1/leads/scores/batch", json={"ids": ["a"]})
        problem_of(response, 503)
        assert response.headers["retry-after"]
    finally:
        guard.waiting = 0


def test_a_lagging_loop_turns_away_a_share_that_grows_with_the_lag(served: Stand) -> None:
    guard = Guard(Settings())

    async def share(lag: float) -> float:
        guard._lag, guard._shed = lag, 0.0
        refused = 0
        for _ in range(100):
            try:
                guard.require_room()
            except OverloadError:
                refused += 1
        return refused / 100

    async def shares() -> list[float]:
        return [await share(lag) for lag in (0.0, 0.9, 2.0, 10.0)]

    assert asyncio.run(shares()) == pytest.approx([0.0, 0.0, 0.5, 0.9], abs=0.02)
