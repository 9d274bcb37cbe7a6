"""Quarantined rows read once more: as if they alone were their file, or within all the files of a view."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warehouse.connectors import Extract, FileConnector, find_files
from warehouse.connectors.opened import OpenedFiles
from warehouse.connectors.relations import RAW, raw_sql
from warehouse.contracts import EXTENSION_PREFIX, Column
from warehouse.mapping import ExtensionColumn, File, FileColumn
from warehouse.mapping import Mapping as SourceMapping

if TYPE_CHECKING:
    import pyarrow as pa

_TRACE = "retry_id"
TRACED = EXTENSION_PREFIX + _TRACE
TRACE_COLUMN = Column(name=TRACED, dtype="string", about="Id of the quarantined row; never stored.")
"""The column that says which held row an offered one comes from."""

_ISO_FORMATS = ("%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d")


@dataclass(frozen=True)
class HeldRow:
    """A row in quarantine."""

    id: str
    table: str
    reason: str
    origin: str
    row: str

    @property
    def relation(self) -> str:
        """The mapping's file or view it comes from."""
        return self.origin.partition("/")[2]

    @property
    def values(self) -> dict[str, Any] | None:
        """Its values by column; None if it is a line that was no row."""
        values = json.loads(self.row)
        return values if isinstance(values, dict) else None


def traced_id(row: str) -> str:
    """Id of the held row from which an offered row comes, that is given as JSON."""
    values = json.loads(row)
    return str(values.get(TRACED) or values.get(_TRACE))


def canonical_table(rows: Sequence[HeldRow]) -> pa.Table:
    """Rows that are held in canonical columns, as text, with the id of each."""
    return _text_table({row.id: row.values or {} for row in rows}, TRACED)


def _text_table(rows: Mapping[str, Mapping[str, Any]], trace: str) -> pa.Table:
    import pyarrow as pa

    names = dict.fromkeys(name for values in rows.values() for name in values)
    columns = {name: pa.array([_text(values.get(name)) for values in rows.values()], pa.string()) for name in names}
    return pa.table(columns | {trace: pa.array(list(rows), pa.string())})


def _text(value: Any) -> str | None:
    """A JSON value as the text that a file would hold."""
    return value if value is None or isinstance(value, str) else json.dumps(value)


def read_again(
    mapping: SourceMapping, table: str, relation: str, rows: Sequence[HeldRow]
) -> Iterator[tuple[pa.Table, tuple[Column, ...]]]:
    """Rows of a file through the mapping's entries, as if they alone were the file.

    Yields:
        The rows of each entry with the id of each, and the source's own columns among them.

    Raises:
        SourceError: if an expression of the mapping fails.
    """
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory(prefix="salience-retry-") as folder:
        pq.write_table(_text_table({row.id: row.values or {} for row in rows}, _TRACE), Path(folder) / "rows.parquet")
        with FileConnector(_replay_mapping(mapping, table, relation), Path(folder)) as connector:
            for part in connector.parts():
                for extract in connector.extracts(part):
                    own = tuple(column for column in extract.extension if column.name != TRACED)
                    yield extract.rows.read_all(), own


def _replay_mapping(mapping: SourceMapping, table: str, relation: str) -> SourceMapping:
    """The mapping with `relation` read from `rows.parquet`, the entries of `table` that it feeds, and each row's id."""
    absent = {"path": "absent/*", "optional": True}
    files = {name: file.model_copy(update=absent) for name, file in mapping.files.items()}
    files[relation] = _replay_file(mapping.files[relation])
    trace = ExtensionColumn(type="string", about=TRACE_COLUMN.about, value=None, known="always")
    entries = tuple(
        entry.model_copy(update={"extension": entry.extension | {_TRACE: trace}})
        for entry in mapping.tables
        if entry.table == table and entry.relation == relation
    )
    return mapping.model_copy(update={"files": files, "tables": entries, "views": {}})


def _replay_file(file: File) -> File:
    """How the rows of a file are read from Parquet of text: as before, but for what concerns its former shape."""
    columns = {name: _replay_column(file, column) for name, column in file.columns.items()}
    columns[_TRACE] = FileColumn.model_validate({"type": "string"})
    if file.numbered:
        columns[file.numbered] = FileColumn.model_validate({"type": "int"})
    shape = {"format": "parquet", "path": "rows.parquet", "names": (), "widths": (), "numbered": None, "header_row": 1}
    return file.model_copy(update=shape | {"columns": columns})


def _replay_column(file: File, column: FileColumn) -> FileColumn:
    """Cells of a workbook that are dates are kept as ISO 8601, whatever formats its texts have."""
    if file.format == "excel" and column.formats:
        return column.model_copy(update={"formats": (*column.formats, *_ISO_FORMATS)})
    return column


def read_view(mapping: SourceMapping, table: str, relation: str, data: Path) -> Iterator[Extract]:
    """What a view offers to a table, from all its files.

    Raises:
        SourceError: if the files cannot be read through the mapping.
    """
    entries = tuple(entry for entry in mapping.tables if entry.table == table and entry.relation == relation)
    with FileConnector(mapping.model_copy(update={"tables": entries}), data) as connector:
        for part in connector.parts():
            yield from connector.extracts(part)


def rows_in_files(mapping: SourceMapping, data: Path, rows: Collection[str]) -> set[str]:
    """Those of the rows (JSON, as they came) that the files of a folder hold."""
    import pyarrow as pa

    paths = find_files(mapping, data)
    found: set[str] = set()
    opened = OpenedFiles(mapping, paths)
    try:
        opened.connection.register("wanted", pa.table({"line": pa.array(sorted(rows), pa.string())}))
        for name, parts in paths.items():
            raws = [raw_sql(mapping.files[name], opened.raw(name, number)) for number in range(len(parts))]
            lines = f"SELECT to_json({RAW})::VARCHAR AS line FROM ({' UNION ALL BY NAME '.join(raws)}) AS {RAW}"  # noqa: S608
            query = f"SELECT DISTINCT line FROM ({lines}) SEMI JOIN wanted USING (line)"  # noqa: S608
            found |= {str(line) for (line,) in opened.run(query, name)}
    finally:
        opened.close()
    return found
