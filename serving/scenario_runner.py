"""The process that computes comparisons of scenarios beside the service, one after the other."""

from __future__ import annotations

import argparse
import json
import logging
import os
from datetime import UTC, datetime

from common.errors import SalienceError
from common.logs import configure_logging
from common.settings import Settings
from common.telemetry import disable_telemetry
from common.workspace import Workspace
from serving.forecast_desk import open_forecaster
from serving.job_runner import end_with

_NICE = 10
logger = logging.getLogger(__name__)


def work_off(settings: Settings, workspace: Workspace) -> None:
    """Compute comparisons until none waits; one that fails says why, and the next one is taken.

    Args:
        settings: Seed and stores.
        workspace: Whose scenarios.
    """
    from training.forecast.scenario_store import ScenarioStore, compute_comparison

    store = ScenarioStore(workspace)
    forecaster = open_forecaster(settings, workspace)
    while (asked := store.next()) is not None:
        store.save({**asked, "status": "running"})
        try:
            store.save(compute_comparison(forecaster, asked))
        except SalienceError as error:
            store.save({**asked, "status": "failed", "problem": error.message})


def main() -> None:
    """Entry point: compute what waits in the workspace that the settings name."""
    parser = argparse.ArgumentParser(prog="serving.scenario_runner", description=__doc__)
    parser.add_argument("--parent", type=int, required=True)
    end_with(parser.parse_args().parent)
    disable_telemetry()
    settings = Settings()
    configure_logging(settings.log_level)
    os.nice(_NICE)
    workspace = Workspace.of(settings)
    from training.forecast.scenario_store import ScenarioStore

    with ScenarioStore(workspace).turn() as is_mine:
        if not is_mine:
            return
        try:
            work_off(settings, workspace)
        except SalienceError as error:
            logger.error("%s", json.dumps({"at": datetime.now(UTC).isoformat(), "problem": error.message}))


if __name__ == "__main__":
    main()
