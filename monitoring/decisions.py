"""The record of what was seen, decided and done: one line each, appended and never changed.

It is a log of the kind that keeps the promotions (`training.promotion_log`): each line carries the hash of the one
before, so that a changed line shows, and what a killed process left of a last line is cut off.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from common.clock import parse_moment, utc
from common.errors import InputError, NotFoundError, shorten
from common.workspace import Workspace
from training.promotion_log import PromotionLog

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
    ROLLBACK = "ROLLBACK"


EVALUATION, DECISION, EVENT, RETRAINING, ALERT = "evaluation", "decision", "event", "retraining", "alert"
"""Steps of the chain: the policy's evaluation, a person's decision, and what followed."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One line of the log.

    Args:
        step: One of the steps above.
        report_id: Look or report it belongs to.
        at: When, ISO 8601 UTC.
        record: What happened, JSON values.
    """

    step: str
    report_id: str
    at: str
    record: Mapping[str, Any]


class DecisionLog(PromotionLog):
    """The log of a workspace.

    Args:
        path: The file; made on the first step.
    """

    def add(self, step: Step) -> None:
        """Append a step; two processes may do so at once."""
        # Any dataclass of JSON values makes a line.
        self.append(cast("Any", step))

    def steps(self, *, report_id: str | None = None, step: str | None = None) -> Iterator[Step]:
        """The steps, oldest first, of one report or kind if asked.

        Raises:
            ContractError: naming the first line that was changed, added or taken away.
        """
        for entry in self.entries():
            if (report_id is None or entry["report_id"] == report_id) and (step is None or entry["step"] == step):
                yield Step(step=entry["step"], report_id=entry["report_id"], at=entry["at"], record=entry["record"])


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

    def plain(self) -> dict[str, Any]:
        """The record as JSON values."""
        values = asdict(self)
        values["decided_at"] = self.decided_at.isoformat()
        values["window"] = [moment.isoformat() for moment in self.window]
        values["thresholds"] = {key: list(pair) for key, pair in self.thresholds.items()}
        return {**values, "verdict": str(self.verdict), "decision": str(self.decision)}

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> DecisionRecord:
        """A record from its JSON values."""
        start, end = (parse_moment(text) for text in record["window"])
        values = {
            **record,
            "window": (start, end),
            "decided_at": parse_moment(record["decided_at"]),
            "verdict": Verdict(record["verdict"]),
            "decision": Recommendation(record["decision"]),
            "thresholds": {key: (pair[0], pair[1]) for key, pair in record["thresholds"].items()},
        }
        return cls(**values)


def decisions_file(workspace: Workspace) -> Path:
    """Where the workspace's decisions are kept."""
    return workspace.reports / "decision-log.jsonl"


def decision_log(workspace: Workspace) -> DecisionLog:
    """The workspace's log."""
    return DecisionLog(decisions_file(workspace))


def append_decision(workspace: Workspace, record: DecisionRecord) -> None:
    """Add the policy's evaluation, or a person's decision."""
    step = EVALUATION if record.decided_by == POLICY else DECISION
    at = record.decided_at.isoformat()
    decision_log(workspace).add(Step(step=step, report_id=record.report_id, at=at, record=record.plain()))


def read_decisions(workspace: Workspace) -> list[DecisionRecord]:
    """All evaluations and decisions, oldest first; none where nothing was decided yet.

    Raises:
        ContractError: naming the first line that was changed, added or taken away.
    """
    steps = decision_log(workspace).steps()
    return [DecisionRecord.read(step.record) for step in steps if step.step in (EVALUATION, DECISION)]


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
            next_step="make one with `salience monitor`" if not known else None,
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
