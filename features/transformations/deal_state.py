"""View `deal_state`: what the CRM says of the deal and how that changed, as known at as_of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from features.specs import FeatureSpec, ViewSpec
from features.transformations.expressions import days_between, hour_if_known, seen_rows
from features.transformations.history import ranked_versions
from warehouse.as_known import versions_on_spine
from warehouse.contracts import CONTRACTS

if TYPE_CHECKING:
    import ibis.expr.types as ir


def _category(name: str, about: str, phrase: str) -> FeatureSpec:
    return FeatureSpec(name=name, dtype="category", unit="category", group="state", about=about, phrase=phrase)


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
)

_WATCHED = ("stage", "amount_usd", "close_date")


def _visible_versions(moments: ir.Table, deals: ir.Table) -> ir.Table:
    """Every version a spine row could know; of versions with one event_timestamp only the last recorded."""
    import ibis

    columns = ("opportunity_id", *_WATCHED, "event_timestamp", "created_timestamp", "version_rank")
    ranked = ranked_versions(deals, CONTRACTS["opportunities"]).select(*columns)
    seen = seen_rows(moments, ranked, key="opportunity_id")
    same_time = ibis.window(group_by=["opportunity_id", "as_of", "event_timestamp"])
    seen = seen.mutate(last_recorded=seen.version_rank.max().over(same_time))
    return seen.filter(seen.version_rank == seen.last_recorded).drop("version_rank", "last_recorded")


def _changes(moments: ir.Table, deals: ir.Table) -> ir.Table:
    """How the deal changed from version to version, per spine row."""
    import ibis

    keys = ["opportunity_id", "as_of"]
    seen = _visible_versions(moments, deals)
    in_order = ibis.window(group_by=keys, order_by="event_timestamp")
    by_stage = ibis.window(group_by=[*keys, "stage"])
    steps = seen.mutate(
        **{f"before_{name}": seen[name].lag().over(in_order) for name in _WATCHED},
        place=ibis.row_number().over(in_order),
        stage_first_seen=seen.event_timestamp.min().over(by_stage),
    )
    is_change = (steps.place > 0) & (steps.stage != steps.before_stage)
    steps = steps.mutate(
        is_change=is_change,
        is_return=is_change & (steps.stage_first_seen < steps.event_timestamp),
        is_push=steps.close_date > steps.before_close_date,
        is_amount_change=steps.amount_usd != steps.before_amount_usd,
    )
    return steps.group_by(*keys).aggregate(
        stage_entered_at=steps.event_timestamp.max(where=steps.is_change | (steps.place == 0)),
        count_stage_changes=steps.count(where=steps.is_change),
        count_stage_returns=steps.count(where=steps.is_return),
        count_close_date_pushes=steps.count(where=steps.is_push),
        count_amount_changes=steps.count(where=steps.is_amount_change),
        first_close_date=steps.close_date.argmin(steps.event_timestamp),
        first_amount_usd=steps.amount_usd.argmin(steps.event_timestamp),
    )


def deal_state(spine: ir.Table, tables: Mapping[str, ir.Table]) -> ir.Table:
    """Compute the view from the versions of each deal that were known at as_of."""
    moments = spine.select("opportunity_id", "as_of")
    state = versions_on_spine(moments, tables["opportunities"], CONTRACTS["opportunities"], key="opportunity_id")
    changes = _changes(moments, tables["opportunities"])
    deal = state.left_join(changes, ["opportunity_id", "as_of"])
    today = deal.as_of.date()
    known = deal.opened_at.notnull()
    counts = [feature.name for feature in FEATURES if feature.name.startswith("count_")]
    return deal.select(
        "opportunity_id",
        "as_of",
        "stage",
        "pipeline",
        "deal_type",
        "forecast_category",
        "amount_usd",
        "crm_probability",
        deal_source=deal.source,
        deal_age_days=days_between(deal.as_of, deal.opened_at),
        opened_day_of_week=deal.opened_at.day_of_week.index().cast("int64"),
        opened_month=deal.opened_at.month().cast("int64"),
        opened_hour=hour_if_known(deal.opened_at),
        days_in_stage=days_between(deal.as_of, deal.stage_entered_at),
        days_to_close_date=deal.close_date.delta(today, unit="day").cast("int64"),
        days_to_next_step=deal.next_step_date.delta(today, unit="day").cast("int64"),
        days_since_last_change=days_between(deal.as_of, deal.event_timestamp),
        days_close_date_moved=deal.close_date.delta(deal.first_close_date, unit="day").cast("int64"),
        amount_to_first_amount=deal.amount_usd / deal.first_amount_usd.nullif(0),
        is_competitor_known=known.ifelse(deal.competitor.notnull(), None),
        is_from_lead=known.ifelse(deal.lead_id.notnull(), None),
        current_rep_id=deal.rep_id,
        **{name: deal[name].cast("int64") for name in counts},
    )


DEAL_STATE = ViewSpec(
    name="deal_state",
    about="What the CRM says of the deal, and how that changed.",
    join_key="opportunity_id",
    ttl_days=14,
    tables=("opportunities",),
    features=FEATURES,
    transformation=deal_state,
    foreign_keys=(("current_rep_id", "rep_id"),),
)
