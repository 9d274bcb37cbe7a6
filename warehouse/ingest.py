"""Loading a source: connector, contract, quarantine, append. Again changes nothing and reads only what is new."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from common.errors import SourceError
from warehouse.connectors import Connector, Extract, FileConnector, Part, Remark
from warehouse.loads import Load, Loads
from warehouse.sources import Source
from warehouse.store import LoadCount, Warehouse

_SHOWN_REASONS = 3
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class IngestReport(Mapping[str, LoadCount]):
    """What became of a source's rows; itself a mapping from canonical table to its count.

    Args:
        counts: Count per canonical table; rows that were not read again count as read and known.
        remarks: What one should know about the source: columns left out or known late, references without a partner.
        parts_read: Parts (a table and a file that feeds it) that were read.
        parts_known: Parts that were loaded before and had not changed, so were not read.
    """

    counts: Mapping[str, LoadCount]
    remarks: tuple[Remark, ...]
    parts_read: tuple[str, ...]
    parts_known: tuple[str, ...]

    def __getitem__(self, table: str) -> LoadCount:
        return self.counts[table]

    def __iter__(self) -> Iterator[str]:
        return iter(self.counts)

    def __len__(self) -> int:
        return len(self.counts)


def ingest(source: Source, data: Path, warehouse: Warehouse, *, progress: Progress | None = None) -> IngestReport:
    """Load everything a folder of a source's files holds into the warehouse.

    Files that were loaded before and have not changed are not read again. Rows that break a contract are in
    `warehouse.quarantine` with their reasons; for each table read = loaded + known + quarantined. A load
    that was killed is completed by loading again.

    Args:
        source: The source.
        data: Folder its files lie in.
        warehouse: Where to load to.
        progress: Called with the table being loaded, rows of it done, and rows in all (the estimate while reading).

    Raises:
        SourceError: if the folder is missing or empty, a file is missing, cannot be read or lacks columns, or holds no
            usable row.
    """
    with FileConnector(source.mapping, data) as connector:
        return load(source, connector, warehouse, progress=progress)


def load(
    source: Source, connector: Connector, warehouse: Warehouse, *, progress: Progress | None = None
) -> IngestReport:
    """Load what a connector gives, part by part; each part is noted when all its rows are in.

    Raises:
        SourceError: if the source cannot be read, or holds no usable row.
    """
    loads = Loads(warehouse.root, source.mapping)
    counts: dict[tuple[str, str], LoadCount] = {}
    read: list[str] = []
    known: list[str] = []
    before = {part.name: loads.of(part) for part in connector.parts()}
    for part in connector.parts():
        last = before[part.name]
        if last is not None and connector.is_unchanged(part, last.cursor):
            count = _all_known(last.count)
            known.append(part.name)
        else:
            count = _load_part(source, connector, part, last, warehouse, loads, progress)
            read.append(part.name)
        key = (part.table, part.relation)
        counts[key] = counts[key] + count if key in counts else count
    _refuse_unusable(source, counts)
    return IngestReport(_by_table(counts), connector.remarks(), tuple(read), tuple(known))


def _load_part(
    source: Source,
    connector: Connector,
    part: Part,
    last: Load | None,
    warehouse: Warehouse,
    loads: Loads,
    progress: Progress | None,
) -> LoadCount:
    total = LoadCount(0, 0, 0, 0, {})
    origin = f"{source.name}/{part.relation}"
    for extract in connector.extracts(part, since=None if last is None else last.cursor):
        told = _teller(extract, total.read, progress)
        total += warehouse.append(
            extract.table, extract.rows, origin=origin, extension=extract.extension, progress=told
        )
        if _is_usable(total):
            loads.note(part, Load(extract.cursor, total))
    if progress is not None:
        progress(f"load {part.table}", total.read, total.read)
    return total


def _teller(extract: Extract, done: int, progress: Progress | None) -> Callable[[int], None] | None:
    """Tells the rows done of an extract, and of the extracts before it."""
    if progress is None:
        return None
    return lambda rows: progress(
        f"load {extract.table}", done + rows, max(done + rows, done + (extract.expected_rows or 0))
    )


def _all_known(count: LoadCount) -> LoadCount:
    """The count of a part that is not read again: what went in then is known now."""
    return replace(count, loaded=0, known=count.loaded + count.known, corrected=0)


def _is_usable(count: LoadCount) -> bool:
    return count.read == 0 or count.read > count.quarantined


def _by_table(counts: dict[tuple[str, str], LoadCount]) -> dict[str, LoadCount]:
    tables: dict[str, LoadCount] = {}
    for (table, _), count in counts.items():
        tables[table] = tables[table] + count if table in tables else count
    return tables


def _refuse_unusable(source: Source, counts: dict[tuple[str, str], LoadCount]) -> None:
    """Raise a `SourceError` if all rows that a file or view gave to a table are broken."""
    for (table, relation), count in counts.items():
        if _is_usable(count):
            continue
        worst = Counter(count.reasons).most_common(_SHOWN_REASONS)
        raise SourceError(
            f"Source '{source.name}' has no usable row for {table} in {relation}: all {count.read} are quarantined",
            got="; ".join(f"{reason} ({rows} rows)" for reason, rows in worst),
            next_step="mend the file; the rows and their reasons are in the warehouse's _quarantine table",
        )
    if not any(count.read for count in counts.values()):
        raise SourceError(
            f"Source '{source.name}' holds no rows at all", next_step="give a folder whose files hold rows"
        )
