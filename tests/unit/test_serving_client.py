"""The client asks again where that can help, never where it cannot, and says what the service said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving_stand_ins import Stand, stand
from typer.testing import CliRunner

from serving import client as client_module
from serving.client import Client, ServiceError
from serving.keys import KeyFile

Answer = Callable[[httpx.Request], httpx.Response]


@pytest.fixture(autouse=True)
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []
    monkeypatch.setattr(client_module.time, "sleep", pauses.append)
    return pauses


def asking(answer: Answer, **given: Any) -> Client:
    return Client("http://test", transport=httpx.MockTransport(answer), **given)


def over(served: Stand) -> Answer:
    """The stand itself behind the client."""

    def answer(request: httpx.Request) -> httpx.Response:
        found = served.client.request(
            request.method,
            request.url.raw_path.decode(),
            content=request.read(),
            headers=dict(request.headers),
        )
        return httpx.Response(found.status_code, content=found.content, headers=found.headers)

    return answer


def problem(status: int, **headers: str) -> httpx.Response:
    body = {
        "type": "x",
        "title": "Unavailable",
        "status": status,
        "detail": "away",
        "next_step": "wait",
        "request_id": "r",
    }
    return httpx.Response(status, json=body, headers=headers)


def test_answers_are_typed(tmp_path: Path) -> None:
    served = stand(tmp_path)
    with asking(over(served)) as client:
        assert client.score_lead("a").conversion_probability > 0.5
        assert (
            client.score_lead("new", described={"lead": {"lead_created_at": "2025-01-01T00:00:00Z"}}).lead_id == "new"
        )
        assert [row.lead_id for row in client.score_leads(["b", "x", "a"])] == ["b", "a"]
        assert client.explain_lead("a").grade == "hot"
        assert client.qualify_lead("a", thresholds={"warm": 0.1, "hot": 0.2}).thresholds["hot"] == 0.2
        assert client.set_grade("a", "cold", justification="they have no budget").grade == "cold"
        assert client.score_deal("a").override is None
        assert client.override_deal("a", 0.1, justification="they have no budget").win_probability == 0.1
        assert [row.opportunity_id for row in client.score_deals(["a"])] == ["a"]
        forecast = client.forecast("company", "2025Q2")
        assert client.get_forecast(forecast.forecast_id).forecast_id == forecast.forecast_id
        adjusted = client.adjust_forecast(forecast.forecast_id, 1.5, justification="I know better than that")
        assert adjusted.adjustment is not None
        assert client.models().workspace == "toy"


def test_a_problem_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with (
        asking(over(stand(tmp_path))) as client,
        pytest.raises(ServiceError, match=r"Not found \(404\).*Next: check") as caught,
    ):
        client.score_lead("nobody")
    assert caught.value.problem.field == "lead_id"


@pytest.mark.parametrize("status", [429, 503, 504])
def test_it_waits_as_long_as_it_is_told_and_asks_again(waited: list[float], tmp_path: Path, status: int) -> None:
    served, calls = stand(tmp_path), list[str]()

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append(request.url.path)
        return problem(status, **{"Retry-After": "7"}) if len(calls) < 3 else over(served)(request)

    with asking(answer) as client:
        assert client.score_lead("a").lead_id == "a"
    assert waited == [7.0, 7.0]


def test_in_the_end_it_gives_up(waited: list[float]) -> None:
    with asking(lambda _: problem(503), tries=2) as client, pytest.raises(ServiceError, match="503"):
        client.score_lead("a")
    assert len(waited) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 500])
def test_what_cannot_be_helped_is_asked_once(waited: list[float], status: int) -> None:
    calls = list[int]()

    def answer(_: httpx.Request) -> httpx.Response:
        calls.append(1)
        return problem(status)

    with asking(answer) as client, pytest.raises(ServiceError):
        client.score_lead("a")
    assert len(calls) == 1


def test_a_decision_has_one_name_for_all_tries() -> None:
    names = list[str]()

    def answer(request: httpx.Request) -> httpx.Response:
        names.append(request.headers["idempotency-key"])
        return problem(503)

    with asking(answer) as client, pytest.raises(ServiceError):
        client.override_deal("a", 0.5, justification="because of this")
    assert len(names) == 3
    assert len(set(names)) == 1


def test_ids_are_sent_in_batches_and_a_key_is_sent_along() -> None:
    sizes, keys = list[int](), set[str]()

    def answer(request: httpx.Request) -> httpx.Response:
        sizes.append(len(json.loads(request.read())["ids"]))
        keys.add(request.headers["authorization"])
        return httpx.Response(200, json={"scores": []})

    with asking(answer, key="sal_x_y") as client:
        assert list(client.score_leads(f"L-{number}" for number in range(20_001))) == []
    assert sizes == [10_000, 10_000, 1]
    assert keys == {"Bearer sal_x_y"}


def test_a_proxys_own_error_is_told_as_such() -> None:
    with (
        asking(lambda _: httpx.Response(502, text="<html>bad gateway</html>")) as client,
        pytest.raises(ServiceError, match="did not answer with a problem of this service"),
    ):
        client.score_lead("a")


def test_an_odd_id_stays_one_id(tmp_path: Path) -> None:
    paths = list[str]()

    def answer(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.raw_path.decode())
        return problem(404)

    with asking(answer) as client, pytest.raises(ServiceError):
        client.score_lead("a/b?c d")
    assert paths == ["/api/v1/leads/a%2Fb%3Fc%20d/score"]


def test_keys_are_made_listed_and_taken_back_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.cli_serving import app

    monkeypatch.setenv("SALIENCE_HOME", str(tmp_path))
    run = CliRunner()
    made = run.invoke(app, ["add", "ada", "--role", "rep", "--territory", "T-1"])
    assert made.exit_code == 0, made.output
    key = next(line for line in made.output.splitlines() if line.startswith("sal_"))
    identifier = key.split("_")[1]
    listed = run.invoke(app, ["list"]).output
    assert identifier in listed
    assert "T-1" in listed
    assert key.split("_", 2)[2] not in listed
    assert run.invoke(app, ["revoke", identifier]).exit_code == 0
    assert KeyFile(tmp_path / "api-keys.json").all()[identifier].revoked_at is not None
