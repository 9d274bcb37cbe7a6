"""View `deal_state`: what the CRM says of the deal and how that changed, as known at as_of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from features.specs import ViewSpec
from features.transformations.deal_changes import changes
from features.transformations.deal_state_features import FEATURES
from features.transformations.expressions import days_between, hour_if_known, own_fields, stage_key
from features.transformations.history import attach
from warehouse.as_known import versions_on_spine
from warehouse.contracts import CONTRACTS

if TYPE_CHECKING:
    import ibis.expr.types as ir


def deal_state(spine: ir.Table, tables: Mapping[str, ir.Table]) -> ir.Table:
    """Compute the view from the versions of each deal that were known at as_of."""
    import ibis

    moments = spine.select("opportunity_id", "as_of")
    state = versions_on_spine(moments, tables["opportunities"], CONTRACTS["opportunities"], key="opportunity_id")
    deal = attach(state, changes(moments, tables["opportunities"]), key="opportunity_id")
    today = deal.as_of.date()
    age, in_stage = days_between(deal.as_of, deal.opened_at), days_between(deal.as_of, deal.stage_entered_at)
    planned = days_between(deal.first_close_date.cast(deal.as_of.type()), deal.opened_at)
    days_left = deal.close_date.delta(today, unit="day").cast("int64")
    step_days = deal.next_step_date.delta(today, unit="day").cast("int64")
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
        deal_product=deal.product_id,
        deal_age_days=age,
        opened_day_of_week=deal.opened_at.day_of_week.index().cast("int64"),
        opened_month=deal.opened_at.month().cast("int64"),
        opened_hour=hour_if_known(deal.opened_at),
        days_in_stage=in_stage,
        share_age_in_stage=in_stage / age.nullif(0),
        planned_cycle_days=planned,
        age_to_planned_cycle=(planned > 0).ifelse(age / planned.nullif(0), ibis.null("float64")),
        days_to_close_date=days_left,
        days_past_close_date=ibis.greatest(-days_left, days_left - days_left),
        days_to_next_step=step_days,
        is_next_step_overdue=step_days < 0,
        days_since_last_close_date_push=days_between(deal.as_of, deal.pushed_at),
        days_since_last_close_date_pull=days_between(deal.as_of, deal.pulled_at),
        days_since_last_amount_change=days_between(deal.as_of, deal.amount_changed_at),
        days_since_next_step_set=_while_named(deal.next_step_date, days_between(deal.as_of, deal.next_step_set_at)),
        days_since_next_step_before_set=days_between(deal.as_of, deal.next_step_set_before_at),
        days_between_next_steps=days_between(deal.next_step_set_at, deal.next_step_first_set_at)
        / (deal.next_steps_set - 1).nullif(0),
        days_since_competitor_named=_while_named(deal.competitor, days_between(deal.as_of, deal.competitor_named_at)),
        days_since_last_change=days_between(deal.as_of, deal.event_timestamp),
        days_close_date_moved=deal.close_date.delta(deal.first_close_date, unit="day").cast("int64"),
        amount_to_first_amount=deal.amount_usd / deal.first_amount_usd.nullif(0),
        mean_crm_probability_in_stage=deal.told_thousandths_in_stage / deal.told_in_stage.nullif(0) / 1000,
        days_to_quarter_end=_quarter_end(today).delta(today, unit="day").cast("int64"),
        is_competitor_known=known.ifelse(deal.competitor.notnull(), None),
        is_from_lead=known.ifelse(deal.lead_id.notnull(), None),
        current_rep_id=deal.rep_id,
        current_account_id=deal.account_id,
        current_stage_id=stage_key(deal.pipeline, deal.stage),
        current_competitor_id=deal.competitor,
        **{name: deal[name].cast("int64") for name in counts},
        **{name: deal[name] for name in own_fields(tables["opportunities"])},
    )


def _while_named(value: ir.Value, days: ir.FloatingValue) -> ir.FloatingValue:
    """`days`, as long as the thing they are about is there."""
    import ibis

    return value.notnull().ifelse(days, ibis.null("float64"))


def _quarter_end(day: ir.DateValue) -> ir.DateValue:
    """First day of the next quarter."""
    import ibis

    return (day.truncate("Q") + ibis.interval(months=3)).cast("date")


DEAL_STATE = ViewSpec(
    name="deal_state",
    about="What the CRM says of the deal, and how that changed.",
    join_key="opportunity_id",
    ttl_days=14,
    tables=("opportunities",),
    features=FEATURES,
    transformation=deal_state,
    own_rows_only=True,
    extends="opportunities",
    foreign_keys=(
        ("current_rep_id", "rep_id"),
        ("current_account_id", "account_id"),
        ("current_stage_id", "stage_id"),
        ("current_competitor_id", "competitor_id"),
    ),
)
