"""What benchmarks/serving.py measures on: the demo's workspace in a home of its own, and the servers beside it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from common.settings import ServingSettings, Settings
from common.workspace import Workspace

_OWN = ("predictions", "jobs", "serving", "stream", "features")
_BARE = """
import json
import sys
from typing import Any
import uvicorn
from fastapi import FastAPI, Response
app = FastAPI()
BODY = open(sys.argv[2], "rb").read()

CONSTANT = json.loads(BODY)

@app.post("/score")
async def score() -> dict[str, Any]:
    return CONSTANT

@app.post("/bytes")
async def ready_bytes() -> Response:
    return Response(BODY, media_type="application/json")

uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=False, log_level="error")
"""


def settings_for(home: Path, **serving: Any) -> Settings:
    """The user's settings, with another home for what a service writes."""
    base = Settings()
    return base.model_copy(
        update={
            "home": home,
            "mlruns": base.mlruns.absolute(),
            "serving": ServingSettings(**{**base.serving.model_dump(), **serving}),
        }
    )


def stand_up(home: Path) -> Workspace:
    """The demo's workspace in `home`: what it reads is linked, what it writes stays apart.

    Raises:
        SystemExit: if there is no workspace with models.
    """
    source = Workspace.of(Settings())
    if not (source.features / "registry.db").is_file():
        raise SystemExit(f"There is no workspace with features in {source.root}. Next: make demo")
    target = Workspace(source.name, home)
    target.root.mkdir(parents=True)
    for each in source.root.iterdir():
        if each.name not in _OWN and not each.name.startswith("serving-"):
            (target.root / each.name).symlink_to(each)
    target.features.mkdir()
    for each in source.features.iterdir():
        if each.is_file():
            shutil.copy2(each, target.features / each.name)
        else:
            (target.features / each.name).symlink_to(each)
    return target


def open_ids(workspace: Workspace, task: str) -> list[str]:
    """Ids of what was open at the last batch."""
    import pyarrow.parquet as pq

    key = "lead_id" if task == "lead" else "opportunity_id"
    ids: list[str] = pq.read_table(workspace.scores / f"{task}.parquet", columns=[key])[key].to_pylist()
    return ids


def widen(workspace: Workspace, settings: Settings, count: int) -> list[str]:
    """Put `count` leads into the online store of this home: the demo's rows again and again, under new ids."""
    from features.online_store_layout import HEADER, PackedRows, entity_key, layout_id
    from features.online_store_rows import open_rows

    rows = open_rows(workspace, settings.online_store)
    ids = [f"N-{number:07d}" for number in range(count)]
    for view in ("lead_profile", "lead_engagement", "lead_activity"):
        keys = [key for key in rows.strays(view, ()) if key.startswith(b"=L-")]
        found = [rows.read([(view, keys[start : start + 400])])[0].rows for start in range(0, len(keys), 400)]
        known = [row for part in found for row in part.values()]
        layout = rows.layout(view, layout_id(known[0]))
        for start in range(0, count, 50_000):
            part = ids[start : start + 50_000]
            packed = [known[(start + place) % len(known)] for place in range(len(part))]
            heads = [HEADER.unpack_from(row) for row in packed]
            batch = PackedRows(
                [entity_key(each) for each in part], [h[2] for h in heads], [h[3] for h in heads], packed
            )
            rows.put(view, layout, batch, only_changed=False)
    rows.close()
    return ids


@contextmanager
def ours(settings: Settings, workspace: Workspace) -> Iterator[tuple[str, float, int]]:
    """Our service; gives its address, the seconds until it was ready, and its process."""
    # Run by itself this file would find benchmarks/serving.py under that name.
    from serving.run import running_service

    began = time.perf_counter()
    with running_service(settings, workspace, port=46_000, timeout_s=180.0, is_ready="/ready") as url:
        ready = time.perf_counter() - began
        yield url, ready, _listener(int(url.rsplit(":", 1)[1]))


@contextmanager
def bare(body: bytes) -> Iterator[str]:
    """A FastAPI application with routes that answer a constant: `/score` an object, `/bytes` ready bytes."""
    port = _free_port(47_000)
    with tempfile.NamedTemporaryFile() as constant:
        constant.write(body)
        constant.flush()
        process = subprocess.Popen([sys.executable, "-c", _BARE, str(port), constant.name])
        with _until_ready(process, f"http://127.0.0.1:{port}/openapi.json"):
            yield f"http://127.0.0.1:{port}"


@contextmanager
def mlflow_serving(settings: Settings, name: str) -> Iterator[str]:
    """`mlflow models serve` of the champion."""
    port = _free_port(48_000)
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"models:/{name}@champion"]
    options = ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    root = str(Path(__file__).resolve().parents[1])
    # It looks for uvicorn on the path.
    found = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = {**os.environ, "MLFLOW_TRACKING_URI": settings.mlflow_uri, "PYTHONPATH": root, "PATH": found}
    process = subprocess.Popen(
        command + options, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    with _until_ready(process, f"http://127.0.0.1:{port}/ping", is_group=True):
        yield f"http://127.0.0.1:{port}"


def one_row(bundle: Path) -> tuple[str, Any]:
    """A row of the champion's reference sample: as MLflow's server takes it, and as columns."""
    import pyarrow.parquet as pq

    from training.manifest import Manifest

    names = Manifest.read(bundle).feature_names
    row = pq.read_table(bundle / "reference.parquet").slice(0, 1).to_pylist()[0]
    data = json.dumps({"dataframe_split": {"columns": list(names), "data": [[row[name] for name in names]]}})
    return data, {name: [row[name]] for name in names}


def memory_mb(pid: int, *, peak: bool = False) -> float:
    """Memory of a process."""
    wanted = "VmHWM:" if peak else "VmRSS:"
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(wanted):
            return int(line.split()[1]) / 1024
    return float("nan")


def _listener(port: int) -> int:
    """The process of ours that listens on a port."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        if any(each.laddr.port == port for each in child.net_connections(kind="inet") if each.laddr):
            return int(child.pid)
    raise SystemExit(f"No process of ours listens on {port}")


def _free_port(wanted: int) -> int:
    from serving.ports import bind, listening_on

    with bind("127.0.0.1", wanted) as listener:
        return listening_on(listener, wanted).port


@contextmanager
def _until_ready(process: subprocess.Popen[bytes], url: str, *, is_group: bool = False) -> Iterator[None]:
    import signal

    try:
        until = time.monotonic() + 120
        while True:
            try:
                with urlopen(url, timeout=2):  # noqa: S310 - our own http address
                    break
            except (URLError, OSError):
                if time.monotonic() > until or process.poll() is not None:
                    raise SystemExit(f"{url} does not answer") from None
                time.sleep(0.2)
        yield
    finally:
        if process.poll() is None:
            if is_group:
                os.killpg(process.pid, signal.SIGTERM)
            else:
                process.terminate()
        process.wait(timeout=20)
