"""What applications send: bodies made from the canonical tables' contracts, so that names and types exist once."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, create_model, model_validator

from warehouse.contracts import CONTRACTS, Column, Contract

MAX_IDS = 10_000
MAX_IDS_IN_ADDRESS = 500
MAX_EVENTS = 5_000
_EARLIER = "How it was before, each with its `event_timestamp`; left out, it counts as having always been as it is now."

_STRICT: dict[str, Any] = {"string": str, "float": float, "int": int, "bool": bool}
_DATED: dict[str, Any] = {"timestamp": AwareDatetime, "date": date}
MAX_ID_LENGTH = 256
Id = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID_LENGTH)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


def _column_field(column: Column, *, required: bool) -> tuple[Any, Any]:
    if column.allowed is not None:
        kind: Any = Literal[column.allowed]
    elif column.dtype in _STRICT:
        kind = Annotated[_STRICT[column.dtype], Field(strict=True, ge=column.minimum, le=column.maximum)]
    else:
        kind = _DATED[column.dtype]
    if required:
        return kind, Field(description=column.about)
    return kind | None, Field(None, description=column.about)


def _row_model(
    contract: Contract, *, name: str, left_out: tuple[str, ...], required: tuple[str, ...]
) -> type[BaseModel]:
    """A row of `contract` as an application may send it: what is known only at the outcome cannot be sent."""
    hidden = {*contract.outcome_columns, *left_out}
    fields: dict[str, Any] = {
        column.name: _column_field(column, required=column.name in required)
        for column in contract.columns
        if column.name not in hidden
    }
    about = (
        "When it happened, with its offset."
        if contract.kind == "event"
        else "Since when it has been so; default since it began."
    )
    time = AwareDatetime if contract.kind == "event" else AwareDatetime | None
    fields["event_timestamp"] = (time, Field(... if contract.kind == "event" else None, description=about))
    fields["created_timestamp"] = (
        AwareDatetime | None,
        Field(None, description="When it could first be known; default the event's own time."),
    )
    model: type[BaseModel] = create_model(name, __base__=_Body, __doc__=contract.about, **fields)
    return model


if TYPE_CHECKING:
    LeadRow: TypeAlias = BaseModel
    LeadEventRow: TypeAlias = BaseModel
    LeadActivityRow: TypeAlias = BaseModel
    DealRow: TypeAlias = BaseModel
    ActivityRow: TypeAlias = BaseModel
else:
    LeadRow = _row_model(
        CONTRACTS["leads"], name="LeadRow", left_out=("lead_id", "is_deleted"), required=("lead_created_at",)
    )
    LeadEventRow = _row_model(
        CONTRACTS["lead_events"], name="LeadEventRow", left_out=("event_id", "lead_id"), required=("kind",)
    )
    LeadActivityRow = _row_model(
        CONTRACTS["activities"], name="LeadActivityRow", left_out=("activity_id", "lead_id"), required=("kind",)
    )
    DealRow = _row_model(
        CONTRACTS["opportunities"],
        name="DealRow",
        left_out=("opportunity_id", "is_deleted"),
        required=("opened_at", "stage"),
    )
    ActivityRow = _row_model(
        CONTRACTS["activities"], name="ActivityRow", left_out=("activity_id", "opportunity_id"), required=("kind",)
    )


class LeadPayload(_Body):
    """A lead to score without asking the store. An empty body scores the stored lead of that id."""

    lead: LeadRow | None = Field(None, description="The lead as it is now; leave it out to score the stored lead.")
    versions: list[LeadRow] = Field(default_factory=list, max_length=MAX_EVENTS, description=_EARLIER)
    events: list[LeadEventRow] = Field(default_factory=list, max_length=MAX_EVENTS, description="What it did so far.")
    activities: list[LeadActivityRow] = Field(
        default_factory=list, max_length=MAX_EVENTS, description="What your team did with it so far, and its replies."
    )

    @model_validator(mode="after")
    def _events_need_a_lead(self) -> LeadPayload:
        if (self.events or self.activities or self.versions) and self.lead is None:
            raise ValueError("`events`, `activities` and `versions` need `lead` beside them")
        return self


class DealPayload(_Body):
    """A deal to score without asking the store. An empty body scores the stored deal of that id."""

    deal: DealRow | None = Field(None, description="The deal as it is now; leave it out to score the stored deal.")
    versions: list[DealRow] = Field(default_factory=list, max_length=MAX_EVENTS, description=_EARLIER)
    activities: list[ActivityRow] = Field(
        default_factory=list, max_length=MAX_EVENTS, description="What was done about it so far."
    )

    @model_validator(mode="after")
    def _activities_need_a_deal(self) -> DealPayload:
        if (self.activities or self.versions) and self.deal is None:
            raise ValueError("`activities` and `versions` need `deal` beside them")
        return self


class Ids(_Body):
    """The leads or deals to score."""

    ids: list[Id] = Field(
        min_length=1,
        max_length=MAX_IDS,
        description="Ids, at most 10 000; one asked for twice is answered once. For more, send a file to /api/v1/jobs.",
        examples=[["L-000123", "L-000124"]],
    )


Justification = Annotated[str, StringConstraints(min_length=10, max_length=2_000, strip_whitespace=True)]


class QualifyLead(_Body):
    """How to qualify a lead, or what you decide instead of the model."""

    grade: Literal["hot", "warm", "cold"] | None = Field(
        None, description="Your word; null takes back the one before. Leave it out to ask for the model's."
    )
    justification: Justification | None = Field(
        None, description="Why; needed with `grade`, at least 10 characters.", examples=["Signed a letter of intent."]
    )
    thresholds: dict[Literal["warm", "hot"], Annotated[float, Field(gt=0, lt=1)]] | None = Field(
        None,
        min_length=2,
        description="Your own least probabilities of warm and hot; left out, the workspace's.",
        examples=[{"warm": 0.1, "hot": 0.4}],
    )

    @model_validator(mode="after")
    def _grade_needs_a_reason(self) -> QualifyLead:
        if "grade" in self.model_fields_set and self.justification is None:
            raise ValueError("`grade` needs a `justification` beside it")
        if self.thresholds is not None and self.thresholds["warm"] >= self.thresholds["hot"]:
            raise ValueError("`thresholds.warm` must lie below `thresholds.hot`")
        return self


class OverrideDeal(_Body):
    """A win probability in place of the model's."""

    win_probability: Annotated[float, Field(strict=True, ge=0, le=1)] | None = Field(
        description="Your word, 0 to 1; null takes back the one before.", examples=[0.8]
    )
    justification: Justification = Field(
        description="Why, at least 10 characters.", examples=["The board approved the budget on Monday."]
    )


class AdjustForecast(_Body):
    """A figure in place of a forecast's expected value."""

    value: Annotated[float, Field(strict=True, allow_inf_nan=False)] | None = Field(
        description="What you expect, in the forecast's unit; null takes back the one before.", examples=[7_500_000.0]
    )
    justification: Justification = Field(
        description="Why, at least 10 characters.", examples=["Two renewals were signed after the forecast was made."]
    )


class ScenarioQuestion(_Body):
    """Which scenarios to compare, for whom and when."""

    period: Annotated[str, StringConstraints(pattern=r"^\d{4}(Q[1-4]|-(0[1-9]|1[0-2]))?$")] = Field(
        description="A quarter, month or year: 2026Q1, 2026-02 or 2026.", examples=["2026Q1"]
    )
    level: Id = Field("company", description="Level whose entities are shown.", examples=["company"])
    entity_id: Id | None = Field(
        None, description="The one that levers are valued for; not needed for the company.", examples=["EMEA"]
    )
    scenarios: Annotated[list[dict[str, Any]], Field(min_length=1)] | None = Field(
        None,
        description="Your own scenarios, each with a `name` and factors on `win_rate`, `cycle_length`, `amount`, "
        "`new_business`, `headcount`, `price` (with `price_elasticity`) or `quota`, further factors in `regions` and "
        "`teams`, and `moves` of reps; null for optimistic, realistic and pessimistic as measured on the past.",
        examples=[[{"name": "price up", "price": 1.05, "price_elasticity": 0.8}]],
    )


class ForecastQuestion(_Body):
    """Whose revenue, and for when."""

    level: Id = Field(
        description="company, region, team or rep; or a level of the source's own series.", examples=["company"]
    )
    entity_id: Id | None = Field(
        None, description="Which region, team or rep; not needed for the company.", examples=["EMEA"]
    )
    period: Annotated[str, StringConstraints(pattern=r"^\d{4}(Q[1-4]|-(0[1-9]|1[0-2]))?$")] = Field(
        description="A quarter, month or year: 2026Q1, 2026-02 or 2026.", examples=["2026Q1"]
    )
