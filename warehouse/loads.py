"""What was loaded completely: the cursors of a source's parts, kept beside the tables, so that a load goes on there."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from common.errors import UnavailableError
from warehouse.connectors.interface import Cursor, Part
from warehouse.contracts import CONTRACTS
from warehouse.mapping import Mapping as SourceMapping
from warehouse.store import LoadCount

RECORD_FILE = "_loads.json"
_LOCK_FILE = "_loads.lock"
_FORMAT = 1


@dataclass(frozen=True)
class Load:
    """A part that is in the warehouse whole.

    Args:
        cursor: What of the source was read.
        count: What became of its rows.
    """

    cursor: Cursor
    count: LoadCount


class Loads:
    """The record of one source's loads in one warehouse: `_loads.json`, replaced as a whole at each change.

    A load is forgotten when the mapping's reading of files changed, or when its table is not the one it went into
    (deleted by hand, perhaps made anew). Several processes may load the same or different sources at once.

    Args:
        root: Folder of the warehouse.
        mapping: The source's mapping.
    """

    def __init__(self, root: Path, mapping: SourceMapping) -> None:
        self._root = root
        self._source = mapping.name
        self._reading = reading_digest(mapping)

    def of(self, part: Part) -> Load | None:
        """The last complete load of a part, if its rows are still in the warehouse."""
        noted = self._read().get(self._source, {}).get(part.name)
        if noted is None or noted["reading"] != self._reading:
            return None
        known = {field.name for field in fields(LoadCount)}
        count = LoadCount(**{name: value for name, value in noted["count"].items() if name in known})
        if count.loaded + count.known and noted["table_id"] != _table_id(self._root, part.table):
            return None
        return Load(noted["cursor"], count)

    def note(self, part: Part, load: Load) -> None:
        """Keep that a part is in the warehouse whole."""
        noted = {
            "reading": self._reading,
            "table_id": _table_id(self._root, part.table),
            "cursor": dict(load.cursor),
            "count": asdict(load.count),
        }
        self._root.mkdir(parents=True, exist_ok=True)
        with _locked(self._root / _LOCK_FILE):
            sources = self._read()
            sources.setdefault(self._source, {})[part.name] = noted
            self._write(sources)

    def _read(self) -> dict[str, dict[str, Any]]:
        path = self._root / RECORD_FILE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise UnavailableError(
                f"The record of loads {path} cannot be read",
                got=str(error),
                next_step="delete it: the files are then read again, and rows already there are recognised",
            ) from error
        sources: dict[str, dict[str, Any]] = content["sources"] if content.get("format") == _FORMAT else {}
        return sources

    def _write(self, sources: Mapping[str, Any]) -> None:
        path = self._root / RECORD_FILE
        written = path.with_name(f"{RECORD_FILE}.{os.getpid()}.tmp")
        text = json.dumps({"format": _FORMAT, "sources": sources}, indent=1, sort_keys=True)
        with written.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        written.replace(path)


def reading_digest(mapping: SourceMapping) -> str:
    """Digest of all that decides which rows come out of the files: the mapping but its texts, and the contracts."""
    content = mapping.model_dump(mode="json", exclude={"about", "notes", "models"})
    contracts = {table.table: repr(CONTRACTS[table.table].columns) for table in mapping.tables}
    text = json.dumps([content, contracts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _table_id(root: Path, table: str) -> str | None:
    """Delta's own identifier of a table, new for each table that is made; None if there is none."""
    from deltalake import DeltaTable

    path = root / table
    return str(DeltaTable(path).metadata().id) if DeltaTable.is_deltatable(str(path)) else None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other processes out while the block runs; freed by the system when a process is killed."""
    import fcntl

    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
