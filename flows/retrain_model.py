"""Retrain a model because a look at it said so: train, put before the gate, record what came of it."""

from __future__ import annotations

from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.parts import Platform
from flows.train_model import TASKS


@flow(name="retrain-model")
def retrain_model(
    model: str, source: str | None = None, look_id: str | None = None, trials: int | None = None
) -> dict[str, Any]:
    """Retrain a model and put the challenger before the gate; an event that comes twice trains once.

    Args:
        model: lead, deal or forecast.
        source: Source, which names the workspace; unset: the settings choose.
        look_id: The look that asked for it, as the event names it.
        trials: Optuna trials; unset: the settings choose.
    """
    return retrain(model, source, look_id, trials)


def retrain(model: str, source: str | None, look_id: str | None, trials: int | None = None) -> dict[str, Any]:
    """Train unless that look was already answered; record version, the gate's word and, if kept out, HOLD."""
    from monitoring.acting import was_retrained

    platform = Platform.open(source)
    if look_id and was_retrained(platform.workspace, look_id):
        return {"model": model, "look_id": look_id, "skipped": "that look was already answered by a retraining"}
    record = TASKS[model](source, trials)
    return keep_outcome(model, source, look_id, record)


@task(name="record-retraining", cache_policy=NO_CACHE)
def keep_outcome(model: str, source: str | None, look_id: str | None, record: dict[str, Any]) -> dict[str, Any]:
    """Write what the gate said beside the look, and the model's page anew."""
    from flows.monitor_models import monitoring_parts
    from monitoring.acting import record_retraining
    from monitoring.model_page import write_model_page
    from monitoring.prometheus import write_metrics

    platform = Platform.open(source)
    decision = record["decision"]
    outcome = {
        "model": record["model"],
        "version": str(record["version"]),
        "promoted": bool(decision["promoted"]),
        "reason": decision["reason"],
        "report": record["report"],
    }
    held = record_retraining(platform.workspace, look_id=look_id, task=model, outcome=outcome, data_time=platform.now())
    page = write_model_page(monitoring_parts(platform), model)
    write_metrics(platform.workspace)
    said = "PROMOTED" if decision["promoted"] else "HOLD"
    return {**outcome, "look_id": look_id, "decision": said, "recorded": held is not None, "page": str(page or "")}
