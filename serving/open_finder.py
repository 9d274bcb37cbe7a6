"""Tells what is open, in a process of its own: what it takes (Ibis, sqlglot) would stay in the worker for good (40 MB).

    python -m serving.open_finder --parent PID --at 2026-01-05T00:00:00+00:00 lead deal

It prints JSON: ids by task, in order; of leads, of which there may be millions, the first.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime

from common.errors import UnavailableError
from common.settings import Settings
from common.telemetry import disable_telemetry
from common.workspace import Workspace
from serving.open_things import FindOpen

_LONGEST_SECONDS = 300.0


def find_beside(settings: Settings, workspace: Workspace, tasks: Sequence[str]) -> FindOpen:
    """Tells what is open by a process beside this one.

    Args:
        settings: What it is to read.
        workspace: Whose leads and deals.
        tasks: `lead`, `deal`, or both.
    """
    from serving.run import environment

    def find(at: datetime) -> dict[str, list[str]]:
        command = [sys.executable, "-m", "serving.open_finder", "--parent", str(os.getpid()), "--at", at.isoformat()]
        env = {**os.environ, **environment(settings, workspace)}
        try:
            told = subprocess.run(  # noqa: S603 - this interpreter, our own module
                [*command, *tasks], env=env, capture_output=True, timeout=_LONGEST_SECONDS, check=True
            )
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or b""
            last = said.decode(errors="replace").strip().rpartition("\n")[2]
            raise UnavailableError(
                "What is open cannot be told", got=last or type(error).__name__, next_step="run: salience ingest"
            ) from error
        found: dict[str, list[str]] = json.loads(told.stdout)
        return found

    return find


def open_ids(workspace: Workspace, task: str, at: datetime) -> list[str]:
    """Ids of the deals that are open at a moment, in order; of leads the first."""
    from features.spines import open_deal_spine, open_lead_spine
    from warehouse.store import Warehouse

    find, key = (open_lead_spine, "lead_id") if task == "lead" else (open_deal_spine, "opportunity_id")
    ids: list[str] = sorted(find(Warehouse(workspace.warehouse), at)[key].to_pylist())
    return ids[:1] if task == "lead" else ids


def main() -> None:
    """Entry point: print what is open in the workspace that the settings name."""
    from serving.job_runner import end_with

    parser = argparse.ArgumentParser(prog="serving.open_finder", description=__doc__)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--at", type=datetime.fromisoformat, required=True)
    parser.add_argument("tasks", nargs="+", choices=("lead", "deal"))
    asked = parser.parse_args()
    end_with(asked.parent)
    disable_telemetry()
    workspace = Workspace.of(Settings())
    sys.stdout.write(json.dumps({task: open_ids(workspace, task, asked.at) for task in asked.tasks}))


if __name__ == "__main__":
    main()
