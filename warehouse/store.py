"""The warehouse: append-only Delta tables, one per canonical table, read through DuckDB."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import NotFoundError, UnavailableError
from warehouse.checks import check_rows
from warehouse.contracts import CONTRACTS, Contract
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
    quoted,
)

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa
    from deltalake import DeltaTable
    from duckdb import DuckDBPyConnection

__all__ = ["LoadCount", "Warehouse", "memory_tables"]

_LOG = logging.getLogger(__name__)
_COMMIT_KEY = "salience"
_COMMIT_TRIES = 5
_CONTENT_MODULUS = 2**127
"""Sums of row hashes wrap here, inside DuckDB's 128-bit integers."""


@dataclass(frozen=True)
class LoadCount:
    """What became of the rows offered to a table: ``read == loaded + known + quarantined``.

    Args:
        read: Rows offered.
        loaded: Rows that are new and went in.
        known: Rows whose whole content was there already, or came twice.
        quarantined: Rows that broke the contract.
        reasons: Quarantined rows by reason.
    """

    read: int
    loaded: int
    known: int
    quarantined: int
    reasons: dict[str, int]


@dataclass(frozen=True)
class _Content:
    """Size and order-free digest of a table's rows."""

    rows: int
    digest: int


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

    def append(self, table: str, rows: pa.Table, *, origin: str) -> LoadCount:
        """Add the rows that keep the table's contract and are not there yet, in one atomic commit.

        Rows that break the contract go to quarantine with the reason; so does a row whose optional column
        `quarantine_reason` is not null. Appending the same rows again changes nothing. Several processes may append.

        Args:
            table: Canonical table.
            rows: Columns of the contract, some or all, both times among them with a time zone; in any order.
            origin: Where the rows come from, for the quarantine and the table's history.

        Raises:
            ContractError: if there is no such table or column, or times have no time zone.
            UnavailableError: if other writers kept winning the race for the table.
        """
        contract = contract_of(table)
        checked = check_rows(rows, contract)
        self.quarantine.add(table, checked.bad, origin=origin)
        loaded = self._commit(contract, checked.good, origin=origin)
        return LoadCount(
            read=rows.num_rows,
            loaded=loaded,
            known=checked.good.num_rows - loaded,
            quarantined=checked.bad.num_rows,
            reasons=checked.reasons,
        )

    def row_count(self, table: str) -> int:
        """Rows of a table; 0 if it is absent."""
        contract_of(table)
        delta = self._delta(table)
        return 0 if delta is None else _scalar(f"SELECT count(*) FROM {parquet_relation(delta.file_uris())}")  # noqa: S608

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
            if (delta := self._delta(table)) is not None and (content := _content(CONTRACTS[table], delta))
        }
        return hashlib.sha256(json.dumps(contents).encode()).hexdigest()[:16]

    def cut(self) -> datetime:
        """The newest `created_timestamp` of all tables, UTC: the moment up to which the warehouse knows the world.

        Raises:
            NotFoundError: if the warehouse is empty.
        """
        files = [uri for table in CONTRACTS if (delta := self._delta(table)) is not None for uri in delta.file_uris()]
        if not files:
            raise NotFoundError(
                f"The warehouse in {self.root} is empty", next_step="load a source first: `salience ingest`"
            )
        newest: datetime = _scalar(f"SELECT max(created_timestamp) FROM {parquet_relation(files)}")  # noqa: S608
        return newest

    def duckdb(self) -> DuckDBPyConnection:
        """A new connection with one view per canonical table; absent tables are empty and typed. Time zone UTC."""
        connection = open_connection()
        for contract in CONTRACTS.values():
            self._create_view(connection, contract, self._delta(contract.table))
        return connection

    def ibis(self) -> dict[str, ir.Table]:
        """The canonical tables as Ibis tables on one new DuckDB connection; not for use by several threads at once."""
        return ibis_tables(self.duckdb())

    def _delta(self, table: str) -> DeltaTable | None:
        """The table, if it holds rows."""
        delta = self._open(table)
        return delta if delta is not None and delta.file_uris() else None

    def _open(self, table: str) -> DeltaTable | None:
        from deltalake import DeltaTable

        path = self.root / table
        return DeltaTable(path) if path.is_dir() and DeltaTable.is_deltatable(str(path)) else None

    def _create_view(
        self, connection: DuckDBPyConnection, contract: Contract, delta: DeltaTable | None, extra: str = ""
    ) -> None:
        if delta is None or not delta.file_uris():
            create_empty_view(connection, contract)
            return
        present = {field.name for field in delta.schema().fields}
        create_view(connection, contract, parquet_relation(delta.file_uris()) + extra, present)

    def _commit(self, contract: Contract, good: pa.Table, *, origin: str) -> int:
        """Write the rows of `good` that are new; returns their number. Tries again when another writer was faster."""
        from deltalake.exceptions import DeltaError

        if good.num_rows == 0:
            return 0
        for attempt in range(_COMMIT_TRIES):
            delta = self._open(contract.table)
            fresh, digest = self._fresh(contract, good, delta)
            if fresh.num_rows == 0:
                return 0
            try:
                self._write(contract, fresh, digest, delta, origin=origin)
            except DeltaError as error:
                if self._version(contract.table) == (None if delta is None else int(delta.version())):
                    raise
                _LOG.info("another writer appended to %s first (try %d): %s", contract.table, attempt + 1, error)
                continue
            return int(fresh.num_rows)
        raise UnavailableError(
            f"{contract.table} could not be written: other writers were faster {_COMMIT_TRIES} times",
            next_step="run the same command again",
        )

    def _version(self, table: str) -> int | None:
        delta = self._open(table)
        return None if delta is None else int(delta.version())

    def _fresh(self, contract: Contract, good: pa.Table, delta: DeltaTable | None) -> tuple[pa.Table, int]:
        """Rows of `good` that the table does not hold, each once, in time order, and the sum of their hashes."""
        with open_connection() as connection:
            connection.register("good", good)
            # Only rows of the same span of time can be equal: Parquet's statistics skip the other files.
            first, last = first_row(connection, "SELECT min(event_timestamp), max(event_timestamp) FROM good")
            span = f" WHERE event_timestamp BETWEEN '{first.isoformat()}' AND '{last.isoformat()}'"
            self._create_view(connection, contract, delta, span)
            table, key = quoted(contract.table), quoted(contract.key)
            connection.execute(f"CREATE TABLE fresh AS SELECT * FROM good EXCEPT SELECT * FROM {table}")  # noqa: S608
            digest = _digest(connection, "fresh")
            order = f"event_timestamp, created_timestamp, {key}"
            fresh = connection.sql(f"SELECT * FROM fresh ORDER BY {order}").to_arrow_table()  # noqa: S608
        return fresh.cast(contract.arrow_schema), digest

    def _write(
        self, contract: Contract, fresh: pa.Table, digest: int, delta: DeltaTable | None, *, origin: str
    ) -> None:
        from deltalake import CommitProperties, write_deltalake

        before = _content(contract, delta) if delta is not None and delta.file_uris() else _Content(rows=0, digest=0)
        after = {"rows": before.rows + fresh.num_rows, "digest": str((before.digest + digest) % _CONTENT_MODULUS)}
        # No retries by Delta itself: a second writer's rows must be compared with the first one's.
        properties = CommitProperties({_COMMIT_KEY: json.dumps(after | {"origin": origin})}, max_commit_retries=0)
        if delta is None:
            # Not "append": that would add to a table which another writer has made since we looked.
            write_deltalake(self.root / contract.table, fresh, mode="error", commit_properties=properties)
        else:
            write_deltalake(delta, fresh, mode="append", schema_mode="merge", commit_properties=properties)


def _content(contract: Contract, delta: DeltaTable) -> _Content:
    """Size and digest of a table: noted in its newest commit, or counted when that commit is not ours."""
    noted = delta.history(1)[0].get(_COMMIT_KEY)
    if noted is not None:
        content = json.loads(noted)
        return _Content(rows=content["rows"], digest=int(content["digest"]))
    with open_connection() as connection:
        present = {field.name for field in delta.schema().fields}
        create_view(connection, contract, parquet_relation(delta.file_uris()), present)
        table = quoted(contract.table)
        rows = first_row(connection, f"SELECT count(*) FROM {table}")[0]  # noqa: S608
        return _Content(rows=rows, digest=_digest(connection, table))


def _digest(connection: DuckDBPyConnection, relation: str) -> int:
    # 64-bit halves of MD5: their sum over any real table stays inside 128 bits.
    summed = f"SELECT coalesce(sum(md5_number_lower(to_json(r)::VARCHAR)::HUGEINT), 0) FROM {relation} r"  # noqa: S608
    return int(first_row(connection, summed)[0]) % _CONTENT_MODULUS


def _scalar(query: str) -> Any:
    with open_connection() as connection:
        return first_row(connection, query)[0]
