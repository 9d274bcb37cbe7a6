"""What the services answer of forecasts and scenarios."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from pydantic import Field

from serving.answers import Answer, Override


class _Forecast(Answer):
    forecast_id: str = Field(description="GET /api/v1/forecasts/{forecast_id} gives the same again.")
    unit: str = Field(description="Unit of the values.")
    model_name: str = Field(description="Registered model.")
    model_version: str = Field(description="The version that made this forecast.")
    alias: str = Field(description="Alias that the service follows.")
    created_at: datetime = Field(description="When the forecast was computed, UTC.")
    scored_at: datetime = Field(description="When this answer was given, by the clock on the wall, UTC.")
    as_of: datetime = Field(description="The moment it was made for: it holds what was known then, UTC.")
    valid_until: datetime = Field(description="Ask again after this moment, UTC.")
    age_seconds: float = Field(description="Age of what it was made from, at the service's now.")


class Interval(Answer):
    """Where the value will lie with the stated probability."""

    lower: float | None = Field(description="Lower end; null where there is none.")
    upper: float | None = Field(description="Upper end; null where there is none.")


class ForecastValue(Answer):
    """A forecast for one entity and period."""

    forecast_id: str = Field(description="Id of this value.")
    level: str = Field(description="company, region, team or rep; or a level of the source's own series.")
    entity_id: str = Field(description="Which of them.")
    period: str = Field(description="2026-02, 2026Q1 or 2026.")
    period_start: date = Field(description="First day.")
    period_end: date = Field(description="Last day.")
    expected: float | None = Field(description="Mean; adds up over levels and periods.")
    median: float | None = Field(description="As likely to be exceeded as not; does not add up.")
    intervals: dict[str, Interval] = Field(description="By their probability in percent.")
    components: dict[str, float | None] = Field(description="What the mean is made of; they add up to it.")
    baselines: dict[str, float | None] = Field(description="What the naive methods say.")


class ForecastAnswer(_Forecast, ForecastValue):
    """A revenue forecast for one entity and period, with its intervals and what it is made of."""

    adjustment: Override | None = Field(
        None, description="What a person expects instead; null where nobody said. The model's own figures stay."
    )
    adjusted: float | None = Field(
        None,
        description="`expected` with everybody's standing adjustments, spread down and summed up so that it adds up "
        "over levels and periods; null where nobody adjusted anything.",
    )
    request_id: str = Field(description="Id of the request, also in the header X-Request-ID.")


class ForecastSummary(_Forecast):
    """A forecast as a whole: what it covers, and its highest level for every period."""

    kind: str = Field(description="`pipeline` (deal by deal) or `series`.")
    levels: dict[str, int] = Field(description="Entities by level.")
    periods: list[str] = Field(description="Periods it covers.")
    totals: list[ForecastValue] = Field(description="Its highest level.")
    request_id: str = Field(description="Id of the request, also in the header X-Request-ID.")


class ScenarioValue(Answer):
    """What a scenario expects of one entity."""

    entity_id: str = Field(description="Which region, team or rep.")
    expected: float = Field(description="Mean; adds up over levels.")
    median: float | None = Field(description="As likely to be exceeded as not.")
    lower_80: float | None = Field(description="Lower end of the 80 % range.")
    upper_80: float | None = Field(description="Its upper end.")
    lower_95: float | None = Field(description="Lower end of the 95 % range.")
    upper_95: float | None = Field(description="Its upper end.")
    closed: float | None = Field(None, description="Of it booked already.")
    open: float | None = Field(None, description="Of it from open deals.")
    new: float | None = Field(None, description="Of it from deals not yet created.")
    renewal: float | None = Field(None, description="Of it from renewals.")
    quota: float | None = Field(description="Quota in this scenario; null where there is none.")
    probability: float | None = Field(description="Probability that the quota is reached.")


class Worth(Answer):
    """What a change adds to the asked entity's forecast."""

    expected: float = Field(description="To the expected value.")
    probability: float | None = Field(description="To the probability of reaching the quota.")


class LeverWorth(Worth):
    """What one lever alone is worth."""

    lever: str = Field(description="The lever and its factor.")


class ScenarioResult(Answer):
    """One scenario of a comparison."""

    name: str = Field(description="Its name.")
    about: str = Field(description="What it stands for.")
    levers: dict[str, Any] = Field(description="What it turns.")
    values: list[ScenarioValue] = Field(description="What it expects of every entity of the level.")
    worth: list[LeverWorth] = Field(description="What each of its levers alone is worth to the asked entity.")
    together: float = Field(description="What they add beyond the sum of their parts, because they act together.")
    change: Worth = Field(description="All of it against the forecast as it is.")


class PastSpread(Answer):
    """How much a part of the business varied from quarter to quarter."""

    lever: str = Field(description="The lever.")
    sd: float = Field(description="Standard deviation of the logarithm of a quarter's level.")
    quarters: int = Field(description="Pairs of quarters it was measured on.")
    low: float = Field(description="Factor that one quarter in ten falls below.")
    high: float = Field(description="Factor that one quarter in ten exceeds.")
    compared: str = Field(description="What each quarter was set beside.")


class ScenarioComparison(Answer):
    """Scenarios side by side; computed by a process beside the service."""

    scenario_id: str = Field(description="GET /api/v1/forecasts/scenarios/{scenario_id} gives it again.")
    status: Literal["waiting", "running", "done", "failed"] = Field(description="Where it is.")
    problem: str | None = Field(description="Why it failed and what to do; null where it did not.")
    submitted_at: datetime = Field(description="When it was asked for, UTC.")
    submitted_by: str = Field(description="By whom.")
    level: str = Field(description="Level whose entities are shown.")
    entity_id: str = Field(description="The one that levers are valued for.")
    period: str = Field(description="For when.")
    as_of: datetime = Field(description="The moment it is made for, UTC.")
    unit: str = Field(description="Unit of the values.")
    is_built_in: bool = Field(description="Whether these are the optimistic, realistic and pessimistic ones.")
    spreads: list[PastSpread] = Field(description="What the built-in ones were measured from.")
    inputs: list[dict[str, Any]] = Field(description="The scenarios as they were asked for.")
    scenarios: list[ScenarioResult] = Field(description="What came out; empty until it is done.")
    digest: str | None = Field(description="Digest of what came out: computed again, it is the same.")
    notes: list[str] = Field(description="What a reader should know.")
    request_id: str = Field(description="Id of the request, also in the header X-Request-ID.")
