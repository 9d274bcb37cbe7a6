"""Routes of forecasts, on the documents' paths."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from serving.access import ForbiddenError
from serving.answers import ForecastAnswer, ForecastSummary, Override
from serving.asking import Asker, asker_of, engine_of, in_lane, problems
from serving.payloads import AdjustForecast, ForecastQuestion, Id
from serving.scoring_routes import IdempotencyKey, record_decision

forecasts = APIRouter(prefix="/api/v1/forecasts", tags=["forecasts"], responses=problems(404))


@forecasts.post("/revenue/generate", summary="Forecast revenue")
async def forecast_revenue(request: Request, question: ForecastQuestion) -> ForecastAnswer:
    """Revenue expected for a company, region, team or rep in a month, quarter or year, with its interval.

    The newest forecast is read, which `salience train forecast` made from everything known then: all levels and periods
    of it add up. A rep or manager is told the figures of their own reps.
    """
    engine, asker = engine_of(request), asker_of(request)
    asked = question.model_dump()
    answer = await in_lane(request, "compute", lambda: engine.forecast(**asked))
    _require_own(asker, answer)
    return _answer(request, answer)


@forecasts.get("/{forecast_id}", summary="A forecast answered before")
async def get_forecast(request: Request, forecast_id: Id) -> ForecastAnswer | ForecastSummary:
    """The value that was answered under this id; for the id of a whole forecast, what it covers and its totals."""
    engine, asker = engine_of(request), asker_of(request)
    answer = await in_lane(request, "compute", lambda: engine.forecast_by_id(forecast_id))
    _require_own(asker, answer)
    if "totals" in answer:
        return ForecastSummary.model_validate({**answer, "request_id": request.state.request_id})
    return _answer(request, answer)


@forecasts.put("/{forecast_id}/adjust", summary="Adjust a forecast", responses=problems(404, 409))
async def adjust_forecast(
    request: Request, forecast_id: Id, body: AdjustForecast, idempotency_key: IdempotencyKey = None
) -> ForecastAnswer:
    """Put your own figure beside one value of a forecast, with a justification; `null` takes it back.

    It is recorded with your name for good, and the value's answers show it beside the model's own figures. Other
    levels and periods stay as they are: an adjustment is a person's word about one value, not a new forecast.
    """
    engine, asker = engine_of(request), asker_of(request)

    def work() -> dict[str, Any]:
        answer = engine.forecast_by_id(forecast_id)
        _require_own(asker, answer)
        if "totals" in answer:
            raise ForbiddenError(
                f"{forecast_id} is a whole forecast; a value of it is adjusted",
                next_step="take the forecast_id of one value, from POST /api/v1/forecasts/revenue/generate",
            )
        record_decision(
            request,
            "forecast",
            forecast_id,
            value=body.value,
            justification=body.justification,
            model_said={"expected": answer["expected"], "median": answer["median"], "model": answer["model_version"]},
            idempotency_key=idempotency_key,
        )
        return answer

    return _answer(request, await in_lane(request, "compute", work))


def _answer(request: Request, answer: dict[str, Any]) -> ForecastAnswer:
    held = request.app.state.decisions.override_of("forecast", answer["forecast_id"])
    adjustment = Override.model_validate(held) if held else None
    return ForecastAnswer.model_validate({**answer, "adjustment": adjustment, "request_id": request.state.request_id})


def _require_own(asker: Asker, answer: dict[str, Any]) -> None:
    """A scoped caller sees the figures of single reps of theirs."""
    if asker.caller.is_scoped and (answer.get("level") != "rep" or not asker.sees(answer.get("entity_id"))):
        raise ForbiddenError(
            "This figure covers more than your own territory",
            expected="the level rep and one of your reps",
            next_step="ask for one of your own reps",
        )
