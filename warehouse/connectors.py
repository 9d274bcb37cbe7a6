"""Connectors: reading a source into canonical rows. Here: a folder of files, through a mapping."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from common.errors import SourceError, shorten
from warehouse.checks import REASON_COLUMN, ROW_COLUMN
from warehouse.contracts import CONTRACTS
from warehouse.mapping import IDENTITY, File, FileColumn, Mapping, Table
from warehouse.views import SQL_TYPES, all_columns, first_row, literal, open_connection, quoted

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_RAW = "_raw_"
_REJECTS = "_rejects_"


@dataclass(frozen=True)
class Extract:
    """Rows for one canonical table, not yet checked.

    Args:
        table: Canonical table.
        rows: Its columns, some or all; `quarantine_reason` marks rows that the mapping itself refuses.
        relation: The mapping's file or view they come from.
    """

    table: str
    rows: pa.Table
    relation: str


class Connector(Protocol):
    """What every connector offers. Loading is idempotent, so reading again from the start is always safe."""

    def extracts(self) -> Iterator[Extract]:
        """All rows the source holds, table by table.

        Raises:
            SourceError: if the source cannot be read as described.
        """
        ...


class FileConnector:
    """A folder of CSV or Parquet files, read through a mapping.

    Args:
        mapping: How the files become canonical tables.
        folder: Folder the files lie in.

    Raises:
        SourceError: if the folder is missing, empty, or lacks files the mapping needs; all are named.
    """

    def __init__(self, mapping: Mapping, folder: Path) -> None:
        self._mapping = mapping
        self._paths = find_files(mapping, folder)

    def extracts(self) -> Iterator[Extract]:
        """All rows the files hold, table by table, in the order of the mapping.

        Raises:
            SourceError: if a file cannot be read or lacks columns, or an expression of the mapping fails.
        """
        with open_connection() as connection:
            raw_types = {name: self._open_raw(connection, name) for name in self._paths}
            _refuse_missing_columns(self._mapping, self._paths, raw_types)
            for name, types in raw_types.items():
                parsed = _parsed_sql(self._mapping, name, types)
                self._run(connection, f"CREATE VIEW {quoted(name)} AS {parsed}", name)
            self._refuse_files_without_rows(connection)
            self._create_views(connection)
            for table in self._tables():
                yield Extract(table.table, self._mapped(connection, table), table.relation)
            yield from self._rejected(connection)

    def _tables(self) -> tuple[Table, ...]:
        """The mapping's tables without those of optional files that are absent."""
        absent = self._mapping.files.keys() - self._paths.keys()
        return tuple(table for table in self._mapping.tables if table.relation not in absent)

    def _open_raw(self, connection: duckdb.DuckDBPyConnection, name: str) -> dict[str, str]:
        """Make the files readable under one raw name; returns the SQL type of each column."""
        file, raw = self._mapping.files[name], quoted(_RAW + name)
        parts = []
        for number, path in enumerate(self._paths[name]):
            if file.format == "parquet":
                parts.append(f"SELECT * FROM read_parquet({literal(str(path))})")  # noqa: S608
            else:
                part = quoted(f"{_RAW}{name}_{number}")
                self._run(connection, f"CREATE TABLE {part} AS {_csv_sql(file, path, number, name)}", path.name)
                parts.append(f"SELECT * FROM {part}")  # noqa: S608
        self._run(connection, f"CREATE VIEW {raw} AS {' UNION ALL BY NAME '.join(parts)}", name)
        return {column: kind for column, kind, *_ in connection.execute(f"DESCRIBE {raw}").fetchall()}

    def _refuse_files_without_rows(self, connection: duckdb.DuckDBPyConnection) -> None:
        for name, paths in self._paths.items():
            counted = f"SELECT count(*) FROM (SELECT 1 FROM {quoted(name)} LIMIT 1)"  # noqa: S608
            if not self._mapping.files[name].optional and first_row(connection, counted)[0] == 0:
                raise SourceError(
                    f"The file {paths[0].name} of source '{self._mapping.name}' holds no rows",
                    next_step="export it again",
                )

    def _create_views(self, connection: duckdb.DuckDBPyConnection) -> None:
        for name in self._mapping.files.keys() - self._paths.keys():
            types = [f"NULL::{SQL_TYPES[c.type]} AS {quoted(a)}" for a, c in self._mapping.files[name].columns.items()]
            if types:
                connection.execute(f"CREATE VIEW {quoted(name)} AS SELECT {', '.join(types)} WHERE false")
        for name, query in self._mapping.views.items():
            self._run(connection, f"CREATE TEMP TABLE {quoted(name)} AS {query}", name)

    def _mapped(self, connection: duckdb.DuckDBPyConnection, table: Table) -> pa.Table:
        described = connection.execute(f"DESCRIBE {quoted(table.relation)}").fetchall()
        query = _mapped_sql(table, [name for name, *_ in described])
        return self._run(connection, query, f"{table.table} from {table.relation}", fetch=True)

    def _rejected(self, connection: duckdb.DuckDBPyConnection) -> Iterator[Extract]:
        """Lines that are no rows at all (too few or many fields, bad quotes, bad encoding), once per table they fed."""
        import pyarrow as pa

        for name, paths in self._paths.items():
            if self._mapping.files[name].format != "csv":
                continue
            rejects = " UNION ALL ".join(
                f"SELECT {number} AS file, * FROM {quoted(f'{_REJECTS}{name}_{number}')}"  # noqa: S608
                for number in range(len(paths))
            )
            lines = connection.sql(
                f"""SELECT 'line cannot be read: ' || lower(any_value(error_type)::VARCHAR) AS {REASON_COLUMN},
                    to_json(any_value(csv_line))::VARCHAR AS {ROW_COLUMN} FROM ({rejects}) GROUP BY file, line"""  # noqa: S608
            ).to_arrow_table()
            fed = [table for table in self._tables() if table.relation == name] or self._tables()[:1]
            for table in fed if lines.num_rows else ():
                empty = CONTRACTS[table.table].arrow_schema.empty_table()
                rows = pa.concat_tables([empty, lines], promote_options="default")
                yield Extract(table.table, rows, table.relation)

    def _run(self, connection: duckdb.DuckDBPyConnection, query: str, what: str, *, fetch: bool = False) -> Any:
        import duckdb

        try:
            return connection.sql(query).to_arrow_table() if fetch else connection.execute(query).fetchall()
        except duckdb.Error as error:
            raise SourceError(
                f"Source '{self._mapping.name}': {what} cannot be read",
                got=str(error).split("\n\n")[0],
                next_step=f"check the file against warehouse/mappings/{self._mapping.name}.yaml",
            ) from error


def _csv_sql(file: File, path: Path, number: int, name: str) -> str:
    """SQL that reads a CSV file as text; lines that are no rows go to a table of rejects.

    The columns are given, because DuckDB's detection refuses a whole file, or drops lines, for one broken line.
    """
    columns = ", ".join(f"{literal(column)}: 'VARCHAR'" for column in _csv_header(file, path))
    tables = f"rejects_table = '{_REJECTS}{name}_{number}', rejects_scan = '_scan{_REJECTS}{name}_{number}'"
    shape = f"delim = {literal(file.separator)}, quote = '\"', escape = '\"', encoding = '{file.encoding}'"
    options = f"auto_detect = false, header = true, columns = {{{columns}}}, store_rejects = true, {shape}, {tables}"
    return f"SELECT * FROM read_csv({literal(str(path))}, {options})"  # noqa: S608


def _csv_header(file: File, path: Path) -> list[str]:
    """Column names of a CSV file: nameless and repeated ones are numbered, so that all differ."""
    import csv
    import gzip

    encoding = "utf-8-sig" if file.encoding == "utf-8" else file.encoding
    opened: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding=encoding, newline="") as text:
            header = next(csv.reader(text, delimiter=file.separator), [])
    except (UnicodeError, OSError, EOFError, csv.Error) as error:
        raise SourceError(f"The file {path} cannot be read as {file.encoding} text", got=str(error)) from error
    if not header:
        raise SourceError(f"The file {path} is empty", expected="a line of column names and rows below it")
    names: list[str] = []
    for position, raw in enumerate(header):
        name = raw.strip() or f"column_{position}"
        names.append(f"{name}_{position}" if name in names else name)
    return names


def find_files(mapping: Mapping, folder: Path) -> dict[str, list[Path]]:
    """Paths of each file of the mapping that is there.

    Raises:
        SourceError: if the folder is missing or empty, or lacks a file that the mapping needs.
    """
    if not folder.is_dir():
        raise SourceError(
            f"The folder {folder} of source '{mapping.name}' does not exist",
            next_step="give the right folder with DATA=…",
        )
    if not any(folder.iterdir()):
        raise SourceError(f"The folder {folder} of source '{mapping.name}' is empty", expected=_wanted(mapping))
    found = {name: sorted(folder.glob(file.path)) for name, file in mapping.files.items()}
    missing = [
        mapping.files[name].path for name, paths in found.items() if not paths and not mapping.files[name].optional
    ]
    present = {name: paths for name, paths in found.items() if paths}
    if missing or not present:
        raise SourceError(
            f"The folder {folder} lacks {', '.join(missing) or 'every file'} of source '{mapping.name}'",
            expected=_wanted(mapping),
            got=shorten(sorted(path.name for path in folder.iterdir())),
        )
    return present


def _wanted(mapping: Mapping) -> str:
    return "files " + ", ".join(file.path for file in mapping.files.values())


def _refuse_missing_columns(
    mapping: Mapping, paths: dict[str, list[Path]], raw_types: dict[str, dict[str, str]]
) -> None:
    """Raise one `SourceError` that names every missing column of every file."""
    faults = []
    for name, types in raw_types.items():
        wanted = {column.header or alias for alias, column in mapping.files[name].columns.items()}
        identity = [table for table in mapping.tables if table.relation == name and table.columns == IDENTITY]
        wanted.update(*(table.required for table in identity))
        missing = [column for column in sorted(wanted) if column not in types]
        if missing:
            faults.append(f"{paths[name][0].name} lacks {', '.join(missing)} (it has {', '.join(types)})")
    if faults:
        raise SourceError(
            f"Files of source '{mapping.name}' lack columns: {'; '.join(faults)}",
            next_step=f"export them again with these columns, or change warehouse/mappings/{mapping.name}.yaml",
        )


def _parsed_sql(mapping: Mapping, name: str, raw_types: dict[str, str]) -> str:
    """SQL of a file with its columns parsed, and for rows that cannot be, the reason and the row as it came."""
    file, raw = mapping.files[name], quoted(_RAW + name)
    if not file.columns:
        return f"SELECT * FROM {raw}"  # noqa: S608
    values, problems = [], []
    for alias, column in file.columns.items():
        text, value = _value_sql(mapping, file, alias, column, raw_types[column.header or alias])
        values.append(f"{value} AS {quoted(alias)}")
        if text is not None and column.type != "string":
            problem = literal(f"{column.header or alias} cannot be read as {column.type}")
            problems.append(f"CASE WHEN {text} IS NOT NULL AND {value} IS NULL THEN {problem} END")
    reason = f"nullif(concat_ws('; ', {', '.join(problems)}), '')" if problems else "NULL::VARCHAR"
    row = f"CASE WHEN {reason} IS NOT NULL THEN to_json({raw})::VARCHAR END"
    return f"SELECT {', '.join(values)}, {reason} AS {REASON_COLUMN}, {row} AS {ROW_COLUMN} FROM {raw}"  # noqa: S608


def _value_sql(mapping: Mapping, file: File, alias: str, column: FileColumn, raw_type: str) -> tuple[str | None, str]:
    """SQL of a column's text (None if the file has it typed already) and of its value."""
    name, zone = quoted(column.header or alias), literal(column.time_zone or mapping.time_zone)
    if raw_type != "VARCHAR":
        if raw_type.startswith("TIMESTAMP") and raw_type != "TIMESTAMP WITH TIME ZONE" and column.type == "timestamp":
            return None, f"timezone({zone}, {name}::TIMESTAMP)"
        return f"{name}::VARCHAR", f"TRY_CAST({name} AS {SQL_TYPES[column.type]})"
    missing = ", ".join(literal(word) for word in ("", *file.missing, *column.missing))
    text = f"CASE WHEN trim({name}) NOT IN ({missing}) THEN trim({name}) END"
    if column.values:
        cases = " ".join(f"WHEN {literal(old)} THEN {literal(new)}" for old, new in column.values.items())
        text = f"CASE {text} {cases} ELSE {text} END"
    return text, _parse(text, column, zone)


def _parse(text: str, column: FileColumn, zone: str) -> str:
    if column.type == "string":
        return text
    if column.type in {"timestamp", "date"} and column.formats:
        formats = ", ".join(literal(pattern) for pattern in column.formats)
        moment = f"try_strptime({text}, [{formats}])"
        return f"timezone({zone}, {moment}::TIMESTAMP)" if column.type == "timestamp" else f"{moment}::DATE"
    if column.type == "timestamp":
        has_offset = f"regexp_matches({text}, ':\\d\\d(\\.\\d+)? ?(Z|[+-]\\d\\d(:?\\d\\d)?)$')"
        placed = f"timezone({zone}, TRY_CAST({text} AS TIMESTAMP))"
        return f"CASE WHEN {has_offset} THEN TRY_CAST({text} AS TIMESTAMPTZ) ELSE {placed} END"
    number = f"translate({text}, {literal(column.strip)}, '')" if column.strip else text
    return f"TRY_CAST({number} AS {SQL_TYPES[column.type]})"


def _mapped_sql(table: Table, available: list[str]) -> str:
    """SQL of a canonical table's rows, with the reasons of those that the mapping refuses."""
    if table.columns == IDENTITY:
        names = [column.name for column in all_columns(CONTRACTS[table.table]) if column.name in available]
        selected = [quoted(name) for name in names]
    else:
        selected = [f"({expression}) AS {quoted(name)}" for name, expression in table.expressions.items()]
    reasons = [f"CASE WHEN {rule.when} THEN {literal(rule.reason)} END" for rule in table.quarantine]
    if REASON_COLUMN in available:
        reasons.insert(0, REASON_COLUMN)
    if reasons:
        selected.append(f"nullif(concat_ws('; ', {', '.join(reasons)}), '') AS {REASON_COLUMN}")
    if ROW_COLUMN in available:
        selected.append(ROW_COLUMN)
    where = f" WHERE {table.where}" if table.where else ""
    return f"SELECT {', '.join(selected)} FROM {quoted(table.relation)}{where}"  # noqa: S608
