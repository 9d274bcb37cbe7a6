"""The service follows the registry: a new champion is taken up, a broken one is not, and the old one answers on."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from serving_stand_ins import Stand, stand, write_bundle

from common.errors import ContractError, UnavailableError
from common.settings import Settings
from serving.aliases import AliasReader
from serving.champions import load_scorer


@pytest.fixture
def served(tmp_path: Path) -> Stand:
    return stand(tmp_path, tasks=["lead"], champions=["lead"])


def version_of(served: Stand) -> str:
    return str(served.client.post("/api/v1/leads/a/score").json()["model_version"])


def test_moved_alias_is_taken_up(served: Stand, tmp_path: Path) -> None:
    before = served.client.post("/api/v1/leads/a/score").json()
    served.registry.aliases["toy-lead"] = ("2", write_bundle(tmp_path / "2", version="2", slope=-1.0))
    served.engine.refresh()
    after = served.client.post("/api/v1/leads/a/score").json()
    assert (before["model_version"], after["model_version"]) == ("1", "2")
    assert before["conversion_probability"] > 0.5 > after["conversion_probability"]


def test_follower_takes_up_a_moved_alias_by_itself(served: Stand, tmp_path: Path) -> None:
    stop = threading.Event()
    follower = threading.Thread(target=served.engine.follow, args=(stop,), kwargs={"every_seconds": 0.02})
    follower.start()
    try:
        served.registry.aliases["toy-lead"] = ("2", write_bundle(tmp_path / "2", version="2"))
        until = time.monotonic() + 5
        while version_of(served) != "2" and time.monotonic() < until:
            time.sleep(0.02)
        assert version_of(served) == "2"
    finally:
        stop.set()
        follower.join()


@pytest.mark.parametrize("fault", ["no_folder", "no_trees", "broken_trees", "broken_manifest"])
def test_champion_that_cannot_be_loaded_leaves_the_old_one_and_says_so(
    served: Stand, tmp_path: Path, fault: str
) -> None:
    bundle = tmp_path / "2"
    if fault != "no_folder":
        write_bundle(bundle, version="2")
    if fault == "no_trees":
        (bundle / "model.txt").unlink()
    if fault == "broken_trees":
        (bundle / "model.txt").write_text("no trees at all")
    if fault == "broken_manifest":
        (bundle / "manifest.json").write_text(json.dumps({"metrics": {}}))
    served.registry.aliases["toy-lead"] = ("2", bundle)
    served.engine.refresh()
    assert version_of(served) == "1"
    health = served.client.get("/health")
    assert health.status_code == 503
    assert "version 1" in health.json()["detail"]
    assert "could not be taken up" in health.json()["detail"]


def test_registry_away_leaves_the_model_in_use(served: Stand) -> None:
    served.registry.is_away = True
    served.engine.refresh()
    assert version_of(served) == "1"
    assert "The registry is away" in served.client.get("/health").json()["detail"]
    served.registry.is_away = False
    served.engine.refresh()
    assert served.client.get("/health").status_code == 200


def test_removed_alias_leaves_the_model_in_use_and_says_so(served: Stand) -> None:
    served.registry.aliases.clear()
    served.engine.refresh()
    assert version_of(served) == "1"
    assert "has no champion" in served.client.get("/health").json()["detail"]


def test_model_that_answers_with_no_probability_is_refused(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path)
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["calibration"] = {"method": "isotonic", "weights": [], "x": [0.0, 1.0], "y": [2.0, 2.0]}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ContractError, match="50 of 50 stored cases otherwise"):
        load_scorer(bundle)


def mlflow_file(folder: Path, name: str, version: int) -> Settings:
    """Settings on a folder with the one table of MLflow's database that aliases live in."""
    import sqlite3

    with closing(sqlite3.connect(folder / "mlflow.db")) as connection:
        connection.execute("CREATE TABLE registered_model_aliases (name TEXT, alias TEXT, version INTEGER)")
        connection.execute("INSERT INTO registered_model_aliases VALUES (?, 'champion', ?)", (name, version))
        connection.execute("INSERT INTO registered_model_aliases VALUES (?, 'challenger', 9)", (name,))
        connection.commit()
    return Settings(mlruns=folder)


def test_alias_is_read_from_mlflows_file(tmp_path: Path) -> None:
    settings = mlflow_file(tmp_path, "toy-lead", 3)
    bundle = write_bundle(tmp_path / "bundles" / "toy-lead" / "3")
    found = AliasReader(settings).find("toy-lead")
    assert found is not None
    assert (found.version, found.bundle, found.metrics) == ("3", bundle, {"auc": 0.7})
    assert AliasReader(settings).find("other-lead") is None


def test_no_registry_yet_means_no_champion(tmp_path: Path) -> None:
    assert AliasReader(Settings(mlruns=tmp_path / "nothing")).find("toy-lead") is None


def test_unreadable_registry_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("this is no database, whatever its name says")
    with pytest.raises(UnavailableError, match="cannot be read"):
        AliasReader(Settings(mlruns=tmp_path)).find("toy-lead")


@contextmanager
def mlflow_server(status: int, body: object) -> Iterator[str]:
    """A server that answers MLflow's alias question."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            assert url.path == "/api/2.0/mlflow/registered-models/alias"
            assert parse_qs(url.query) == {"name": ["toy-lead"], "alias": ["champion"]}
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_alias_is_read_from_a_server(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundles" / "toy-lead" / "4")
    with mlflow_server(200, {"model_version": {"name": "toy-lead", "version": "4"}}) as uri:
        found = AliasReader(Settings(mlruns=tmp_path, tracking_uri=uri)).find("toy-lead")
    assert found is not None
    assert found.version == "4"


def test_server_without_the_model_means_no_champion(tmp_path: Path) -> None:
    with mlflow_server(404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"}) as uri:
        assert AliasReader(Settings(mlruns=tmp_path, tracking_uri=uri)).find("toy-lead") is None


def test_server_in_trouble_is_unavailable(tmp_path: Path) -> None:
    with (
        mlflow_server(500, {"error_code": "INTERNAL_ERROR", "message": "disk full"}) as uri,
        pytest.raises(UnavailableError, match="answered 500: disk full"),
    ):
        AliasReader(Settings(mlruns=tmp_path, tracking_uri=uri)).find("toy-lead")
    with pytest.raises(UnavailableError, match="cannot be reached"):
        AliasReader(Settings(mlruns=tmp_path, tracking_uri="http://127.0.0.1:9")).find("toy-lead")
