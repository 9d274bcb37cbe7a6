"""What the services answer of leads and deals. Forecasts: `forecast_answers`; models and health: `service_answers`."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Score = float | None


class Answer(BaseModel):
    """What every answer is."""

    # `model_version` is the documents' name; Pydantic would keep `model_` to itself.
    model_config = ConfigDict(protected_namespaces=())


class Freshness(Answer):
    """How old the features behind a score are, and which were missing because they had expired."""

    oldest_at: datetime | None = Field(description="Moment the oldest feature stands for; null where none was found.")
    age_seconds: float | None = Field(description="Age of that feature at `as_of`.")
    expired: list[str] = Field(description="Features past their time to live: scored as missing.")
    is_last_known: bool = Field(
        False, description="True where the store was away and the values of an earlier answer were used."
    )


class Factor(Answer):
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


class Factors(Answer):
    """Reasons, strongest first."""

    model_config = ConfigDict(populate_by_name=True)

    speak_for: list[Factor] = Field(alias="for", description="What raised the probability.")
    speak_against: list[Factor] = Field(alias="against", description="What lowered it.")


class Override(Answer):
    """What a person decided instead of the model."""

    value: str | float = Field(description="Grade of a lead, or win probability of a deal, that holds instead.")
    justification: str = Field(description="Why, in the person's words.")
    by: str = Field(description="Who decided.")
    at: datetime = Field(description="When, UTC.")


class _Scored(Answer):
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
        description="True where the score was made before this request, and neither model nor features changed since."
    )
    override: Override | None = Field(description="What a person decided instead; null where nobody did.")
    request_id: str = Field(description="Id of the request, also in the header X-Request-ID.")


class _LeadFigures(Answer):
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


class Action(Answer):
    """Something the deal lacks that like deals had which were won more often: an association, not a proven effect."""

    action: str = Field(description="Short name.")
    text: str = Field(description="What to do, and how often like deals were won with it and without.")
    gain: float = Field(description="Rise of the win probability that goes with it.")
    gain_low: float = Field(description="Lower end of its interval.")
    gain_high: float = Field(description="Upper end.")
    deals_with: int = Field(description="Past deals that had it.")
    deals_without: int = Field(description="Past deals that had not.")


class _DealFigures(Answer):
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


class _Batch(Answer):
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


class Qualification(Answer):
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


class DealOverride(Answer):
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


class DealAtRisk(Answer):
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


class DealsAtRisk(Answer):
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
