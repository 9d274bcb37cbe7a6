"""From a look to what follows: the policy's evaluation, its record, the event, the alert; each done once.

A run that was killed is finished by the next: what is already in the log is not done again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from common.clock import parse_moment, utc
from common.errors import InputError, NotFoundError
from common.locks import exclusive
from common.workspace import Workspace
from monitoring.alerts import Alert, tell, told_causes
from monitoring.checks import State
from monitoring.decisions import (
    DECISION,
    EVALUATION,
    EVENT,
    POLICY,
    RETRAINING,
    DecisionLog,
    DecisionRecord,
    Recommendation,
    Step,
    append_decision,
    decision_log,
)
from monitoring.look import Look, due_ends, keep_look, read_looks
from monitoring.looks import Parts, Progress, look_at
from monitoring.model_page import page_of, write_model_page
from monitoring.prometheus import write_metrics
from monitoring.retraining import Evaluation, Facts, evaluate
from training.promotion import promotion_log

DRIFT_EVENT = "sales.drift.detected"
EVALUATED_EVENT = "sales.model.evaluated"
# Who decided, where the gate kept a challenger out.
GATE = "gate"
# (event name, resource, payload)
Emit = Callable[[str, str, Mapping[str, Any]], None]
_LOCK_SECONDS = 600.0


@dataclass(frozen=True, kw_only=True)
class Acted:
    """What became of one look.

    Args:
        look: The look.
        record: The policy's evaluation, as it was recorded.
        is_new: Whether it was made by this run.
        alerts: What was told, in words.
    """

    look: Look
    record: DecisionRecord
    is_new: bool
    alerts: tuple[str, ...] = ()


def watch(
    parts: Parts,
    *,
    task: str,
    now: datetime,
    since: datetime | None = None,
    first: int | None = None,
    emit: Emit | None = None,
    progress: Progress | None = None,
) -> list[Acted]:
    """Look at every window that is due, decide, record, tell; missed windows are caught up, oldest first.

    Args:
        parts: The platform.
        task: lead, deal or forecast.
        now: The present of the data.
        since: Look at all windows that end at or after this moment, those looked at before only read again.
        first: Windows to look at where none was looked at yet; as many as the policy counts unless given.
        emit: Sends events; none are sent without.
        progress: Told what is being done.

    Raises:
        NotFoundError: if the task has no champion.
    """
    workspace, policy = parts.workspace, parts.policy
    with exclusive(workspace.reports / f".monitoring-{task}.lock", what=f"looks at {task}", wait_seconds=_LOCK_SECONDS):
        before = read_looks(workspace, task)
        champion = parts.registry.champion(workspace.model_name(task))
        own = [look for look in before if champion is not None and look.version == champion.version]
        # A new champion is looked at once on the window its predecessor was looked at last.
        begin = 1 if before else policy.retrain.of_last
        ends = due_ends(
            now=now,
            every_days=policy.every_days,
            newest=own[-1].end if own else None,
            since=since,
            first=begin if first is None else first,
        )
        done = _unfinished(parts, before, is_idle=not ends, emit=emit)
        done += [_one(parts, task, end, is_last=end == ends[-1], emit=emit, progress=progress) for end in ends]
        write_model_page(parts, task)
        write_metrics(workspace)
    return done


def _one(
    parts: Parts, task: str, end: datetime, *, is_last: bool, emit: Emit | None, progress: Progress | None
) -> Acted:
    version = parts.registry.champion(parts.workspace.model_name(task))
    known = [
        look
        for look in read_looks(parts.workspace, task)
        if look.end == end and (version is None or look.version == version.version)
    ]
    look = known[0] if known else look_at(parts, task=task, end=end, with_evidently=is_last, progress=progress)
    if not known:
        keep_look(parts.workspace, look)
    return finish(parts, look, emit=emit)


def _unfinished(parts: Parts, before: Sequence[Look], *, is_idle: bool, emit: Emit | None) -> list[Acted]:
    """Finish looks that a killed run left without a record; where nothing is due, the newest, whose alert may wait."""
    recorded = {step.report_id for step in decision_log(parts.workspace).steps(step=EVALUATION)}
    open_looks = [look for look in before if look.look_id not in recorded]
    if is_idle and before and before[-1] not in open_looks:
        open_looks.append(before[-1])
    return [finish(parts, look, emit=emit) for look in open_looks]


def finish(parts: Parts, look: Look, *, emit: Emit | None = None) -> Acted:
    """Evaluate a look by the policy, record that, send the event, tell whom it concerns; nothing is done twice."""
    log = decision_log(parts.workspace)
    steps = list(log.steps(report_id=look.look_id))
    recorded = [step for step in steps if step.step == EVALUATION]
    if recorded:
        record, is_new = DecisionRecord.read(recorded[-1].record), False
    else:
        record, is_new = _evaluate(parts, look, log), True
        append_decision(parts.workspace, record)
    if emit is not None and not any(step.step == EVENT for step in steps):
        _send(parts, look, record, log, emit)
    return Acted(look=look, record=record, is_new=is_new, alerts=tuple(_tell(parts, look, record, log)))


def _evaluate(parts: Parts, look: Look, log: DecisionLog) -> DecisionRecord:
    looks = [
        each for each in read_looks(parts.workspace, look.task) if each.version == look.version and each.end <= look.end
    ]
    last = [each.checks for each in looks if each.end < look.end][-parts.policy.retrain.of_last :]
    last = [*last, look.checks]
    facts = facts_of(parts, look, log)
    first = evaluate(last, facts, parts.policy)
    found = evaluate(last, _with_standing(facts, first, look, parts, log), parts.policy)
    return DecisionRecord(
        report_id=look.look_id,
        decided_at=datetime.now(UTC),
        decided_by=POLICY,
        verdict=found.verdict,
        decision=found.decision,
        reason=found.reason,
        task=look.task,
        model_version=look.version,
        window=look.window,
        inputs={
            "model": look.model,
            "failing": list(found.failing),
            "cause": found.cause,
            "cost_share": found.cost_share,
            "conditions": list(found.conditions),
            "checks": {check.name: str(check.state) for check in look.checks},
            "last_looks": [[check.name for check in checks if check.state == State.FAILS] for checks in last],
            "new_labels": look.facts.get("new_labels"),
            "fresh_labels": look.facts.get("fresh_labels"),
            "refresh": found.is_refresh,
            "policy": parts.policy.model_dump(),
        },
        thresholds={},
        page=str(page_of(parts.workspace, look.task)),
    )


def facts_of(parts: Parts, look: Look, log: DecisionLog) -> Facts:
    """What the policy has to know besides the looks, from the logs."""
    trained = [step for step in log.steps(step=RETRAINING) if step.record["model"] == look.model]
    entries = [entry for entry in promotion_log(parts.registry).entries() if entry["name"] == look.model]
    promoted = [entry for entry in entries if entry["promoted"] and str(entry["version"]) == look.version]
    data_time, tried = _data_time(look.version, log), look.facts.get("last_try")
    return Facts(
        now=look.end,
        last_retraining=parse_moment(trained[-1].record["data_time"]) if trained else None,
        promoted_at=data_time if promoted else None,
        predecessor_is_better=bool((look.facts.get("predecessor") or {}).get("is_better")),
        new_labels=look.facts.get("new_labels"),
        last_try=parse_moment(tried) if tried else None,
        fresh_labels=look.facts.get("fresh_labels"),
    )


def _data_time(version: str, log: DecisionLog) -> datetime | None:
    """When a version was trained by the policy, on the data's clock; None for one that came otherwise.

    Nor for a recalibrated one: the version before it is the same model with an older calibration, so that putting that
    back mends nothing; the next recalibration does.
    """
    for step in log.steps(step=RETRAINING):
        if str(step.record["version"]) == version and "recalibrated_from" not in step.record:
            return parse_moment(step.record["data_time"])
    return None


def _with_standing(facts: Facts, found: Evaluation, look: Look, parts: Parts, log: DecisionLog) -> Facts:
    """A person's IGNORE or HOLD on the same cause, or on a refresh, stands for the cool-down.

    The gate's word does not: it was about a challenger.
    """
    for step in reversed(list(log.steps(step=DECISION))):
        record = DecisionRecord.read(step.record)
        if (
            record.task != look.task
            or record.decided_by == GATE
            or record.decision not in (Recommendation.IGNORE, Recommendation.HOLD)
        ):
            continue
        age_days = (look.end - record.window[1]).total_seconds() / 86_400
        same = found.cause and record.inputs.get("cause") == found.cause
        same = same or (found.is_refresh and record.inputs.get("refresh"))
        if same and 0 <= age_days <= parts.policy.retrain.cool_down_days:
            words = f"{record.decided_by} decided {record.decision} on {record.decided_at:%Y-%m-%d}: {record.reason}"
            return Facts(**{**vars(facts), "standing": (record.decision, words)})
    return facts


def _send(parts: Parts, look: Look, record: DecisionRecord, log: DecisionLog, emit: Emit) -> None:
    """The event, and its record; an event whose record was lost to a kill is sent again, never lost."""
    name = DRIFT_EVENT if record.decision == Recommendation.RETRAIN else EVALUATED_EVENT
    payload = event_payload(parts.workspace, look, record)
    emit(name, f"salience.model.{look.model}", payload)
    at = datetime.now(UTC).isoformat()
    log.add(Step(step=EVENT, report_id=look.look_id, at=at, record={"event": name, "model": look.model, **payload}))


def event_payload(workspace: Workspace, look: Look, record: DecisionRecord) -> dict[str, str]:
    """What an automation needs to know of a look; texts only, for templates."""
    return {
        "task": look.task,
        "source": workspace.name,
        "version": look.version,
        "look_id": look.look_id,
        "decision": str(record.decision),
        "kind": "refresh" if record.inputs.get("refresh") else "drift",
        "cause": str(record.inputs.get("cause", "")),
        "reason": record.reason,
    }


def _tell(parts: Parts, look: Look, record: DecisionRecord, log: DecisionLog) -> list[str]:
    """Tell of a failing cause once, and once that it has gone. Only the newest look is told."""
    newest = read_looks(parts.workspace, look.task)
    if newest and newest[-1].end > look.end:
        return []
    page = page_of(parts.workspace, look.task)
    cause = str(record.inputs.get("cause", ""))
    alerts = []
    if cause:
        alerts.append(
            Alert(
                model=look.model,
                cause=cause,
                title=f"{look.model} {look.version}: {record.decision}, {', '.join(record.inputs['failing'])}",
                text=f"{record.reason} Window until {look.end:%Y-%m-%d}. {_cost(record)}",
                page=page,
            )
        )
    for gone in told_causes(log, look.model).values():
        if gone != cause:
            title = f"{look.model}: over, {gone}"
            alerts.append(
                Alert(model=look.model, cause=gone, title=title, text=record.reason, page=page, severity="info")
            )
    said: list[str] = []
    for alert in alerts:
        said += tell(
            alert,
            settings=parts.settings.alerts,
            workspace=parts.workspace,
            log=log,
            report_id=look.look_id,
            at=datetime.now(UTC),
        )
    return said


def _cost(record: DecisionRecord) -> str:
    share = record.inputs.get("cost_share")
    return "What it costs is not known." if share is None else f"It costs {share:.0%} of what the model is worth."


def record_retraining(
    workspace: Workspace, *, look_id: str | None, task: str, outcome: Mapping[str, Any], data_time: datetime
) -> DecisionRecord | None:
    """Record what a retraining came to: the gate's word, and HOLD where the challenger was kept out.

    Args:
        workspace: The workspace.
        look_id: Look that it answers; None for a training by hand.
        task: lead, deal or forecast.
        outcome: `model`, `version`, `promoted`, `reason`, `report`.
        data_time: The present of the data at the training.

    Returns:
        The HOLD, where the gate kept the challenger out and the look is known.
    """
    log = decision_log(workspace)
    record = {"task": task, "data_time": utc(data_time).isoformat(), **outcome, "version": str(outcome["version"])}
    log.add(Step(step=RETRAINING, report_id=look_id or "", at=datetime.now(UTC).isoformat(), record=record))
    seen = [DecisionRecord.read(step.record) for step in log.steps(report_id=look_id, step=EVALUATION)]
    if outcome["promoted"] or not look_id or not seen:
        return None
    held = DecisionRecord(
        **{
            **{name: getattr(seen[-1], name) for name in seen[-1].__dataclass_fields__ if name != "decision_id"},
            "decided_at": datetime.now(UTC),
            "decided_by": GATE,
            "decision": Recommendation.HOLD,
            "reason": f"Challenger {outcome['version']} was kept out: {outcome['reason']}",
        }
    )
    append_decision(workspace, held)
    return held


def was_retrained(workspace: Workspace, look_id: str) -> bool:
    """Whether a look was already answered by a retraining: the same event twice trains once."""
    return any(True for _ in decision_log(workspace).steps(report_id=look_id, step=RETRAINING))


def newest_look(workspace: Workspace, *, task: str | None = None, look_id: str | None = None) -> Look:
    """The look a person decides on: the one named, else the newest of the task, else the newest that fails.

    Raises:
        NotFoundError: if there is none.
        InputError: if several models have looks and none is named.
    """
    tasks = [task] if task else ["lead", "deal", "forecast"]
    looks = {each: read_looks(workspace, each) for each in tasks}
    if look_id:
        found = [look for each in looks.values() for look in each if look.look_id == look_id]
        if not found:
            raise NotFoundError(f"There is no look '{look_id}'", next_step="salience monitor")
        return found[0]
    newest = [each[-1] for each in looks.values() if each]
    if not newest:
        raise NotFoundError(f"Nothing was looked at in '{workspace.name}' yet", next_step="salience monitor")
    failing = [look for look in newest if any(check.state == State.FAILS for check in look.checks)]
    if len(newest) > 1 and len(failing) != 1:
        raise InputError(
            f"{len(newest)} models were looked at, and {len(failing)} fail",
            expected="--model lead, deal or forecast",
            field="model",
        )
    return failing[0] if failing else newest[0]


def reports_of(workspace: Workspace) -> list[Path]:
    """The page of every model that was looked at."""
    return [page_of(workspace, task) for task in ("lead", "deal", "forecast") if read_looks(workspace, task)]
