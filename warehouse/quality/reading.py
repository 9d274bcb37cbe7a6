"""The one connection that all checks of an assessment share: the tables as known at a moment, within a memory limit."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from common.clock import utc
from warehouse.as_known import newest_versions
from warehouse.contracts import Contract
from warehouse.store import Warehouse
from warehouse.views import literal, quoted

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from duckdb import DuckDBPyConnection

_MEMORY_LIMIT = "2GB"
"""What does not fit is spilled to a temporary folder: a report never needs the memory of its warehouse."""
MOST_EXAMPLES = 5


@dataclass(frozen=True)
class Reading:
    """Tables of one warehouse as known at `as_of`.

    Args:
        connection: Where they are views; `rows_of(table)` names the one limited to `as_of`.
        tables: The tables that hold rows then, in the order of the contracts.
        contracts: Their contracts.
        expressions: All canonical tables in Ibis, on the same connection.
        as_of: The moment, UTC.
    """

    connection: DuckDBPyConnection
    tables: tuple[str, ...]
    contracts: dict[str, Contract]
    expressions: dict[str, ir.Table]
    as_of: datetime

    def rows_of(self, table: str) -> str:
        """Name of the view with the rows of `table` that were known at `as_of`, whenever they happened."""
        return quoted(f"known_{table}")

    def key_of(self, table: str) -> str:
        """The key column, as SQL."""
        return quoted(self.contracts[table].key)

    def state_of(self, table: str) -> str:
        """Name of a temporary table with the newest version of each thing as known at `as_of`, made once."""
        import ibis

        name = quoted(f"state_{table}")
        newest = newest_versions(self.expressions[table], self.contracts[table], self.as_of)
        query = str(ibis.to_sql(newest, dialect="duckdb"))
        self.connection.execute(f"CREATE TEMP TABLE IF NOT EXISTS {name} AS {query}")
        return name

    def row(self, query: str) -> tuple[Any, ...]:
        """The only row of a query."""
        row: tuple[Any, ...] = self.connection.execute(query).fetchall()[0]
        return row

    def all(self, query: str) -> list[tuple[Any, ...]]:
        """All rows of a query whose answer is small."""
        return list(self.connection.execute(query).fetchall())

    def examples(self, faulty: str, key: str) -> tuple[str, ...]:
        """At most five ids of the relation `faulty` (SQL), the smallest, each once."""
        query = f"SELECT {key} FROM (SELECT * FROM {faulty}) GROUP BY ALL ORDER BY 1 NULLS LAST LIMIT {MOST_EXAMPLES}"  # noqa: S608
        return tuple(str(value) for (value,) in self.all(query) if value is not None)

    @property
    def moment(self) -> str:
        """`as_of` as SQL."""
        return moment_literal(self.as_of)


def moment_literal(moment: datetime) -> str:
    """A moment as an SQL literal."""
    return f"TIMESTAMPTZ {literal(moment.isoformat())}"


@contextmanager
def open_reading(warehouse: Warehouse, *, as_of: datetime) -> Iterator[Reading]:
    """Open the tables as known at `as_of`.

    Raises:
        InputError: if `as_of` has no time zone.
    """
    moment = utc(as_of)
    expressions = warehouse.ibis()
    connection = next(iter(expressions.values())).get_backend().con
    with tempfile.TemporaryDirectory(prefix="salience-quality-") as folder, connection:
        connection.execute(f"SET temp_directory = {literal(folder)}")
        connection.execute(f"SET memory_limit = {literal(_MEMORY_LIMIT)}")
        connection.execute("SET preserve_insertion_order = false")
        held = warehouse.tables()
        for table in held:
            connection.execute(
                f"CREATE TEMP VIEW {quoted(f'known_{table}')} AS SELECT * FROM {quoted(table)} "  # noqa: S608
                f"WHERE created_timestamp <= {moment_literal(moment)}"
            )
        reading = Reading(
            connection=connection,
            tables=(),
            contracts={table: warehouse.contract(table) for table in held},
            expressions=expressions,
            as_of=moment,
        )
        known = tuple(table for table in held if _has_rows(reading, table))
        yield Reading(connection, known, reading.contracts, expressions, moment)


def _has_rows(reading: Reading, table: str) -> bool:
    return bool(reading.all(f"SELECT 1 FROM {reading.rows_of(table)} LIMIT 1"))  # noqa: S608
