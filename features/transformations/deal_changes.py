"""How deals changed from version to version, as known at each moment: the maths behind the view `deal_state`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.transformations.expressions import seen_rows, thousandths
from features.transformations.history import ranked_versions
from warehouse.contracts import CONTRACTS

if TYPE_CHECKING:
    import ibis.expr.types as ir

_WATCHED = (
    "stage",
    "pipeline",
    "amount_usd",
    "close_date",
    "next_step_date",
    "forecast_category",
    "rep_id",
    "competitor",
)
_TOLD = ("crm_probability",)
_KEYS = ["opportunity_id", "as_of"]
EARLY_DAYS = 14
"""A close date that is pushed so many days before it has come was not merely due."""

# How sure the rep is, from least to most; the source's own words have no place.
_FORECAST_ORDER = ("omitted", "pipeline", "best_case", "commit")


def changes(moments: ir.Table, deals: ir.Table) -> ir.Table:
    """How each deal had changed by its moments.

    Args:
        moments: Columns opportunity_id and as_of, without duplicates.
        deals: The canonical table.

    Returns:
        One row per moment at which a version was visible: counts of changes, and the times of the last ones.
    """
    states = _states(moments, deals)
    known = _totals(_steps(_visible_versions(states.select(*_KEYS).distinct(), deals)))
    measures = [name for name in known.columns if name not in _KEYS]
    return states.inner_join(known, _KEYS).select("opportunity_id", *measures, as_of="asked_at")


def _states(moments: ir.Table, deals: ir.Table) -> ir.Table:
    """For each moment (`asked_at`) the last one, at or before it, at which a version became visible (`as_of`).

    Between two such moments nothing about a deal changes, so that the comparison of versions is made once for all
    moments between them, however many there are.
    """
    import ibis

    deals = deals.semi_join(moments.select("opportunity_id").distinct(), "opportunity_id")
    visible_from = ibis.greatest(deals.event_timestamp, deals.created_timestamp)
    news = deals.select("opportunity_id", moment=visible_from, news_at=visible_from, is_asked=ibis.literal(0, "int8"))
    asked = moments.select(
        "opportunity_id",
        moment=moments.as_of,
        news_at=ibis.null(news.schema()["news_at"]),
        is_asked=ibis.literal(1, "int8"),
    )
    line = news.union(asked, distinct=False)
    # A version that becomes visible at the very moment counts: versions come before moments.
    so_far = ibis.window(group_by="opportunity_id", order_by=["moment", "is_asked"], rows=(None, 0))
    line = line.mutate(as_of=line.news_at.max().over(so_far))
    return line.filter((line.is_asked == 1) & line.as_of.notnull()).select("opportunity_id", "as_of", asked_at="moment")


def _visible_versions(states: ir.Table, deals: ir.Table) -> ir.Table:
    """Every version visible in a state; of versions with one event_timestamp only the last recorded."""
    import ibis

    deals = deals.semi_join(states.select("opportunity_id").distinct(), "opportunity_id")
    columns = ("opportunity_id", *_WATCHED, *_TOLD, "event_timestamp", "created_timestamp", "version_rank")
    ranked = ranked_versions(deals, CONTRACTS["opportunities"]).select(*columns)
    seen = seen_rows(states, ranked, key="opportunity_id")
    same_time = ibis.window(group_by=[*_KEYS, "event_timestamp"])
    seen = seen.mutate(last_recorded=seen.version_rank.max().over(same_time))
    last = seen.filter(seen.version_rank == seen.last_recorded)
    return last.select(*_KEYS, *_WATCHED, *_TOLD, "event_timestamp")


def _steps(seen: ir.Table) -> ir.Table:
    """Each version beside the one before it, with what it changed."""
    import ibis

    in_order = ibis.window(group_by=_KEYS, order_by="event_timestamp")
    by_stage = ibis.window(group_by=[*_KEYS, "pipeline", "stage"])
    steps = seen.mutate(
        **{f"before_{name}": seen[name].lag().over(in_order) for name in _WATCHED},
        place=ibis.row_number().over(in_order),
        stage_first_seen=seen.event_timestamp.min().over(by_stage),
        certainty=_certainty(seen.forecast_category),
    )
    later = steps.place > 0
    # Stages of two pipelines are two stages, also where they have one name.
    is_move = ~steps.pipeline.identical_to(steps.before_pipeline)
    is_change = later & ((steps.stage != steps.before_stage) | is_move)
    return steps.mutate(
        before_certainty=_certainty(steps.before_forecast_category),
        is_first=steps.place == 0,
        is_change=is_change,
        is_return=is_change & (steps.stage_first_seen < steps.event_timestamp),
        is_push=steps.close_date > steps.before_close_date,
        is_early_push=(steps.close_date > steps.before_close_date)
        & (steps.before_close_date.delta(steps.event_timestamp.date(), unit="day") > EARLY_DAYS),
        is_pull=steps.close_date < steps.before_close_date,
        is_amount_change=steps.amount_usd != steps.before_amount_usd,
        is_amount_cut=steps.amount_usd < steps.before_amount_usd,
        is_owner_change=steps.rep_id != steps.before_rep_id,
        is_next_step_set=steps.next_step_date.notnull()
        & ~steps.next_step_date.identical_to(steps.before_next_step_date),
        is_competitor_named=steps.competitor.notnull() & ~steps.competitor.identical_to(steps.before_competitor),
    )


def _totals(steps: ir.Table) -> ir.Table:
    import ibis

    moved = (steps.is_change | steps.is_first).fill_null(False)
    entered = steps.event_timestamp.max(where=moved).over(ibis.window(group_by=_KEYS))
    newest = steps.event_timestamp.max(where=steps.is_next_step_set).over(ibis.window(group_by=_KEYS))
    steps = steps.mutate(stage_entered_at=entered, next_step_newest_at=newest)
    when, told, in_stage = steps.event_timestamp, steps.crm_probability, steps.event_timestamp >= steps.stage_entered_at
    return steps.group_by(*_KEYS).aggregate(
        stage_entered_at=when.max(where=steps.is_change | steps.is_first),
        pushed_at=when.max(where=steps.is_push),
        pulled_at=when.max(where=steps.is_pull),
        next_step_first_set_at=when.min(where=steps.is_next_step_set),
        next_step_set_before_at=when.max(where=steps.is_next_step_set & (when < steps.next_step_newest_at)),
        amount_changed_at=when.max(where=steps.is_amount_change),
        next_step_set_at=when.max(where=steps.is_next_step_set),
        competitor_named_at=when.max(where=steps.is_competitor_named),
        count_stages_visited=steps.stage.nunique(),
        count_stage_changes=_count(steps.is_change),
        count_stage_returns=_count(steps.is_return),
        count_close_date_pushes=_count(steps.is_push),
        count_early_close_date_pushes=_count(steps.is_early_push),
        count_close_date_pulls=_count(steps.is_pull),
        count_amount_changes=_count(steps.is_amount_change),
        count_amount_cuts=_count(steps.is_amount_cut),
        count_owner_changes=_count(steps.is_owner_change),
        count_next_step_changes=_count(steps.is_next_step_set & ~steps.is_first),
        next_steps_set=_count(steps.is_next_step_set),
        count_forecast_upgrades=_count(steps.certainty > steps.before_certainty),
        count_forecast_downgrades=_count(steps.certainty < steps.before_certainty),
        first_close_date=steps.close_date.argmin(when),
        first_amount_usd=steps.amount_usd.argmin(when),
        told_in_stage=told.count(where=in_stage),
        told_thousandths_in_stage=thousandths(told).sum(where=in_stage),
    )


def _count(flag: ir.BooleanColumn) -> ir.IntegerValue:
    """How often `flag` is true; 0 also where it is never known, which Spark would leave open."""
    return flag.fill_null(False).cast("int64").sum()


def _certainty(category: ir.StringValue) -> ir.IntegerValue:
    """Place of a forecast category among those the CRM knows; null for another word."""
    import ibis

    return ibis.cases(*((category == name, ibis.literal(place, "int8")) for place, name in enumerate(_FORECAST_ORDER)))
