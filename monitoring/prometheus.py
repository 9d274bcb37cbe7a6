"""What the newest looks found, in Prometheus' text format, as a file for its textfile collector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from common.whole_files import whole_file
from common.workspace import Workspace
from monitoring.checks import State
from monitoring.decisions import EVALUATION, RETRAINING, DecisionRecord, Recommendation, decision_log
from monitoring.look import Look, read_looks
from monitoring.looks import TASKS

_VALUES = {State.UNKNOWN: -1, State.OK: 0, State.NOTICE: 1, State.FAILS: 2}
_HELP = {
    "salience_monitoring_check_state": "State of a check at the newest look: -1 cannot tell, 0 ok, 1 moved, 2 fails.",
    "salience_monitoring_check_cost_share": "Cost of a check's finding as a share of what the model is worth.",
    "salience_monitoring_decision": "1 for the decision that the policy's newest evaluation came to, else 0.",
    "salience_monitoring_refresh": "1 where that decision is on a refresh, which is no alarm: nothing fails.",
    "salience_monitoring_look_end_seconds": "End of the newest look's window, seconds since 1970.",
    "salience_monitoring_auc": "AUC of the newest mature window (kind real), or expected of the current one.",
    "salience_monitoring_looks_total": "Looks made.",
    "salience_monitoring_retrainings_total": "Retrainings that a look led to, by what the gate did.",
}


def metrics_file(workspace: Workspace) -> Path:
    """Where the metrics are kept."""
    return workspace.reports / "monitoring.prom"


def write_metrics(workspace: Workspace) -> Path:
    """Write the metrics anew, whole or not at all."""
    target = metrics_file(workspace)
    with whole_file(target) as partial:
        partial.write_text(render_metrics(workspace), encoding="utf-8")
    return target


def render_metrics(workspace: Workspace) -> str:
    """All metrics of a workspace as text."""
    samples: dict[str, list[str]] = {name: [] for name in _HELP}
    for task in TASKS:
        looks = read_looks(workspace, task)
        if looks:
            for name, line in _of_look(looks[-1], count=len(looks)):
                samples[name].append(line)
            for name, line in _of_log(workspace, looks[-1]):
                samples[name].append(line)
    text = []
    for name, lines in samples.items():
        if lines:
            kind = "counter" if name.endswith("_total") else "gauge"
            text += [f"# HELP {name} {_HELP[name]}", f"# TYPE {name} {kind}", *lines]
    return "\n".join(text) + "\n"


def _of_look(look: Look, *, count: int) -> Iterator[tuple[str, str]]:
    base = {"model": look.model, "version": look.version}
    for check in look.checks:
        labels = {**base, "check": check.name}
        yield _sample("salience_monitoring_check_state", labels, _VALUES[check.state])
        if check.cost_share is not None:
            yield _sample("salience_monitoring_check_cost_share", labels, check.cost_share)
        if check.name == "estimated quality" and "auc" in check.figures:
            yield _sample("salience_monitoring_auc", {**base, "kind": "estimated"}, check.figures["auc"][0])
        if check.name == "real quality" and "auc" in check.figures:
            yield _sample("salience_monitoring_auc", {**base, "kind": "real"}, check.figures["auc"])
    yield _sample("salience_monitoring_look_end_seconds", base, look.end.timestamp())
    yield _sample("salience_monitoring_looks_total", {"model": look.model}, count)


def _of_log(workspace: Workspace, look: Look) -> Iterator[tuple[str, str]]:
    log = decision_log(workspace)
    evaluated = [DecisionRecord.read(step.record) for step in log.steps(report_id=look.look_id, step=EVALUATION)]
    if evaluated:
        for decision in Recommendation:
            labels = {"model": look.model, "decision": str(decision)}
            yield _sample("salience_monitoring_decision", labels, int(evaluated[-1].decision == decision))
        is_refresh = bool(evaluated[-1].inputs.get("refresh"))
        yield _sample("salience_monitoring_refresh", {"model": look.model}, int(is_refresh))
    done = [step.record for step in log.steps(step=RETRAINING) if step.record["model"] == look.model]
    for result, promoted in (("promoted", True), ("kept_out", False)):
        count = sum(bool(record["promoted"]) == promoted for record in done)
        yield _sample("salience_monitoring_retrainings_total", {"model": look.model, "result": result}, count)


def _sample(name: str, labels: Mapping[str, str], value: float) -> tuple[str, str]:
    shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return name, f"{name}{{{shown}}} {value:g}" if name.endswith("total") else f"{name}{{{shown}}} {float(value)!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
