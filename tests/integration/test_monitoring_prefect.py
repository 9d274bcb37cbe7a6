"""The loop against a real Prefect server: deployments, a worker, and the automation between event and retraining."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from conftest import SmallWorld
from test_monitoring_loop import TRIALS, age_champion, copy_of

from monitoring.acting import DRIFT_EVENT
from monitoring.decisions import EVENT, RETRAINING, decision_log
from serving.aliases import AliasReader

ROOT = Path(__file__).resolve().parents[2]
PREFECT = str(Path(sys.executable).with_name("prefect"))
PATIENCE_S = 900.0


@contextmanager
def process(command: list[str], *, environment: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as file:
        child = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield
    finally:
        os.killpg(child.pid, signal.SIGTERM)
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def wait_for(what: str, condition, *, logs: Path) -> None:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if condition():
            return
        time.sleep(2)
    tails = "\n".join(f"{path.name}: {path.read_text(errors='replace')[-1500:]}" for path in logs.glob("*.log"))
    pytest.fail(f"{what} did not come about in {PATIENCE_S:.0f} s\n{tails}")


def prefect(*arguments: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [PREFECT, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_an_event_on_a_server_starts_the_retraining_and_the_alias_moves(
    small_world: SmallWorld, tmp_path: Path
) -> None:
    world = copy_of(small_world, tmp_path / "copy")
    name = world.workspace.model_name("lead")
    old = age_champion(world, "lead")
    (world.workspace.root / "monitoring.yaml").write_text(
        "every_days: 28\nretrain: {failing: 1, of_last: 1, least_new_labels: 20}\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    database = "sqlite+aiosqlite:///file::memory:?cache=shared&uri=true&check_same_thread=false"
    environment = {
        **os.environ,
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_API_DATABASE_CONNECTION_URL": database,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "SALIENCE_HOME": str(world.settings.home),
        "SALIENCE_MLRUNS": str(world.settings.mlruns),
        "SALIENCE_TRAINING__TRIALS": str(TRIALS),
        "SALIENCE_TRAINING__THREADS": "1",
    }
    server = [PREFECT, "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"]
    worker = [PREFECT, "worker", "start", "--pool", "salience", "--type", "process"]

    def is_up() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/api/health", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def steps(kind: str) -> list[dict[str, object]]:
        return [dict(step.record) for step in decision_log(world.workspace).steps(step=kind)]

    with process(server, environment=environment, log=tmp_path / "server.log"):
        wait_for("the server's health", is_up, logs=tmp_path)
        prefect("work-pool", "create", "salience", "--type", "process", environment=environment)
        prefect("--no-prompt", "deploy", "-n", "monitor-models", "-n", "retrain-model", environment=environment)
        with process(worker, environment=environment, log=tmp_path / "worker.log"):
            prefect(
                "deployment", "run", "monitor-models/monitor-models", "-p", "source=simulated", "-p", "model=lead",
                environment=environment,
            )  # fmt: skip
            wait_for("the look's event", lambda: bool(steps(EVENT)), logs=tmp_path)
            assert steps(EVENT)[0]["event"] == DRIFT_EVENT
            wait_for("the retraining", lambda: bool(steps(RETRAINING)), logs=tmp_path)
    trained = steps(RETRAINING)[0]
    assert trained["promoted"] is True
    found = AliasReader(world.settings).find(name)
    assert found is not None
    assert found.version == trained["version"] != old
