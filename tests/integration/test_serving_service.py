"""The services as processes on the real stack: answers, skew, following the registry, starting and stopping."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from conftest import SmallWorld

from common.errors import UnavailableError
from common.settings import Settings
from common.workspace import Workspace
from serving.aliases import AliasReader
from serving.ports import bind
from serving.run import environment, running_service
from training.scorer import Scorer

START_SECONDS = 120.0


@pytest.fixture(scope="module")
def client(small_world: SmallWorld) -> Iterator[httpx.Client]:
    """A client of all services on the small world."""
    with (
        running_service(small_world.settings, small_world.workspace, timeout_s=START_SECONDS) as url,
        httpx.Client(base_url=url, timeout=30) as client,
    ):
        yield client


def open_ids(world: SmallWorld, task: str) -> list[str]:
    from features.spines import open_deal_spine, open_lead_spine

    if task == "lead":
        return sorted(open_lead_spine(world.warehouse, world.now)["lead_id"].to_pylist())
    return sorted(open_deal_spine(world.warehouse, world.now)["opportunity_id"].to_pylist())


def known_versions(world: SmallWorld, table: str, key: str, identifier: str) -> list[dict[str, Any]]:
    """The versions of a thing known now, newest first, as an application would send them: no outcomes, no nulls."""
    from warehouse.contracts import CONTRACTS

    contract = CONTRACTS[table]
    with world.warehouse.duckdb() as connection:
        rows = connection.sql(
            f"SELECT * FROM {table} WHERE {key} = ? ORDER BY event_timestamp DESC, created_timestamp DESC",
            params=[identifier],
        ).to_arrow_table()
    left_out = {key, "is_deleted", *contract.outcome_columns}
    return [
        {name: _json(value) for name, value in row.items() if name not in left_out and value is not None}
        for row in rows.to_pylist()
    ]


def known_events(world: SmallWorld, table: str, key: str, identifier: str) -> list[dict[str, Any]]:
    from warehouse.contracts import CONTRACTS

    left_out = {key, CONTRACTS[table].key}
    with world.warehouse.duckdb() as connection:
        rows = (
            connection.sql(f"SELECT * FROM {table} WHERE {key} = ?", params=[identifier]).to_arrow_table().to_pylist()
        )
    return [
        {name: _json(value) for name, value in row.items() if name not in left_out and value is not None}
        for row in rows
    ]


def _json(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def trained_path(world: SmallWorld, task: str, ids: list[str]) -> dict[str, float]:
    """Probabilities by the path that training takes: spine, build, Feast's offline join, Scorer."""
    from features.spines import open_deal_spine, open_lead_spine

    open_spine, key = (open_lead_spine, "lead_id") if task == "lead" else (open_deal_spine, "opportunity_id")
    spine = open_spine(world.warehouse, world.now)
    scorer = Scorer.load(world.outcomes[task].bundle)
    world.repository.build(scorer.manifest.feature_service, spine)
    frame = world.repository.training_frame(scorer.manifest.feature_service, spine)
    columns = {name: frame[name].to_pylist() for name in scorer.manifest.feature_names}
    probability = scorer.probability(scorer.encode(columns)).tolist()
    by_id = dict(zip(frame[key].to_pylist(), probability, strict=True))
    return {identifier: by_id[identifier] for identifier in ids}


def test_scores_are_made_before_anybody_asks_and_again_by_another_process_if_that_one_dies(
    client: httpx.Client, small_world: SmallWorld
) -> None:
    ids = iter(open_ids(small_world, "deal"))

    def is_made_ahead() -> bool:
        return bool(client.post(f"/api/v1/deals/{next(ids)}/score").json()["is_cached"])

    for process in (first := _ahead_process(), None):
        until = time.monotonic() + START_SECONDS
        while not is_made_ahead():
            assert time.monotonic() < until
            time.sleep(0.5)
        if process is not None:
            process.kill()
            process.wait(10)
            # A new one begins by forgetting what the old one made, which may have been another version of the product.
            assert _ahead_process().pid != first.pid


def _ahead_process() -> psutil.Process:
    """The process that scores ahead, beside the one service that runs here."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        for child in psutil.Process().children(recursive=True):
            if child.status() != psutil.STATUS_ZOMBIE and "serving.ahead_runner" in child.cmdline():
                return child
        time.sleep(0.2)
    raise AssertionError("No process scores ahead")


def test_lead_has_one_score_by_training_path_by_id_and_by_payload(
    client: httpx.Client, small_world: SmallWorld
) -> None:
    ids = open_ids(small_world, "lead")[::40][:6]
    trained = trained_path(small_world, "lead", ids)
    assert len(set(trained.values())) > 1
    for identifier in ids:
        by_id = client.post(f"/api/v1/leads/{identifier}/score").json()
        assert by_id["conversion_probability"] == pytest.approx(trained[identifier], abs=1e-6)
        lead, *earlier = known_versions(small_world, "leads", "lead_id", identifier)
        payload = {
            "lead": lead,
            "versions": earlier,
            "events": known_events(small_world, "lead_events", "lead_id", identifier),
            "activities": known_events(small_world, "activities", "lead_id", identifier),
        }
        response = client.post(f"/api/v1/leads/{identifier}/score", json=payload)
        assert response.status_code == 200, response.text
        by_payload = response.json()
        assert by_payload["conversion_probability"] == by_id["conversion_probability"]
        assert by_payload["scoring_factors"] == by_id["scoring_factors"]


def test_deal_has_one_probability_by_training_path_by_id_and_by_payload(
    client: httpx.Client, small_world: SmallWorld
) -> None:
    ids = open_ids(small_world, "deal")[::10][:5]
    trained = trained_path(small_world, "deal", ids)
    answer = client.post("/api/v1/deals/probabilities/batch", json={"ids": [*ids, "nobody"]}).json()
    assert answer["not_found"] == ["nobody"]
    served = {row["opportunity_id"]: row["win_probability"] for row in answer["probabilities"]}
    assert served == pytest.approx(trained, abs=1e-6)
    for identifier in ids:
        deal, *earlier = known_versions(small_world, "opportunities", "opportunity_id", identifier)
        activities = known_events(small_world, "activities", "opportunity_id", identifier)
        payload = {"deal": deal, "versions": earlier, "activities": activities}
        response = client.post(f"/api/v1/deals/{identifier}/score", json=payload)
        assert response.status_code == 200, response.text
        assert response.json()["win_probability"] == served[identifier]


def test_forecast_of_the_company_is_the_sum_of_its_regions(client: httpx.Client) -> None:
    newest = client.get("/health").json()["checks"][-1]["detail"].rsplit(" ", 1)[1]
    whole = client.get(f"/api/v1/forecasts/{newest}").json()
    total = whole["totals"][0]
    question = {"level": "company", "period": total["period"]}
    company = client.post("/api/v1/forecasts/revenue/generate", json=question).json()
    assert company["expected"] == total["expected"]
    wrong = client.post("/api/v1/forecasts/revenue/generate", json={**question, "level": "region", "entity_id": "Moon"})
    assert wrong.status_code == 404
    assert wrong.json()["field"] == "entity_id"


def test_health_is_well_and_answers_say_the_data_s_now(client: httpx.Client, small_world: SmallWorld) -> None:
    health = client.get("/health")
    assert health.status_code == 200, health.text
    assert datetime.fromisoformat(health.json()["as_of"]) == small_world.now
    assert client.get("/ready").status_code == 200
    assert client.get("/readyz").status_code == 200
    models = {model["task"]: model["version"] for model in client.get("/api/v1/models").json()["models"]}
    assert models == {task: outcome.version for task, outcome in small_world.outcomes.items()}


def test_bentomls_own_errors_have_the_shape_of_all_others(client: httpx.Client) -> None:
    for method, path, status in (
        ("GET", "/nowhere", 404),
        ("POST", "/livez", 405),
        ("GET", "/api/v1/leads/a/score", 405),
    ):
        response = client.request(method, path)
        assert response.status_code == status
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["request_id"] == response.headers["x-request-id"]


def test_metrics_do_not_grow_with_the_ids(client: httpx.Client) -> None:
    for number in range(5):
        client.post(f"/api/v1/leads/unknown-{number}/score")
    text = client.get("/metrics").text
    assert 'endpoint="/api/v1/leads/{lead_id}/score"' in text
    assert 'service_name="sales"' in text
    assert "unknown-" not in text


def test_documentation_is_served_from_this_machine(client: httpx.Client) -> None:
    assert "swagger" in client.get("/").text
    for name in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert client.get(f"/static_content/{name}").status_code == 200


def test_running_service_follows_the_alias(client: httpx.Client, small_world: SmallWorld, tmp_path: Path) -> None:
    from training.results import TrainingResult

    name, lead = small_world.workspace.model_name("lead"), open_ids(small_world, "lead")[0]
    registry, reader = small_world.registry, AliasReader(small_world.settings)
    first = registry.champion(name)
    assert first is not None
    found = reader.find(name)
    assert found is not None
    assert (found.version, found.bundle) == (first.version, first.bundle)
    second = registry.log(
        name,
        TrainingResult(
            task="lead",
            folder=first.bundle,
            loader_module="training.scorer",
            params={},
            metrics={"auc": 0.5},
            baselines={},
            fingerprint="again",
            frame={},
        ),
    )
    try:
        registry.set_champion(name, second.version)
        assert _version_becomes(client, lead, second.version)
        found = reader.find(name)
        assert found is not None
        assert found.bundle == registry.bundle(name)
    finally:
        registry.set_champion(name, first.version)
    assert _version_becomes(client, lead, first.version)


def _version_becomes(client: httpx.Client, lead: str, version: str, *, within_s: float = 20.0) -> bool:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if client.post(f"/api/v1/leads/{lead}/score").json()["model_version"] == version:
            return True
        time.sleep(0.2)
    return False


def _serving(settings: Settings, workspace: Workspace, *, port: int) -> subprocess.Popen[str]:
    """`serve` in a process of its own, as the command line runs it."""
    code = (
        "import functools, sys; from common.settings import Settings; from common.workspace import Workspace;"
        "from serving.run import serve; settings = Settings(); say = functools.partial(print, flush=True);"
        f"sys.exit(serve(settings, Workspace.of(settings), service='lead', port={port}, say=say))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, **environment(settings, workspace)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _answers(url: str, path: str = "/livez") -> bool:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        try:
            if httpx.get(f"{url}{path}", timeout=2).status_code == 200:
                return True
        except httpx.HTTPError:
            time.sleep(0.2)
    return False


def test_ctrl_c_ends_it_cleanly_and_a_port_in_use_is_said(tmp_path: Path) -> None:
    settings = Settings()
    with bind("127.0.0.1", 43_000) as taken:
        port = taken.getsockname()[1]
        process = _serving(settings, Workspace.of(settings), port=port)
        assert process.stdout is not None
        said = process.stdout.readline()
        assert f"Port {port} is in use; listening on http://127.0.0.1:" in said
        url = said.split("listening on ")[1].split(" ")[0]
        assert _answers(url)
        # An empty workspace is served, and says what is wrong.
        health = httpx.get(f"{url}/health", timeout=10)
        assert health.status_code == 503
        assert "simulated-lead has no champion" in health.json()["detail"]
        assert httpx.get(f"{url}/readyz", timeout=10).status_code == 503
        refused = httpx.post(f"{url}/api/v1/leads/L-1/score", timeout=10).json()
        assert refused["next_step"] == "run: salience train lead"
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output
    assert "Traceback" not in output
    assert "leaked" not in output


def test_service_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    settings = Settings()
    code = (
        "import time; from common.settings import Settings; from common.workspace import Workspace;"
        "from serving.run import running_service; settings = Settings();"
        "context = running_service(settings, Workspace.of(settings), service='lead', port=44000, timeout_s=120);"
        "print(context.__enter__(), flush=True); time.sleep(600)"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, **environment(settings, Workspace.of(settings))},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert starter.stdout is not None
    url = starter.stdout.readline().strip()
    assert _answers(url)
    starter.kill()
    starter.communicate()
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            httpx.get(f"{url}/livez", timeout=2)
        except httpx.HTTPError:
            return
        time.sleep(0.2)
    pytest.fail("the service outlived the process that started it")


def test_service_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(workspace="broken")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "uvicorn.py").write_text("raise RuntimeError('no server here')\n")
    with (
        pytest.raises(UnavailableError, match=r"ended with code 1 while starting.*no server here"),
        running_service(settings, Workspace.of(settings), service="lead", port=45_000, timeout_s=60),
    ):
        pytest.fail("it started")
