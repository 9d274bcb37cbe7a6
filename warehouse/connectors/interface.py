"""What every connector offers, whether it reads a folder of files or, later, a CRM's REST interface.

A source is loaded part by part: a file that feeds a table, or an object type of a CRM. A connector keeps no memory of
its own: what was read is said by *cursors*, small JSON objects that only the connector understands. `warehouse.loads`
keeps the cursor of the last extract of each part whose rows are all in the warehouse, and gives it back:

- *full*: ``extracts(part, since=None)`` gives all that the source holds of the part;
- *incremental*: ``extracts(part, since=cursor)`` may leave out what the cursor says was read;
- *resume*: a part may come as several extracts (a REST connector: some pages each), each with the cursor that holds
  once its rows are in. A killed load goes on after the last extract that was noted. Giving rows twice is always safe,
  because the warehouse takes the same row once.
- *progress*: an extract says how many rows to expect, and its rows are a stream.

A REST connector would name its object types as parts, give `{"modified_since": …, "page": …}` as cursors, never call a
part unchanged, and build each page's rows with the same mapping entries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from warehouse.contracts import Column

if TYPE_CHECKING:
    import pyarrow as pa

Cursor = Mapping[str, Any]


@dataclass(frozen=True)
class Part:
    """Something that is loaded, and noted as loaded, by itself.

    Args:
        name: Names it among the parts of its source, the same at every load.
        table: Canonical table it feeds.
        relation: The mapping's file or view its rows come from.
    """

    name: str
    table: str
    relation: str


@dataclass(frozen=True)
class Extract:
    """Rows for one canonical table, not yet checked.

    Args:
        table: Canonical table.
        relation: The mapping's file or view they come from.
        rows: A stream of its columns, some or all, to be read once; `quarantine_reason` marks rows that the mapping
            itself refuses.
        extension: The source's own columns among them, stored as `custom_<name>`.
        cursor: What has been read once these rows are in the warehouse.
        expected_rows: Number of rows as far as it is known before reading: exact or estimated; None if not at all.
    """

    table: str
    relation: str
    rows: pa.RecordBatchReader
    extension: tuple[Column, ...]
    cursor: Cursor
    expected_rows: int | None


@dataclass(frozen=True)
class Remark:
    """Something about the source that whoever loads it should know.

    Args:
        topic: `source` (from the mapping's notes), `columns` (left out), `outcome` (known only at closing) or
            `reference` (values without a partner, or joined by an alias).
        text: A sentence.
    """

    topic: Literal["source", "columns", "outcome", "reference"]
    text: str


class Connector(Protocol):
    """What every connector offers; used as a context manager, because it may hold connections and temporary files."""

    def __enter__(self) -> Connector: ...

    def __exit__(self, *_: object) -> None: ...

    def parts(self) -> Sequence[Part]:
        """What there is to load, in the order to load it.

        Raises:
            SourceError: if the source cannot be reached or is not as described.
        """
        ...

    def is_unchanged(self, part: Part, cursor: Cursor) -> bool:
        """Whether the source still holds of `part` exactly what `cursor` says was read; False if it cannot tell."""
        ...

    def extracts(self, part: Part, *, since: Cursor | None) -> Iterator[Extract]:
        """The rows of a part: all, or at least those that are new since the cursor.

        The rows of an extract must be read to the end before the next extract is asked for.

        Raises:
            SourceError: if the source cannot be read as described; also while the rows are read.
        """
        ...

    def remarks(self) -> tuple[Remark, ...]:
        """What was seen so far; complete when all extracts have been read."""
        ...
