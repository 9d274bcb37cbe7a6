"""The point-in-time join: beside each entity row, the newest row of a view that was visible at its moment.

A stored row can be seen from the later of its two times on. Along that line of time only rows that are newer by
(event, created) than all before them ever win; one ASOF join on the slim table of these finds the moment of the row
that counts, and its values are read by key and moment. Only the columns asked for are read, and only rows of the keys
asked for that were visible by the newest moment asked for.
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
        ContractError: if the entity rows lack a key, or a row was lost or doubled.
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
        for view in views:
            rows = _with_view(connection, rows, view, newest=newest)
    return rows


def _with_view(connection: DuckDBPyConnection, rows: pa.Table, view: RequestedView, *, newest: Any) -> pa.Table:
    """`rows` with the view's columns appended, row by row."""
    is_late = _holds_late_rows(connection, view)
    found = connection.sql(asof_sql(view, newest=newest, is_late=is_late)).to_arrow_table()
    places = _places(found, rows.num_rows)
    if places is None:
        found = connection.sql(asof_sql(view, newest=newest, is_late=is_late, is_tied=True)).to_arrow_table()
        places = _places(found, rows.num_rows)
    if places is None:
        raise ContractError(f"The point-in-time join of {view.path} doubled rows", expected=f"{rows.num_rows} rows")
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


def _holds_late_rows(connection: DuckDBPyConnection, view: RequestedView) -> bool:
    """Whether any row was recorded after its event: only then can an older row become visible after a newer one."""
    if not view.created_column or view.created_column == view.event_column:
        return False
    late = f"{quoted(view.created_column)} > {quoted(view.event_column)}"
    query = f"SELECT coalesce(bool_or({late}), false) FROM {_relation(view.path)}"  # noqa: S608 - names are quoted
    return bool(connection.execute(query).fetchall()[0][0])


def asof_sql(view: RequestedView, *, newest: datetime | None, is_late: bool, is_tied: bool = False) -> str:
    """SQL for `_row` of the table `asked` and the view's columns, for each row that finds a value not too old.

    Args:
        view: The view.
        newest: The newest moment asked for.
        is_late: Whether rows were recorded after their events, so that not every row wins when it becomes visible.
        is_tied: Whether several rows may be found for one moment, of which the last written counts; else each is
            answered.
    """
    keys = {left: quoted(f"_key_{number}") for number, left in enumerate(view.join_keys)}
    event = quoted(view.event_column)
    created = f"coalesce({quoted(view.created_column or view.event_column)}, {event})"
    named = ", ".join(f"{quoted(left)} AS {key}" for left, key in keys.items())
    asked = ", ".join(
        f"{quoted(right)} AS {key}" for key, right in zip(keys.values(), view.join_keys.values(), strict=True)
    )
    columns = "".join(f", {quoted(column)} AS {quoted(name)}" for column, name in view.columns.items())
    names = "".join(f", v.{quoted(name)}" for name in view.columns.values())
    order = ", ".join(keys.values())
    same = " AND ".join(f"s.{key} = w.{key}" for key in keys.values())
    visible = f"{event} <= TIMESTAMPTZ '{newest}' AND {created} <= TIMESTAMPTZ '{newest}'" if newest else "false"
    seen = f"SELECT {named}, {event} AS _event, {created} AS _created, greatest({event}, {created}) AS _seen"
    stored = f"FROM {_relation(view.path, is_numbered=is_tied)} WHERE {visible}"
    slim = f"SELECT * FROM ({seen} {stored}) SEMI JOIN spine USING ({order})"  # noqa: S608 - names are quoted
    found = "_seen"
    if is_late:
        # The last of those that become visible together, if no newer one was visible before.
        slim += f" WINDOW so_far AS (PARTITION BY {order} ORDER BY _seen, _event, _created)"
        slim += " QUALIFY _event = max(_event) OVER so_far AND lead(_seen) OVER so_far IS DISTINCT FROM _seen"
        found = "_event, _created"
    alive = f"v._event >= m._moment - INTERVAL {_microseconds(view.ttl)} MICROSECONDS" if view.ttl else "true"
    number = ", filename AS _file, file_row_number AS _number" if is_tied else ""
    best = "PARTITION BY m._row ORDER BY v._event DESC, v._created DESC, v._file DESC, v._number DESC"
    return f"""
        WITH spine AS (SELECT _row, _moment, {asked} FROM asked),
        slim AS ({slim}),
        matched AS (
            SELECT s.*, w.* EXCLUDE ({order}) FROM spine s ASOF JOIN slim w ON {same} AND s._moment >= w._seen
        )
        SELECT m._row{names}
        FROM matched m JOIN ({seen}{number}{columns} {stored}) v USING ({order}, {found})
        WHERE {alive}
        {f"QUALIFY row_number() OVER ({best}) = 1" if is_tied else ""}
    """  # noqa: S608 - identifiers come from the catalogue and are quoted


def _relation(path: str, *, is_numbered: bool = False) -> str:
    pattern = str(Path(path) / "*.parquet") if Path(path).is_dir() else path
    numbered = ", filename = true, file_row_number = true" if is_numbered else ""
    return f"read_parquet({literal(pattern)}, union_by_name = true{numbered})"


def _microseconds(length: timedelta) -> int:
    return length // timedelta(microseconds=1)
