"""View `stage_history`: how long deals stay in a stage and how often they are won from there, as known at as_of.

A stage is a pipeline with a stage of it. A deal counts when it becomes known that it left the stage, for another one
or because it was decided; the days it stayed are drawn towards those of the pipeline, and these towards those of all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from features.specs import FeatureSpec, ViewSpec
from features.transformations.closings import YEAR_DAYS, deal_path, first_closings
from features.transformations.expressions import SECONDS_PER_DAY, UNSEEN, first_part, smoothed, stage_key, whole_seconds
from features.transformations.history import attach, enter_and_leave, is_not_deleted, running_totals

if TYPE_CHECKING:
    import ibis.expr.types as ir

PRIOR_DEALS = 20
"""How many deals the level above weighs in a stage's smoothed values."""

FEATURES = (
    FeatureSpec(
        name="usual_days_in_stage_365d",
        dtype="float",
        unit="days",
        window="365d",
        group="segment",
        about="Mean days that deals stayed which left the stage in the last 365 days, drawn towards the pipeline's.",
        phrase="deals usually stay in this stage for {value} days",
    ),
    FeatureSpec(
        name="count_deals_left_stage_365d",
        dtype="int",
        unit="deals",
        window="365d",
        group="segment",
        about="Number of deals that left the stage in the last 365 days.",
        phrase="{value} deals left this stage in a year",
    ),
    FeatureSpec(
        name="win_rate_stage_365d",
        dtype="float",
        unit="share",
        window="365d",
        group="segment",
        direction=1,
        about="Share won of the deals closed in the last 365 days that had been in the stage, drawn towards the"
        " pipeline's.",
        phrase="{value} of the deals that reach this stage are won",
    ),
)

_STAYS = ("left", "stay_seconds")
_CLOSED = ("closed", "won")


def unseen_stages(stage_id: str) -> tuple[str, ...]:
    """Stages to fall back on: an unseen one of the same pipeline, then of an unseen pipeline."""
    return (f"{first_part_of(stage_id)}|{UNSEEN}", f"{UNSEEN}|{UNSEEN}")


def first_part_of(stage_id: str) -> str:
    """The pipeline in a stage's identifier."""
    return stage_id.split("|")[0]


def usual_stay(points: ir.Table, path: ir.Table) -> ir.Table:
    """Add `usual_seconds` and `left`: how long deals stay in each point's stage, and how many that rests on.

    Args:
        points: Columns `stage_id` and `as_of`, without duplicates.
        path: Of `closings.deal_path`.
    """
    points = points.mutate(pipeline_part=first_part(points.stage_id))
    joined = _by_level(points, _stays(path), _STAYS)
    rest = joined.stay_seconds_all.cast("float64") / joined.left_all.nullif(0)
    pipeline = smoothed(joined.stay_seconds_pipeline, joined.left_pipeline, prior=rest, weight=PRIOR_DEALS)
    return joined.select(
        "stage_id",
        "as_of",
        usual_seconds=smoothed(joined.stay_seconds_stage, joined.left_stage, prior=pipeline, weight=PRIOR_DEALS),
        left=joined.left_stage,
    )


def stage_history(spine: ir.Table, tables: Mapping[str, ir.Table]) -> ir.Table:
    """Compute the view from the stays that had ended, and the outcomes that were known, at as_of."""
    points = spine.select("stage_id", "as_of")
    path = deal_path(tables["opportunities"])
    stage = attach(points, usual_stay(points, path), key="stage_id")
    stage = stage.mutate(pipeline_part=first_part(stage.stage_id))
    rates = _by_level(stage, _visits(path), _CLOSED)
    rest = rates.won_all.cast("float64") / rates.closed_all.nullif(0)
    pipeline = smoothed(rates.won_pipeline, rates.closed_pipeline, prior=rest, weight=PRIOR_DEALS)
    return rates.select(
        "stage_id",
        "as_of",
        usual_days_in_stage_365d=rates.usual_seconds / SECONDS_PER_DAY,
        count_deals_left_stage_365d=rates.left,
        win_rate_stage_365d=smoothed(rates.won_stage, rates.closed_stage, prior=pipeline, weight=PRIOR_DEALS),
    )


def _stays(path: ir.Table) -> ir.Table:
    """Each stay of a deal in a stage that has ended and is known to have: its length, and when it counts."""
    import ibis

    path = path.mutate(stage_id=stage_key(path.pipeline, path.stage), is_open=path.status == "open")
    in_order = ibis.window(group_by="opportunity_id", order_by="known_from")
    path = path.mutate(stage_before=path.stage_id.lag().over(in_order), open_before=path.is_open.lag().over(in_order))
    begins = path.stage_before.isnull() | (path.stage_id != path.stage_before) | (path.is_open != path.open_before)
    turns = path.mutate(begins=begins).filter(lambda t: t.begins)
    turns = turns.mutate(
        left_at=turns.event_timestamp.lead().over(in_order),
        left_known=turns.known_from.lead().over(in_order),
    )
    ended = turns.filter(turns.is_open & is_not_deleted(turns) & (turns.left_at > turns.event_timestamp))
    stay_seconds = (whole_seconds(ended.left_at) - whole_seconds(ended.event_timestamp)).cast("int64")
    return ended.select(
        "stage_id",
        left=ibis.literal(1).cast("int64"),
        stay_seconds=stay_seconds,
        enters=ended.left_known,
        leaves=ibis.greatest(ended.left_known, ended.left_at + ibis.interval(days=YEAR_DAYS)),
    )


def _visits(path: ir.Table) -> ir.Table:
    """Each closed deal once for every stage that it was known to be in while it was open."""
    closings = first_closings(path).select("opportunity_id", "closed", "won", "enters", "leaves")
    was_open = path.filter(path.status == "open")
    visits = was_open.group_by("opportunity_id", stage_id=stage_key(was_open.pipeline, was_open.stage)).aggregate(
        first_known=was_open.known_from.min()
    )
    joined = closings.inner_join(visits, "opportunity_id")
    return joined.filter(joined.first_known < joined.enters).select("stage_id", "closed", "won", "enters", "leaves")


def _by_level(points: ir.Table, rows: ir.Table, measures: tuple[str, ...]) -> ir.Table:
    """Totals of each point's stage, of its pipeline and of all: columns `<measure>_stage`, `_pipeline`, `_all`."""
    rows = rows.mutate(pipeline_part=first_part(rows.stage_id))
    joined = points
    for key, level in (("stage_id", "stage"), ("pipeline_part", "pipeline"), (None, "all")):
        keys = [] if key is None else [key]
        increments = enter_and_leave(
            rows.select(*keys, *measures, "enters", "leaves"), enters="enters", leaves="leaves", measures=measures
        )
        asked = points.select(*keys, "as_of").distinct()
        totals = running_totals(asked, increments, key=key, measures=measures)
        joined = attach(joined, totals.rename({f"{name}_{level}": name for name in measures}), key=key)
    return joined


STAGE_HISTORY = ViewSpec(
    name="stage_history",
    about="How long deals stay in the stage and how often they are won from there, of what was known before as_of.",
    join_key="stage_id",
    ttl_days=30,
    tables=("opportunities",),
    features=FEATURES,
    transformation=stage_history,
    unseen=unseen_stages,
)
