"""The catalogue: every feature view and feature service there is. Each feature is defined once, beside its maths."""

from __future__ import annotations

from collections.abc import Collection

from common.errors import NotFoundError
from features.specs import FeatureSpec, Group, ServiceSpec, Transformation, ViewSpec
from features.transformations.deal_activity import DEAL_ACTIVITY
from features.transformations.deal_state import DEAL_STATE
from features.transformations.lead_engagement import LEAD_ENGAGEMENT
from features.transformations.lead_profile import LEAD_PROFILE
from features.transformations.rep_performance import REP_PERFORMANCE
from features.transformations.segment_history import SEGMENT_HISTORY
from features.transformations.series_history import SERIES_HISTORY

__all__ = [
    "SERVICES",
    "VIEWS",
    "FeatureSpec",
    "Group",
    "ServiceSpec",
    "Transformation",
    "ViewSpec",
    "features_of",
    "service_of",
    "views_of",
]

VIEWS: dict[str, ViewSpec] = {
    view.name: view
    for view in (
        LEAD_PROFILE,
        LEAD_ENGAGEMENT,
        SEGMENT_HISTORY,
        DEAL_STATE,
        DEAL_ACTIVITY,
        REP_PERFORMANCE,
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
            views=("lead_profile", "lead_engagement", "segment_history", "rep_performance"),
        ),
        ServiceSpec(
            name="deal_win_v1",
            about="Probability that a deal is won.",
            join_key="opportunity_id",
            views=("deal_state", "deal_activity", "rep_performance"),
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


def views_of(service: str, tables: Collection[str]) -> tuple[ViewSpec, ...]:
    """The service's views that a warehouse with rows in `tables` can fill.

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
    return tuple(VIEWS[name] for name in spec.views if set(VIEWS[name].tables) <= set(tables))


def features_of(service: str, tables: Collection[str]) -> tuple[FeatureSpec, ...]:
    """The features a model of `service` reads, in order, given the tables a warehouse has rows in.

    Raises:
        NotFoundError: as `views_of`.
    """
    return tuple(feature for view in views_of(service, tables) for feature in view.features)
