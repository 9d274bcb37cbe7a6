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
    kept = keep_outcome(model, source, look_id, record)
    return kept if kept["promoted"] else offer_recalibrated(model, source, look_id) or kept


@task(name="offer-recalibrated", cache_policy=NO_CACHE)
def offer_recalibrated(model: str, source: str | None, look_id: str | None) -> dict[str, Any] | None:
    """Where the retrained model is kept out: the champion recalibrated on the newest outcomes, before the same gate."""
    from flows.monitor_models import monitoring_parts
    from monitoring.recalibrating import offer_recalibrated as offer

    platform = Platform.open(source)
    outcome = offer(monitoring_parts(platform), task=model, look_id=look_id, at=platform.now())
    return None if outcome is None else {**outcome, **_after(platform, model, look_id, promoted=outcome["promoted"])}


@task(name="record-retraining", cache_policy=NO_CACHE)
def keep_outcome(model: str, source: str | None, look_id: str | None, record: dict[str, Any]) -> dict[str, Any]:
    """Write what the gate said beside the look, and the model's page anew."""
    from monitoring.acting import record_retraining

    platform = Platform.open(source)
    decision = record["decision"]
    outcome = {
        "model": record["model"],
        "version": str(record["version"]),
        "promoted": bool(decision["promoted"]),
        "reason": decision["reason"],
        "report": record["report"],
    }
    record_retraining(platform.workspace, look_id=look_id, task=model, outcome=outcome, data_time=platform.now())
    return {**outcome, **_after(platform, model, look_id, promoted=outcome["promoted"])}


def _after(platform: Platform, model: str, look_id: str | None, *, promoted: bool) -> dict[str, Any]:
    """Write the model's page and the metrics anew; what the caller is told besides the outcome."""
    from flows.monitor_models import monitoring_parts
    from monitoring.model_page import write_model_page
    from monitoring.prometheus import write_metrics

    page = write_model_page(monitoring_parts(platform), model)
    write_metrics(platform.workspace)
    return {"look_id": look_id, "decision": "PROMOTED" if promoted else "HOLD", "page": str(page or "")}
