"""Running the maths: an expression over the canonical tables becomes DuckDB SQL once, and runs on any connection.

The expressions know only the contracts, not where the rows are; so the same SQL computes a training frame from Delta
files and one request's payload from memory. Compiling costs tens of milliseconds and is done once per view and process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import pyarrow as pa

from common.errors import ContractError
from features.specs import ViewSpec
from warehouse.contracts import CONTRACTS, TIME_COLUMNS

if TYPE_CHECKING:
    import duckdb
    import ibis.expr.types as ir

SPINE = "spine"
"""Name under which the moments asked for are registered on a connection."""

_WHOLE_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
_SQL_TYPES = {"float": "DOUBLE", "int": "BIGINT", "bool": "BOOLEAN", "category": "VARCHAR"}


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
def view_expression(view: ViewSpec) -> ir.Table:
    """The view's maths over `canonical_tables` and the table `spine` (join key, as_of)."""
    import ibis

    spine = ibis.table({view.join_key: "string", "as_of": "timestamp('UTC', 6)"}, name=SPINE)
    return view.transformation(spine, tables_of(view))


@cache
def tables_of(view: ViewSpec) -> dict[str, ir.Table]:
    """The canonical tables as the view's maths reads them: with the source's own fields that are its features."""
    import ibis

    tables = dict(canonical_tables())
    if view.extends is not None and view.own_fields:
        contract = CONTRACTS[view.extends].extended(view.own_fields)
        tables[view.extends] = ibis.table(ibis.Schema.from_pyarrow(contract.arrow_schema), name=view.extends)
    return tables


@cache
def view_sql(view: ViewSpec) -> str:
    """The view's maths as DuckDB SQL over the canonical tables and the table `spine` (join key, as_of)."""
    return duckdb_sql(view_expression(view))


@cache
def tables_read(view: ViewSpec) -> tuple[str, ...]:
    """Canonical tables that the view's maths reads, whether it needs rows in them or not."""
    import ibis.expr.operations as ops

    found = {table.name for table in view_expression(view).op().find(ops.UnboundTable)}
    return tuple(name for name in CONTRACTS if name in found)


def compute(
    view: ViewSpec, moments: pa.Table, connection: duckdb.DuckDBPyConnection, *, sql: str | None = None
) -> pa.Table:
    """The view's rows for some moments.

    Args:
        view: The view.
        moments: Columns join key (not null) and as_of, without duplicates.
        connection: Shows the canonical tables, such as `Warehouse.duckdb()` does.
        sql: The view's `view_sql`, where it is known already.

    Returns:
        Columns of `view.schema`: the moment is the row's event_timestamp, and its created_timestamp too, since a
        feature uses only what was known by then. Row order is not defined.

    Raises:
        ContractError: if the maths lost or doubled a row.
    """
    with spine_shown(moments.select([view.join_key, "as_of"]), connection):
        rows = answer(view_sql(view) if sql is None else sql, connection)
    if rows.num_rows != moments.num_rows:
        raise ContractError(
            f"View {view.name} gave another number of rows than it was asked for",
            expected=str(moments.num_rows),
            got=str(rows.num_rows),
        )
    rows = rows.append_column("event_timestamp", rows["as_of"]).append_column("created_timestamp", rows["as_of"])
    return rows.select(view.schema.names).cast(view.schema)


@contextmanager
def spine_shown(moments: pa.Table, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Moments (join key, as_of) as the table `spine` of a connection.

    DuckDB plans the views' long queries over a table of its own much faster than over Arrow's.
    """
    connection.register("_moments", moments)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {SPINE} AS FROM _moments")
    connection.unregister("_moments")
    try:
        yield
    finally:
        connection.execute(f"DROP TABLE IF EXISTS temp.{SPINE}")


def answer(query: str, connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """Rows of a long query; a relation of DuckDB's would plan it twice, which is most of the time with few rows."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE _answer AS {query}")
    rows = connection.sql("FROM _answer").to_arrow_table()
    connection.execute("DROP TABLE temp._answer")
    return rows


def stored_sql(view: ViewSpec, sql: str, connection: duckdb.DuckDBPyConnection) -> str:
    """A view's SQL in the columns and types of `view.schema`, as `compute` gives them.

    Args:
        view: The view.
        sql: Its `view_sql`.
        connection: Shows the canonical tables and the table `spine`; times may lack their time zone, and are UTC then.

    Raises:
        ContractError: if the maths gives a column whose values its declared type cannot hold.
    """
    given = {name: kind for name, kind, *_ in connection.execute(f"DESCRIBE {sql}").fetchall()}
    declared = {feature.name: feature.dtype for feature in view.features}
    declared |= {column: "category" for column, _ in view.foreign_keys}
    wrong = [name for name, dtype in declared.items() if not _holds(dtype, given.get(name))]
    if wrong:
        raise ContractError(
            f"View {view.name} computes {', '.join(wrong)} in another type than the catalogue says",
            expected=", ".join(declared[name] for name in wrong),
            got=", ".join(given.get(name, "no such column") for name in wrong),
        )
    columns = [f'"{view.join_key}"']
    columns += [f'CAST("{name}" AS {_SQL_TYPES[dtype]}) AS "{name}"' for name, dtype in declared.items()]
    columns += [f"make_timestamptz(epoch_us(as_of)) AS {time}" for time in TIME_COLUMNS]
    return f"SELECT {', '.join(columns)} FROM ({sql})"  # noqa: S608 - names come from the catalogue


def _holds(dtype: str, given: str | None) -> bool:
    if given is None:
        return False
    if dtype == "int":
        return given in _WHOLE_NUMBERS
    if dtype == "float":
        return given in ("DOUBLE", "FLOAT", *_WHOLE_NUMBERS) or given.startswith("DECIMAL")
    return given == _SQL_TYPES[dtype]
