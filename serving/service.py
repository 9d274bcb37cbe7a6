"""The BentoML services: lead, deal, forecast, and all three in one process for the embedded default.

BentoML owns the process: workers, start and stop, readiness, metrics. The routes are a FastAPI application that each
service mounts, because the documents' paths hold ids (`/api/v1/leads/{lead_id}/score`) and BentoML's own API methods
know neither path parameters nor GET nor 422 (docs/adr). This module is an entry point: BentoML imports it to find the
services, so telemetry goes off here, before BentoML is imported.
"""

from __future__ import annotations

import gc
from typing import Any, ClassVar

from common.telemetry import disable_telemetry

disable_telemetry()

import bentoml  # noqa: E402 - telemetry first
from _bentoml_sdk.service import Service  # type: ignore[import-untyped]  # noqa: E402
from fastapi import FastAPI  # noqa: E402

from common.settings import Settings  # noqa: E402
from common.workspace import Workspace  # noqa: E402
from features.stream_door import open_door  # noqa: E402
from serving.ahead_runner import ahead_process  # noqa: E402
from serving.asgi import Application  # noqa: E402
from serving.assembly import open_engine, territories_of  # noqa: E402
from serving.beside import SoleProcess  # noqa: E402
from serving.boundary import Boundary, RealPath  # noqa: E402
from serving.decisions import DecisionRecord  # noqa: E402
from serving.engine import SCORED, Engine  # noqa: E402
from serving.forecast_desk import ForecastDesk  # noqa: E402
from serving.guard import Guard  # noqa: E402
from serving.jobs import JobStarter  # noqa: E402
from serving.lean import import_libraries, settle, use_few_arenas  # noqa: E402
from serving.metrics import ServiceMetrics  # noqa: E402
from serving.prediction_log import PredictionLog  # noqa: E402
from serving.routes import TASKS, build_app, paths_of  # noqa: E402
from serving.segment_runner import segment_process  # noqa: E402
from serving.stream_runner import stream_process  # noqa: E402
from serving.upkeep import Upkeep  # noqa: E402
from warehouse.store import Warehouse  # noqa: E402


def _config() -> dict[str, Any]:
    """BentoML's configuration; it wants it when the services are declared."""
    serving = Settings().serving
    return {
        "workers": serving.workers,
        "traffic": {"timeout": serving.timeout_s},
        "logging": {"access": {"enabled": False}},
    }


class BoundedService(Service[Any]):  # type: ignore[misc]
    """A BentoML service whose application stands behind `Boundary`."""

    def to_asgi(self, is_main: bool = True) -> Any:
        """BentoML's application, wrapped."""
        app: Application = super().to_asgi(is_main=is_main)
        inner = self.inner.app
        inner.state.metrics = ServiceMetrics()
        return Boundary(
            app,
            paths=paths_of(inner),
            state=inner.state,
            guard=inner.state.guard,
            metrics=inner.state.metrics,
            files=inner,
        )


class ModelService:
    """What all services share: the engine, made once a process and kept up to date by a thread."""

    app: ClassVar[FastAPI]
    tasks: ClassVar[tuple[str, ...]]
    engine: Engine

    def __init__(self) -> None:
        settings, state = Settings(), self.app.state
        workspace = Workspace.of(settings)
        use_few_arenas()
        self._log = PredictionLog(workspace, segments_here=False) if settings.serving.keeps_log else None
        state.decisions, state.jobs = DecisionRecord(workspace), JobStarter(settings, workspace)
        state.desk = self._desk = ForecastDesk(settings, workspace)
        import_libraries()
        self.engine = open_engine(
            settings, workspace, tasks=self.tasks, log=self._log, override_of=state.decisions.override_of
        )
        state.door = open_door(settings, workspace)
        self._upkeep = Upkeep(
            self.engine,
            guard=state.guard,
            decisions=state.decisions,
            jobs=state.jobs,
            beside=self._beside(settings, workspace),
            metrics=state.metrics,
            log=self._log,
            read_territories=None if state.guard.is_open else lambda: territories_of(Warehouse(workspace.warehouse)),
        )
        self._upkeep.start()
        self.engine.trial.start()
        if self._log is not None:
            self._log.start()
        state.engine = self.engine
        settle()

    def _beside(self, settings: Settings, workspace: Workspace) -> dict[str, SoleProcess]:
        processes = {"stream": stream_process(settings, workspace)}
        if settings.serving.keeps_log:
            processes["segments"] = segment_process(settings, workspace)
        if settings.serving.scores_ahead and set(self.tasks) & set(SCORED):
            processes["scores ahead"] = ahead_process(settings, workspace)
        return processes

    def __is_ready__(self) -> bool:
        """BentoML's /readyz: whether requests can be answered."""
        return self.engine.is_ready()

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def stop_following(self) -> None:
        """End the threads, and write down what they hold."""
        self._upkeep.stop()
        self._desk.stop()
        self.engine.trial.stop()
        if self._log is not None:
            self._log.stop()
        gc.unfreeze()


def _service(name: str, *tasks: str) -> Any:
    """A BentoML service for `tasks`; each has its own application, so that one can be served without the others."""

    def decorate(inner: type[ModelService]) -> Any:
        inner.app = build_app(tasks, title=f"Salience: {inner.__name__}", about=inner.__doc__ or "")
        inner.app.state.guard = Guard(Settings())
        inner.tasks = tasks
        mounted = bentoml.asgi_app(inner.app, path="/")(inner)
        service = bentoml.service(name=name, service_class=BoundedService, **_config())(mounted)
        service.add_asgi_middleware(RealPath)
        return service

    return decorate


@_service("lead", "lead")
class LeadService(ModelService):
    """Lead scores: which leads will convert, and why."""


@_service("deal", "deal")
class DealService(ModelService):
    """Deal probabilities: which deals will be won, and why."""


@_service("forecast", "forecast")
class ForecastService(ModelService):
    """Revenue forecasts by rep, team, region and company."""


@_service("sales", *TASKS)
class Sales(ModelService):
    """Lead scores, deal probabilities and revenue forecasts, in one process."""
