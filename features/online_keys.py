"""What is materialized: the open leads and deals, and every other key that a question can lead to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from features.specs import ViewSpec
from features.spines import open_deal_spine, open_lead_spine
from features.transform import canonical_tables, duckdb_sql
from features.transformations.expressions import segment_of, stage_key
from warehouse.as_known import visible
from warehouse.contracts import UTC_MICROSECONDS

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from warehouse.store import Warehouse


def keys_to_materialize(warehouse: Warehouse, views: Iterable[ViewSpec], at: datetime) -> dict[str, pa.Table]:
    """Moments (join key, as_of = `at`) by view; views that no application reads online are left out.

    Args:
        warehouse: Where the things are.
        views: The views the warehouse can fill.
        at: The moment, UTC.
    """
    listers: dict[str, Callable[[], Iterable[str]]] = {
        "lead_id": lambda: open_lead_spine(warehouse, at)["lead_id"].to_pylist(),
        "opportunity_id": lambda: open_deal_spine(warehouse, at)["opportunity_id"].to_pylist(),
        "rep_id": lambda: _known_reps(warehouse, at),
        "segment_id": lambda: _known_segments(warehouse, at),
        "account_id": lambda: _known_accounts(warehouse, at),
        "stage_id": lambda: _known_of_deals(warehouse, at, "stage_id"),
        "competitor_id": lambda: _known_of_deals(warehouse, at, "competitor_id"),
    }
    known: dict[str, list[str]] = {}
    moments: dict[str, pa.Table] = {}
    for view in views:
        if view.join_key not in listers:
            continue
        if view.join_key not in known:
            known[view.join_key] = list(listers[view.join_key]())
        moments[view.name] = _moments(view, known[view.join_key], at)
    return moments


def _moments(view: ViewSpec, keys: list[str], at: datetime) -> pa.Table:
    strangers = [] if view.unseen is None else [other for key in [*keys, ""] for other in view.unseen(key)]
    names = sorted({*keys, *strangers})
    times = pa.array([at] * len(names), UTC_MICROSECONDS)
    return pa.table({view.join_key: pa.array(names, pa.string()), "as_of": times})


def _known_reps(warehouse: Warehouse, at: datetime) -> list[str]:
    owners = [visible(canonical_tables()[name], at) for name in ("reps", "leads", "opportunities")]
    columns = [table.select(key=table.rep_id) for table in owners]
    return _distinct(warehouse, columns[0].union(*columns[1:]))


def _known_segments(warehouse: Warehouse, at: datetime) -> list[str]:
    leads = visible(canonical_tables()["leads"], at)
    return _distinct(warehouse, leads.select(key=segment_of(leads.source, leads.landing_page)))


def _known_accounts(warehouse: Warehouse, at: datetime) -> list[str]:
    """Accounts that deals were with, or that are on record."""
    holders = [visible(canonical_tables()[name], at) for name in ("accounts", "opportunities")]
    columns = [table.select(key=table.account_id) for table in holders]
    return _distinct(warehouse, columns[0].union(*columns[1:]))


def _known_of_deals(warehouse: Warehouse, at: datetime, key: str) -> list[str]:
    deals = visible(canonical_tables()["opportunities"], at)
    found = {"stage_id": stage_key(deals.pipeline, deals.stage), "competitor_id": deals.competitor}
    return _distinct(warehouse, deals.select(key=found[key]))


def _distinct(warehouse: Warehouse, keys: ir.Table) -> list[str]:
    with warehouse.duckdb() as connection:
        rows = connection.sql(duckdb_sql(keys.filter(keys.key.notnull()).distinct())).fetchall()
    return sorted(key for (key,) in rows)
