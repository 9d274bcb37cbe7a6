"""Loading a source: connector, contract, quarantine, append. Doing it again changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from common.errors import SourceError
from warehouse.connectors import FileConnector
from warehouse.sources import Source
from warehouse.store import LoadCount, Warehouse

_SHOWN_REASONS = 3


def ingest(
    source: Source,
    data: Path,
    warehouse: Warehouse,
    *,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, LoadCount]:
    """Load everything a source holds into the warehouse.

    Each table is one atomic append, so an interrupted load leaves whole tables, and running it again completes it. Rows
    that break a contract are in `warehouse.quarantine` with their reasons; for each table read = loaded + known +
    quarantined.

    Args:
        source: The source.
        data: Folder its files lie in.
        warehouse: Where to load to.
        progress: Called with what is being loaded, tables done, and tables in all.

    Raises:
        SourceError: if the folder is missing or empty, a file is missing, cannot be read or lacks columns, or holds no
            usable row.
    """
    connector = FileConnector(source.mapping, data)
    counts: dict[tuple[str, str], LoadCount] = {}
    total = len(source.mapping.tables)
    for done, extract in enumerate(connector.extracts(), start=1):
        count = warehouse.append(extract.table, extract.rows, origin=f"{source.name}/{extract.relation}")
        key = (extract.table, extract.relation)
        counts[key] = _added(counts[key], count) if key in counts else count
        if progress is not None:
            progress(f"load {extract.table}", min(done, total), total)
    _refuse_unusable(source, counts)
    return _by_table(counts)


def _by_table(counts: dict[tuple[str, str], LoadCount]) -> dict[str, LoadCount]:
    tables: dict[str, LoadCount] = {}
    for (table, _), count in counts.items():
        tables[table] = _added(tables[table], count) if table in tables else count
    return tables


def _added(first: LoadCount, second: LoadCount) -> LoadCount:
    return LoadCount(
        read=first.read + second.read,
        loaded=first.loaded + second.loaded,
        known=first.known + second.known,
        quarantined=first.quarantined + second.quarantined,
        reasons=dict(sorted((Counter(first.reasons) + Counter(second.reasons)).items())),
    )


def _refuse_unusable(source: Source, counts: dict[tuple[str, str], LoadCount]) -> None:
    """Raise a `SourceError` if all rows that a file or view gave to a table are broken."""
    for (table, relation), count in counts.items():
        if count.read == 0 or count.loaded + count.known:
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
