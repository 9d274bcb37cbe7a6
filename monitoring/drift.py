"""The drift report: reference against current, calibrated alarms, a verdict in words, a recorded decision."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from common.clock import utc
from common.errors import InputError
from common.workspace import Workspace
from monitoring.columns import ColumnPair, Feature, as_frame, pair_columns, thinned
from monitoring.cost import Score, estimate_costs
from monitoring.decisions import POLICY, DecisionRecord, Recommendation, Verdict, append_decision
from monitoring.estimating import Labelled
from monitoring.evidently_report import EvidentlyRun, run_evidently
from monitoring.finding import find_drift
from monitoring.page import render_page, write_json, write_text
from monitoring.policy import FEWEST_CURRENT_ROWS, FEWEST_REFERENCE_ROWS, ColumnDrift, judge
from monitoring.sampling import choose_rows, rows_of, sampling_error, side_frame, stretch_numbers
from monitoring.thresholds import ALPHA, DRAWS, TOLERANCE, Alarm, calibrate, exact_distance

_log = logging.getLogger(__name__)

# Evidently draws its plots of so many rows of a side; its HTML grows with them.
EVIDENTLY_ROWS = 5_000

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class DriftReport:
    """What a comparison found, and where it is written.

    Args:
        report_id: Identifier; names the folder and the decision records.
        verdict: OK, DRIFT or CANNOT TELL.
        recommendation: What the policy would do.
        reason: Why, in one or two sentences.
        columns: Every column, costliest drift first.
        reference_rows: Rows given as reference, before sampling.
        current_rows: Rows given as current, before sampling.
        compared_rows: Reference and current rows that were compared.
        page: Our page, HTML.
        data: The same as JSON.
        evidently_page: Evidently's page; None where the verdict is CANNOT TELL.
        decision: The policy's record.
    """

    report_id: str
    verdict: Verdict
    recommendation: Recommendation
    reason: str
    columns: tuple[ColumnDrift, ...]
    reference_rows: int
    current_rows: int
    compared_rows: tuple[int, int]
    page: Path
    data: Path
    evidently_page: Path | None
    decision: DecisionRecord

    def as_record(self) -> dict[str, Any]:
        """The report in short, as JSON values."""
        return {
            "report_id": self.report_id,
            "task": self.decision.task,
            "model_version": self.decision.model_version,
            "window": [moment.isoformat() for moment in self.decision.window],
            "verdict": str(self.verdict),
            "recommendation": str(self.recommendation),
            "reason": self.reason,
            "drifted": [column.name for column in self.drifted],
            "compared_rows": list(self.compared_rows),
            "columns": len(self.columns),
            "page": str(self.page),
            "json": str(self.data),
            "evidently": str(self.evidently_page) if self.evidently_page is not None else None,
            "decision": self.decision.decision_id,
        }

    def as_markdown(self) -> str:
        """The report in short, for Prefect's artifact page."""
        start, end = self.decision.window
        lines = [
            f"# {self.verdict}: {self.recommendation}",
            self.reason,
            f"{self.decision.task} model {self.decision.model_version}, {start:%Y-%m-%d} to {end:%Y-%m-%d}, "
            f"{self.compared_rows[0]:,} reference and {self.compared_rows[1]:,} current rows.",
        ]
        if self.drifted:
            lines.append(
                "\n".join(
                    ["| column | distance | threshold | missing |", "|---|---|---|---|", *map(_line, self.drifted)]
                )
            )
        lines.append(f"Report: [{self.page.name}]({self.page.as_uri()}), `{self.page}`")
        return "\n\n".join(lines)

    @property
    def drifted(self) -> tuple[ColumnDrift, ...]:
        """Columns beyond their thresholds, costliest first."""
        return tuple(column for column in self.columns if column.drifted)


def report_drift(
    reference: pa.Table | pd.DataFrame,
    current: pa.Table | pd.DataFrame,
    *,
    features: Sequence[Feature],
    task: str,
    workspace: Workspace,
    window: tuple[datetime, datetime],
    model_version: str,
    seed: int,
    importance: Mapping[str, float] | None = None,
    entity: str | None = None,
    reference_window: tuple[datetime, datetime] | None = None,
    stretch: timedelta | None = None,
    labelled: Labelled | None = None,
    score: Score | None = None,
    worth: float | None = None,
    with_evidently: bool = True,
    recorded: bool = True,
    not_compared: Mapping[str, str] | None = None,
    decided_at: datetime | None = None,
    progress: Progress | None = None,
) -> DriftReport:
    """Compare the model's inputs and answers now with those it was made for; write the report; record the decision.

    With nothing changed, at most 5 % of reports ring, whatever the batch's size and the number of columns (see
    `monitoring.thresholds`). That holds for independent rows: name `entity` when things stand in a frame several times,
    then one row of each, drawn at random, stands for it. Both frames must be made in one way (say, everything open at a
    moment), or the difference between the ways is the drift.

    Args:
        reference: One row per entity and moment; the features' columns, and `probability` to compare the answers too.
        current: The same for the window under review.
        features: Features of the model.
        task: lead, deal or forecast.
        workspace: Where reports, decisions and Evidently's workspace are kept.
        window: First and last moment of the current rows, UTC.
        model_version: Version of the model.
        seed: Seed of sampling and calibration.
        importance: Importance of each feature, any scale, >= 0; ranks the drifted columns by what they may cost.
        entity: Column that names the thing a row is about (`lead_id`).
        reference_window: First and last moment of the reference rows, UTC, if they have one; shown.
        stretch: Length of the current window. The reference then consists of stretches of this length, told apart by
            its column `as_of` counted back from the end of `reference_window`, and the current one must differ more
            from it than they do (`monitoring.thresholds`).
        labelled: Mature rows that the model did not learn from, with their features; ranks by estimated loss.
        score: The model, needed with `labelled`.
        worth: What the model was proven to be worth (log-loss below the base rate's); measured on `labelled` if unset.
        with_evidently: Whether Evidently makes its page and keeps the run.
        recorded: Whether the report's decision goes to the log; not where it is part of a larger look.
        not_compared: Features left out by the caller, with the reason; shown.
        decided_at: Moment of the decision; the wall clock unless given.
        progress: Told what is being done.

    Returns:
        The report. With too few rows its verdict is CANNOT TELL and nothing is compared.

    Raises:
        ContractError: if a frame lacks a feature, or a numeric feature holds text.
        InputError: if the window has no time zone or ends before it starts.
    """
    start, end = _check_window(window)
    learned = None if reference_window is None else [moment.isoformat() for moment in _check_window(reference_window)]
    names = [*dict.fromkeys([*(feature.name for feature in features), *(() if entity is None else (entity,))])]
    tables = {"reference": reference, "current": current}
    for side, table in tables.items():
        side_frame(table[:0], columns=names, side=side)
    blocks = None
    if stretch is not None:
        times = as_frame(reference, columns=["as_of"], side="reference")["as_of"]
        blocks = stretch_numbers(times, window=reference_window, stretch=stretch)
    chosen = {
        "reference": choose_rows(reference, entity=entity, seed=seed, blocks=blocks),
        "current": choose_rows(current, entity=entity, seed=seed),
    }
    blocks = None if blocks is None else blocks[chosen["reference"]]
    compared = [side_frame(rows_of(table, chosen[side]), columns=names, side=side) for side, table in tables.items()]
    pairs = pair_columns(compared[0], compared[1], features=features)
    rows = (len(compared[0]), len(compared[1]))
    enough = rows[0] >= FEWEST_REFERENCE_ROWS and rows[1] >= FEWEST_CURRENT_ROWS
    pooled_blocks = None if blocks is None else np.r_[blocks, np.full(rows[1], -1)]
    alarms = calibrate(pairs, seed=seed, blocks=pooled_blocks, progress=progress) if enough else ()
    costs = None
    if enough and labelled is not None and score is not None:
        costs = estimate_costs(pairs, labelled, score=score, seed=seed, worth=worth)

    report_id = _report_id(task, model_version, end)
    folder = workspace.reports / report_id
    folder.mkdir(parents=True, exist_ok=True)
    run = None
    if with_evidently:
        run = _evidently(pairs, alarms, folder=folder, workspace=workspace, task=task, at=end, report_id=report_id)
    if progress is not None:
        progress("writing the report", 0, 1)
    columns = find_drift(pairs, alarms, importance=importance or {}, costs=costs)
    verdict, recommendation, reason = judge(columns, reference_rows=rows[0], current_rows=rows[1])
    record = DecisionRecord(
        report_id=report_id,
        decided_at=utc(decided_at) if decided_at is not None else datetime.now(UTC),
        decided_by=POLICY,
        verdict=verdict,
        decision=recommendation,
        reason=reason,
        task=task,
        model_version=model_version,
        window=(start, end),
        inputs={
            "reference_rows": len(reference),
            "current_rows": len(current),
            "compared_reference_rows": rows[0],
            "compared_current_rows": rows[1],
            "reference_window": learned,
            "sampling_error": max(sampling_error(len(reference), rows[0]), sampling_error(len(current), rows[1])),
            "columns": len(pairs),
            "stretches": 0 if blocks is None else len(np.unique(blocks)),
            "advantage": None if costs is None else costs.advantage,
            "not_compared": dict(not_compared or {}),
            "entity": entity,
            "draws": DRAWS,
            "alpha": ALPHA,
            "seed": seed,
        },
        thresholds={f"{alarm.column}/{alarm.what}": (alarm.statistic, alarm.threshold) for alarm in alarms},
        page=str(folder / "report.html"),
    )
    report = DriftReport(
        report_id=report_id,
        verdict=verdict,
        recommendation=recommendation,
        reason=reason,
        columns=columns,
        reference_rows=len(reference),
        current_rows=len(current),
        compared_rows=rows,
        page=folder / "report.html",
        data=folder / "report.json",
        evidently_page=run.page if run is not None else None,
        decision=record,
    )
    _write(report, pairs)
    if recorded:
        append_decision(workspace, record)
    if progress is not None:
        progress("writing the report", 1, 1)
    _log.info("Drift of %s %s: %s, %s. %s", task, model_version, verdict, recommendation, reason)
    return report


def _line(column: ColumnDrift) -> str:
    distance, threshold = ("" if x is None else f"{x:.3f}" for x in (column.statistic, column.threshold))
    return (
        f"| {column.name} | {distance} | {threshold} | {column.missing_reference:.1%} to {column.missing_current:.1%} |"
    )


def _check_window(window: tuple[datetime, datetime]) -> tuple[datetime, datetime]:
    start, end = utc(window[0]), utc(window[1])
    if end < start:
        raise InputError(
            "The window ends before it starts", expected="(first, last) moment", got=f"{start} to {end}", field="window"
        )
    return start, end


def _report_id(task: str, model_version: str, end: datetime) -> str:
    version = re.sub(r"[^A-Za-z0-9._-]+", "-", model_version)
    return f"drift-{task}-{version}-{end:%Y%m%dT%H%M%SZ}"


def _evidently(
    pairs: Sequence[ColumnPair],
    alarms: Sequence[Alarm],
    *,
    folder: Path,
    workspace: Workspace,
    task: str,
    at: datetime,
    report_id: str,
) -> EvidentlyRun | None:
    thresholds = {a.column: a.threshold for a in alarms if a.what == "values" and a.threshold is not None}
    surprise = {a.column: a.p_value for a in alarms if a.what == "values"}
    rung = {a.column for a in alarms if a.what == "values" and a.rings}
    comparable = sorted((pair for pair in pairs if pair.name in thresholds), key=lambda pair: surprise[pair.name])
    if not comparable:
        return None
    drawn = [thinned(pair, most=EVIDENTLY_ROWS) for pair in comparable]
    return run_evidently(
        drawn,
        thresholds={pair.name: _as_judged(pair, thresholds[pair.name], rings=pair.name in rung) for pair in drawn},
        page=folder / "evidently.html",
        workspace=workspace.evidently,
        project=workspace.model_name(task),
        name=report_id,
        at=at,
        metadata={"report": str(folder / "report.html"), "task": task},
    )


def _as_judged(pair: ColumnPair, threshold: float, *, rings: bool) -> float:
    """The threshold, moved to the other side of the drawn rows' distance where all rows say otherwise than these."""
    drawn = exact_distance(pair)
    if (drawn > threshold) == rings:
        return threshold
    return float(np.nextafter(drawn - 2 * TOLERANCE, -np.inf)) if rings else drawn


def _write(report: DriftReport, pairs: Sequence[ColumnPair]) -> None:
    values = asdict(report) | {
        "decision": report.decision.decision_id,
        "task": report.decision.task,
        "model_version": report.decision.model_version,
        "window": list(report.decision.window),
        "inputs": report.decision.inputs,
    }
    write_json(report.data, values)
    write_text(report.page, render_page(report, pairs))
