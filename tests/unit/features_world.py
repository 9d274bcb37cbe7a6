"""Hand-made histories for the feature tests: rows in canonical columns, and DuckDB connections that show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from features.catalogue import VIEWS
from features.transform import compute
from warehouse.contracts import CONTRACTS, UTC_MICROSECONDS
from warehouse.views import open_connection

START = datetime(2025, 1, 1, tzinfo=UTC)

Rows = Sequence[Mapping[str, Any]]


def day(number: float) -> datetime:
    """The moment `number` days after 2025-01-01 00:00 UTC."""
    return START + timedelta(days=number)


def row(happened: float, known: float | None = None, **columns: Any) -> dict[str, Any]:
    """A row that happened on day `happened` and was known on day `known`, by default at once."""
    return {**columns, "event_timestamp": day(happened), "created_timestamp": day(happened if known is None else known)}


def lead(lead_id: str, happened: float, known: float | None = None, **columns: Any) -> dict[str, Any]:
    """A version of a lead; first contact is its own moment unless `lead_created_at` says otherwise."""
    return row(happened, known, **{"lead_id": lead_id, "lead_created_at": day(happened), "status": "new", **columns})


def deal(opportunity_id: str, happened: float, known: float | None = None, **columns: Any) -> dict[str, Any]:
    """A version of a deal, opened on day 0 unless `opened_at` says otherwise."""
    defaults = {"opportunity_id": opportunity_id, "opened_at": day(0), "status": "open", "stage": "qualify"}
    return row(happened, known, **{**defaults, **columns})


def arrow(table: str, rows: Rows) -> pa.Table:
    """Rows as the canonical table; columns not given are null."""
    return pa.Table.from_pylist([dict(each) for each in rows], schema=CONTRACTS[table].arrow_schema)


def connect(tables: Mapping[str, Rows]) -> Any:
    """A connection that shows all canonical tables; those not given are empty."""
    connection = open_connection()
    connection.execute("SET threads = 1")
    for table in CONTRACTS:
        connection.register(table, arrow(table, tables.get(table, [])))
    return connection


def moments(key: str, *asked: tuple[str, float]) -> pa.Table:
    """A spine of (key, day)."""
    return pa.table(
        {
            key: pa.array([name for name, _ in asked], pa.string()),
            "as_of": pa.array([day(number) for _, number in asked], UTC_MICROSECONDS),
        }
    )


def features(view: str, tables: Mapping[str, Rows], *asked: tuple[str, float]) -> list[dict[str, Any]]:
    """The view's rows for (key, day) pairs, in the order asked."""
    spec = VIEWS[view]
    with connect(tables) as connection:
        computed = compute(spec, moments(spec.join_key, *asked), connection).to_pylist()
    by_moment = {(each[spec.join_key], each["event_timestamp"]): each for each in computed}
    return [by_moment[(name, day(number))] for name, number in asked]
