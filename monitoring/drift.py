"""The drift report: reference against current, calibrated alarms, a verdict in words, a recorded decision."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from common.clock import utc
from common.errors import InputError
from common.workspace import Workspace
from monitoring.columns import PREDICTION, ColumnPair, Feature, as_frame, pair_columns
from monitoring.decisions import POLICY, DecisionRecord, Recommendation, Verdict, append_decision
from monitoring.evidently_report import EvidentlyRun, run_evidently
from monitoring.page import render_page, write_json, write_text
from monitoring.policy import FEWEST_CURRENT_ROWS, FEWEST_REFERENCE_ROWS, ColumnDrift, judge
from monitoring.thresholds import ALPHA, DRAWS, Alarm, calibrate

_log = logging.getLogger(__name__)

# More rows of a side would add minutes to the report and nothing to its answer: a random sample stands for them.
MOST_ROWS = 5_000

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
    keys = () if entity is None else (entity,)
    names = [*dict.fromkeys([*(feature.name for feature in features), *keys])]
    whole = [
        _frame(table, columns=names, side=side) for table, side in ((reference, "reference"), (current, "current"))
    ]
    compared = [_sample(frame, entity=entity, seed=seed) for frame in whole]
    pairs = pair_columns(compared[0], compared[1], features=features)
    rows = (len(compared[0]), len(compared[1]))
    enough = rows[0] >= FEWEST_REFERENCE_ROWS and rows[1] >= FEWEST_CURRENT_ROWS
    alarms = calibrate(pairs, seed=seed, progress=progress) if enough else ()

    report_id = _report_id(task, model_version, end)
    folder = workspace.reports / report_id
    folder.mkdir(parents=True, exist_ok=True)
    run = _evidently(pairs, alarms, folder=folder, workspace=workspace, task=task, at=end, report_id=report_id)
    if progress is not None:
        progress("writing the report", 0, 1)
    columns = _columns(pairs, alarms, importance=importance or {}, statistics=run.statistics if run is not None else {})
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
            "reference_rows": len(whole[0]),
            "current_rows": len(whole[1]),
            "compared_reference_rows": rows[0],
            "compared_current_rows": rows[1],
            "reference_window": learned,
            "columns": len(pairs),
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
        reference_rows=len(whole[0]),
        current_rows=len(whole[1]),
        compared_rows=rows,
        page=folder / "report.html",
        data=folder / "report.json",
        evidently_page=run.page if run is not None else None,
        decision=record,
    )
    _write(report, pairs)
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


def _frame(table: pa.Table | pd.DataFrame, *, columns: list[str], side: str) -> pd.DataFrame:
    present = table.column_names if isinstance(table, pa.Table) else list(table.columns)
    return as_frame(table, columns=[*columns, PREDICTION] if PREDICTION in present else columns, side=side)


def _sample(frame: pd.DataFrame, *, entity: str | None, seed: int) -> pd.DataFrame:
    """One random row per entity, and at most `MOST_ROWS` of them."""
    if entity is not None:
        shuffled = frame.sample(frac=1.0, random_state=seed)
        frame = shuffled.drop_duplicates(subset=entity).sort_index()
    if len(frame) > MOST_ROWS:
        frame = frame.sample(n=MOST_ROWS, random_state=seed).sort_index()
    return frame.reset_index(drop=True)


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
    comparable = sorted((pair for pair in pairs if pair.name in thresholds), key=lambda pair: surprise[pair.name])
    if not comparable:
        return None
    return run_evidently(
        comparable,
        thresholds=thresholds,
        page=folder / "evidently.html",
        workspace=workspace.evidently,
        project=workspace.model_name(task),
        name=report_id,
        at=at,
        metadata={"report": str(folder / "report.html"), "task": task},
    )


def _columns(
    pairs: Sequence[ColumnPair],
    alarms: Sequence[Alarm],
    *,
    importance: Mapping[str, float],
    statistics: Mapping[str, float],
) -> tuple[ColumnDrift, ...]:
    """Every column's finding; drifted ones first, costliest first. The statistic shown is Evidently's."""
    of = {(alarm.column, alarm.what): alarm for alarm in alarms}
    total = sum(importance.get(pair.name, 0.0) for pair in pairs)
    found = []
    for pair in pairs:
        values, missing = of.get((pair.name, "values")), of.get((pair.name, "missing"))
        if values is not None and pair.name in statistics:
            values = replace(values, statistic=statistics[pair.name])
        share = importance.get(pair.name, 0.0) / total if total > 0 and pair.name != PREDICTION else None
        found.append(_finding(pair, values, missing, importance=share))
    return tuple(sorted(found, key=lambda c: (not c.drifted, -c.cost, c.p_value, c.name)))


def _finding(pair: ColumnPair, values: Alarm | None, missing: Alarm | None, *, importance: float | None) -> ColumnDrift:
    gone = pair.is_missing
    weight = 1.0 if importance is None else importance
    excess = max(_excess(alarm, rows=gone.size - pair.reference_rows) for alarm in (values, missing))
    return ColumnDrift(
        name=pair.name,
        about=pair.about,
        kind=pair.kind,
        statistic=values.statistic if values is not None else None,
        typical=values.typical if values is not None else None,
        threshold=values.threshold if values is not None else None,
        p_value=min((alarm.p_value for alarm in (values, missing) if alarm is not None), default=1.0),
        values_ring=values is not None and values.rings,
        missing_reference=_share(gone[: pair.reference_rows]),
        missing_current=_share(gone[pair.reference_rows :]),
        missing_threshold=missing.threshold if missing is not None else None,
        missing_rings=missing is not None and missing.rings,
        unseen=pair.unseen,
        importance=importance,
        cost=excess * weight,
    )


def _excess(alarm: Alarm | None, *, rows: int) -> float:
    """How far beyond the typical a statistic lies, in units of what is allowed; 1 is the threshold."""
    if alarm is None or alarm.statistic is None or alarm.threshold is None or alarm.typical is None:
        return 0.0
    allowed = max(alarm.threshold - alarm.typical, 1 / rows if alarm.what == "missing" else 1e-3)
    return max(0.0, alarm.statistic - alarm.typical) / allowed


def _share(flags: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float:
    return float(flags.mean()) if flags.size else 0.0


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
