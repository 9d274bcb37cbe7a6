"""Routes of leads, on the documents' paths."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from serving.answers import LeadScore, LeadScores, Qualification
from serving.asking import asker_of, engine_of, in_lane, problems
from serving.payloads import Id, Ids, LeadPayload, QualifyLead
from serving.qualifying import qualification
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

leads = APIRouter(prefix="/api/v1/leads", tags=["leads"], responses=problems(404))


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
            "lead": history(payload.lead, payload.versions, of_lead),
            "events": [row(event) | of_lead for event in payload.events],
            "activities": [row(activity) | of_lead for activity in payload.activities],
        }
    return await score_one(request, "lead", lead_id, sent)


@leads.post("/scores/batch", summary="Score many leads", response_model=LeadScores)
async def score_leads(request: Request, body: Ids) -> Any:
    """Scores of the stored leads, in the order asked; ids that are not known, or not yours, are listed apart."""
    return await score_many(request, "lead", body.ids, named="scores")


@leads.get("/scores/batch", summary="Score some leads", response_model=LeadScores)
async def get_lead_scores(request: Request, ids: GivenIds) -> Any:
    """The same as the POST, for ids that fit into an address."""
    return await score_many(request, "lead", ids, named="scores")


@leads.get("/{lead_id}/explain", summary="Explain a lead's score", response_model=LeadScore)
async def explain_lead(request: Request, lead_id: Id) -> Any:
    """The lead's score with every reason there is, each computed exactly instead of looked up in tables.

    It takes some ten times as long as the score, whose five reasons a side are the same ones in nearly all cases.
    """
    return await explain_one(request, "lead", lead_id)


@leads.put("/{lead_id}/qualify", summary="Qualify a lead", responses=problems(404, 409))
async def qualify_lead(
    request: Request, lead_id: Id, body: QualifyLead | None = None, idempotency_key: IdempotencyKey = None
) -> Qualification:
    """Hot, warm or cold, with the evidence; or what you decide instead of the model.

    Without a body the model's word is given, by the model's own thresholds or by yours. With `grade` and a
    `justification` your word holds until it is taken back (`grade: null`); it is recorded with your name for good, and
    every later score of the lead shows it.
    """
    engine, asked, asker = engine_of(request), body or QualifyLead(), asker_of(request)
    own = None if asked.thresholds is None else {str(name): least for name, least in asked.thresholds.items()}
    request_id = request.state.request_id

    def work() -> Qualification:
        answered = engine.score_one("lead", lead_id, request_id=request_id, may_see=asker.require)
        found = qualification(answered, thresholds=own)
        if "grade" not in asked.model_fields_set:
            return found
        decision = record_decision(
            request,
            "lead",
            lead_id,
            value=asked.grade,
            justification=asked.justification or "",
            model_said={
                "grade": found.model_grade,
                "conversion_probability": found.conversion_probability,
                "model_version": found.model_version,
            },
            idempotency_key=idempotency_key,
        )
        return qualification(answered, thresholds=own, decision=decision)

    return await in_lane(request, "online", work)
