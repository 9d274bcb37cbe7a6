"""Routes of deals, on the documents' paths."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from serving.answers import DealOverride, DealProbabilities, DealProbability, DealsAtRisk, Override
from serving.asking import asker_of, engine_of, in_lane, problems
from serving.at_risk import deals_at_risk
from serving.payloads import DealPayload, Id, Ids, OverrideDeal
from serving.scoring_routes import (
    GivenIds,
    IdempotencyKey,
    explain_one,
    history,
    record_decision,
    row,
    score_many,
    score_one,
)

deals = APIRouter(prefix="/api/v1/deals", tags=["deals"], responses=problems(404))


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
            "deal": history(payload.deal, payload.versions, of_deal),
            "activities": [row(activity) | of_deal for activity in payload.activities],
        }
    return await score_one(request, "deal", deal_id, sent)


@deals.post("/probabilities/batch", summary="Win probabilities of many deals", response_model=DealProbabilities)
async def score_deals(request: Request, body: Ids) -> Any:
    """Scores of the stored deals, in the order asked; ids that are not known, or not yours, are listed apart."""
    return await score_many(request, "deal", body.ids, named="probabilities")


@deals.get("/probabilities/batch", summary="Win probabilities of some deals", response_model=DealProbabilities)
async def get_deal_probabilities(request: Request, ids: GivenIds) -> Any:
    """The same as the POST, for ids that fit into an address."""
    return await score_many(request, "deal", ids, named="probabilities")


@deals.get("/at-risk", summary="Deals most at risk")
async def list_deals_at_risk(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=500, description="Deals to list.", examples=[20])] = 20,
    within_days: Annotated[
        int, Query(ge=1, le=3650, description="Only deals whose close date comes within so many days.", examples=[90])
    ] = 90,
) -> DealsAtRisk:
    """Your open deals by value at risk: the amount times the probability of not winning it, the greatest first."""
    engine, asker, request_id = engine_of(request), asker_of(request), request.state.request_id
    return await in_lane(
        request,
        "batch",
        lambda: deals_at_risk(engine, limit=limit, within_days=within_days, sees=asker.sees, request_id=request_id),
    )


@deals.get("/{deal_id}/explain", summary="Explain a deal's win probability", response_model=DealProbability)
async def explain_deal(request: Request, deal_id: Id) -> Any:
    """The deal's win probability with every reason there is, each computed exactly instead of looked up in tables."""
    return await explain_one(request, "deal", deal_id)


@deals.put("/{deal_id}/override", summary="Override a deal's win probability", responses=problems(404, 409))
async def override_deal(
    request: Request, deal_id: Id, body: OverrideDeal, idempotency_key: IdempotencyKey = None
) -> DealOverride:
    """Put your own win probability in the model's place, with a justification; `null` takes it back.

    It is recorded with your name for good, and every later answer about the deal shows it beside the model's own.
    """
    engine, asker, request_id = engine_of(request), asker_of(request), request.state.request_id

    def work() -> DealOverride:
        answered = engine.score_one("deal", deal_id, request_id=request_id, may_see=asker.require)
        scored = answered.scored
        decision = record_decision(
            request,
            "deal",
            deal_id,
            value=body.win_probability,
            justification=body.justification,
            model_said={"win_probability": scored.probability, "model_version": scored.champion.version},
            idempotency_key=idempotency_key,
        )
        held = decision.as_override()
        return DealOverride(
            opportunity_id=deal_id,
            win_probability=scored.probability if body.win_probability is None else body.win_probability,
            model_win_probability=scored.probability,
            override=Override.model_validate(held) if held else None,
            decision=decision.number,
            is_replay=decision.is_replay,
            model_name=scored.champion.name,
            model_version=scored.champion.version,
            alias=scored.champion.alias,
            request_id=request_id,
        )

    return await in_lane(request, "online", work)
