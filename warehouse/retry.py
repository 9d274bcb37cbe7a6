"""The way back from quarantine: held rows go through the mended mapping and the contract once more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import InputError, NotFoundError, shorten
from warehouse.checks import check_rows
from warehouse.contracts import TIME_COLUMNS, Column
from warehouse.retry_reading import (
    TRACE_COLUMN,
    TRACED,
    HeldRow,
    canonical_table,
    read_again,
    read_view,
    rows_in_files,
    traced_id,
)
from warehouse.sources import Source
from warehouse.store import Warehouse
from warehouse.views import all_columns, contract_of, quoted

if TYPE_CHECKING:
    import pyarrow as pa


_NOT_IN_DATA = "the row is not in the files that were given for the retry"


@dataclass(frozen=True)
class RetryReport:
    """What became of the quarantined rows: ``tried == released + superseded + left_out + kept``.

    Args:
        tried: Rows that were in quarantine.
        released: Rows that are in the warehouse now.
        superseded: Rows let go because a mended row of the same thing and times has come in meanwhile.
        left_out: Rows let go because the mapping does not want them any more.
        kept: Rows that stay.
        reasons: The latter by reason.
        need_data: Those of them that only `data` can help: they feed a view that reads other files too.
    """

    tried: int
    released: int
    superseded: int
    left_out: int
    kept: int
    reasons: dict[str, int]
    need_data: int


@dataclass
class _Verdicts:
    """What was found of each row, by id."""

    released: set[str] = field(default_factory=set)
    superseded: set[str] = field(default_factory=set)
    left_out: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    need_data: set[str] = field(default_factory=set)


def retry_quarantine(
    warehouse: Warehouse,
    source: Source,
    *,
    table: str | None = None,
    ids: Sequence[str] = (),
    data: Path | None = None,
) -> RetryReport:
    """Let a source's quarantined rows try again; those that pass are appended and released.

    A row that could not be read is held as it came: it is read anew through the mapping. A row that broke its contract
    is held in canonical columns: it is checked anew, and let go if a mended row of the same thing and times has come in
    with a later load. A line that was no row stays. What still fails stays with its new reason.

    Args:
        warehouse: The warehouse.
        source: The source, with its mapping as it is now.
        table: Canonical table; None for all.
        ids: Ids of the rows; none for all of the source.
        data: Folder of the source's files: needed for rows that feed a view, which reads other files and rows too.

    Raises:
        NotFoundError: if an id is not in the source's quarantine.
        InputError: if `data` is not a folder.
        ContractError: if there is no such table.
        SourceError: if the files of `data` cannot be read through the mapping.
    """
    if table is not None:
        contract_of(table)
    if data is not None and not data.is_dir():
        raise InputError(f"There is no folder {data}", next_step="give the folder of the source's files")
    held = _held_rows(warehouse, source, table, ids)
    verdicts = _Verdicts()
    for (name, relation), rows in _grouped(held).items():
        _retry_group(warehouse, source, name, relation, rows, data, verdicts)
    warehouse.quarantine.release(verdicts.released | verdicts.superseded | verdicts.left_out)
    _keep_new_reasons(warehouse, held, verdicts)
    return _report(held, verdicts)


def _held_rows(warehouse: Warehouse, source: Source, table: str | None, ids: Sequence[str]) -> list[HeldRow]:
    names = ("id", "table", "reason", "origin", "row")
    rows = warehouse.quarantine.rows(table).select(list(names)).to_pylist()
    held = [HeldRow(**row) for row in rows if row["origin"].partition("/")[0] == source.name]
    unknown = sorted(set(ids) - {row.id for row in held})
    if unknown:
        raise NotFoundError(
            f"The quarantine holds no row {shorten(unknown)} of source '{source.name}'",
            next_step="see the ids with `salience quarantine list`",
        )
    return [row for row in held if not ids or row.id in set(ids)]


def _grouped(held: Iterable[HeldRow]) -> dict[tuple[str, str], list[HeldRow]]:
    groups: dict[tuple[str, str], list[HeldRow]] = {}
    for row in held:
        groups.setdefault((row.table, row.relation), []).append(row)
    return groups


def _retry_group(
    warehouse: Warehouse,
    source: Source,
    table: str,
    relation: str,
    rows: Sequence[HeldRow],
    data: Path | None,
    verdicts: _Verdicts,
) -> None:
    """Retry the rows that one file or view offered to one table."""
    known = {column.name for column in all_columns(warehouse.contract(table))}
    canonical = [row for row in rows if row.values is not None and set(TIME_COLUMNS) <= row.values.keys() <= known]
    raw = [row for row in rows if row.values is not None and row not in canonical]
    origin = f"{source.name}/{relation}"
    if canonical:
        _judge(warehouse, table, canonical_table(canonical), (), origin, verdicts)
    mapping = source.mapping
    if raw and relation in mapping.files:
        for rows_again, extension in read_again(mapping, table, relation, raw):
            _judge(warehouse, table, rows_again, extension, origin, verdicts)
        seen = verdicts.released | verdicts.superseded | verdicts.refused.keys()
        verdicts.left_out |= {row.id for row in raw} - seen
    elif raw and data is not None and relation in mapping.views:
        _retry_view(warehouse, source, table, relation, raw, data, verdicts)
    else:
        verdicts.need_data |= {row.id for row in raw}


def _judge(
    warehouse: Warehouse, table: str, rows: pa.Table, own: Sequence[Column], origin: str, verdicts: _Verdicts
) -> None:
    """Check rows that carry their id, append the good ones, and note a verdict on each."""
    contract = warehouse.contract(table).extended(own).extended([TRACE_COLUMN])
    checked = check_rows(rows, contract)
    bad = zip(checked.bad.column("row").to_pylist(), checked.bad.column("reason").to_pylist(), strict=True)
    refused = {traced_id(row): reason for row, reason in bad}
    arrived = _arrived(warehouse, table, rows, refused.keys())
    verdicts.superseded |= arrived
    verdicts.refused |= {row: reason for row, reason in refused.items() if row not in arrived}
    if checked.good.num_rows:
        warehouse.append(table, checked.good.drop_columns([TRACED]), origin=origin, extension=own)
        verdicts.released |= set(checked.good.column(TRACED).to_pylist())
    # A row that feeds two entries is free only when both take it.
    verdicts.released -= verdicts.refused.keys()
    verdicts.superseded -= verdicts.released


def _arrived(warehouse: Warehouse, table: str, rows: pa.Table, ids: Iterable[str]) -> set[str]:
    """Those of the refused rows whose thing has a row of the same two times in the table: a mended one."""
    wanted = set(ids)
    key = warehouse.contract(table).key
    names = (key, *TIME_COLUMNS)
    if not wanted or not set(names) <= set(rows.column_names):
        return set()
    condition = " AND ".join(f"t.{quoted(name)} = TRY_CAST(o.{quoted(name)} AS TIMESTAMPTZ)" for name in TIME_COLUMNS)
    with warehouse.duckdb() as connection:
        connection.register("offered", rows.select([*names, TRACED]))
        found = connection.execute(
            f"SELECT DISTINCT o.{TRACED} FROM offered o JOIN {quoted(table)} t "  # noqa: S608
            f"ON t.{quoted(key)} = o.{quoted(key)}::VARCHAR AND {condition}"
        ).fetchall()
    return {str(row) for (row,) in found} & wanted


def _retry_view(
    warehouse: Warehouse,
    source: Source,
    table: str,
    relation: str,
    rows: Sequence[HeldRow],
    data: Path,
    verdicts: _Verdicts,
) -> None:
    """Read a view again over all its files: a row is free if it is in the data and is refused no more."""
    still: dict[str, str] = {}
    for extract in read_view(source.mapping, table, relation, data):
        contract = warehouse.contract(table).extended(extract.extension)
        checked = check_rows(extract.rows.read_all(), contract)
        origin = f"{source.name}/{relation}"
        warehouse.append(table, checked.good, origin=origin, extension=extract.extension)
        bad = checked.bad
        still |= dict(zip(bad.column("row").to_pylist(), bad.column("reason").to_pylist(), strict=True))
    present = rows_in_files(source.mapping, data, [row.row for row in rows])
    verdicts.refused |= {row.id: still[row.row] for row in rows if row.row in still}
    verdicts.released |= {row.id for row in rows if row.row not in still and row.row in present}
    verdicts.refused |= {row.id: _NOT_IN_DATA for row in rows if row.row not in still and row.row not in present}


def _keep_new_reasons(warehouse: Warehouse, held: Sequence[HeldRow], verdicts: _Verdicts) -> None:
    import pyarrow as pa

    changed = [row for row in held if verdicts.refused.get(row.id, row.reason) != row.reason]
    for (table, origin), rows in _by_origin(changed).items():
        texts = {"reason": [verdicts.refused[row.id] for row in rows], "row": [row.row for row in rows]}
        bad = pa.table({name: pa.array(values, pa.string()) for name, values in texts.items()})
        warehouse.quarantine.add(table, bad, origin=origin)


def _by_origin(rows: Iterable[HeldRow]) -> dict[tuple[str, str], list[HeldRow]]:
    groups: dict[tuple[str, str], list[HeldRow]] = {}
    for row in rows:
        groups.setdefault((row.table, row.origin), []).append(row)
    return groups


def _report(held: Sequence[HeldRow], verdicts: _Verdicts) -> RetryReport:
    gone = verdicts.released | verdicts.superseded | verdicts.left_out
    kept = [row for row in held if row.id not in gone]
    return RetryReport(
        tried=len(held),
        released=len(verdicts.released),
        superseded=len(verdicts.superseded),
        left_out=len(verdicts.left_out),
        kept=len(kept),
        reasons=dict(sorted(Counter(verdicts.refused.get(row.id, row.reason) for row in kept).items())),
        need_data=len(verdicts.need_data),
    )
