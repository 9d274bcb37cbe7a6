"""The HTTP routes, on the paths of the documents."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from typing import Annotated, Any, TypeVar

import anyio
import anyio.to_thread
from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel

from serving import health
from serving.answers import (
    DealProbabilities,
    DealProbability,
    ForecastAnswer,
    ForecastSummary,
    Health,
    LeadScore,
    LeadScores,
    Models,
)
from serving.engine import Engine
from serving.event_routes import events
from serving.payloads import MAX_IDS, DealPayload, ForecastQuestion, Id, Ids, LeadPayload
from serving.problems import MEDIA_TYPE, Problem, add_handlers, problem, response_of
from serving.scored import to_json

TASKS = ("lead", "deal", "forecast")
JSON = "application/json"
_STATIC = "/static_content"
_ABOUT = {
    400: "The body is not JSON.",
    404: "No such id.",
    422: "A field is wrong; `errors` names it.",
    503: "A model or the feature store is away; `Retry-After` says when to try again.",
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": about, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    for status, about in _ABOUT.items()
}
GivenIds = Annotated[list[Id], Query(min_length=1, max_length=MAX_IDS, description="Ids; repeat the parameter.")]
T = TypeVar("T")

leads = APIRouter(prefix="/api/v1/leads", tags=["leads"], responses=PROBLEMS)
deals = APIRouter(prefix="/api/v1/deals", tags=["deals"], responses=PROBLEMS)
forecasts = APIRouter(prefix="/api/v1/forecasts", tags=["forecasts"], responses=PROBLEMS)
shared = APIRouter(tags=["service"])
_ROUTERS = {"lead": leads, "deal": deals, "forecast": forecasts}


class _Lanes:
    """Lanes of one thread each: look-ups, batches, and computing from payloads. The event loop stays free."""

    def __init__(self) -> None:
        self.online = anyio.CapacityLimiter(1)
        self.batch = anyio.CapacityLimiter(1)
        self.compute = anyio.CapacityLimiter(1)


def build_app(tasks: Sequence[str], *, title: str, about: str) -> FastAPI:
    """The application for `tasks`; `app.state.engine` and `app.state.door` are set by whoever starts it."""
    app = FastAPI(
        title=title,
        description=about,
        version=version("salience"),
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    for task in tasks:
        app.include_router(_ROUTERS[task])
    app.include_router(events)
    app.include_router(shared)
    add_handlers(app)
    app.state.lanes = None
    return app


def paths_of(app: FastAPI) -> list[str]:
    """Path templates of the application's routes."""
    return [*app.openapi()["paths"], "/", "/openapi.json"]


def _engine(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


async def _in_lane(request: Request, lane: str, work: Callable[[], T]) -> T:
    if request.app.state.lanes is None:
        request.app.state.lanes = _Lanes()
    return await anyio.to_thread.run_sync(work, limiter=getattr(request.app.state.lanes, lane))


async def _score_one(request: Request, task: str, identifier: str, payload: Mapping[str, Any] | None) -> Response:
    engine, state = _engine(request), request.state
    started = getattr(state, "started", None)
    if payload is None:
        read = functools.partial(engine.score_one, task, identifier, request_id=state.request_id, started=started)
        answered = read() if engine.reads_inline else await _in_lane(request, "online", read)
    else:
        compute = functools.partial(
            engine.score_payload,
            task,
            identifier,
            payload,
            newest=newest_time(payload),
            request_id=state.request_id,
            started=started,
        )
        answered = await _in_lane(request, "compute", compute)
    return Response(answered.to_json(), media_type=JSON)


async def _score_many(request: Request, task: str, ids: Sequence[str], *, named: str) -> Response:
    engine, request_id = _engine(request), request.state.request_id

    def work() -> bytes:
        scores = engine.score(task, ids, request_id=request_id)
        shared = to_json({**scores.stamp, "not_found": scores.not_found, "request_id": request_id})
        rows = b",".join(row.to_json() for row in scores.rows)
        return b'%s,"%s":[%s]}' % (shared[:-1], named.encode(), rows)

    return Response(await _in_lane(request, "batch", work), media_type=JSON)


def _row(body: BaseModel) -> dict[str, Any]:
    return body.model_dump(exclude_none=True)


def _history(newest: BaseModel, earlier: Sequence[BaseModel], of: Mapping[str, str]) -> Any:
    """A thing as the feature repository takes it: a record, or the list of its versions."""
    record = {**_row(newest), **of}
    return [record, *({**_row(version), **of} for version in earlier)] if earlier else record


def newest_time(payload: Mapping[str, Any]) -> datetime | None:
    """The newest moment anywhere in a payload; None if it holds none."""
    found: list[datetime] = []
    for value in payload.values():
        if isinstance(value, datetime):
            found.append(value)
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, Mapping):
                found += filter(None, [newest_time(part)])
    return max(found, default=None)


@leads.post("/{lead_id}/score", summary="Score a lead", response_model=LeadScore)
async def score_lead(request: Request, lead_id: Id, payload: LeadPayload | None = None) -> Any:
    """How likely the lead is to convert, and why.

    With an empty body the stored lead is scored, from the online feature store. With a body, the lead described there:
    its features are computed by the same definitions, and nothing is stored.
    """
    sent = None
    if payload is not None and payload.lead is not None:
        of_lead = {"lead_id": lead_id}
        sent = {
            "lead": _history(payload.lead, payload.versions, of_lead),
            "events": [_row(event) | of_lead for event in payload.events],
        }
    return await _score_one(request, "lead", lead_id, sent)


@leads.post("/scores/batch", summary="Score many leads", response_model=LeadScores)
async def score_leads(request: Request, body: Ids) -> Any:
    """Scores of the stored leads, in the order asked; ids that are not known are listed apart."""
    return await _score_many(request, "lead", body.ids, named="scores")


@leads.get("/scores/batch", summary="Score some leads", response_model=LeadScores)
async def get_lead_scores(request: Request, ids: GivenIds) -> Any:
    """The same as the POST, for ids that fit into an address."""
    return await _score_many(request, "lead", ids, named="scores")


@deals.post("/{deal_id}/score", summary="Win probability of a deal", response_model=DealProbability)
async def score_deal(request: Request, deal_id: Id, payload: DealPayload | None = None) -> Any:
    """How likely the deal is to be won, and why.

    With an empty body the stored deal is scored, from the online feature store. With a body, the deal described there:
    its features are computed by the same definitions, and nothing is stored.
    """
    sent = None
    if payload is not None and payload.deal is not None:
        of_deal = {"opportunity_id": deal_id}
        sent = {
            "deal": _history(payload.deal, payload.versions, of_deal),
            "activities": [_row(activity) | of_deal for activity in payload.activities],
        }
    return await _score_one(request, "deal", deal_id, sent)


@deals.post("/probabilities/batch", summary="Win probabilities of many deals", response_model=DealProbabilities)
async def score_deals(request: Request, body: Ids) -> Any:
    """Win probabilities of the stored deals, in the order asked; ids that are not known are listed apart."""
    return await _score_many(request, "deal", body.ids, named="probabilities")


@deals.get("/probabilities/batch", summary="Win probabilities of some deals", response_model=DealProbabilities)
async def get_deal_probabilities(request: Request, ids: GivenIds) -> Any:
    """The same as the POST, for ids that fit into an address."""
    return await _score_many(request, "deal", ids, named="probabilities")


@forecasts.post("/revenue/generate", summary="Forecast revenue")
async def forecast_revenue(request: Request, question: ForecastQuestion) -> ForecastAnswer:
    """Revenue expected for a company, region, team or rep in a month, quarter or year, with its interval."""
    engine = _engine(request)
    asked = question.model_dump()
    answer = await _in_lane(request, "compute", lambda: engine.forecast(**asked))
    return ForecastAnswer.model_validate({**answer, "request_id": request.state.request_id})


@forecasts.get("/{forecast_id}", summary="A forecast answered before")
async def get_forecast(request: Request, forecast_id: Id) -> ForecastAnswer | ForecastSummary:
    """The value that was answered under this id; for the id of a whole forecast, what it covers and its totals."""
    engine = _engine(request)
    answer = await _in_lane(request, "compute", lambda: engine.forecast_by_id(forecast_id))
    kind = ForecastSummary if "totals" in answer else ForecastAnswer
    return kind.model_validate({**answer, "request_id": request.state.request_id})


@shared.get("/api/v1/models", summary="Models in use")
async def list_models(request: Request) -> Models:
    """Which version of each model answers now, and how good it was on later data than it was trained on."""
    engine = _engine(request)
    return Models(workspace=engine.workspace, models=health.served_models(engine), request_id=request.state.request_id)


@shared.get(
    "/health",
    summary="Whether answers can be trusted",
    response_model=Health,
    responses={503: {"model": Problem, "description": "Something is wrong."}},
)
async def report_health(request: Request) -> Any:
    """Whether answers can be trusted now: models loaded, registry followed, store reached, features fresh."""
    engine = _engine(request)
    found = await _in_lane(request, "online", lambda: health.checks(engine))
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
    body = UnhealthyProblem(**wrong.model_dump(), checks=found)
    return response_of(body)


class UnhealthyProblem(Problem):
    """A problem with every check beside it."""

    checks: list[Any]


@shared.get("/ready", summary="Whether every model is loaded")
async def report_readiness(request: Request) -> dict[str, str]:
    """200 once every task served has a model; 503 until then."""
    engine = _engine(request)
    for slot in engine.slots.values():
        slot.require()
    return {"status": "ready", "request_id": request.state.request_id}


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


__all__ = ["TASKS", "Response", "build_app", "paths_of"]
