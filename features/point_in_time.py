"""The point-in-time join: beside each entity row, the newest row of a view that was visible at its moment.

A stored row can be seen from the later of its two times on. Along that line of time only rows that are newer by
(event, created) than all before them ever win, so the row that counts is the last one seen by the moment asked for:
sorted by key and time, a binary search finds it. That runs on slim arrays of numbers: a code in the place of the keys,
the times, and where the row stands in its file. The values are then read by that place alone, so keys and times are
read once and columns of values only for rows that count. Only rows of keys asked for that were visible by the newest
moment asked for of that key are looked at, and of a long history one share of the keys after the other.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from common.errors import ContractError
from features.last_seen import Numbers, last_seen, numbers_of, spread
from warehouse.contracts import UTC_MICROSECONDS
from warehouse.views import literal, open_connection, quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_MEMORY_LIMIT = "2GB"
"""What DuckDB may use before it writes to a temporary folder."""
_VIEWS_AT_ONCE = 2
_ROWS_AT_ONCE = 20_000_000
"""Stored rows whose times are held in memory together, about 40 bytes a row."""
_FILE_BITS = 40
"""A row's place is the number of its file, then that of the row in it; so many bits are the row's."""
_PLACE = f"(file_index::BIGINT << {_FILE_BITS}) + file_row_number AS _place"
_AT_PLACE = (
    f"v.file_row_number = (m._place & {(1 << _FILE_BITS) - 1}) AND v.file_index = (m._place >> {_FILE_BITS})::UBIGINT"
)


@dataclass(frozen=True, kw_only=True)
class RequestedView:
    """What one view contributes to an answer.

    Args:
        path: Parquet file, or folder of Parquet files.
        join_keys: Key columns of the view, with their names in the entity rows.
        event_column: When a row's values held.
        created_column: When they could be known; empty: at once.
        ttl: How old a value may be; None or zero: as old as may be.
        columns: Feature columns, with their names in the answer.
    """

    path: str
    join_keys: dict[str, str]
    event_column: str
    created_column: str
    ttl: timedelta | None
    columns: dict[str, str]


def join_views(rows: pa.Table, views: Sequence[RequestedView], *, time_column: str) -> pa.Table:
    """The entity rows in their order, with each view's newest visible values beside them.

    Args:
        rows: Entity rows, with the views' keys and the moment of each row.
        views: What to join.
        time_column: Column of the moments; UTC where it has no time zone.

    Raises:
        ContractError: if the entity rows lack a key, or a row was doubled.
    """
    needed = list(dict.fromkeys(key for view in views for key in view.join_keys.values()))
    missing = [key for key in needed if key not in rows.column_names]
    if missing:
        raise ContractError(f"The entity rows lack {', '.join(missing)}", got=", ".join(rows.column_names))
    moments = rows[time_column].cast(UTC_MICROSECONDS, safe=False)
    asked = rows.select(needed).append_column("_moment", moments)
    asked = asked.append_column("_row", pa.array(np.arange(rows.num_rows, dtype="int64")))
    newest = pc.max(moments).as_py()
    with tempfile.TemporaryDirectory(prefix="salience-join-") as scratch, open_connection() as connection:
        connection.execute(f"SET memory_limit = '{_MEMORY_LIMIT}'; SET temp_directory = {literal(scratch)}")
        connection.execute("SET preserve_insertion_order = false")
        connection.register("asked", asked)
        spines: dict[tuple[str, ...], _Spine] = {}
        for keys in (tuple(view.join_keys.values()) for view in views):
            if keys not in spines:
                spines[keys] = _number_keys(connection, keys, table=f"codes_{len(spines)}")
        joins = [
            _ViewJoin(
                connection=connection.cursor(),
                view=view,
                spine=spines[tuple(view.join_keys.values())],
                # The files are listed once: what a writer adds between two queries does not move a row's place.
                relation=_relation(view.path),
                newest=newest,
            )
            for view in views
            if view.columns
        ]
        # Sorting, searching and taking have one thread each: two views fill the gaps of one another.
        with ThreadPoolExecutor(max_workers=_VIEWS_AT_ONCE) as pool:
            for columns in pool.map(lambda join: join.columns(asked.num_rows), joins):
                for name, column in columns.items():
                    rows = rows.append_column(name, column)
    return rows


@dataclass(frozen=True)
class _Spine:
    """The entity rows whose keys are whole, by code of the key and moment.

    Args:
        codes: Table of the keys, their codes and the newest moment asked for of each.
        row: Number of the entity row.
        code: Code of its key.
        moment: Its moment, microseconds.
    """

    codes: str
    row: Numbers
    code: Numbers
    moment: Numbers

    def share(self, number: int, *, of: int) -> _Spine:
        """The entity rows of one share of the keys."""
        mine = self.code % of == number
        return self if of == 1 else replace(self, row=self.row[mine], code=self.code[mine], moment=self.moment[mine])


def _number_keys(connection: DuckDBPyConnection, keys: Sequence[str], *, table: str) -> _Spine:
    """Make a table of a number and the newest moment of each key asked for; answer each row with its key's number."""
    listed = ", ".join(quoted(key) for key in keys)
    is_whole = " AND ".join(f"{quoted(key)} IS NOT NULL" for key in keys)
    connection.execute(
        f"CREATE TABLE {table} AS SELECT *, (row_number() OVER ())::INTEGER AS _code "  # noqa: S608
        f"FROM (SELECT {listed}, max(_moment) AS _until FROM asked WHERE {is_whole} GROUP BY {listed})"
    )
    numbered = f"SELECT _row, _code, _moment FROM asked JOIN {table} USING ({listed}) ORDER BY _code, _moment"  # noqa: S608
    spine = connection.sql(numbered).to_arrow_table()
    return _Spine(table, *(numbers_of(spine[name]) for name in ("_row", "_code", "_moment")))


@dataclass(frozen=True, kw_only=True)
class _ViewJoin:
    """One view's part of a join, on a cursor of its own.

    Args:
        connection: The cursor.
        view: The view.
        spine: What is asked for.
        relation: The view's files, as SQL.
        newest: The newest moment asked for.
    """

    connection: DuckDBPyConnection
    view: RequestedView
    spine: _Spine
    relation: str
    newest: datetime | None

    def columns(self, n_rows: int) -> dict[str, pa.ChunkedArray]:
        """The view's columns beside the entity rows, shape (n_rows,) each."""
        row, place = self._winners()
        wanted, which = np.unique(place, return_inverse=True)
        found = self._query(_values_sql(self.view, self.relation), beside={"_place": wanted})
        stored = numbers_of(found["_place"])
        order = np.argsort(stored)
        if not np.array_equal(stored[order], wanted):
            raise ContractError(
                f"The point-in-time join of {self.view.path} lost or doubled rows",
                expected=f"{len(wanted)} rows",
                got=str(found.num_rows),
            )
        taken = np.full(n_rows, -1, dtype=np.int64)
        taken[row] = order[which]
        places = pa.array(taken, mask=taken < 0)
        return {name: found[name].take(places) for name in self.view.columns.values()}

    def _winners(self) -> tuple[Numbers, Numbers]:
        """The entity rows that have a value, and the place of the stored row that counts for each."""
        stored, is_late = _stored(self.connection, self.view, self.relation)
        shares = max(1, -(-stored // _ROWS_AT_ONCE))
        parts = []
        for number in range(shares):
            codes = f"(SELECT * FROM {self.spine.codes} WHERE _code % {shares} = {number})"  # noqa: S608
            slim = _slim_sql(self.view, self.relation, codes=codes, newest=self.newest, is_late=is_late)
            parts.append(self._match(self._query(slim), spine=self.spine.share(number, of=shares)))
        row, place = (np.concatenate(each) for each in zip(*parts, strict=True))
        return row, place

    def _match(self, slim: pa.Table, *, spine: _Spine) -> tuple[Numbers, Numbers]:
        """The rows of the spine that have a value that is not too old, and its place."""
        event = numbers_of(slim["_event" if "_event" in slim.column_names else "_seen"])
        place = numbers_of(slim["_place"])
        code, seen = numbers_of(slim["_code"]), numbers_of(slim["_seen"])
        found = last_seen(code, seen, code=spine.code, moment=spine.moment)
        has_one = found.last >= 0
        if self.view.ttl and len(event):
            has_one &= event[found.order[found.last]] >= spine.moment - _microseconds(self.view.ttl)
        row, last, tied = spine.row[has_one], found.last[has_one], found.tied[has_one]
        if not tied.any():
            return row, place[found.order[last]]
        # Of rows seen from one moment on, the one recorded last counts: only now is the time of record worth reading.
        candidate = np.repeat(last - tied, tied + 1) + spread(tied + 1)
        settled = self._query(
            _last_written_sql(self.view, self.relation),
            beside={"_row": np.repeat(row, tied + 1), "_place": place[found.order[candidate]]},
        )
        return numbers_of(settled["_row"]), numbers_of(settled["_place"])

    def _query(self, sql: str, *, beside: Mapping[str, Numbers] | None = None) -> pa.Table:
        """What a query answers, with columns of one's own in the table `beside`."""
        if beside is not None:
            self.connection.register("beside", pa.table(dict(beside)))
        return self.connection.sql(sql).to_arrow_table()


def _stored(connection: DuckDBPyConnection, view: RequestedView, relation: str) -> tuple[int, bool]:
    """How many rows are stored, and whether any was recorded after its event.

    Only then can an older row become visible after a newer one.
    """
    late = "false"
    if view.created_column and view.created_column != view.event_column:
        late = f"coalesce(bool_or({quoted(view.created_column)} > {quoted(view.event_column)}), false)"
    query = f"SELECT count(*), {late} FROM {relation}"  # noqa: S608 - names are quoted
    count, is_late = connection.execute(query).fetchall()[0]
    return int(count), bool(is_late)


def _slim_sql(view: RequestedView, relation: str, *, codes: str, newest: datetime | None, is_late: bool) -> str:
    """SQL for the rows of the keys asked for that win when they become visible.

    Args:
        view: The view.
        relation: Its files.
        codes: The keys that are looked at, their codes and the newest moment asked for of each.
        newest: The newest moment asked for.
        is_late: Whether rows were recorded after their events, so that not every row wins when it becomes visible.
            Otherwise each can be seen from its event on, and several may share a moment.
    """
    event, until = quoted(view.event_column), f"TIMESTAMPTZ '{newest}'" if newest else "NULL"
    same = " AND ".join(f"v.{quoted(left)} = k.{quoted(right)}" for left, right in view.join_keys.items())
    same += " AND v._seen <= k._until"
    keys = ", ".join(quoted(left) for left in view.join_keys)
    if not is_late:
        rows = f"SELECT {keys}, {event} AS _seen, {_PLACE} FROM {relation} WHERE {event} <= {until}"  # noqa: S608
        return f"SELECT _code, _seen, _place FROM ({rows}) v JOIN {codes} k ON {same}"  # noqa: S608
    created = f"coalesce({quoted(view.created_column)}, {event})"
    rows = (
        f"SELECT {keys}, {event} AS _event, {created} AS _created, greatest({event}, {created}) AS _seen, {_PLACE} "  # noqa: S608
        f"FROM {relation} WHERE {event} <= {until} AND {created} <= {until}"
    )
    # The last of those that become visible together, if no newer one was visible before.
    return (
        f"SELECT _code, _seen, _event, _place FROM ({rows}) v JOIN {codes} k ON {same} "  # noqa: S608
        "WINDOW so_far AS (PARTITION BY _code ORDER BY _seen, _event, _created, _place) "
        "QUALIFY _event = max(_event) OVER so_far AND lead(_seen) OVER so_far IS DISTINCT FROM _seen"
    )


def _last_written_sql(view: RequestedView, relation: str) -> str:
    """SQL for the rows of the table `beside`, ties reduced to the one recorded last, then the one written last."""
    created = quoted(view.created_column or view.event_column)
    return (
        f"SELECT m._row, m._place FROM {relation} v JOIN beside m ON {_AT_PLACE} "  # noqa: S608 - names are quoted
        f"QUALIFY row_number() OVER (PARTITION BY m._row ORDER BY v.{created} DESC NULLS FIRST, m._place DESC) = 1"
    )


def _values_sql(view: RequestedView, relation: str) -> str:
    """SQL for the view's columns at the places in the table `beside`, each with its place."""
    columns = ", ".join(f"v.{quoted(column)} AS {quoted(name)}" for column, name in view.columns.items())
    return f"SELECT m._place, {columns} FROM {relation} v JOIN beside m ON {_AT_PLACE}"  # noqa: S608 - names are quoted


def _relation(path: str) -> str:
    """The view's files as they are now, in the order of their names."""
    files = sorted(Path(path).glob("*.parquet")) if Path(path).is_dir() else [Path(path)]
    listed = ", ".join(literal(str(file)) for file in files)
    return f"read_parquet([{listed}], union_by_name = true, file_row_number = true)"


def _microseconds(length: timedelta) -> int:
    return length // timedelta(microseconds=1)
