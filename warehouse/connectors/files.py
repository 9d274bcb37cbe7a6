"""The connector for a folder of files that a mapping describes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Mapping as Kinds
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import SourceError
from warehouse.checks import REASON_COLUMN, ROW_COLUMN
from warehouse.connectors.found import Fingerprint, find_files, fingerprint, is_as_found
from warehouse.connectors.interface import Cursor, Extract, Part, Remark
from warehouse.connectors.opened import OpenedFiles
from warehouse.connectors.relations import RawFile, mapped_sql, parsed_sql, raw_sql, rejected_sql
from warehouse.connectors.remarks import remarks_on
from warehouse.connectors.streams import Later, chained, write_rejected_lines
from warehouse.connectors.values import direct_type
from warehouse.mapping import IDENTITY, File, Mapping, Table
from warehouse.outcome_columns import columns_read
from warehouse.views import quoted

if TYPE_CHECKING:
    import pyarrow as pa


class FileConnector:
    """A folder of files, read through a mapping.

    A part is a table entry and the file that feeds it (each of several), or the view with all files it reads. Its
    cursor is these files' names, sizes and digests: changed or new files are read again whole, others not at all.

    Args:
        mapping: How the files become canonical tables.
        folder: Folder the files lie in.

    Raises:
        SourceError: if the folder is missing, empty, or lacks files the mapping needs; all are named.
    """

    def __init__(self, mapping: Mapping, folder: Path) -> None:
        self._mapping = _with_aliases(mapping)
        self._folder = folder
        self._paths = find_files(mapping, folder)
        self._fingerprints: dict[Path, Fingerprint] = {}
        self._opened: OpenedFiles | None = None
        self._parts = {part.name: (part, table, number) for part, table, number in self._found_parts()}
        self._read: set[str] = set()

    def __enter__(self) -> FileConnector:
        return self

    def __exit__(self, *_: object) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def parts(self) -> Sequence[Part]:
        """Each table entry with each of its files, in the order of the mapping and of the files' names."""
        return tuple(part for part, *_ in self._parts.values())

    def is_unchanged(self, part: Part, cursor: Cursor) -> bool:
        """Whether the files behind `part` are the ones the cursor names, byte for byte."""
        return cursor == self._cursor(part)

    def extracts(self, part: Part, *, since: Cursor | None = None) -> Iterator[Extract]:
        """All rows of a part, as one stream; a file that changed is read again from its start, one that did not not.

        Raises:
            SourceError: if a file cannot be read, lacks columns or changes while it is read, or an expression of the
                mapping fails.
        """
        _, table, number = self._parts[part.name]
        cursor = self._cursor(part)
        if since == cursor:
            return
        opened = self._open()
        if number is None:
            stream, expected = self._rows_of_view(opened, table), None
        else:
            stream, expected = (
                self._rows_of_file(opened, table, number),
                opened.facts[part.relation][number].expected_rows,
            )
        self._read.update(self._file_names(table))
        yield Extract(part.table, part.relation, self._guarded(stream, part), table.extension_columns, cursor, expected)

    def remarks(self) -> tuple[Remark, ...]:
        """The mapping's notes, and what was seen in the files read: columns left out or late, lost references."""
        return remarks_on(self._mapping, self._opened, self._read)

    def _found_parts(self) -> Iterator[tuple[Part, Table, int | None]]:
        """Parts of the table entries whose files are there; those of absent optional files are left out."""
        for entry, table in enumerate(self._mapping.tables):
            title = f"{entry} {table.table} from {table.relation}"
            if table.relation in self._mapping.views:
                yield Part(title, table.table, table.relation), table, None
            for number, path in enumerate(self._paths.get(table.relation, ())):
                name = path.relative_to(self._folder).as_posix()
                yield Part(f"{title}: {name}", table.table, table.relation), table, number

    def _file_names(self, table: Table) -> tuple[str, ...]:
        """The mapping's names of the files a table entry reads."""
        if table.relation in self._mapping.files:
            return (table.relation,)
        pending, read = [table.relation], set[str]()
        while pending:
            for name in self._open().files_and_views_read(pending.pop()):
                if name in self._mapping.views:
                    pending.append(name)
                read.add(name)
        return tuple(name for name in self._paths if name in read)

    def _paths_of(self, part: Part) -> list[Path]:
        """Files behind a part; of a view cautiously all of the mapping."""
        _, table, number = self._parts[part.name]
        if number is not None:
            return [self._paths[table.relation][number]]
        return [path for paths in self._paths.values() for path in paths]

    def _cursor(self, part: Part) -> Cursor:
        found = [self._fingerprint(path) for path in self._paths_of(part)]
        return {"files": {one.name: one.as_cursor() for one in found}}

    def _fingerprint(self, path: Path) -> Fingerprint:
        if path not in self._fingerprints:
            self._fingerprints[path] = fingerprint(path, self._folder)
        return self._fingerprints[path]

    def _open(self) -> OpenedFiles:
        if self._opened is None:
            self._opened = OpenedFiles(self._mapping, self._paths)
        return self._opened

    def _guarded(self, stream: pa.RecordBatchReader, part: Part) -> pa.RecordBatchReader:
        """The stream; its end is an error if a file was written to meanwhile."""
        import pyarrow as pa

        def batches() -> Iterator[pa.RecordBatch]:
            yield from stream
            for path in self._paths_of(part):
                if not is_as_found(path, self._fingerprint(path)):
                    raise SourceError(
                        f"The file {path} changed while it was read", next_step="load it again when it is complete"
                    )

        return pa.RecordBatchReader.from_batches(stream.schema, batches())

    def _rows_of_view(self, opened: OpenedFiles, table: Table) -> pa.RecordBatchReader:
        opened.require(table.relation)
        described = opened.run(f"DESCRIBE {quoted(table.relation)}", table.relation)
        query = mapped_sql(table, f"FROM {quoted(table.relation)}", [name for name, *_ in described])
        rejects = [lambda rejected=rejected: rejected for rejected in self._rejects_through_views(opened, table)]
        return chained(opened, query, rejects, what=f"{table.table} from {table.relation}")

    def _rejects_through_views(self, opened: OpenedFiles, table: Table) -> Iterator[str]:
        """Lines that are no rows, of the files that feed tables only through views: told by the first such entry."""
        direct = {entry.relation for entry in self._mapping.tables}
        for name in self._file_names(table):
            first = next((entry for entry in self._mapping.tables if name in self._file_names(entry)), None)
            if name in direct or first != table:
                continue
            for number in range(len(self._paths[name])):
                rejected = rejected_sql(self._mapping.files[name], opened.raw(name, number))
                if rejected is not None:
                    yield rejected

    def _rows_of_file(self, opened: OpenedFiles, table: Table, number: int) -> pa.RecordBatchReader:
        """Rows of one file; of a CSV file first those that DuckDB parses itself, then the others the long way."""
        name = table.relation
        file, raw = self._mapping.files[name], opened.raw(name, number)
        read = self._columns_read(table)
        types = self._direct_types(file, raw, read)
        query = self._mapped(table, raw_sql(file, raw, types=types), dict(raw.columns) | types, read)
        broken = rejected_sql(file, raw)
        later: list[Later] = [] if broken is None else [lambda: broken]
        if types:
            again = RawFile(opened.scratch / f"again_{name}_{number}.csv", raw.columns, f"{raw.rejects}_again")
            later.append(lambda: self._unread_rows(opened, table, raw, again))
            later.append(lambda: rejected_sql(file, again) if again.path.exists() else None)
        return chained(opened, query, later, what=f"{table.table} from {name}")

    def _unread_rows(self, opened: OpenedFiles, table: Table, raw: RawFile, again: RawFile) -> str | None:
        """SQL of the rows whose text DuckDB's reader could not parse, written to `again`; None if there are none."""
        if not write_rejected_lines(opened, raw, again.path):
            return None
        file = self._mapping.files[table.relation].model_copy(update={"names": tuple(raw.columns)})
        return self._mapped(table, raw_sql(file, again), raw.columns, self._columns_read(table))

    def _columns_read(self, table: Table) -> frozenset[str]:
        """Columns of the file that the entry reads; all if it cannot be told, and then the query says what is wrong."""
        everything = frozenset(self._mapping.files[table.relation].columns)
        try:
            return everything if table.columns == IDENTITY else columns_read(table)
        except ValueError:
            return everything

    def _direct_types(self, file: File, raw: RawFile, read: frozenset[str]) -> dict[str, str]:
        """Columns of a CSV file that DuckDB's reader may parse itself."""
        if file.format != "csv" or file.numbered:
            return {}
        found = {
            column.header or alias: direct_type(self._mapping, file, column)
            for alias, column in file.columns.items()
            if alias in read
        }
        return {header: kind for header, kind in found.items() if kind is not None and header in raw.columns}

    def _mapped(self, table: Table, rows: str, types: Kinds[str, str], read: frozenset[str]) -> str:
        file = self._mapping.files[table.relation]
        parsed = parsed_sql(self._mapping, file, rows, types, checked=read)
        available = [*file.columns, REASON_COLUMN, ROW_COLUMN] if file.columns else list(types)
        return mapped_sql(table, parsed, available)


def _with_aliases(mapping: Mapping) -> Mapping:
    """The mapping with the aliases of its references among the words that columns replace."""
    files = dict(mapping.files)
    for reference in mapping.references:
        columns = dict(files[reference.relation].columns)
        column = columns[reference.column]
        columns[reference.column] = column.model_copy(update={"values": column.values | reference.aliases})
        files[reference.relation] = files[reference.relation].model_copy(update={"columns": columns})
    return mapping.model_copy(update={"files": files})
