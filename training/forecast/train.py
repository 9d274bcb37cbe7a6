"""`train_forecast`: train, judge, register and maybe promote the revenue forecast of a workspace."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import InputError
from training.forecast.gate import BACKTEST_FILE, decide_forecast
from training.forecast.loader import ANSWER, QUESTION
from training.forecast.results import ForecastOutcome, Trained, as_metrics
from training.forecast.store import Forecast, ForecastStore
from training.results import TrainingResult
from warehouse.present import known_until

if TYPE_CHECKING:
    from common.settings import Settings
    from features.repository import FeatureRepository
    from training.registry import ModelRegistry
    from warehouse.sources import Source
    from warehouse.store import Warehouse

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]

TASK = "forecast"
_EXAMPLES = 3


def train_forecast(
    repository: FeatureRepository,
    warehouse: Warehouse,
    registry: ModelRegistry,
    source: Source,
    *,
    settings: Settings,
    trials: int | None = None,  # noqa: ARG001 - every trainer is called alike
    progress: Progress | None = None,
) -> ForecastOutcome:
    """Backtest, forecast as of now, register, put before the gate, and keep the forecast if it may be answered with.

    Args:
        repository: Features of the workspace, for the deal champion's probabilities.
        warehouse: Its history.
        registry: Where the model goes.
        source: The source; its forecast protocol says kind, horizon and season.
        settings: Seed and what "now" is.
        trials: Not used: the methods compete on rolling origins.
        progress: Told (what, done, total).

    Raises:
        InputError: if the source feeds no forecast.
        TooLittleDataError: if the history is too short; the message says how much there is.
        ContractError: if series have gaps.
        UnavailableError: if the registry cannot be reached.
    """
    protocol = source.forecast
    if protocol is None:
        raise InputError(
            f"The source '{source.name}' feeds no forecast",
            next_step="choose a source that has deals and money, or series",
        )
    at = known_until(settings, warehouse)
    if protocol.kind == "series":
        from training.forecast.train_series import train_series

        trained = train_series(warehouse, protocol, settings=settings, at=at, progress=progress)
    else:
        from training.forecast.train_pipeline import train_pipeline

        trained = train_pipeline(repository, warehouse, registry, protocol, settings=settings, at=at, progress=progress)
    workspace = repository.workspace
    name = workspace.model_name(TASK)
    with tempfile.TemporaryDirectory(prefix="salience-forecast-") as scratch:
        folder = Path(scratch)
        report, images = _report(name, source, trained, folder)
        result = _result(warehouse, trained, _bundle(trained, folder / "bundle"), report, images, at=at)
        registered = registry.log(name, result)
        kept = workspace.reports / TASK / f"training-{registered.version}.html"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(report.read_bytes())
    decision = decide_forecast(
        registered,
        trained.backtest,
        registry=registry,
        baselines=trained.baseline_names,
        seed=settings.training.seed,
    )
    logger.info("%s %s: %s", name, registered.version, decision.reason)
    forecast = replace(trained.forecast, model_version=registered.version)
    store, warnings = ForecastStore(workspace.forecasts), list(trained.warnings)
    if decision.promoted:
        store.save(forecast)
    else:
        warnings.append(f"Version {registered.version} is not the champion, so its forecast is not answered with.")
    top = forecast.levels[0]
    question = {"level": top, "entity_id": top, "period": trained.next_period}
    return ForecastOutcome(
        task=TASK,
        name=name,
        version=registered.version,
        run_id=registered.run_id,
        metrics=as_metrics(trained.metrics),
        baselines={label: as_metrics(figures) for label, figures in trained.baselines.items()},
        protocols={},
        decision=decision,
        bundle=registered.bundle,
        report=kept,
        warnings=tuple(warnings),
        forecast_id=forecast.forecast_id,
        past=trained.past,
        upcoming=forecast.answer(**question),
        question=question,
    )


def _bundle(trained: Trained, folder: Path) -> Path:
    folder.mkdir(parents=True)
    more = {
        "trained_at": trained.forecast.created_at.isoformat(timespec="seconds"),
        "metrics": _finite(trained.metrics),
        "baselines": {name: _finite(figures) for name, figures in trained.baselines.items()},
        "feature_service": None,
    }
    trained.forecast.write(folder, more=more)
    trained.backtest.to_parquet(folder / BACKTEST_FILE, index=False)
    return folder


def _report(name: str, source: Source, trained: Trained, folder: Path) -> tuple[Path, list[Path]]:
    from training.forecast.report import draw_training, save_plots, write_forecast_report

    pictures = draw_training(trained)
    page = write_forecast_report(name, source.name, trained, pictures, folder / "report" / "training.html")
    return page, save_plots(pictures, folder / "plots")


def _result(
    warehouse: Warehouse, trained: Trained, bundle: Path, report: Path, images: Sequence[Path], *, at: datetime
) -> TrainingResult:
    about = {"kind": trained.forecast.kind, "as_of": at.isoformat(), **trained.frame, "versions": warehouse.versions()}
    digest = hashlib.sha256(json.dumps([warehouse.fingerprint(), about], sort_keys=True).encode()).hexdigest()
    example, answer = _example(trained.forecast)
    return TrainingResult(
        task=TASK,
        folder=bundle,
        loader_module="training.forecast.loader",
        params=trained.params,
        metrics=_finite(trained.metrics),
        baselines={name: _finite(figures) for name, figures in trained.baselines.items()},
        fingerprint=digest,
        frame=about,
        artifacts={"plots": tuple(images), "report": (report,)},
        input_example=example,
        output_example=answer,
    )


def _example(forecast: Forecast) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    rows = forecast.values.head(_EXAMPLES)
    return {name: rows[name].tolist() for name in QUESTION}, {name: rows[name].tolist() for name in ANSWER}


def _finite(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in figures.items() if value == value}
