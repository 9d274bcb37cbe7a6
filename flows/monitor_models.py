"""Watch the models: look, decide, record, tell; where the policy says RETRAIN, an event goes out or training starts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event

from flows.display import report_progress
from flows.parts import Platform
from flows.retrain_model import retrain

if TYPE_CHECKING:
    from monitoring.acting import Acted
    from monitoring.looks import Parts


def monitoring_parts(platform: Platform) -> Parts:
    """What the monitoring needs of the platform."""
    from monitoring.looks import Parts
    from monitoring.retraining import policy_of

    settings = platform.settings
    return Parts(
        settings=settings,
        workspace=platform.workspace,
        source=platform.source,
        warehouse=platform.warehouse,
        repository=platform.repository,
        registry=platform.registry,
        policy=policy_of(platform.workspace, named=settings.monitoring.policy),
    )


def send_event(name: str, resource: str, payload: Mapping[str, Any]) -> None:
    """Send an event to the Prefect server; without one it goes to the run's own, where nobody waits for it."""
    emit_event(event=name, resource={"prefect.resource.id": resource}, payload=dict(payload))


@task(name="monitor", cache_policy=NO_CACHE)
def watch_models(
    source: str | None, since: datetime | None = None, first: int | None = None, model: str | None = None
) -> dict[str, Any]:
    """Every look that is due at every model that has a champion; each ends in a recorded decision."""
    from monitoring.acting import watch
    from monitoring.looks import CLASSIFIERS, TASKS

    platform = Platform.open(source)
    parts = monitoring_parts(platform)
    platform.repository.apply()
    models: dict[str, Any] = {}
    for name in [model] if model else TASKS:
        if platform.registry.champion(platform.workspace.model_name(name)) is None:
            continue
        if name in CLASSIFIERS and getattr(platform.source, name) is None:
            continue
        done = watch(
            parts, task=name, now=platform.now(), since=since, first=first, emit=send_event, progress=report_progress
        )
        models[name] = [acted_record(each) for each in done]
        create_markdown_artifact(key=f"{platform.workspace.name}-{name}-monitoring", markdown=_markdown(models[name]))
    outputs = [look["page"] for looks in models.values() for look in looks[-1:]]
    return {"models": models, "outputs": outputs}


@flow(name="monitor-models")
def monitor_models(
    source: str | None = None, since: datetime | None = None, model: str | None = None, act: bool | None = None
) -> dict[str, Any]:
    """Look at every model that is due, decide by the policy, and record it.

    Args:
        source: Source, which names the workspace; unset: the settings choose.
        since: Look at every window that ends at or after this moment; unset: those not looked at yet.
        model: lead, deal or forecast; unset: all that have a champion.
        act: Whether a decision to retrain starts the training in this run; unset: the settings say. Otherwise the event
            `sales.drift.detected` is for the server's automation.
    """
    found = watch_models(source, since, None, model)
    acts = Platform.open(source).settings.monitoring.acts if act is None else act
    if acts:
        found["retrained"] = {
            name: retrain(name, source, looks[-1]["look_id"])
            for name, looks in found["models"].items()
            if looks and looks[-1]["decision"] == "RETRAIN"
        }
    return found


def acted_record(acted: Acted) -> dict[str, Any]:
    """One look and what became of it, as JSON values."""
    look, record = acted.look, acted.record
    return {
        "look_id": look.look_id,
        "task": look.task,
        "version": look.version,
        "window": [moment.isoformat() for moment in look.window],
        "verdict": str(record.verdict),
        "decision": str(record.decision),
        "reason": record.reason,
        "failing": list(record.inputs["failing"]),
        "cost_share": record.inputs["cost_share"],
        "checks": {check.name: str(check.state) for check in look.checks},
        "new": acted.is_new,
        "alerts": list(acted.alerts),
        "page": record.page,
    }


def _markdown(looks: list[dict[str, Any]]) -> str:
    if not looks:
        return "Nothing was due."
    rows = "\n".join(
        f"| {look['window'][1][:10]} | {look['version']} | {look['verdict']} | {look['decision']} | {look['reason']} |"
        for look in looks
    )
    page = looks[-1]["page"]
    return f"| window until | version | verdict | decision | why |\n|---|---|---|---|---|\n{rows}\n\nPage: `{page}`"
