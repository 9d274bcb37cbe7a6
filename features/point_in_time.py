"""The point-in-time join: beside each entity row, the newest row of a view that was visible at its moment.

A stored row can be seen from the later of its two times on. Along that line of time only rows that are newer by
(event, created) than all before them ever win; one ASOF join finds the moment of the row that counts. It runs on a slim
table of numbers: a code in the place of the keys, the times, and where the row stands in its file. The values are then
read by that place alone, so keys and times are read once and columns of values only for rows that count. Only rows of
the keys asked for that were visible by the newest moment asked for are looked at.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from common.errors import ContractError
from warehouse.contracts import UTC_MICROSECONDS
from warehouse.views import literal, open_connection, quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_MEMORY_LIMIT = "2GB"
"""What DuckDB may use before it writes to a temporary folder."""
_FILE_BITS = 40
"""A row's place is the number of its file, then that of the row in it; so many bits are the row's."""
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
        coded: list[str] = []
        for view in views:
            keys = [*view.join_keys.values()]
            if keys != coded:
                _number_keys(connection, keys)
                coded = keys
            rows = _with_view(connection, rows, view, newest=newest)
    return rows


def _number_keys(connection: DuckDBPyConnection, keys: Sequence[str]) -> None:
    """Make the tables `codes` (a number for each key asked for) and `spine` (each entity row with its key's number)."""
    listed = ", ".join(quoted(key) for key in keys)
    is_whole = " AND ".join(f"{quoted(key)} IS NOT NULL" for key in keys)
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE codes AS SELECT *, (row_number() OVER ())::INTEGER AS _code "  # noqa: S608
        f"FROM (SELECT DISTINCT {listed} FROM asked WHERE {is_whole})"
    )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE spine AS "  # noqa: S608
        f"SELECT _row, _moment, _code FROM asked JOIN codes USING ({listed})"
    )


def _with_view(connection: DuckDBPyConnection, rows: pa.Table, view: RequestedView, *, newest: Any) -> pa.Table:
    """`rows` with the view's columns appended, row by row."""
    if not view.columns:
        return rows
    # The files are listed once: what a writer adds between two queries does not move a row's place.
    relation = _relation(view.path)
    is_late = _holds_late_rows(connection, view, relation)
    connection.execute(_slim_sql(view, relation, newest=newest, is_late=is_late))
    matched = connection.sql(_matched_sql(view, is_late=is_late)).to_arrow_table()
    connection.register("matched", matched)
    if _places(matched, rows.num_rows) is None:
        matched = connection.sql(_last_written_sql(view, relation)).to_arrow_table()
        connection.register("matched", matched)
    found = connection.sql(_values_sql(view, relation)).to_arrow_table()
    connection.unregister("matched")
    places = _places(found, rows.num_rows)
    if places is None or found.num_rows != matched.num_rows:
        raise ContractError(
            f"The point-in-time join of {view.path} lost or doubled rows",
            expected=f"{matched.num_rows} rows",
            got=str(found.num_rows),
        )
    for name in view.columns.values():
        rows = rows.append_column(name, found[name].take(places))
        found = found.drop_columns([name])
    return rows


def _places(found: pa.Table, rows: int) -> pa.Array | None:
    """Where each entity row's values are in `found`, null where there are none; None if a row has two."""
    numbers = found["_row"].to_numpy()
    places = np.full(rows, -1, dtype="int64")
    places[numbers] = np.arange(len(numbers))
    if np.count_nonzero(places >= 0) != len(numbers):
        return None
    return pa.array(places, mask=places < 0)


def _holds_late_rows(connection: DuckDBPyConnection, view: RequestedView, relation: str) -> bool:
    """Whether any row was recorded after its event: only then can an older row become visible after a newer one."""
    if not view.created_column or view.created_column == view.event_column:
        return False
    late = f"{quoted(view.created_column)} > {quoted(view.event_column)}"
    query = f"SELECT coalesce(bool_or({late}), false) FROM {relation}"  # noqa: S608 - names are quoted
    return bool(connection.execute(query).fetchall()[0][0])


def _slim_sql(view: RequestedView, relation: str, *, newest: datetime | None, is_late: bool) -> str:
    """SQL that makes the table `slim`: the rows of the keys asked for that win when they become visible.

    Args:
        view: The view.
        relation: Its files.
        newest: The newest moment asked for.
        is_late: Whether rows were recorded after their events, so that not every row wins when it becomes visible.
            Otherwise each can be seen from its event on, and several may share a moment.
    """
    event, until = quoted(view.event_column), f"TIMESTAMPTZ '{newest}'" if newest else "NULL"
    same = " AND ".join(f"v.{quoted(left)} = k.{quoted(right)}" for left, right in view.join_keys.items())
    keys = ", ".join(quoted(left) for left in view.join_keys)
    place = f"(file_index::BIGINT << {_FILE_BITS}) + file_row_number AS _place"
    if not is_late:
        rows = f"SELECT {keys}, {event} AS _seen, {place} FROM {relation} WHERE {event} <= {until}"  # noqa: S608
        slim = f"SELECT _code, _seen, _place FROM ({rows}) v JOIN codes k ON {same}"  # noqa: S608
        return f"CREATE OR REPLACE TEMP TABLE slim AS {slim}"
    created = f"coalesce({quoted(view.created_column)}, {event})"
    rows = (
        f"SELECT {keys}, {event} AS _event, {created} AS _created, greatest({event}, {created}) AS _seen, {place} "  # noqa: S608
        f"FROM {relation} WHERE {event} <= {until} AND {created} <= {until}"
    )
    # The last of those that become visible together, if no newer one was visible before.
    return (
        "CREATE OR REPLACE TEMP TABLE slim AS "  # noqa: S608
        f"SELECT _code, _seen, _event, _place FROM ({rows}) v JOIN codes k ON {same} "
        "WINDOW so_far AS (PARTITION BY _code ORDER BY _seen, _event, _created, _place) "
        "QUALIFY _event = max(_event) OVER so_far AND lead(_seen) OVER so_far IS DISTINCT FROM _seen"
    )


def _matched_sql(view: RequestedView, *, is_late: bool) -> str:
    """SQL for `_row` and the place of the row that counts for it, if its value is not too old; of ties, each."""
    event = "_event" if is_late else "_seen"
    alive = f"w.{event} >= m._moment - INTERVAL {_microseconds(view.ttl)} MICROSECONDS" if view.ttl else "true"
    return f"""
        WITH m AS (
            SELECT s._row, s._code, s._moment, w._seen
            FROM spine s ASOF JOIN slim w ON s._code = w._code AND s._moment >= w._seen
        )
        SELECT m._row, w._place FROM m JOIN slim w USING (_code, _seen) WHERE {alive}
    """  # noqa: S608 - identifiers come from the catalogue and are quoted


def _last_written_sql(view: RequestedView, relation: str) -> str:
    """SQL for the rows of `matched`, of which ties are reduced to the one recorded last, then the one written last."""
    created = quoted(view.created_column or view.event_column)
    return (
        f"SELECT m._row, m._place FROM {relation} v JOIN matched m ON {_AT_PLACE} "  # noqa: S608 - names are quoted
        f"QUALIFY row_number() OVER (PARTITION BY m._row ORDER BY v.{created} DESC NULLS FIRST, m._place DESC) = 1"
    )


def _values_sql(view: RequestedView, relation: str) -> str:
    """SQL for `_row` and the view's columns at the places in the table `matched`."""
    columns = ", ".join(f"v.{quoted(column)} AS {quoted(name)}" for column, name in view.columns.items())
    return f"SELECT m._row, {columns} FROM {relation} v JOIN matched m ON {_AT_PLACE}"  # noqa: S608 - names are quoted


def _relation(path: str) -> str:
    """The view's files as they are now, in the order of their names."""
    files = sorted(Path(path).glob("*.parquet")) if Path(path).is_dir() else [Path(path)]
    listed = ", ".join(literal(str(file)) for file in files)
    return f"read_parquet([{listed}], union_by_name = true, file_row_number = true)"


def _microseconds(length: timedelta) -> int:
    return length // timedelta(microseconds=1)
