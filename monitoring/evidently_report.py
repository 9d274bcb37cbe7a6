"""Evidently: its statistics, its HTML page and its workspace. The only module that imports it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from common.telemetry import disable_telemetry
from monitoring.columns import PREDICTION, ColumnPair
from monitoring.thresholds import TOLERANCE

METHODS = {"numeric": "wasserstein", "categorical": "jensenshannon"}


@dataclass(frozen=True)
class EvidentlyRun:
    """What Evidently made of a comparison.

    Args:
        statistics: Its drift score of each column.
        page: Its HTML report, self-contained.
        project_id: Its project in the workspace folder.
        run_id: The run in that project.
    """

    statistics: dict[str, float]
    page: Path
    project_id: str
    run_id: str


def run_evidently(
    pairs: Sequence[ColumnPair],
    *,
    thresholds: Mapping[str, float],
    page: Path,
    workspace: Path,
    project: str,
    name: str,
    at: datetime,
    metadata: Mapping[str, str],
) -> EvidentlyRun:
    """Compare the columns with Evidently under our thresholds, write its page, add the run to its workspace.

    Args:
        pairs: Columns that have values on both sides.
        thresholds: Largest distance of each column that does not ring.
        page: Where the HTML goes.
        workspace: Evidently's workspace folder; made if need be.
        project: Project in it; made if need be.
        name: Name of the run in the UI.
        at: The run's moment on the project's time axis.
        metadata: Shown with the run.
    """
    disable_telemetry()
    with _evidently_quiet():
        from evidently import DataDefinition, Dataset, Report
        from evidently.metrics import MeanValue, ValueDrift

    definition = DataDefinition(
        numerical_columns=[pair.name for pair in pairs if pair.kind == "numeric"],
        categorical_columns=[pair.name for pair in pairs if pair.kind == "categorical"],
    )
    sides = {side: pd.DataFrame({pair.name: pair.series(side) for pair in pairs}) for side in ("reference", "current")}
    data = {side: Dataset.from_pandas(frame, data_definition=definition) for side, frame in sides.items()}
    metrics: list[Any] = [
        # Evidently rings at >= its threshold, we ring above ours.
        ValueDrift(column=pair.name, method=METHODS[pair.kind], threshold=_just_above(thresholds[pair.name]))
        for pair in pairs
    ]
    if any(pair.name == PREDICTION for pair in pairs):
        # The dashboard follows this one: a metric whose threshold changes from run to run makes no line there.
        metrics.append(MeanValue(column=PREDICTION, tests=[]))
    with _evidently_quiet():
        snapshot = Report(metrics, include_tests=True).run(
            data["current"], data["reference"], timestamp=_naive_utc(at), metadata=dict(metadata), name=name
        )
    snapshot.save_html(str(page))
    project_id, run_id = _add_run(snapshot, workspace=workspace, project=project)
    found = json.loads(snapshot.json())["metrics"]
    statistics = {m["config"]["column"]: float(m["value"]) for m in found if "method" in m["config"]}
    return EvidentlyRun(statistics=statistics, page=page, project_id=project_id, run_id=run_id)


@contextmanager
def _evidently_quiet() -> Iterator[None]:
    """Silence what Evidently's own code provokes and a caller cannot avoid, such as old names and bad escapes in it."""
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        for category in (DeprecationWarning, PendingDeprecationWarning, SyntaxWarning, FutureWarning):
            warnings.simplefilter("ignore", category)
        yield


def _just_above(threshold: float) -> float:
    return float(np.nextafter(threshold + TOLERANCE, np.inf))


def _naive_utc(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(tzinfo=None)


def _add_run(snapshot: Any, *, workspace: Path, project: str) -> tuple[str, str]:
    from evidently.ui.workspace import Workspace

    workspace.mkdir(parents=True, exist_ok=True)
    store = Workspace(str(workspace))
    found = store.search_project(project)
    home = found[0] if found else _new_project(store, project)
    return str(home.id), str(store.add_run(home.id, snapshot, include_data=False).id)


def _new_project(store: Any, project: str) -> Any:
    """Make the project, with the mean prediction of each batch on its dashboard."""
    from evidently.sdk.models import PanelMetric
    from evidently.sdk.panels import line_plot_panel

    made = store.create_project(
        project, description="Reference against current batches; thresholds fitted to each batch."
    )
    mean = PanelMetric(
        legend="current batch", metric="evidently:metric_v2:MeanValue", metric_labels={"column": PREDICTION}
    )
    made.dashboard.add_panel(line_plot_panel(title="Mean predicted probability", values=[mean]))
    made.save()
    return made
