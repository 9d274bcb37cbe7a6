"""What the services answer: scores, forecasts, models, health."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Score = float | None


class _Answer(BaseModel):
    # `model_version` is the documents' name; Pydantic would keep `model_` to itself.
    model_config = ConfigDict(protected_namespaces=())


class Freshness(_Answer):
    """How old the features behind a score are, and which were missing because they had expired."""

    oldest_at: datetime | None = Field(description="Moment the oldest feature stands for; null where none was found.")
    age_seconds: float | None = Field(description="Age of that feature at `as_of`.")
    expired: list[str] = Field(description="Features past their time to live: scored as missing.")
    is_last_known: bool = Field(
        False, description="True where the store was away and the values of an earlier answer were used."
    )


class Factor(_Answer):
    """One reason."""

    feature: str = Field(description="Feature that speaks for the reason.")
    theme: str = Field(description="What the reason is about: one or more features that say the same thing.")
    group: str = Field(description="What kind of evidence it is.")
    value: str | None = Field(description="Its value, as a reader would write it; null where missing.")
    contribution: float = Field(description="Log-odds that the theme added; above 0 speaks for the outcome.")
    text: str = Field(description="The reason in words.")
    rate: float | None = Field(
        description="Outcome rate of like rows in training; null where unknown, or where it points the other way."
    )
    base_rate: float = Field(description="Outcome rate of all rows in training.")
    rows: int = Field(description="Like rows in training.")


class Factors(_Answer):
    """Reasons, strongest first."""

    model_config = ConfigDict(populate_by_name=True)

    speak_for: list[Factor] = Field(alias="for", description="What raised the probability.")
    speak_against: list[Factor] = Field(alias="against", description="What lowered it.")


class Override(_Answer):
    """What a person decided instead of the model."""

    value: str | float = Field(description="Grade of a lead, or win probability of a deal, that holds instead.")
    justification: str = Field(description="Why, in the person's words.")
    by: str = Field(description="Who decided.")
    at: datetime = Field(description="When, UTC.")


class _Scored(_Answer):
    horizon_days: int = Field(description="The outcome counts when it comes within so many days of `as_of`.")
    confidence: float = Field(ge=0, le=1, description="How far to trust the probability.")
    scoring_factors: Factors = Field(description="The strongest reasons for and against.")
    trend: Literal["improving", "steady", "declining", "not enough info"] = Field(
        description="Against last week, by the same model version; known once a batch was scored."
    )
    trend_points: float | None = Field(
        description="Change since then, in points of 100: of a lead's composite score, or of a deal's win probability."
    )
    trend_since: datetime | None = Field(description="The moment the earlier score stands for, UTC.")
    grade_thresholds: dict[str, float] = Field(description="Least probability of each grade, as this score was graded.")
    model_name: str = Field(description="Registered model.")
    model_version: str = Field(description="Its version.")
    alias: str = Field(description="Alias that the service follows.")
    scored_at: datetime = Field(description="When this answer was made, by the clock on the wall, UTC.")
    as_of: datetime = Field(description="The moment it was made for: features hold what was known then, UTC.")
    valid_until: datetime = Field(description="Ask again after this moment, UTC.")
    features: Freshness = Field(description="How old the features are.")
    is_cached: bool = Field(
        description="True where an earlier request made the score, and neither model nor features have changed since."
    )
    override: Override | None = Field(description="What a person decided instead; null where nobody did.")
    request_id: str = Field(description="Id of the request, also in the header X-Request-ID.")


class _LeadFigures(_Answer):
    lead_id: str = Field(description="The lead.")
    composite_score: float = Field(
        ge=0, le=100, description="Rank of the probability among the newest leads that the model learned from."
    )
    behavioral_score: Score = Field(description="What it did on its own, 0 to 100; null where no feature tells.")
    demographic_score: Score = Field(description="Who it is, 0 to 100.")
    engagement_score: Score = Field(description="How it answers to us, 0 to 100.")
    intent_score: Score = Field(description="Signs that it wants to buy, 0 to 100.")
    fit_score: Score = Field(description="How well it fits what we sell, 0 to 100.")
    conversion_probability: float = Field(
        ge=0, le=1, description="Calibrated probability of converting in `horizon_days`."
    )
    grade: str = Field(description="hot, warm or cold.")


class LeadScore(_Scored, _LeadFigures):
    """How likely a lead is to convert, and why."""


class Action(_Answer):
    """Something the deal lacks that like deals had which were won more often: an association, not a proven effect."""

    action: str = Field(description="Short name.")
    text: str = Field(description="What to do, and how often like deals were won with it and without.")
    gain: float = Field(description="Rise of the win probability that goes with it.")
    gain_low: float = Field(description="Lower end of its interval.")
    gain_high: float = Field(description="Upper end.")
    deals_with: int = Field(description="Past deals that had it.")
    deals_without: int = Field(description="Past deals that had not.")


class _DealFigures(_Answer):
    opportunity_id: str = Field(description="The deal.")
    win_probability: float = Field(ge=0, le=1, description="Calibrated probability of being won at any time.")
    win_probability_in_horizon: float | None = Field(
        None, description="The same within `horizon_days`; null from a model that knows no months."
    )
    loss_probability: float | None = Field(None, description="Probability of being lost at any time.")
    risk_level: str = Field(description="Grade of the risk of not winning it.")
    risk_score: float = Field(ge=0, le=100, description="100 x (1 - win_probability).")
    won_in_month: list[float] | None = Field(
        None, description="Probability of being won in each month (30 days) ahead."
    )
    lost_in_month: list[float] | None = Field(None, description="Probability of being lost in each month ahead.")
    open_after_month: list[float] | None = Field(None, description="Probability of being open after each month ahead.")
    expected_close_date: date | None = Field(None, description="Day it closes on, if it is won (median).")
    close_date_earliest: date | None = Field(None, description="Beginning of the 80 % interval of that day.")
    close_date_latest: date | None = Field(None, description="End of the 80 % interval.")
    slip_probability: float | None = Field(
        None, description="Probability of being open when the stated close date is over; null where none is stated."
    )
    expected_amount_usd: float | None = Field(None, description="What it brings if it is won, US dollars.")
    amount_low_usd: float | None = Field(None, description="Lower end of the 80 % interval of that amount.")
    amount_high_usd: float | None = Field(None, description="Upper end.")
    expected_value_usd: float | None = Field(None, description="Expected amount times win probability, US dollars.")
    actions: list[Action] | None = Field(None, description="At most three things that would help, the strongest first.")


class DealProbability(_Scored, _DealFigures):
    """How likely a deal is to be won, and why."""


class _Batch(_Answer):
    not_found: list[str] = Field(description="Ids that the feature store does not know, or that are not yours.")
    model_name: str = Field(description="Registered model.")
    model_version: str = Field(description="Its version.")
    alias: str = Field(description="Alias that the service follows.")
    scored_at: datetime = Field(description="When the scores were made, by the clock on the wall, UTC.")
    as_of: datetime = Field(description="The moment they were made for, UTC.")
    request_id: str = Field(description="Id of the request, also in the header X-Request-ID.")


class LeadScores(_Batch):
    """Scores of many leads, in the order asked."""

    scores: list[LeadScore] = Field(description="One score per id found.")


class DealProbabilities(_Batch):
    """Win probabilities of many deals, in the order asked."""

    probabilities: list[DealProbability] = Field(description="One probability per id found.")


class Qualification(_Answer):
    """Hot, warm or cold, with the evidence."""

    lead_id: str = Field(description="The lead.")
    grade: str = Field(
        description="What holds: a person's word where there is one, else the model's.", examples=["hot"]
    )
    model_grade: str = Field(description="What the probability says by `thresholds`.")
    thresholds: dict[str, float] = Field(description="Least probability of each grade that was used.")
    conversion_probability: float = Field(ge=0, le=1, description="Calibrated probability of converting.")
    confidence: float = Field(ge=0, le=1, description="How far to trust the probability.")
    evidence_for: list[str] = Field(description="What speaks for it, strongest first.")
    evidence_against: list[str] = Field(description="What speaks against it, strongest first.")
    override: Override | None = Field(description="What a person decided; null where nobody did.")
    decision: int | None = Field(description="Number of the decision just recorded; null where none was.")
    is_replay: bool = Field(description="True where this very request was recorded before, and not again.")
    model_name: str = Field(description="Registered model.")
    model_version: str = Field(description="Its version.")
    alias: str = Field(description="Alias that the service follows.")
    scored_at: datetime = Field(description="When the score was made, by the clock on the wall, UTC.")
    as_of: datetime = Field(description="The moment it was made for, UTC.")
    valid_until: datetime = Field(description="Ask again after this moment, UTC.")
    request_id: str = Field(description="Id of the request, also in the header X-Request-ID.")


class DealOverride(_Answer):
    """A win probability that a person put in the model's place, or took back."""

    opportunity_id: str = Field(description="The deal.")
    win_probability: float = Field(ge=0, le=1, description="What holds now.")
    model_win_probability: float = Field(ge=0, le=1, description="What the model says.")
    override: Override | None = Field(description="What holds instead of the model's word; null once taken back.")
    decision: int = Field(description="Number of the decision in the record.")
    is_replay: bool = Field(description="True where this very request was recorded before, and not again.")
    model_name: str = Field(description="Registered model.")
    model_version: str = Field(description="Its version.")
    alias: str = Field(description="Alias that the service follows.")
    request_id: str = Field(description="Id of the request, also in the header X-Request-ID.")


class DealAtRisk(_Answer):
    """A deal and what may be lost with it."""

    opportunity_id: str = Field(description="The deal.")
    win_probability: float = Field(ge=0, le=1, description="What holds: a person's word where there is one.")
    is_overridden: bool = Field(description="Whether a person decided it.")
    risk_level: str = Field(description="The model's grade of the risk of not winning it.")
    amount_usd: float | None = Field(description="Amount as entered, US dollars; null where none was.")
    value_at_risk_usd: float | None = Field(description="Amount times the probability of not winning, US dollars.")
    days_to_close_date: float | None = Field(description="Days until the close date as entered; null where none was.")
    rep_id: str | None = Field(description="Rep who owns the deal.")
    reasons: list[str] = Field(description="What speaks against it, strongest first.")


class DealsAtRisk(_Answer):
    """Open deals by value at risk, greatest first."""

    deals: list[DealAtRisk] = Field(description="The deals.")
    open_deals: int = Field(description="Open deals that the caller may see.")
    value_at_risk_usd: float = Field(description="Value at risk of all of them that are due, US dollars.")
    within_days: int = Field(description="Deals due within so many days were looked at.")
    model_name: str = Field(description="Registered model.")
    model_version: str = Field(description="Its version.")
    alias: str = Field(description="Alias that the service follows.")
    scored_at: datetime = Field(description="When the scores were made, by the clock on the wall, UTC.")
    as_of: datetime = Field(description="The moment they were made for, UTC.")
    request_id: str = Field(description="Id of the request, also in the header X-Request-ID.")


class _Forecast(_Answer):
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


class Interval(_Answer):
    """Where the value will lie with the stated probability."""

    lower: float | None = Field(description="Lower end; null where there is none.")
    upper: float | None = Field(description="Upper end; null where there is none.")


class ForecastValue(_Answer):
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


class ScenarioValue(_Answer):
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


class Worth(_Answer):
    """What a change adds to the asked entity's forecast."""

    expected: float = Field(description="To the expected value.")
    probability: float | None = Field(description="To the probability of reaching the quota.")


class LeverWorth(Worth):
    """What one lever alone is worth."""

    lever: str = Field(description="The lever and its factor.")


class ScenarioResult(_Answer):
    """One scenario of a comparison."""

    name: str = Field(description="Its name.")
    about: str = Field(description="What it stands for.")
    levers: dict[str, Any] = Field(description="What it turns.")
    values: list[ScenarioValue] = Field(description="What it expects of every entity of the level.")
    worth: list[LeverWorth] = Field(description="What each of its levers alone is worth to the asked entity.")
    together: float = Field(description="What they add beyond the sum of their parts, because they act together.")
    change: Worth = Field(description="All of it against the forecast as it is.")


class PastSpread(_Answer):
    """How much a part of the business varied from quarter to quarter."""

    lever: str = Field(description="The lever.")
    sd: float = Field(description="Standard deviation of the logarithm of a quarter's level.")
    quarters: int = Field(description="Pairs of quarters it was measured on.")
    low: float = Field(description="Factor that one quarter in ten falls below.")
    high: float = Field(description="Factor that one quarter in ten exceeds.")
    compared: str = Field(description="What each quarter was set beside.")


class ScenarioComparison(_Answer):
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


class ServedModel(_Answer):
    """A model that this service answers with."""

    task: str = Field(description="lead, deal or forecast.")
    name: str = Field(description="Registered model.")
    alias: str = Field(description="Alias that it was found by: champion, or challenger on trial.")
    version: str | None = Field(description="Version in use; null where none could be loaded.")
    loaded_at: datetime | None = Field(description="When this process loaded it, UTC.")
    trained_at: datetime | None = Field(None, description="When it was trained, UTC.")
    feature_service: str | None = Field(None, description="Feature service it reads.")
    metrics: dict[str, float] = Field(default_factory=dict, description="Figures on later data than it was trained on.")
    previous_version: str | None = Field(None, description="Version kept ready for a roll-back; null for none.")
    probed_cases: int = Field(0, description="Stored cases that it answered as at training before it was taken up.")
    trial: str | None = Field(None, description="For a challenger: shadow or answer, and its share of the ids.")
    problem: str | None = Field(None, description="Why the newest version is not in use, where it is not.")


class Models(_Answer):
    """The models in use."""

    workspace: str = Field(description="Workspace that is served.")
    models: list[ServedModel] = Field(description="One per task, and one per challenger on trial.")
    request_id: str = Field(description="Id of the request, also in the header X-Request-ID.")


class Check(_Answer):
    """One thing that has to be well for answers to be right."""

    name: str = Field(description="model:lead, store, features, registry, …")
    ok: bool = Field(description="Whether it is well.")
    detail: str = Field(description="What was seen.")
    next_step: str | None = Field(None, description="What to do where it is not ok.")


class Health(_Answer):
    """Whether answers can be trusted now."""

    status: Literal["healthy"] = Field("healthy", description="Always healthy: what is not is a problem, 503.")
    workspace: str = Field(description="Workspace that is served.")
    as_of: datetime = Field(description="The service's now, UTC.")
    checks: list[Check] = Field(description="Everything that was looked at.")
    request_id: str = Field(description="Id of the request, also in the header X-Request-ID.")


class Ready(_Answer):
    """Every task served has a model."""

    status: Literal["ready"] = Field("ready", description="Always ready: what is not is a problem, 503.")
    request_id: str = Field(description="Id of the request, also in the header X-Request-ID.")
