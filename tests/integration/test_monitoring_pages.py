"""The three real pages, from start to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUN = """
from common.settings import Settings
from common.workspace import Workspace
from monitoring.ui import run_ui

settings = Settings(_env_file=None)
raise SystemExit(run_ui(settings, Workspace.of(settings), say=lambda line: print(line, flush=True)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_three_pages_answer_and_a_signal_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    ports = {"PREFECT": 14_200, "MLFLOW": 15_000, "EVIDENTLY": 18_000}
    environment = os.environ | {f"SALIENCE_UI__{name}_PORT": str(port) for name, port in ports.items()}
    environment.pop("PREFECT_HOME", None)
    command = [sys.executable, "-c", RUN]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as run:
        try:
            watch(run, number, tmp_path)
        finally:
            run.send_signal(signal.SIGTERM)


def watch(run: subprocess.Popen[str], number: signal.Signals, tmp_path: Path) -> None:
    assert run.stdout is not None
    said: list[str] = []
    for line in run.stdout:
        said.append(line.strip())
        if line.startswith("Ctrl-C"):
            break
    addresses = {line.split()[0]: line.split()[1] for line in said if "http://" in line}
    assert set(addresses) == {"prefect", "mlflow", "evidently"}, said
    for address in addresses.values():
        with urllib.request.urlopen(address, timeout=20) as answer:  # noqa: S310 (our own loopback address)
            assert b"<html" in answer.read().lower()
    groups = [int(child) for child in children_of(run.pid)]
    assert len(groups) == 3

    run.send_signal(number)
    assert run.wait(timeout=40) == 0
    assert run.stdout.read().strip().endswith("All pages are stopped.")
    time.sleep(0.2)
    for group in groups:
        with pytest.raises(ProcessLookupError):
            os.killpg(group, 0)
    assert (tmp_path / "home" / "prefect").is_dir()


def children_of(process: int) -> list[str]:
    return (Path("/proc") / str(process) / "task" / str(process) / "children").read_text().split()
