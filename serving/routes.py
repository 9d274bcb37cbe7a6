"""The application of a service: its routes, and their documentation."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI

from serving.deal_routes import deals
from serving.event_routes import events
from serving.forecast_routes import forecasts
from serving.job_routes import jobs
from serving.lead_routes import leads
from serving.problems import MEDIA_TYPE, Problem, add_handlers
from serving.service_routes import shared

TASKS = ("lead", "deal", "forecast")
_ROUTERS = {"lead": leads, "deal": deals, "forecast": forecasts}
_TAGS = [
    {"name": "leads", "description": "Which leads will convert, and why."},
    {"name": "deals", "description": "Which deals will be won, and why."},
    {"name": "forecasts", "description": "What revenue to expect, with its range."},
    {"name": "jobs", "description": "Files of any size, scored beside the requests."},
    {"name": "events", "description": "What has just happened, for scores that follow within seconds."},
    {"name": "service", "description": "What is served, and whether it is well."},
]
_SCHEMES = {
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "A key of `salience keys add`."},
    "token": {"type": "http", "scheme": "bearer", "description": "A key, or a JWT of the configured issuer."},
}
_OPEN_PATHS = ("/ready",)


def build_app(tasks: Sequence[str], *, title: str, about: str) -> FastAPI:
    """The application for `tasks`.

    Whoever starts it sets on `app.state`: `engine`, `door` (events), `decisions` and `jobs`.
    """
    app = FastAPI(
        title=title,
        description=about,
        version=version("salience"),
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        openapi_tags=_TAGS,
    )
    for task in tasks:
        app.include_router(_ROUTERS[task])
    app.include_router(jobs)
    app.include_router(events)
    app.include_router(shared)
    add_handlers(app)
    app.state.lanes = None
    described = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _completed(described())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
    return app


def _completed(schema: dict[str, Any]) -> dict[str, Any]:
    """FastAPI's description with what it does not know: keys, our errors in place of its own, each answer's header."""
    parts = schema.setdefault("components", {})
    parts["securitySchemes"] = _SCHEMES
    schemas = parts.setdefault("schemas", {})
    described = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= {**described.pop("$defs", {}), "Problem": described}
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    header = {"description": "Id of the request, for the log.", "schema": {"type": "string"}}
    for path, methods in schema["paths"].items():
        for operation in methods.values():
            operation["security"] = [] if path in _OPEN_PATHS else [{"key": []}, {"token": []}]
            for status, response in operation["responses"].items():
                content = response.get("content", {})
                if int(status) >= 400 and "application/json" in content:
                    content[MEDIA_TYPE] = content.pop("application/json")
                response.setdefault("headers", {})["X-Request-ID"] = header
    return schema


def paths_of(app: FastAPI) -> list[str]:
    """Path templates of the application's routes, fixed ones before those with an id in the same place."""
    return sorted([*app.openapi()["paths"], "/", "/openapi.json"], key=lambda path: path.count("{"))
