"""Running the maths: an expression over the canonical tables becomes DuckDB SQL once, and runs on any connection.

The expressions know only the contracts, not where the rows are; so the same SQL computes a training frame from Delta
files and one request's payload from memory. Compiling costs tens of milliseconds and is done once per view and process.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pyarrow as pa

from common.errors import ContractError
from features.specs import ViewSpec
from warehouse.contracts import CONTRACTS

if TYPE_CHECKING:
    import duckdb
    import ibis.expr.types as ir

SPINE = "spine"
"""Name under which the moments asked for are registered on a connection."""


@cache
def canonical_tables() -> dict[str, ir.Table]:
    """The canonical tables as Ibis tables without rows: names and types of the contracts."""
    import ibis

    return {
        name: ibis.table(ibis.Schema.from_pyarrow(contract.arrow_schema), name=name)
        for name, contract in CONTRACTS.items()
    }


def duckdb_sql(rows: ir.Table) -> str:
    """An expression over `canonical_tables` as DuckDB SQL."""
    import ibis

    return str(ibis.to_sql(rows, dialect="duckdb"))


@cache
def view_sql(view: ViewSpec) -> str:
    """The view's maths as DuckDB SQL over the canonical tables and the table `spine` (join key, as_of)."""
    import ibis

    spine = ibis.table({view.join_key: "string", "as_of": "timestamp('UTC', 6)"}, name=SPINE)
    return duckdb_sql(view.transformation(spine, canonical_tables()))


def compute(view: ViewSpec, moments: pa.Table, connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """The view's rows for some moments.

    Args:
        view: The view.
        moments: Columns join key (not null) and as_of, without duplicates.
        connection: Shows the canonical tables, such as `Warehouse.duckdb()` does.

    Returns:
        Columns of `view.schema`: the moment is the row's event_timestamp, and its created_timestamp too, since a
        feature uses only what was known by then. Row order is not defined.

    Raises:
        ContractError: if the maths lost or doubled a row.
    """
    connection.register(SPINE, moments.select([view.join_key, "as_of"]))
    rows = connection.sql(view_sql(view)).to_arrow_table()
    connection.unregister(SPINE)
    if rows.num_rows != moments.num_rows:
        raise ContractError(
            f"View {view.name} gave another number of rows than it was asked for",
            expected=str(moments.num_rows),
            got=str(rows.num_rows),
        )
    rows = rows.append_column("event_timestamp", rows["as_of"]).append_column("created_timestamp", rows["as_of"])
    return rows.select(view.schema.names).cast(view.schema)
