"""Routes of forecasts, on the documents' paths."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from serving.access import ForbiddenError
from serving.answers import Override
from serving.asking import Asker, asker_of, engine_of, in_lane, problems
from serving.forecast_answers import ForecastAnswer, ForecastSummary, ScenarioComparison
from serving.forecast_desk import ForecastDesk
from serving.payloads import AdjustForecast, ForecastQuestion, Id, ScenarioQuestion
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

    def work() -> ForecastAnswer:
        answer = engine.forecast(**asked)
        _require_own(asker, answer)
        return _answer(request, answer)

    return await in_lane(request, "compute", work)


@forecasts.post("/scenarios/model", status_code=202, summary="Compare scenarios", responses=problems(404, 409))
async def model_scenarios(request: Request, question: ScenarioQuestion) -> ScenarioComparison:
    """What-if: optimistic, realistic and pessimistic as measured on the past, or scenarios of your own, side by side.

    Each is the forecast computed again with its levers: what it expects, with which probability it reaches the quota,
    and what each lever alone is worth. That takes a process beside the service some seconds or minutes; ask for the
    answer's `scenario_id` until its `status` is `done`. The same question on the same data is computed once.
    """
    asker, desk = asker_of(request), _desk(request)
    if asker.caller.is_scoped:
        raise ForbiddenError(
            "Scenarios are about whole teams and the company", next_step="ask somebody who may see all of it"
        )

    def work() -> dict[str, Any]:
        from training.forecast.scenario_file import parse_scenarios

        asked = question.scenarios
        return desk.submit(
            None if asked is None else parse_scenarios(asked, where="The request"),
            period=question.period,
            level=question.level,
            entity_id=question.entity_id,
            by=asker.caller.name,
        )

    return _comparison(request, await in_lane(request, "compute", work))


@forecasts.get("/scenarios/{scenario_id}", summary="A comparison of scenarios")
async def get_scenarios(request: Request, scenario_id: Id) -> ScenarioComparison:
    """A comparison of scenarios, as far as it is."""
    asker, desk = asker_of(request), _desk(request)
    if asker.caller.is_scoped:
        raise ForbiddenError(
            "Scenarios are about whole teams and the company", next_step="ask somebody who may see all of it"
        )

    def work() -> dict[str, Any]:
        found = desk.scenarios.get(scenario_id)
        if found["status"] in ("waiting", "running"):
            # A process that was killed has left it; whoever asks gets it going again.
            desk.start()
        return found

    return _comparison(request, await in_lane(request, "compute", work))


@forecasts.get("/{forecast_id}", summary="A forecast answered before")
async def get_forecast(request: Request, forecast_id: Id) -> ForecastAnswer | ForecastSummary:
    """The value that was answered under this id; for the id of a whole forecast, what it covers and its totals."""
    engine, asker = engine_of(request), asker_of(request)

    def work() -> ForecastAnswer | ForecastSummary:
        answer = engine.forecast_by_id(forecast_id)
        _require_own(asker, answer)
        if "totals" in answer:
            return ForecastSummary.model_validate({**answer, "request_id": request.state.request_id})
        return _answer(request, answer)

    return await in_lane(request, "compute", work)


@forecasts.put("/{forecast_id}/adjust", summary="Adjust a forecast", responses=problems(404, 409))
async def adjust_forecast(
    request: Request, forecast_id: Id, body: AdjustForecast, idempotency_key: IdempotencyKey = None
) -> ForecastAnswer:
    """Put your own figure beside one value of a forecast, with a justification; `null` takes it back.

    It is recorded with your name for good, and holds for this entity and period in later forecasts too, until you take
    it back. The model's own figures stay; `adjusted` of every answer is `expected` with all adjustments spread down and
    summed up, so that it still adds up to the cent. An adjustment that cannot hold beside the others is refused with
    409, and those in its way are named.
    """
    engine, asker = engine_of(request), asker_of(request)
    desk, decisions = _desk(request), request.app.state.decisions

    def work() -> ForecastAnswer:
        answer = engine.forecast_by_id(forecast_id)
        _require_own(asker, answer)
        if "totals" in answer:
            raise ForbiddenError(
                f"{forecast_id} is a whole forecast; a value of it is adjusted",
                next_step="take the forecast_id of one value, from POST /api/v1/forecasts/revenue/generate",
            )
        _check(asker, desk, answer, body.value, held=decisions.held("forecast"))
        record_decision(
            request,
            "forecast",
            _key(answer),
            value=body.value,
            justification=body.justification,
            model_said={
                **{name: answer[name] for name in ("level", "entity_id", "period", "expected", "median", "as_of")},
                "model_version": answer["model_version"],
                "forecast_id": forecast_id,
            },
            idempotency_key=idempotency_key,
        )
        return _answer(request, answer)

    return await in_lane(request, "compute", work)


def _answer(request: Request, answer: dict[str, Any]) -> ForecastAnswer:
    held = request.app.state.decisions.held("forecast")
    # Before adjustments added up they were about one stored figure, under its id.
    mine = held.get(_key(answer)) or held.get(answer["forecast_id"])
    more = {
        "adjustment": Override.model_validate(mine) if mine else None,
        "adjusted": _desk(request).adjusted(answer, held) if held else None,
        "request_id": request.state.request_id,
    }
    return ForecastAnswer.model_validate({**answer, **more})


def _check(
    asker: Asker, desk: ForecastDesk, answer: dict[str, Any], value: float | None, *, held: dict[str, Any]
) -> None:
    """Refuse what cannot hold beside the others; a scoped caller is not told whose figures those are."""
    from training.forecast.spreading import ConflictError

    try:
        desk.check(answer, value, held)
    except ConflictError as error:
        if not asker.caller.is_scoped:
            raise
        raise ConflictError(
            "This figure cannot hold beside what is booked and what others said",
            culprits=error.culprits,
            expected="a figure that fits",
            got=f"{value:,.2f}",
            next_step="ask somebody who may see all of them",
        ) from None


def _comparison(request: Request, document: dict[str, Any]) -> ScenarioComparison:
    fields = {name: document[name] for name in ScenarioComparison.model_fields if name in document}
    return ScenarioComparison.model_validate({**fields, "request_id": request.state.request_id})


def _key(answer: dict[str, Any]) -> str:
    """The name of a value in the record, whichever forecast it was said about; see `overrides.override_key`."""
    return f"{answer['level']}/{answer['entity_id']}/{answer['period']}"


def _desk(request: Request) -> ForecastDesk:
    desk: ForecastDesk = request.app.state.desk
    return desk


def _require_own(asker: Asker, answer: dict[str, Any]) -> None:
    """A scoped caller sees the figures of single reps of theirs."""
    if asker.caller.is_scoped and (answer.get("level") != "rep" or not asker.sees(answer.get("entity_id"))):
        raise ForbiddenError(
            "This figure covers more than your own territory",
            expected="the level rep and one of your reps",
            next_step="ask for one of your own reps",
        )
