"""A dry run of a mapping: what its files would become, without writing anything."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import shorten
from warehouse.checks import Checked, check_rows
from warehouse.connectors import Extract, FileConnector, Part, Remark
from warehouse.contracts import TIME_COLUMNS, Contract
from warehouse.mapping import Mapping
from warehouse.sources import Source
from warehouse.views import all_columns, contract_of

if TYPE_CHECKING:
    import pyarrow as pa

_FIRST_ROWS = 5
_REFUSED_ROWS = 2_000
"""Refused rows whose values are looked at."""

_NOT_ALLOWED = " is not one of "


@dataclass(frozen=True)
class TableCheck:
    """What one canonical table would get.

    Args:
        table: The table.
        relations: Files and views that its rows come from.
        read: Rows offered.
        good: Those that keep the contract.
        bad: Those that would go to quarantine; ``read == good + bad``.
        reasons: The latter by reason.
        first_rows: The first good rows as they would land, with the columns that the mapping fills.
        lacking: Canonical columns that the mapping does not fill.
        unmatched: Values that a column with a fixed list of words does not allow, with the rows they are in.
        warnings: What is allowed and yet seldom meant, a sentence each.
    """

    table: str
    relations: tuple[str, ...]
    read: int
    good: int
    bad: int
    reasons: dict[str, int]
    first_rows: pa.Table
    lacking: tuple[str, ...]
    unmatched: dict[str, dict[str, int]]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class CheckReport:
    """What a mapping would make of a folder of files.

    Args:
        source: Name of the source.
        tables: One check per canonical table, in the mapping's order.
        remarks: What was seen in the files: columns not read, lacking or late, values without a partner.
        warnings: What concerns the mapping as a whole.
    """

    source: str
    tables: tuple[TableCheck, ...]
    remarks: tuple[Remark, ...]
    warnings: tuple[str, ...]

    @property
    def is_usable(self) -> bool:
        """Whether loading would succeed: every table that is given rows gets at least one good one, and one is."""
        given = [table for table in self.tables if table.read]
        return bool(given) and all(table.good for table in given)


def check_mapping(mapping: Mapping | Source, data: Path, *, first_rows: int = _FIRST_ROWS) -> CheckReport:
    """Read a folder of files through a mapping and check every row, writing nothing.

    Args:
        mapping: The mapping, or its source.
        data: Folder the files lie in.
        first_rows: Rows to show of each table.

    Raises:
        SourceError: if the folder or a file is missing, cannot be read or lacks columns, or an expression fails.
    """
    plain = mapping.mapping if isinstance(mapping, Source) else mapping
    now = datetime.now(UTC)
    tallies: dict[str, _Tally] = {}
    with FileConnector(plain, data) as connector:
        for part in connector.parts():
            for extract in connector.extracts(part, since=None):
                tally = tallies.setdefault(part.table, _Tally(_contract(extract), now, first_rows))
                tally.contract = tally.contract.extended(extract.extension)
                tally.take(part, extract)
        remarks = connector.remarks()
    tables = tuple(tally.result() for tally in tallies.values())
    return CheckReport(plain.name, tables, remarks, tuple(_overall(plain, tables)))


def _contract(extract: Extract) -> Contract:
    return contract_of(extract.table).extended(extract.extension)


def _overall(mapping: Mapping, tables: Sequence[TableCheck]) -> Iterator[str]:
    absent = {entry.table for entry in mapping.tables} - {table.table for table in tables}
    if absent:
        yield f"No file feeds {', '.join(sorted(absent))}: their optional files are not there."
    empty = [table.table for table in tables if not table.read]
    if empty:
        yield f"No rows come for {', '.join(empty)}."
    refused = [table.table for table in tables if table.read and not table.good]
    if refused:
        yield f"Loading would be refused: every row of {', '.join(refused)} breaks its contract."


@dataclass
class _Tally:
    """What is counted of a table's rows while they pass."""

    contract: Contract
    now: datetime
    wanted: int
    relations: dict[str, None] = field(default_factory=dict)
    read: int = 0
    good: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[str, str]] = field(default_factory=list)
    first: list[pa.Table] = field(default_factory=list)
    filled: Counter[str] = field(default_factory=Counter)
    offered: dict[str, None] = field(default_factory=dict)
    span: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)
    early: int = 0
    future: int = 0

    def take(self, part: Part, extract: Extract) -> None:
        """Check the rows of one extract, batch by batch, and count."""
        import pyarrow as pa

        self.relations[part.relation] = None
        named = {column.name for column in all_columns(self.contract)}
        self.offered |= dict.fromkeys(name for name in extract.rows.schema.names if name in named)
        for batch in extract.rows:
            if batch.num_rows:
                self._count(check_rows(pa.Table.from_batches([batch]), self.contract), batch.num_rows)

    def _count(self, checked: Checked, read: int) -> None:
        self.read += read
        self.good += checked.good.num_rows
        self.reasons.update(checked.reasons)
        room = _REFUSED_ROWS - len(self.refused)
        bad = checked.bad.slice(0, room)
        self.refused += zip(bad.column("reason").to_pylist(), bad.column("row").to_pylist(), strict=True)
        if not checked.good.num_rows:
            return
        missing = self.wanted - sum(table.num_rows for table in self.first)
        if missing > 0:
            self.first.append(checked.good.slice(0, missing))
        for name in checked.good.column_names:
            column = checked.good.column(name)
            self.filled[name] += len(column) - column.null_count
        self._count_times(checked.good)

    def _count_times(self, good: pa.Table) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        event, created = (good.column(name) for name in TIME_COLUMNS)
        for name, times in zip(TIME_COLUMNS, (event, created), strict=True):
            low, high = pc.min(times).as_py(), pc.max(times).as_py()
            before = self.span.get(name, (low, high))
            self.span[name] = (min(before[0], low), max(before[1], high))
        now = pa.scalar(self.now, event.type)
        self.early += int(pc.sum(pc.greater(event, created)).as_py())
        self.future += int(pc.sum(pc.or_(pc.greater(event, now), pc.greater(created, now))).as_py())

    def result(self) -> TableCheck:
        """The check of the table."""
        names = [column.name for column in all_columns(self.contract)]
        kept = [name for name in names if name in self.offered or name in TIME_COLUMNS]
        return TableCheck(
            table=self.contract.table,
            relations=tuple(self.relations),
            read=self.read,
            good=self.good,
            bad=self.read - self.good,
            reasons=dict(self.reasons.most_common()),
            first_rows=self._first_rows(kept),
            lacking=tuple(name for name in names if name not in kept),
            unmatched=self._unmatched(),
            warnings=tuple(self._warnings(kept)),
        )

    def _first_rows(self, names: Sequence[str]) -> pa.Table:
        import pyarrow as pa

        empty = self.contract.arrow_schema.empty_table()
        return pa.concat_tables([empty, *self.first], promote_options="default").select(list(names))

    def _unmatched(self) -> dict[str, dict[str, int]]:
        """Values that broke an enumeration, by column, as far as the refused rows that were looked at show them."""
        found: dict[str, Counter[str]] = {}
        for reason, row in self.refused:
            values = json.loads(row)
            for part in reason.split("; "):
                column, sign, _ = part.partition(_NOT_ALLOWED)
                if sign and isinstance(values, dict) and values.get(column) is not None:
                    found.setdefault(column, Counter())[str(values[column])] += 1
        return {column: dict(values.most_common()) for column, values in found.items()}

    def _warnings(self, names: Sequence[str]) -> Iterator[str]:
        empty = [name for name in names if self.good and not self.filled[name]]
        if empty:
            yield f"{shorten(empty, limit=20)} {'is' if len(empty) == 1 else 'are'} filled in no row."
        for name, (low, high) in self.span.items():
            if low == high and self.good > 1:
                yield f"All {self.good} rows have the same {name}: {low.isoformat()}."
        if self.early:
            yield (
                f"{self.early} rows are known (created_timestamp) before they happened (event_timestamp): "
                "right for plans, wrong for what was recorded afterwards."
            )
        if self.future:
            yield f"{self.future} rows lie in the future: check the order of day and month, and the time zone."
