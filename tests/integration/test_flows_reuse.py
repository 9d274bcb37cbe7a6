"""Steps on the embedded Prefect server: reused while inputs and outputs stand, made again when an output is gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import sys
from pathlib import Path
from common.settings import Settings
from flows.parts import prepare_environment
prepare_environment(Settings())
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from flows.caching import run_step
from flows.orchestration import local_orchestration

folder = Path(sys.argv[1])

@task(name="write", cache_policy=NO_CACHE)
def write(text):
    (folder / "out.txt").write_text(text)
    return {"outputs": [str(folder / "out.txt")], "text": text}

@flow(name="twice")
def twice(key):
    return run_step(write, receipts=folder / "receipts", key=key, text=key).is_reused

with local_orchestration():
    reused = [twice("a"), twice("a"), twice("b")]
    (folder / "out.txt").unlink()
    reused += [twice("b"), twice("b")]
print(reused, (folder / "out.txt").read_text())
"""


def test_a_step_is_reused_until_an_input_changes_or_an_output_is_gone(tmp_path: Path) -> None:
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path / "prefect")}
    environment.pop("PREFECT_API_URL", None)
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=environment,
        timeout=300,
    )
    assert result.stdout.strip().splitlines()[-1:] == ["[False, True, False, False, True] b"], result.stderr[-2000:]
