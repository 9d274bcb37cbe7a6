"""The catalogue: every feature view and feature service there is. Each feature is defined once, beside its maths."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from common.errors import NotFoundError
from features.specs import OWN_FIELD_TYPES, FeatureSpec, Group, ServiceSpec, Transformation, ViewSpec
from features.transformations.account_history import ACCOUNT_HISTORY
from features.transformations.deal_activity import DEAL_ACTIVITY
from features.transformations.deal_competition import DEAL_COMPETITION
from features.transformations.deal_pace import DEAL_PACE
from features.transformations.deal_stakeholders import DEAL_STAKEHOLDERS
from features.transformations.deal_state import DEAL_STATE
from features.transformations.lead_activity import LEAD_ACTIVITY
from features.transformations.lead_engagement import LEAD_ENGAGEMENT
from features.transformations.lead_profile import LEAD_PROFILE
from features.transformations.lead_repeats import LEAD_REPEATS
from features.transformations.rep_deals import REP_DEALS
from features.transformations.rep_leads import REP_LEADS
from features.transformations.rep_performance import REP_PERFORMANCE
from features.transformations.segment_history import SEGMENT_HISTORY
from features.transformations.series_history import SERIES_HISTORY
from features.transformations.stage_history import STAGE_HISTORY
from warehouse.contracts import Column, Known

if TYPE_CHECKING:
    from warehouse.store import Warehouse

__all__ = [
    "SERVICES",
    "VIEWS",
    "FeatureSpec",
    "Group",
    "OwnFields",
    "ServiceSpec",
    "Transformation",
    "ViewSpec",
    "features_of",
    "own_fields",
    "service_of",
    "views_of",
]

OwnFields: TypeAlias = tuple[tuple[str, tuple[Column, ...]], ...]
"""A source's own fields that can be features: table and columns."""

VIEWS: dict[str, ViewSpec] = {
    view.name: view
    for view in (
        LEAD_PROFILE,
        LEAD_ENGAGEMENT,
        LEAD_ACTIVITY,
        LEAD_REPEATS,
        SEGMENT_HISTORY,
        DEAL_STATE,
        DEAL_ACTIVITY,
        DEAL_PACE,
        DEAL_STAKEHOLDERS,
        STAGE_HISTORY,
        DEAL_COMPETITION,
        ACCOUNT_HISTORY,
        REP_PERFORMANCE,
        REP_DEALS,
        REP_LEADS,
        SERIES_HISTORY,
    )
}

SERVICES: dict[str, ServiceSpec] = {
    service.name: service
    for service in (
        ServiceSpec(
            name="lead_score_v1",
            about="Probability that a lead converts.",
            join_key="lead_id",
            views=(
                "lead_profile",
                "lead_engagement",
                "lead_activity",
                "lead_repeats",
                "segment_history",
                "rep_performance",
                "rep_leads",
            ),
        ),
        ServiceSpec(
            name="deal_win_v1",
            about="Probability that a deal is won.",
            join_key="opportunity_id",
            views=(
                "deal_state",
                "deal_activity",
                "deal_pace",
                "deal_stakeholders",
                "stage_history",
                "deal_competition",
                "account_history",
                "rep_performance",
                "rep_deals",
            ),
        ),
        ServiceSpec(
            name="revenue_forecast_v1",
            about="Revenue to come, by company, region, team and rep.",
            join_key="series_id",
            views=("series_history",),
        ),
    )
}


def service_of(name: str) -> ServiceSpec:
    """The feature service `name`.

    Raises:
        NotFoundError: if there is none.
    """
    if name not in SERVICES:
        raise NotFoundError(f"There is no feature service '{name}'", expected=f"one of {', '.join(SERVICES)}")
    return SERVICES[name]


def own_fields(warehouse: Warehouse) -> OwnFields:
    """The source's own fields that can be features, by table.

    An answer is never one, nor is a field that may name or describe a person, nor a time or day.

    Args:
        warehouse: Whose contracts list the fields.
    """
    tables = dict.fromkeys(view.extends for view in VIEWS.values() if view.extends is not None)
    return tuple((table, _usable(warehouse.contract(table).extension)) for table in tables)


def views_of(service: str, tables: Collection[str], *, extensions: OwnFields = ()) -> tuple[ViewSpec, ...]:
    """The service's views as a warehouse with rows in `tables` can fill them.

    Args:
        service: Name of the feature service.
        tables: Tables with rows; views and features that need others are left out.
        extensions: The source's own fields, of `own_fields`; they are features of the view that extends the table.

    Raises:
        NotFoundError: if there is no such service, or its first view, the scored thing's own, cannot be filled.
    """
    spec = service_of(service)
    first = VIEWS[spec.views[0]]
    missing = [table for table in first.tables if table not in tables]
    if missing:
        raise NotFoundError(
            f"The warehouse has no rows in {', '.join(missing)}, which {service} needs",
            got=f"rows in {', '.join(sorted(tables)) or 'no table'}",
            next_step="load a source that has them",
        )
    return _fitted(spec, tuple(tables), extensions)


@cache
def _fitted(spec: ServiceSpec, tables: tuple[str, ...], extensions: OwnFields) -> tuple[ViewSpec, ...]:
    fields = dict(extensions)
    views = [VIEWS[name] for name in spec.views if set(VIEWS[name].tables) <= set(tables)]
    return tuple(view.on(tables, fields.get(view.extends or "", ())) for view in views)


def features_of(service: str, tables: Collection[str], *, extensions: OwnFields = ()) -> tuple[FeatureSpec, ...]:
    """The features a model of `service` reads, in order, given what a warehouse has: see `views_of`.

    Raises:
        NotFoundError: as `views_of`.
    """
    views = views_of(service, tables, extensions=extensions)
    return tuple(feature for view in views for feature in view.features)


def _usable(columns: Sequence[Column]) -> tuple[Column, ...]:
    return tuple(
        column
        for column in columns
        if column.known is Known.ALWAYS and not column.personal and column.dtype in OWN_FIELD_TYPES
    )
