"""The record of decisions on drift: one JSON line each, appended and never changed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import uuid4

from common.clock import parse_moment, utc
from common.errors import InputError, NotFoundError, UnavailableError, shorten
from common.workspace import Workspace

POLICY = "policy"


class Verdict(StrEnum):
    """What a comparison says."""

    OK = "OK"
    DRIFT = "DRIFT"
    CANNOT_TELL = "CANNOT TELL"


class Recommendation(StrEnum):
    """What to do about it."""

    RETRAIN = "RETRAIN"
    IGNORE = "IGNORE"
    HOLD = "HOLD"


@dataclass(frozen=True, kw_only=True)
class DecisionRecord:
    """One decision on one report, by the policy or by a person.

    Args:
        decision_id: Identifier of this record.
        report_id: Report decided on; all records on a report share it.
        decided_at: When, UTC.
        decided_by: `policy`, or who.
        verdict: What the report says.
        decision: What is to be done.
        reason: Why, in words.
        task: Model's task (lead, deal, forecast).
        model_version: Version of the model whose inputs were compared.
        window: First and last moment of the current rows, UTC.
        inputs: Row counts, columns, seed, draws, sampling, entity.
        thresholds: `column/values` or `column/missing` to [statistic, threshold], null where not comparable.
        page: Report for people.
    """

    report_id: str
    decided_at: datetime
    decided_by: str
    verdict: Verdict
    decision: Recommendation
    reason: str
    task: str
    model_version: str
    window: tuple[datetime, datetime]
    inputs: Mapping[str, Any]
    thresholds: Mapping[str, tuple[float | None, float | None]]
    page: str
    decision_id: str = field(default_factory=lambda: uuid4().hex)

    def line(self) -> str:
        """The record as one line of JSON."""
        values = asdict(self)
        values["decided_at"] = self.decided_at.isoformat()
        values["window"] = [moment.isoformat() for moment in self.window]
        return json.dumps(values, ensure_ascii=False, allow_nan=False)

    @classmethod
    def read(cls, line: str) -> DecisionRecord:
        """A record from its line.

        Raises:
            ValueError, KeyError, TypeError: if the line is not one.
        """
        values = json.loads(line)
        start, end = (parse_moment(text) for text in values["window"])
        values |= {
            "window": (start, end),
            "decided_at": parse_moment(values["decided_at"]),
            "verdict": Verdict(values["verdict"]),
            "decision": Recommendation(values["decision"]),
            "thresholds": {key: (pair[0], pair[1]) for key, pair in values["thresholds"].items()},
        }
        return cls(**values)


def decisions_file(workspace: Workspace) -> Path:
    """Where the workspace's decisions are kept."""
    return workspace.reports / "decisions.jsonl"


def append_decision(workspace: Workspace, record: DecisionRecord) -> None:
    """Add a record at the end of the file: one write, flushed to disk."""
    path = decisions_file(workspace)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_APPEND | os.O_CREAT | os.O_RDWR, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        # A line cut off by a crash must not swallow this one.
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        os.write(descriptor, (("\n" if torn else "") + record.line() + "\n").encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_decisions(workspace: Workspace) -> list[DecisionRecord]:
    """All records, oldest first; none where nothing was decided yet.

    Raises:
        UnavailableError: naming the lines that cannot be read.
    """
    path = decisions_file(workspace)
    if not path.exists():
        return []
    records, broken = [], []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            records.append(DecisionRecord.read(line))
        except (ValueError, KeyError, TypeError, InputError):
            broken.append(number)
    if broken:
        raise UnavailableError(
            f"{len(broken)} of {len(broken) + len(records)} lines of {path} are no decision records",
            got=f"line {shorten(broken)}",
            next_step="move those lines to another file; the others are intact",
        )
    return records


def decide(
    workspace: Workspace,
    *,
    report_id: str,
    decision: Recommendation,
    by: str,
    reason: str,
    at: datetime | None = None,
) -> DecisionRecord:
    """Record a person's decision on a report, beside what the policy recommended.

    Args:
        workspace: Workspace of the report.
        report_id: Report decided on.
        decision: What is to be done.
        by: Who decides.
        reason: Why; what a later reader needs.
        at: When; the wall clock unless given.

    Raises:
        NotFoundError: if no report has this id.
        InputError: if who or why is empty.
    """
    for name, value in (("by", by), ("reason", reason)):
        if not value.strip():
            raise InputError(f"A decision needs '{name}'", expected="a few words", got="nothing", field=name)
    known = {record.report_id: record for record in read_decisions(workspace)}
    if report_id not in known:
        raise NotFoundError(
            f"No drift report '{report_id}' in workspace '{workspace.name}'",
            expected=f"one of {shorten(reversed(known))}" if known else "a report; none has been made yet",
            next_step="make one with `salience report-drift`" if not known else None,
        )
    first = known[report_id]
    record = DecisionRecord(
        report_id=report_id,
        decided_at=utc(at) if at is not None else datetime.now(UTC),
        decided_by=by.strip(),
        verdict=first.verdict,
        decision=Recommendation(decision),
        reason=reason.strip(),
        task=first.task,
        model_version=first.model_version,
        window=first.window,
        inputs=first.inputs,
        thresholds=first.thresholds,
        page=first.page,
    )
    append_decision(workspace, record)
    return record
