"""Train, tune, calibrate, register and judge a model; one flow per model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import Flow, Task, flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from flows.display import report_progress
from flows.parts import Platform

if TYPE_CHECKING:
    from common.settings import Settings
    from training.results import TrainingOutcome


@task(name="train-lead", cache_policy=NO_CACHE)
def fit_lead(source: str | None, trials: int | None, **options: Any) -> dict[str, Any]:
    """The lead conversion model."""
    from training.lead import train_lead

    return _fit(train_lead, source, trials, **options)


@task(name="train-deal", cache_policy=NO_CACHE)
def fit_deal(source: str | None, trials: int | None, **options: Any) -> dict[str, Any]:
    """The deal win model."""
    from training.deal import train_deal

    return _fit(train_deal, source, trials, **options)


@task(name="train-forecast", cache_policy=NO_CACHE)
def fit_forecast(source: str | None, trials: int | None) -> dict[str, Any]:
    """The revenue forecast."""
    from training.forecast.train import train_forecast

    return _fit(train_forecast, source, trials)


@flow(name="train-lead")
def train_lead(
    source: str | None = None,
    trials: int | None = None,
    horizon_days: int | None = None,
    scoring: Path | None = None,
    workers: int | None = None,
    budget_minutes: float | None = None,
) -> dict[str, Any]:
    """Train the lead conversion model and put it before the gate.

    Args:
        source: Source, which names the workspace; unset: the settings choose.
        trials: Optuna trials; unset: the settings choose.
        horizon_days: Days within which a lead has to convert; unset: the source's protocol says it.
        scoring: File of a scoring model of your own: a scorecard, or a choice of features.
        workers: Processes that make trials of the study; unset: the settings choose.
        budget_minutes: Minutes after which the study ends; unset: the settings choose.
    """
    options = _chosen(horizon_days, scoring, workers, budget_minutes)
    record: dict[str, Any] = fit_lead(source, trials, **options)
    return record


@flow(name="train-deal")
def train_deal(
    source: str | None = None,
    trials: int | None = None,
    horizon_days: int | None = None,
    scoring: Path | None = None,
    workers: int | None = None,
    budget_minutes: float | None = None,
) -> dict[str, Any]:
    """Train the deal win model and put it before the gate.

    Args:
        source: Source, which names the workspace; unset: the settings choose.
        trials: Optuna trials; unset: the settings choose.
        horizon_days: Days within which a deal has to be won; unset: the source's protocol says it.
        scoring: File of a scoring model of your own: a scorecard, or a choice of features.
        workers: Processes that make trials of the study; unset: the settings choose.
        budget_minutes: Minutes after which the study ends; unset: the settings choose.
    """
    options = _chosen(horizon_days, scoring, workers, budget_minutes)
    record: dict[str, Any] = fit_deal(source, trials, **options)
    return record


@flow(name="train-forecast")
def train_forecast(source: str | None = None, trials: int | None = None) -> dict[str, Any]:
    """Train the revenue forecast and put it before the gate.

    Args:
        source: Source, which names the workspace; unset: the settings choose.
        trials: Candidates are compared without a study, so this changes nothing yet.
    """
    return fit_forecast(source, trials)


# What a forecast's outcome has beyond the others'.
_FORECAST_PARTS = ("past", "upcoming", "question")
FLOWS: dict[str, Flow[..., dict[str, Any]]] = {"lead": train_lead, "deal": train_deal, "forecast": train_forecast}
TASKS: dict[str, Task[..., dict[str, Any]]] = {"lead": fit_lead, "deal": fit_deal, "forecast": fit_forecast}


def _chosen(
    horizon_days: int | None, scoring: Path | None, workers: int | None, budget_minutes: float | None
) -> dict[str, Any]:
    """The options that somebody gave; the others are left to the settings and the source."""
    options = {
        "horizon_days": horizon_days,
        "scoring": scoring,
        "workers": workers,
        "time_budget_minutes": budget_minutes,
    }
    return {name: value for name, value in options.items() if value is not None}


def _fit(
    trainer: Callable[..., TrainingOutcome], source: str | None, trials: int | None, **options: Any
) -> dict[str, Any]:
    platform = Platform.open(source)
    platform.repository.apply()
    outcome = trainer(
        platform.repository,
        platform.warehouse,
        platform.registry,
        platform.source,
        trials=trials or platform.settings.training.trials,
        settings=_settings(platform.settings, options),
        progress=report_progress,
        **_model_options(options),
    )
    record = outcome_record(outcome)
    create_markdown_artifact(
        key=f"{outcome.name}-report", markdown=_artifact(record), description=f"Training of {outcome.name}"
    )
    return record


def _settings(settings: Settings, options: Mapping[str, Any]) -> Settings:
    """The settings with the study's options in place."""
    given = {name: options[name] for name in ("workers", "time_budget_minutes") if name in options}
    return settings.model_copy(update={"training": settings.training.model_copy(update=given)})


def _model_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """What the model shall be, its scoring file read."""
    from training.scoring.scoring_file import read_scoring_file

    found = {name: options[name] for name in ("horizon_days",) if name in options}
    return found | ({"scoring": read_scoring_file(options["scoring"])} if "scoring" in options else {})


def outcome_record(outcome: TrainingOutcome) -> dict[str, Any]:
    """A training's outcome as JSON values."""

    def plain(groups: Any) -> dict[str, Any]:
        return {name: {key: asdict(metric) for key, metric in group.items()} for name, group in groups.items()}

    return {
        "task": outcome.task,
        "model": outcome.name,
        "version": outcome.version,
        "run_id": outcome.run_id,
        "metrics": {name: asdict(metric) for name, metric in outcome.metrics.items()},
        "baselines": plain(outcome.baselines),
        "protocols": plain(outcome.protocols),
        "decision": asdict(outcome.decision),
        "report": str(outcome.report),
        "warnings": list(outcome.warnings),
        "verdict": None if outcome.verdict is None else asdict(outcome.verdict),
        "reused": list(outcome.reused),
        "outputs": [str(outcome.bundle), str(outcome.report)],
        **{name: getattr(outcome, name) for name in _FORECAST_PARTS if hasattr(outcome, name)},
    }


def _artifact(record: dict[str, Any]) -> str:
    metrics = "\n".join(
        f"| {name} | {metric['value']:.4f} |"
        + "".join(f" {base[name]['value']:.4f} |" if name in base else " |" for base in record["baselines"].values())
        for name, metric in record["metrics"].items()
    )
    names = " | ".join(record["baselines"])
    rule = "|---" * (2 + len(record["baselines"])) + "|"
    report = Path(record["report"]).absolute().as_uri()
    return (
        f"# {record['model']} version {record['version']}\n\n{record['decision']['reason']}\n\n"
        f"[Open the report]({report})\n\n| metric | model | {names} |\n{rule}\n{metrics}\n"
    )
