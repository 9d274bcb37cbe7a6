"""The protocols of the models that a source feeds: horizon, moments to score at, and the split that judges them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from common.clock import utc

Moment = Annotated[AwareDatetime, AfterValidator(utc)]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class LeadProtocol:
    """How the lead model is trained and judged on a source."""

    horizon_days: int = Field(
        gt=0, description="A lead is positive when it converts within so many days after the moment it is scored."
    )
    spine: Literal["creation", "lifecycle"] = Field(
        description="Moments to score at: at creation only, or along the lead's life as well."
    )
    test_from: Moment | None = Field(
        default=None, description="Leads created from this moment on (UTC) are the test; earlier ones train."
    )
    test_share: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Instead of `test_from`: share of leads, the newest by creation, that are the test.",
    )

    @model_validator(mode="after")
    def _one_split(self) -> LeadProtocol:
        _refuse_two_splits(self.test_from, self.test_share)
        return self


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class DealProtocol:
    """How the deal model is trained and judged on a source."""

    horizon_days: int = Field(
        gt=0, description="A deal is positive when it is won within so many days after the moment it is scored."
    )
    spine: Literal["stage_entries", "weekly"] = Field(
        description=(
            "Moments to score at: each first entry into an open stage, or weekly while open and at stage changes."
        )
    )
    test_from: Moment | None = Field(
        default=None, description="Deals opened from this moment on (UTC) are the test; earlier ones train."
    )
    test_share: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Instead of `test_from`: share of deals, the newest by opening, that are the test.",
    )
    stages: tuple[str, ...] = Field(
        min_length=1, description="The open stages, from first to last: the order in which a deal should pass them."
    )

    @model_validator(mode="after")
    def _one_split(self) -> DealProtocol:
        _refuse_two_splits(self.test_from, self.test_share)
        return self


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ForecastProtocol:
    """How revenue is forecast from a source, and judged."""

    kind: Literal["pipeline", "series"] = Field(
        description="`pipeline`: from deals and their probabilities; `series`: from `series_values` alone."
    )
    horizon: int = Field(gt=0, description="Periods ahead to forecast.")
    season_length: int = Field(gt=0, description="Periods after which the season repeats.")
    frequency: Literal["MS", "QS"] = Field(description="Period: MS (months) or QS (quarters), named by the first day.")
    test_periods: int = Field(gt=0, description="Newest periods held back to judge the forecast.")
    level_names: tuple[str, ...] = Field(
        default=(),
        max_length=3,
        description="For series: what `level_1`, `level_2`, `level_3` are, from the highest on; empty for pipelines.",
    )
    unit: str = Field(default="USD", description="Unit of the values, for reports.")


class Models(BaseModel):
    """The models a source feeds; none need be given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lead: LeadProtocol | None = Field(None, description="Protocol of the lead model.")
    deal: DealProtocol | None = Field(None, description="Protocol of the deal model.")
    forecast: ForecastProtocol | None = Field(None, description="Protocol of the forecast.")


def _refuse_two_splits(test_from: datetime | None, test_share: float | None) -> None:
    if (test_from is None) == (test_share is None):
        raise ValueError("give either test_from or test_share")
