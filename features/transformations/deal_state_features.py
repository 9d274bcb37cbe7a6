"""The features of the view `deal_state`: names, units, meanings."""

from __future__ import annotations

from typing import Literal

from features.specs import FeatureSpec


def _category(name: str, about: str, phrase: str) -> FeatureSpec:
    return FeatureSpec(name=name, dtype="category", unit="category", group="state", about=about, phrase=phrase)


def _days_since(name: str, what: str) -> FeatureSpec:
    return FeatureSpec(
        name=f"days_since_{name}",
        dtype="float",
        unit="days",
        group="time",
        about=f"Days since {what}; null where that never was.",
        phrase=f"{what} {{value}} days ago",
    )


def _changes_of(name: str, what: str, direction: Literal[-1, 0]) -> FeatureSpec:
    return FeatureSpec(
        name=f"count_{name}",
        dtype="int",
        unit="changes",
        group="state",
        direction=direction,
        about=f"How often {what}.",
        phrase=f"{what} {{value}} times",
    )


_RECENT_CHANGES = (
    ("last_close_date_push", "the close date was last pushed to a later day"),
    ("last_close_date_pull", "the close date was last moved to an earlier day"),
    ("last_amount_change", "the amount last changed"),
    ("next_step_set", "the present next step was agreed"),
    ("next_step_before_set", "the next step before the newest was agreed"),
    ("competitor_named", "the present competitor was named"),
)
_COUNTED_CHANGES: tuple[tuple[str, str, Literal[-1, 0]], ...] = (
    ("close_date_pulls", "the close date was moved to an earlier day", 0),
    ("early_close_date_pushes", "the close date was pushed though it was more than two weeks off", -1),
    ("amount_cuts", "the amount was lowered", -1),
    ("owner_changes", "the deal went to another rep", 0),
    ("next_step_changes", "a new next step was agreed", 0),
    ("forecast_upgrades", "the rep became surer of the deal", 0),
    ("forecast_downgrades", "the rep became less sure of the deal", -1),
)


FEATURES = (
    _category("stage", "Stage of the deal.", "is in stage {value}"),
    _category("pipeline", "Pipeline the stages belong to.", "runs in pipeline {value}"),
    _category("deal_type", "New, expansion or renewal, or the source's own word.", "is a deal of type {value}"),
    _category("deal_source", "Where the deal came from.", "came from {value}"),
    _category("forecast_category", "The rep's own call.", "the rep calls it {value}"),
    FeatureSpec(
        name="amount_usd",
        dtype="float",
        unit="usd",
        group="state",
        about="Amount as entered.",
        phrase="amounts to {value} US dollars",
    ),
    FeatureSpec(
        name="crm_probability",
        dtype="float",
        unit="share",
        group="state",
        about="The CRM's own win probability.",
        phrase="the CRM gives it a probability of {value}",
    ),
    FeatureSpec(
        name="deal_age_days",
        dtype="float",
        unit="days",
        group="time",
        about="Days since the deal was opened.",
        phrase="was opened {value} days ago",
    ),
    FeatureSpec(
        name="opened_day_of_week",
        dtype="int",
        unit="day, Monday is 0",
        group="time",
        about="Day of the week of opening, UTC.",
        phrase="was opened on weekday {value} (Monday is 0)",
    ),
    FeatureSpec(
        name="opened_month",
        dtype="int",
        unit="month, 1 to 12",
        group="time",
        about="Month of opening, UTC.",
        phrase="was opened in month {value}",
    ),
    FeatureSpec(
        name="opened_hour",
        dtype="int",
        unit="hour, 0 to 23",
        group="time",
        about="Hour of opening, UTC; null where the source knows only the day (exactly midnight).",
        phrase="was opened at {value} o'clock UTC",
    ),
    FeatureSpec(
        name="days_in_stage",
        dtype="float",
        unit="days",
        group="time",
        about="Days since the deal entered its stage.",
        phrase="has been in its stage for {value} days",
    ),
    FeatureSpec(
        name="days_to_close_date",
        dtype="int",
        unit="days",
        group="time",
        about="Days until the expected date of closing; negative once it has passed.",
        phrase="is expected to close in {value} days",
    ),
    FeatureSpec(
        name="days_to_next_step",
        dtype="int",
        unit="days",
        group="activity",
        about="Days until the agreed next step; negative once it has passed.",
        phrase="the next step is due in {value} days",
    ),
    FeatureSpec(
        name="days_since_last_change",
        dtype="float",
        unit="days",
        group="activity",
        about="Days since the newest version of the deal.",
        phrase="was last changed {value} days ago",
    ),
    FeatureSpec(
        name="count_stage_changes",
        dtype="int",
        unit="changes",
        group="state",
        about="How often the stage changed.",
        phrase="changed stage {value} times",
    ),
    FeatureSpec(
        name="count_stage_returns",
        dtype="int",
        unit="changes",
        group="state",
        direction=-1,
        about="How often the deal came back to a stage it had left.",
        phrase="fell back to an earlier stage {value} times",
    ),
    FeatureSpec(
        name="count_close_date_pushes",
        dtype="int",
        unit="changes",
        group="state",
        direction=-1,
        about="How often the expected date of closing was moved to a later day.",
        phrase="the close date was pushed {value} times",
    ),
    FeatureSpec(
        name="days_close_date_moved",
        dtype="int",
        unit="days",
        group="state",
        about="Days from the first to the present expected date of closing.",
        phrase="the close date moved by {value} days in all",
    ),
    FeatureSpec(
        name="count_amount_changes",
        dtype="int",
        unit="changes",
        group="state",
        about="How often the amount changed.",
        phrase="the amount changed {value} times",
    ),
    FeatureSpec(
        name="amount_to_first_amount",
        dtype="float",
        unit="ratio",
        group="state",
        about="Present amount over the first amount entered.",
        phrase="the amount is {value} times the first one",
    ),
    FeatureSpec(
        name="is_competitor_known",
        dtype="bool",
        unit="yes or no",
        group="state",
        about="Whether a competitor is named.",
        phrase="a competitor is known: {value}",
    ),
    FeatureSpec(
        name="is_from_lead",
        dtype="bool",
        unit="yes or no",
        group="state",
        about="Whether the deal came from a lead.",
        phrase="came from a lead: {value}",
    ),
    FeatureSpec(
        name="count_stages_visited",
        dtype="int",
        unit="stages",
        group="state",
        about="Number of different stages the deal has been in.",
        phrase="has been in {value} stages",
    ),
    FeatureSpec(
        name="planned_cycle_days",
        dtype="float",
        unit="days",
        group="time",
        about="Days from opening to the first expected date of closing.",
        phrase="was planned to take {value} days",
    ),
    FeatureSpec(
        name="age_to_planned_cycle",
        dtype="float",
        unit="ratio",
        group="time",
        direction=-1,
        about="Age over the days that were planned at first; null where none were planned.",
        phrase="is {value} times as old as was planned",
    ),
    FeatureSpec(
        name="days_past_close_date",
        dtype="int",
        unit="days",
        group="time",
        direction=-1,
        about="Days by which the expected date of closing has passed; 0 before it.",
        phrase="is {value} days past its close date",
    ),
    FeatureSpec(
        name="is_next_step_overdue",
        dtype="bool",
        unit="yes or no",
        group="activity",
        about="Whether the agreed next step lies in the past; null where none is agreed.",
        phrase="the next step is overdue: {value}",
    ),
    FeatureSpec(
        name="share_age_in_stage",
        dtype="float",
        unit="share",
        group="time",
        about="Days in its stage over its age; null on the moment of opening.",
        phrase="spent {value} of its age in its stage",
    ),
    *(_days_since(*words) for words in _RECENT_CHANGES),
    *(_changes_of(*words) for words in _COUNTED_CHANGES),
    _category("deal_product", "Main product of the deal.", "is about product {value}"),
    FeatureSpec(
        name="days_between_next_steps",
        dtype="float",
        unit="days",
        group="activity",
        about="Mean days between the moments at which next steps were agreed; null where there was one at most.",
        phrase="a next step was agreed every {value} days",
    ),
    FeatureSpec(
        name="mean_crm_probability_in_stage",
        dtype="float",
        unit="share",
        group="state",
        about="Mean of what the CRM's win probability has been since the deal entered its stage.",
        phrase="the CRM has given it {value} in this stage",
    ),
    FeatureSpec(
        name="days_to_quarter_end",
        dtype="int",
        unit="days",
        group="time",
        about="Days until the next quarter of the calendar begins.",
        phrase="the quarter ends in {value} days",
    ),
)
