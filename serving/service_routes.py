"""Routes about the service itself: models, health, readiness, documentation."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from pydantic import Field

from serving import health
from serving.asking import engine_of, in_lane, problems
from serving.problems import Problem, problem, response_of
from serving.service_answers import Check, Health, Models, Ready

_STATIC = "/static_content"

shared = APIRouter(tags=["service"], responses=problems())


class UnhealthyProblem(Problem):
    """A problem with every check beside it."""

    checks: list[Check] = Field(description="Everything that was looked at.")


@shared.get("/api/v1/models", summary="Models in use")
async def list_models(request: Request) -> Models:
    """Which version of each model answers, since when, and how good it was on later data than it learned from."""
    engine = engine_of(request)
    return Models(workspace=engine.workspace, models=health.served_models(engine), request_id=request.state.request_id)


@shared.get(
    "/health",
    summary="Whether answers can be trusted",
    response_model=Health,
    responses={503: {"model": UnhealthyProblem, "description": "Something is wrong."}},
)
async def report_health(request: Request) -> Any:
    """Whether answers can be trusted now: models loaded, registry followed, store reached, features fresh."""
    engine = engine_of(request)
    found = await in_lane(request, "online", lambda: health.checks(engine))
    request_id = request.state.request_id
    broken = [check for check in found if not check.ok]
    if not broken:
        return Health(workspace=engine.workspace, as_of=engine.moment.now(), checks=found, request_id=request_id)
    wrong = problem(
        503,
        request_id=request_id,
        detail="; ".join(f"{check.name}: {check.detail.rstrip('.')}" for check in broken) + ".",
        title="Unhealthy",
        next_step=next((check.next_step for check in broken if check.next_step), None),
    )
    return response_of(UnhealthyProblem(**wrong.model_dump(), checks=found))


@shared.get("/ready", summary="Whether every model is loaded")
async def report_readiness(request: Request) -> Ready:
    """200 once every task served has a model; 503 until then."""
    for slot in engine_of(request).slots.values():
        slot.require()
    return Ready(request_id=request.state.request_id)


@shared.get("/", include_in_schema=False)
async def show_documentation(request: Request) -> HTMLResponse:
    """The OpenAPI page, from files of this machine: BentoML's own index page loads a tracker, FastAPI's a CDN."""
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=request.app.title,
        swagger_js_url=f"{_STATIC}/swagger-ui-bundle.js",
        swagger_css_url=f"{_STATIC}/swagger-ui.css",
        swagger_favicon_url=f"{_STATIC}/favicon-light-32x32.png",
    )
