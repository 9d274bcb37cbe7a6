"""The warehouse: append-only Delta tables, one per canonical table, read through DuckDB."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import NotFoundError
from warehouse.checks import check_rows
from warehouse.contracts import CONTRACTS, Column, Contract
from warehouse.delta_tables import AppendOnlyTable
from warehouse.erasures import Erasures
from warehouse.extensions import declare, extended_contract
from warehouse.quarantine import Quarantine
from warehouse.views import (
    contract_of,
    create_empty_view,
    create_view,
    first_row,
    ibis_tables,
    memory_tables,
    open_connection,
    parquet_relation,
)

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa
    from deltalake import DeltaTable
    from duckdb import DuckDBPyConnection

__all__ = ["LoadCount", "Warehouse", "memory_tables"]

BATCH_ROWS = 1_000_000
"""Rows that are checked and committed together."""
BATCH_BYTES = 256 * 2**20
"""Size at which fewer rows are enough."""


@dataclass(frozen=True)
class LoadCount:
    """What became of the rows offered to a table: ``read == loaded + known + quarantined``.

    Args:
        read: Rows offered.
        loaded: Rows that are new and went in.
        known: Rows whose whole content was there already, or came twice.
        quarantined: Rows that broke the contract.
        reasons: Quarantined rows by reason.
        corrected: Those of the loaded rows that say something else of what the table held before.
    """

    read: int
    loaded: int
    known: int
    quarantined: int
    reasons: dict[str, int]
    corrected: int = 0

    def __add__(self, other: LoadCount) -> LoadCount:
        """The counts of two loads together."""
        return LoadCount(
            read=self.read + other.read,
            loaded=self.loaded + other.loaded,
            known=self.known + other.known,
            quarantined=self.quarantined + other.quarantined,
            reasons=dict(sorted((Counter(self.reasons) + Counter(other.reasons)).items())),
            corrected=self.corrected + other.corrected,
        )


class Warehouse:
    """A CRM's history as append-only Delta tables below one folder.

    Reading never blocks writing: a reader sees the version of each table that was newest when it opened its views.

    Args:
        root: Folder of the tables; it is made by the first append.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.quarantine = Quarantine(root)

    def tables(self) -> tuple[str, ...]:
        """Canonical tables that hold rows, in the order of the contracts."""
        return tuple(table for table in CONTRACTS if self._delta(table) is not None)

    def contract(self, table: str) -> Contract:
        """The contract of a table, with the sources' own fields that this warehouse keeps.

        Raises:
            ContractError: if there is no such table.
        """
        return extended_contract(self.root, contract_of(table))

    def append(
        self,
        table: str,
        rows: pa.Table | pa.RecordBatchReader,
        *,
        origin: str,
        extension: Sequence[Column] = (),
        progress: Callable[[int], None] | None = None,
    ) -> LoadCount:
        """Add the rows that keep the table's contract and are not there yet.

        Rows that break the contract go to quarantine with the reason; so does a row whose optional column
        `quarantine_reason` is not null. Appending the same rows again changes nothing. Several processes may append.
        Rows about people who were forgotten go in without saying who they were. A table is one atomic commit; of a
        stream, each million rows or so are one, so that it is never held whole and a killed load is completed by the
        same load again.

        Args:
            table: Canonical table.
            rows: Columns of the contract, some or all, both times among them with a time zone; in any order.
            origin: Where the rows come from, for the quarantine and the table's history.
            extension: The source's own fields among the columns, which the warehouse keeps from now on.
            progress: Called with the rows read so far.

        Raises:
            ContractError: if there is no such table or column, or times have no time zone.
            UnavailableError: if other writers kept winning the race for the table.
        """
        contract = contract_of(table)
        contract = declare(self.root, contract, extension) if extension else extended_contract(self.root, contract)
        delta_table = AppendOnlyTable(self.root / table, contract)
        before = self._files(table)
        added: list[str] = []
        total = LoadCount(0, 0, 0, 0, {})
        for batch in _batches(rows):
            count, files = self._append_batch(delta_table, batch, origin=origin)
            total += count
            added += files
            if progress is not None:
                progress(total.read)
        delta_table.compact()
        return replace(total, corrected=delta_table.corrected(added, before))

    def row_count(self, table: str) -> int:
        """Rows of a table; 0 if it is absent."""
        contract_of(table)
        files = self._files(table)
        return _scalar(f"SELECT count(*) FROM {parquet_relation(files)}") if files else 0  # noqa: S608

    def versions(self) -> dict[str, int]:
        """Delta version of each table that holds rows."""
        return {table: int(delta.version()) for table in CONTRACTS if (delta := self._delta(table)) is not None}

    def fingerprint(self) -> str:
        """Digest of all rows of all tables, whatever their order and the number of appends: 16 hexadecimal digits.

        Equal for equal content, in any folder; different as soon as a row is added.
        """
        contents = {
            table: (content.rows, content.digest)
            for table in CONTRACTS
            if (delta := self._delta(table)) is not None and (content := self._table(table).content(delta))
        }
        return hashlib.sha256(json.dumps(contents).encode()).hexdigest()[:16]

    def cut(self) -> datetime:
        """The newest `created_timestamp` of all tables, UTC: the moment up to which the warehouse knows the world.

        Raises:
            NotFoundError: if the warehouse is empty.
        """
        files = [uri for table in CONTRACTS for uri in self._files(table)]
        if not files:
            raise NotFoundError(
                f"The warehouse in {self.root} is empty", next_step="load a source first: `salience ingest`"
            )
        newest: datetime = _scalar(f"SELECT max(created_timestamp) FROM {parquet_relation(files)}")  # noqa: S608
        return newest

    def duckdb(self) -> DuckDBPyConnection:
        """A new connection with one view per canonical table; absent tables are empty and typed. Time zone UTC."""
        connection = open_connection()
        for table in CONTRACTS:
            self._create_view(connection, self.contract(table), self._delta(table))
        return connection

    def ibis(self) -> dict[str, ir.Table]:
        """The canonical tables as Ibis tables on one new DuckDB connection; not for use by several threads at once."""
        return ibis_tables(self.duckdb(), [self.contract(table) for table in CONTRACTS])

    def _append_batch(
        self, delta_table: AppendOnlyTable, rows: pa.Table, *, origin: str
    ) -> tuple[LoadCount, tuple[str, ...]]:
        checked = check_rows(rows, delta_table.contract)
        erasures = Erasures.of(self.root)
        self.quarantine.add(delta_table.contract.table, erasures.without_erased(checked.bad), origin=origin)
        added = delta_table.append(erasures.anonymise(checked.good, delta_table.contract), origin=origin)
        count = LoadCount(
            read=rows.num_rows,
            loaded=added.rows,
            known=checked.good.num_rows - added.rows,
            quarantined=checked.bad.num_rows,
            reasons=checked.reasons,
        )
        return count, added.files

    def _table(self, table: str) -> AppendOnlyTable:
        return AppendOnlyTable(self.root / table, self.contract(table))

    def _delta(self, table: str) -> DeltaTable | None:
        """The table, if it holds rows."""
        return self._table(table).opened_with_rows()

    def _files(self, table: str) -> list[str]:
        delta = self._delta(table)
        return [] if delta is None else list(delta.file_uris())

    def _create_view(self, connection: DuckDBPyConnection, contract: Contract, delta: DeltaTable | None) -> None:
        if delta is None:
            create_empty_view(connection, contract)
            return
        present = {field.name for field in delta.schema().fields}
        create_view(connection, contract, parquet_relation(delta.file_uris()), present)


def _batches(rows: pa.Table | pa.RecordBatchReader) -> Iterator[pa.Table]:
    """A table as it is; a stream in tables of about a million rows, fewer where rows are wide."""
    import pyarrow as pa

    if isinstance(rows, pa.Table):
        yield rows
        return
    held: list[pa.RecordBatch] = []
    for batch in rows:
        held.append(batch)
        if sum(b.num_rows for b in held) >= BATCH_ROWS or sum(b.nbytes for b in held) >= BATCH_BYTES:
            yield pa.Table.from_batches(held, rows.schema)
            held = []
    if held:
        yield pa.Table.from_batches(held, rows.schema)


def _scalar(query: str) -> Any:
    with open_connection() as connection:
        return first_row(connection, query)[0]
