"""DuckDB connections that show the canonical tables as views, from files or from memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from common.errors import ContractError
from warehouse.contracts import CONTRACTS, TIME_COLUMNS, Column, Contract

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

SQL_TYPES: dict[str, str] = {
    "string": "VARCHAR",
    "float": "DOUBLE",
    "int": "BIGINT",
    "bool": "BOOLEAN",
    "timestamp": "TIMESTAMPTZ",
    "date": "DATE",
}


def open_connection() -> DuckDBPyConnection:
    """A new DuckDB database in memory: time zone UTC, and no extension is ever fetched."""
    import duckdb

    connection = duckdb.connect(
        ":memory:", config={"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    )
    # DuckDB's own bar would be drawn into whatever the command prints.
    connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    return connection


def first_row(connection: DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    """The first row of a query; reads to the end, because DuckDB refuses new work beside an unread result."""
    row: tuple[Any, ...] = connection.execute(query).fetchall()[0]
    return row


def quoted(name: str) -> str:
    """`name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """`text` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def contract_of(table: str) -> Contract:
    """The contract of a canonical table.

    Raises:
        ContractError: if there is no such table.
    """
    if table not in CONTRACTS:
        raise ContractError(f"There is no table '{table}'", expected=f"one of {', '.join(CONTRACTS)}")
    return CONTRACTS[table]


def all_columns(contract: Contract) -> tuple[Column, ...]:
    """The contract's columns, then the two times every table has, in stored order."""
    times = tuple(
        Column(name=name, dtype="timestamp", about=about, required=True)
        for name, about in zip(TIME_COLUMNS, ("When it happened, UTC.", "When it could be known, UTC."), strict=True)
    )
    return contract.columns + times


def create_view(connection: DuckDBPyConnection, contract: Contract, relation: str, present: Collection[str]) -> None:
    """Show `relation` (SQL) as the canonical table, in contract order; columns that are not `present` are null."""
    columns = ", ".join(
        quoted(column.name) if column.name in present else f"NULL::{SQL_TYPES[column.dtype]} AS {quoted(column.name)}"
        for column in all_columns(contract)
    )
    connection.execute(f"CREATE OR REPLACE VIEW {quoted(contract.table)} AS SELECT {columns} FROM {relation}")  # noqa: S608


def create_empty_view(connection: DuckDBPyConnection, contract: Contract) -> None:
    """Show the canonical table with its types and no rows."""
    create_view(connection, contract, "(SELECT 1 WHERE false)", ())


def parquet_relation(files: Sequence[str]) -> str:
    """SQL that reads Parquet files whose columns are matched by name."""
    listed = ", ".join(literal(file) for file in files)
    return f"read_parquet([{listed}], union_by_name = true)"


def ibis_tables(connection: DuckDBPyConnection, contracts: Sequence[Contract]) -> dict[str, ir.Table]:
    """The views of a connection as Ibis tables, all on one backend that nobody else uses.

    Their schemas come from the contracts: asking DuckDB for each would take longer than most queries.
    """
    import ibis
    import ibis.expr.operations as ops

    backend = ibis.duckdb.from_connection(connection)
    return {
        contract.table: ops.DatabaseTable(
            contract.table, ibis.Schema.from_pyarrow(contract.arrow_schema), backend
        ).to_expr()
        for contract in contracts
    }


def memory_tables(tables: Mapping[str, pa.Table]) -> dict[str, ir.Table]:
    """The canonical tables over Arrow tables in memory, cast to their contracts; those not given are empty and typed.

    Rows are taken as they are: nothing is checked, left out or deduplicated. Columns that a contract has and the given
    table lacks are null.

    Args:
        tables: Rows by table name. Times need a time zone.

    Raises:
        ContractError: if a name is no canonical table, or a column is not in its contract or has not its type.
    """
    for name in tables:
        contract_of(name)
    connection = open_connection()
    for contract in CONTRACTS.values():
        if contract.table not in tables:
            create_empty_view(connection, contract)
            continue
        rows = cast_to_contract(tables[contract.table], contract)
        connection.register(f"_{contract.table}", rows)
        create_view(connection, contract, quoted(f"_{contract.table}"), rows.column_names)
    return ibis_tables(connection, list(CONTRACTS.values()))


def cast_to_contract(rows: pa.Table, contract: Contract) -> pa.Table:
    """`rows` with the contract's Arrow types, in their own column order.

    Raises:
        ContractError: if a column is not in the contract or cannot be cast.
    """
    import pyarrow as pa

    refuse_unknown_columns(rows.column_names, contract)
    schema = contract.arrow_schema
    try:
        return rows.cast(pa.schema([schema.field(name) for name in rows.column_names]))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ContractError(
            f"A column of {contract.table} does not have its type", expected=str(schema), got=str(error)
        ) from error


def refuse_unknown_columns(names: Sequence[str], contract: Contract) -> None:
    """Raise a `ContractError` if a name is not a column of the contract's table."""
    known = [column.name for column in all_columns(contract)]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ContractError(
            f"{contract.table} has no column {', '.join(repr(name) for name in unknown)}",
            expected=f"columns among {', '.join(known)}",
            next_step="rename them in the source's mapping, or leave them out",
        )
