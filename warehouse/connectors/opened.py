"""A source's files opened in one DuckDB connection: read lazily, staged only where that must be, bounded in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import SourceError
from warehouse.connectors.relations import RawFile, empty_sql, parsed_sql, raw_sql
from warehouse.connectors.scratch import Scratch
from warehouse.connectors.sheets import stage_sheet
from warehouse.connectors.text import read_head, readable_text
from warehouse.connectors.values import TEXT
from warehouse.mapping import IDENTITY, File
from warehouse.mapping import Mapping as SourceMapping
from warehouse.outcome_columns import relations_read
from warehouse.views import literal, open_connection, quoted

_MEMORY_LIMIT = "1GB"


@dataclass(frozen=True)
class Facts:
    """What is known of a file before its rows are read.

    Args:
        columns: SQL type of each column.
        nameless: Columns that have no name in the file.
        expected_rows: Rows, exact or estimated; None if unknown.
        has_rows: Whether there is any.
    """

    columns: Mapping[str, str]
    nameless: tuple[str, ...]
    expected_rows: int | None
    has_rows: bool


class OpenedFiles:
    """The files of a source, queried by the mapping's names.

    Args:
        mapping: How they are read.
        paths: Paths of each file that is there.
    """

    def __init__(self, mapping: SourceMapping, paths: Mapping[str, Sequence[Path]]) -> None:
        self.mapping = mapping
        self.paths = paths
        self._scratch = Scratch()
        self.scratch = self._scratch.path
        self.connection = open_connection()
        # Beyond this, sorts and joins of views go to files instead of memory.
        self.connection.execute(f"SET memory_limit = '{_MEMORY_LIMIT}'")
        self.connection.execute(f"SET temp_directory = {literal(str(self.scratch / 'spill'))}")
        self._staged: dict[Path, Path] = {}
        self._created: set[str] = set()
        try:
            self.facts = {name: [self._facts(name, path) for path in files] for name, files in paths.items()}
            self._refuse_missing_columns()
            self._refuse_files_without_rows()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection and take the staged files away."""
        self.connection.close()
        self._scratch.close()

    def run(self, query: str, what: str, *, stream: int | None = None) -> Any:
        """Run a query; its rows, or with `stream` an Arrow stream of so many rows at once.

        Raises:
            SourceError: if DuckDB cannot; `what` says what could not be read.
        """
        import duckdb

        try:
            if stream is not None:
                return self.connection.sql(query).to_arrow_reader(stream)
            return self.connection.execute(query).fetchall()
        except duckdb.Error as error:
            raise self.unreadable(what, error) from error

    def unreadable(self, what: str, error: Exception) -> SourceError:
        """The error for a query that failed."""
        return SourceError(
            f"Source '{self.mapping.name}': {what} cannot be read",
            got=str(error).split("\n\n")[0],
            next_step=f"check the file against the mapping of '{self.mapping.name}'",
        )

    def raw(self, name: str, number: int) -> RawFile:
        """The part `number` of the file `name`, staged if it must be."""
        path, file = self.paths[name][number], self.mapping.files[name]
        return RawFile(self._readable(file, path), self.facts[name][number].columns, f"_rejects_{name}_{number}")

    def require(self, name: str) -> None:
        """Make the file or view `name` and all that it reads queryable."""
        if name in self._created:
            return
        if name in self.mapping.views:
            for read in self.files_and_views_read(name):
                self.require(read)
            self.run(f"CREATE TEMP TABLE {quoted(name)} AS {self.mapping.views[name]}", name)
        elif name in self.paths:
            self.run(f"CREATE VIEW {quoted(name)} AS {self._whole_file(name)}", name)
        else:
            self.run(f"CREATE VIEW {quoted(name)} AS {empty_sql(self.mapping.files[name])}", name)
        self._created.add(name)

    def files_and_views_read(self, view: str) -> tuple[str, ...]:
        """Files and views of the mapping that a view reads by itself."""
        try:
            read = relations_read(self.mapping.views[view])
        except ValueError as error:
            raise self.unreadable(view, error) from error
        return tuple(name for name in (*self.mapping.files, *self.mapping.views) if name in read and name != view)

    def _whole_file(self, name: str) -> str:
        """SQL of all parts of a file, columns matched by name and parsed."""
        file = self.mapping.files[name]
        raws = [self.raw(name, number) for number in range(len(self.paths[name]))]
        rows = " UNION ALL BY NAME ".join(raw_sql(file, raw) for raw in raws)
        types: dict[str, str] = {}
        for raw in raws:
            types = dict(raw.columns) | types
        return parsed_sql(self.mapping, file, rows, types)

    def _readable(self, file: File, path: Path) -> Path:
        if path not in self._staged:
            match file.format:
                case "parquet":
                    self._staged[path] = path
                case "excel":
                    self._staged[path] = stage_sheet(file, path, self.scratch)
                case _:
                    self._staged[path] = readable_text(file, path, self.scratch)
        return self._staged[path]

    def _facts(self, name: str, path: Path) -> Facts:
        file = self.mapping.files[name]
        if file.format in {"csv", "lines"}:
            head = read_head(file, path)
            return Facts(dict.fromkeys(head.names, TEXT), head.nameless, head.expected_rows, head.has_rows)
        relation = f"read_parquet({literal(str(self._readable(file, path)))})"
        described = self.run(f"DESCRIBE SELECT * FROM {relation}", name)  # noqa: S608
        ((rows,),) = self.run(f"SELECT count(*) FROM {relation}", name)  # noqa: S608
        columns = {column: kind for column, kind, *_ in described}
        nameless = tuple(column for column in columns if column.startswith("column_")) if file.format == "excel" else ()
        return Facts(columns, nameless, rows, rows > 0)

    def _refuse_missing_columns(self) -> None:
        """Raise one `SourceError` that names every missing column of every file."""
        faults = []
        for name, facts in self.facts.items():
            present = dict.fromkeys(column for part in facts for column in part.columns)
            file = self.mapping.files[name]
            wanted = {column.header or alias for alias, column in file.columns.items() if not column.optional}
            identity = [t for t in self.mapping.tables if t.relation == name and t.columns == IDENTITY]
            wanted.update(*(table.required for table in identity))
            missing = [column for column in sorted(wanted) if column not in present]
            if missing:
                first = self.paths[name][0].name
                faults.append(f"{first} lacks {', '.join(missing)} (it has {', '.join(present)})")
        if faults:
            raise SourceError(
                f"Files of source '{self.mapping.name}' lack columns: {'; '.join(faults)}",
                next_step=f"export them again with these columns, or change the mapping of '{self.mapping.name}'",
            )

    def _refuse_files_without_rows(self) -> None:
        for name, facts in self.facts.items():
            if not self.mapping.files[name].optional and not any(part.has_rows for part in facts):
                raise SourceError(
                    f"The file {self.paths[name][0].name} of source '{self.mapping.name}' holds no rows",
                    next_step="export it again",
                )
