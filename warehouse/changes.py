"""What came into a table since a known state of it, told by Delta's own log: from when on is anything different?

A log entry says which files a commit added and whether it changed any data. A commit that only writes rows together
anew (compaction) changes nothing; one that takes data away (`forget`) makes everything uncertain.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from warehouse.delta_tables import AppendOnlyTable
from warehouse.views import first_row, open_connection, parquet_relation

if TYPE_CHECKING:
    from warehouse.store import Warehouse

BEGINNING = datetime(1, 1, 1, tzinfo=UTC)
"""The answer where nothing is certain: anything may be different at any time."""


@dataclass(frozen=True, kw_only=True)
class TableState:
    """A table as it was read.

    Args:
        table_id: Delta's identifier of the table; another table in its place has another.
        version: Delta version.
        rows: Rows it held.
        digest: Digest of the rows, whatever their order and files.
    """

    table_id: str
    version: int
    rows: int
    digest: str


def table_states(warehouse: Warehouse, tables: Iterable[str]) -> dict[str, TableState]:
    """The present state of each of the tables that holds rows."""
    states = {}
    for name in tables:
        table = _table(warehouse, name)
        delta = table.opened_with_rows()
        if delta is not None:
            content = table.content(delta)
            states[name] = TableState(
                table_id=str(delta.metadata().id),
                version=int(delta.version()),
                rows=content.rows,
                digest=str(content.digest),
            )
    return states


def changed_from(
    warehouse: Warehouse, table: str, *, before: TableState | None, after: TableState | None
) -> datetime | None:
    """The earliest moment at which the two states of a table show different rows.

    A row shows from the later of its two times on. So whatever was computed as of an earlier moment is still right.

    Args:
        warehouse: Where the table is.
        table: Its name.
        before: An earlier state; None if it held no rows.
        after: A later state; None if it holds no rows.

    Returns:
        None if there is no difference, `BEGINNING` if it may lie anywhere.
    """
    if before == after:
        return None
    if before is None:
        return _first_shown(_uris(warehouse, table))
    if after is None:
        return BEGINNING
    if (before.rows, before.digest) == (after.rows, after.digest):
        return None
    if before.table_id != after.table_id or before.version > after.version:
        return BEGINNING
    added = _added_files(warehouse.root / table, before.version, after.version)
    return BEGINNING if added is None else _first_shown([str(path) for path in added])


def _added_files(folder: Path, before: int, after: int) -> list[Path] | None:
    """Files that commits after `before`, up to `after`, added with new rows; None where that cannot be told."""
    added: list[Path] = []
    for version in range(before + 1, after + 1):
        entry = folder / "_delta_log" / f"{version:020d}.json"
        if not entry.is_file():
            return None  # Delta has tidied its log
        actions = [json.loads(line) for line in entry.read_text().splitlines() if line.strip()]
        if any(_changes_data(action.get("remove")) for action in actions):
            return None
        added += [folder / unquote(action["add"]["path"]) for action in actions if _changes_data(action.get("add"))]
    return added if all(path.is_file() for path in added) else None


def _changes_data(action: dict[str, Any] | None) -> bool:
    return action is not None and bool(action.get("dataChange", True))


def _first_shown(files: list[str]) -> datetime | None:
    if not files:
        return None
    with open_connection() as connection:
        query = f"SELECT min(greatest(event_timestamp, created_timestamp)) FROM {parquet_relation(files)}"  # noqa: S608
        first: datetime | None = first_row(connection, query)[0]
    return first


def _uris(warehouse: Warehouse, table: str) -> list[str]:
    delta = _table(warehouse, table).opened_with_rows()
    return [] if delta is None else list(delta.file_uris())


def _table(warehouse: Warehouse, name: str) -> AppendOnlyTable:
    return AppendOnlyTable(warehouse.root / name, warehouse.contract(name))
