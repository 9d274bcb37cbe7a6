"""What the stream keeps in memory: every row of the entities it has touched, so that their features come at once.

Reading an entity's history from Delta for each event would open every file again and again. So the rows of the
entities of one join key are read once, when they are first touched (the open ones at the start), and each event is
added to them as it comes. The maths then runs on these rows by the same SQL as everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from features.catalogue import own_fields
from features.definitions import served_views
from features.specs import ViewSpec
from features.stream_door import STREAMED
from features.transform import SPINE, answer, canonical_tables, compute, duckdb_sql, spine_shown
from warehouse.as_known import versions_on_spine
from warehouse.contracts import CONTRACTS, OPEN_LEAD_STATUSES
from warehouse.delta_tables import AppendOnlyTable
from warehouse.views import (
    SQL_TYPES,
    all_columns,
    create_empty_view,
    create_view,
    open_connection,
    parquet_relation,
    quoted,
)

if TYPE_CHECKING:
    from features.sql_book import SqlBook
    from warehouse.store import Warehouse

_OPEN = {"lead_id": ("leads", OPEN_LEAD_STATUSES), "opportunity_id": ("opportunities", ("open",))}


@dataclass(frozen=True)
class Snapshot:
    """A table's newest version.

    Args:
        version: Delta's number; -1 before the first append.
        files: Its Parquet files.
        columns: Columns that they hold.
        rows: Their rows.
    """

    version: int
    files: tuple[str, ...]
    columns: frozenset[str]
    rows: int


def snapshot_of(warehouse: Warehouse, table: str) -> Snapshot:
    """The newest version of a table."""
    delta_table = AppendOnlyTable(warehouse.root / table, warehouse.contract(table))
    delta = delta_table.opened_with_rows()
    if delta is None:
        return Snapshot(-1, (), frozenset(), 0)
    columns = frozenset(field.name for field in delta.schema().fields)
    return Snapshot(int(delta.version()), tuple(delta.file_uris()), columns, delta_table.content(delta).rows)


def is_own(view: ViewSpec, book: SqlBook) -> bool:
    """Whether a view is computed from the rows of its own key alone, in tables that take events."""
    return view.own_rows_only and all(table in STREAMED and _has(table, view.join_key) for table in book.tables(view))


class EntityState:
    """All rows of the touched entities of one join key.

    Args:
        warehouse: Where their histories are.
        join_key: Column that names the entities.
        views: Views of that key that rest on its own rows alone.
        book: Where their SQL is.
    """

    def __init__(self, warehouse: Warehouse, join_key: str, views: Sequence[ViewSpec], *, book: SqlBook) -> None:
        self.join_key = join_key
        self.views = tuple(views)
        self._book = book
        needed = {table for view in views for table in book.tables(view)}
        needed |= {_OPEN[join_key][0]} if join_key in _OPEN else set()
        self.tables = tuple(table for table in CONTRACTS if table in needed)
        self._contracts = {table: warehouse.contract(table) for table in self.tables}
        self._connection = open_connection()
        self._connection.execute(f"CREATE TABLE admitted ({quoted(join_key)} VARCHAR)")
        for table, contract in self._contracts.items():
            columns = ", ".join(f"{quoted(c.name)} {SQL_TYPES[c.dtype]}" for c in all_columns(contract))
            self._connection.execute(f"CREATE TABLE held_{table} ({columns})")

    def follow(self, snapshots: Mapping[str, Snapshot]) -> None:
        """Read the histories of entities to come from these versions of the tables."""
        for table, contract in self._contracts.items():
            named = replace(contract, table=f"stored_{table}")
            found = snapshots[table]
            if found.files:
                create_view(self._connection, named, parquet_relation(found.files), found.columns)
            else:
                create_empty_view(self._connection, named)

    def prepare(self) -> None:
        """Compile the maths, which takes seconds of a process' first events otherwise."""
        for view in self.views:
            self._book.sql(view)
        if self.join_key in _OPEN:
            _open_sql(self.join_key)

    def admit_open(self) -> None:
        """Read the histories of all entities that any version says are open, which are those likely to be touched."""
        if self.join_key not in _OPEN:
            return
        table, statuses = _OPEN[self.join_key]
        key = quoted(self.join_key)
        newest = f"SELECT {key}, arg_max(status, event_timestamp) AS status FROM stored_{table} GROUP BY ALL"  # noqa: S608
        query = f"SELECT {key} FROM ({newest}) WHERE status IN (SELECT unnest(?))"  # noqa: S608
        rows = self._connection.sql(query, params=[list(statuses)]).to_arrow_table()
        self.admit(rows)

    def admit(self, keys: pa.Table) -> None:
        """Read the histories of the entities in the join key's column that are not here yet.

        An entity must be admitted before its first event is added: its history is what the tables held then.
        """
        key = quoted(self.join_key)
        connection = self._connection
        connection.register("given", keys.select([self.join_key]))
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE coming AS SELECT DISTINCT {key} FROM given "  # noqa: S608
            f"WHERE {key} IS NOT NULL AND {key} NOT IN (SELECT {key} FROM admitted)"
        )
        connection.unregister("given")
        if connection.execute("SELECT count(*) FROM coming").fetchall()[0][0] == 0:
            return
        for table in self.tables:
            connection.execute(
                f"INSERT INTO held_{table} SELECT * FROM stored_{table} SEMI JOIN coming USING ({key})"  # noqa: S608
            )
        connection.execute("INSERT INTO admitted SELECT * FROM coming")

    def touched(self, rows: Mapping[str, pa.Table]) -> pa.Table:
        """The entities that rows of some tables are about, each once."""
        columns = [table[self.join_key] for name, table in rows.items() if name in self.tables]
        keys = pa.chunked_array([chunk for column in columns for chunk in column.chunks], pa.string())
        return pa.table({self.join_key: pc.drop_null(pc.unique(keys))})

    def add(self, table: str, rows: pa.Table) -> None:
        """Add rows of a table, each content once; rows that are here already change nothing."""
        if table not in self.tables or rows.num_rows == 0:
            return
        names = [column.name for column in all_columns(self._contracts[table])]
        padded = _padded(rows, names, self._contracts[table].arrow_schema)
        connection, same = self._connection, quoted(self._contracts[table].key)
        connection.register("offered", padded.filter(padded[self.join_key].is_valid()))
        connection.execute(
            f"INSERT INTO held_{table} SELECT DISTINCT * FROM offered "  # noqa: S608
            f"EXCEPT SELECT * FROM held_{table} SEMI JOIN offered USING ({same})"
        )
        connection.unregister("offered")

    def features(self, moments: pa.Table, *, open_only: bool = False) -> dict[str, pa.Table]:
        """The views' rows for moments (join key, as_of) of admitted entities, without duplicates.

        Args:
            moments: Which entities at which moments.
            open_only: Leave out those where the entity is not known to be open, as `features.spines` has it.
        """
        self._narrow(moments)
        if open_only and self.join_key in _OPEN:
            moments = self._open_ones(moments)
        return {view.name: compute(view, moments, self._connection, sql=self._book.sql(view)) for view in self.views}

    def close(self) -> None:
        """Give the memory back."""
        self._connection.close()

    def _open_ones(self, moments: pa.Table) -> pa.Table:
        with spine_shown(moments, self._connection):
            rows = answer(_open_sql(self.join_key), self._connection)
        return rows.cast(moments.schema)

    def _narrow(self, moments: pa.Table) -> None:
        """Show the rows of these entities alone as the canonical tables."""
        key = quoted(self.join_key)
        self._connection.register("asked", moments.select([self.join_key]))
        for table in self.tables:
            columns = ", ".join(quoted(column.name) for column in all_columns(self._contracts[table]))
            rows = f"SELECT {columns} FROM held_{table} SEMI JOIN asked USING ({key})"  # noqa: S608
            self._connection.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS {rows}")
        self._connection.unregister("asked")


def own_states(warehouse: Warehouse, snapshots: Mapping[str, Snapshot], *, book: SqlBook) -> tuple[EntityState, ...]:
    """A state for each join key whose views rest on its own rows and are served."""
    by_key: dict[str, list[ViewSpec]] = {}
    for view in served_views(warehouse.tables(), extensions=own_fields(warehouse)):
        if is_own(view, book):
            by_key.setdefault(view.join_key, []).append(view)
    states = tuple(EntityState(warehouse, key, views, book=book) for key, views in by_key.items())
    for state in states:
        state.follow(snapshots)
    return states


@cache
def _open_sql(join_key: str) -> str:
    import ibis

    table, statuses = _OPEN[join_key]
    spine = ibis.table({join_key: "string", "as_of": "timestamp('UTC', 6)"}, name=SPINE)
    state = versions_on_spine(spine, canonical_tables()[table], CONTRACTS[table], key=join_key)
    return duckdb_sql(state.filter(state.status.isin(statuses)).select(join_key, "as_of"))


def _has(table: str, column: str) -> bool:
    return any(each.name == column for each in CONTRACTS[table].columns)


def _padded(rows: pa.Table, names: Sequence[str], schema: pa.Schema) -> Any:
    """`rows` with the columns `names`; those it lacks are null."""
    columns = [
        rows[name] if name in rows.column_names else pa.nulls(rows.num_rows, schema.field(name).type) for name in names
    ]
    return pa.table(dict(zip(names, columns, strict=True))).cast(pa.schema([schema.field(name) for name in names]))
