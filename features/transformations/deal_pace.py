"""View `deal_pace`: the deal's time in its stage and its amount, against what is usual, as known at as_of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from features.specs import FeatureSpec, ViewSpec
from features.transformations.closings import deal_path
from features.transformations.deal_changes import changes
from features.transformations.expressions import SECONDS_PER_DAY, days_between, stage_key
from features.transformations.history import attach
from features.transformations.stage_history import usual_stay
from warehouse.as_known import versions_on_spine
from warehouse.contracts import CONTRACTS

if TYPE_CHECKING:
    import ibis.expr.types as ir

FEATURES = (
    FeatureSpec(
        name="days_in_stage_to_usual",
        dtype="float",
        unit="ratio",
        group="time",
        about="Days since the deal entered its stage over the days that are usual there; see usual_days_in_stage_365d.",
        phrase="has been in its stage for {value} times the usual time",
    ),
    FeatureSpec(
        name="days_over_usual_in_stage",
        dtype="float",
        unit="days",
        group="time",
        about="Days since the deal entered its stage less the days that are usual there; negative before.",
        phrase="has been in its stage for {value} days more than is usual",
    ),
    FeatureSpec(
        name="discount_share",
        dtype="float",
        unit="share",
        group="state",
        about="How far the amount lies below the list price of the deal's main product, as a share of it; missing"
        " above, where the deal is for more than one.",
        phrase="is offered {value} below the list price",
        needs="products",
    ),
    FeatureSpec(
        name="amount_to_list_price",
        dtype="float",
        unit="ratio",
        group="state",
        about="Amount over the list price of the deal's main product.",
        phrase="amounts to {value} times the list price",
        needs="products",
    ),
    FeatureSpec(
        name="list_price_usd",
        dtype="float",
        unit="usd",
        group="state",
        about="List price of the deal's main product.",
        phrase="is about a product of {value} US dollars",
        needs="products",
    ),
)

_KEYS = ("opportunity_id", "as_of")
_PRODUCT = ("product_id", "list_price_usd", "is_deleted", "event_timestamp", "created_timestamp")


def deal_pace(spine: ir.Table, tables: Mapping[str, ir.Table]) -> ir.Table:
    """Compare each deal with the deals that left its stage before, and with the price of its product."""
    import ibis

    moments = spine.select(*_KEYS)
    state = versions_on_spine(moments, tables["opportunities"], CONTRACTS["opportunities"], key="opportunity_id")
    deal = state.select(*_KEYS, "product_id", "amount_usd", stage_id=stage_key(state.pipeline, state.stage))
    entered = changes(moments, tables["opportunities"]).select(*_KEYS, "stage_entered_at")
    deal = attach(deal, entered, key="opportunity_id")
    points = deal.filter(deal.stage_id.notnull()).select("stage_id", "as_of").distinct()
    deal = attach(deal, usual_stay(points, deal_path(tables["opportunities"])), key="stage_id")
    deal = versions_on_spine(deal, tables["products"].select(*_PRODUCT), CONTRACTS["products"], key="product_id")
    usual = deal.usual_seconds / SECONDS_PER_DAY
    days = days_between(deal.as_of, deal.stage_entered_at)
    to_list_price = deal.amount_usd / deal.list_price_usd.nullif(0)
    return deal.select(
        *_KEYS,
        days_in_stage_to_usual=days / usual.nullif(0),
        days_over_usual_in_stage=days - usual,
        discount_share=(to_list_price <= 1).ifelse(1 - to_list_price, ibis.null("float64")),
        amount_to_list_price=to_list_price,
        list_price_usd=deal.list_price_usd,
    )


DEAL_PACE = ViewSpec(
    name="deal_pace",
    about="The deal's time in its stage and its amount, against what is usual.",
    join_key="opportunity_id",
    ttl_days=14,
    tables=("opportunities",),
    features=FEATURES,
    transformation=deal_pace,
)
