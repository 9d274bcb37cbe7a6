"""SQL over a source's files: raw rows of a file, its parsed columns, and the rows of a canonical table made of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from warehouse.checks import REASON_COLUMN, ROW_COLUMN
from warehouse.connectors.values import TEXT, value_of
from warehouse.contracts import CONTRACTS
from warehouse.mapping import IDENTITY, File, Table
from warehouse.mapping import Mapping as SourceMapping
from warehouse.views import SQL_TYPES, all_columns, literal, quoted

RAW = "_raw_row"
"""Alias of a file's rows as they came."""


@dataclass(frozen=True)
class RawFile:
    """One file that DuckDB can read now.

    Args:
        path: Where from: the file itself, or what it was staged as.
        columns: SQL type of each of its columns; all text unless it is Parquet.
        rejects: Name of the table into which its unreadable lines go, for CSV.
    """

    path: Path
    columns: Mapping[str, str]
    rejects: str


def raw_sql(file: File, raw: RawFile, *, types: Mapping[str, str] | None = None) -> str:
    """SQL of a file's rows as they came.

    Args:
        file: Its description.
        raw: The file.
        types: For CSV: SQL types other than text that the reader is to parse, by column.
    """
    match file.format:
        case "csv":
            rows = f"SELECT * FROM {_csv_sql(file, raw, types or {})}"  # noqa: S608
        case "lines":
            fields = ", ".join(f"fields[{n}] AS {quoted(name)}" for n, name in enumerate(raw.columns, start=1))
            rows = f"SELECT {fields} FROM ({_lines_sql(file, raw)}) WHERE len(fields) = {len(raw.columns)}"  # noqa: S608
        case _:
            rows = f"SELECT * FROM read_parquet({literal(str(raw.path))})"  # noqa: S608
    if file.numbered:
        return f"SELECT *, row_number() OVER () AS {quoted(file.numbered)} FROM ({rows})"  # noqa: S608
    return rows


def rejected_sql(file: File, raw: RawFile) -> str | None:
    """SQL of the lines that are no rows (once the rows have been read): `reason` and the line as a JSON text."""
    if file.format == "csv":
        return (
            f"SELECT 'line cannot be read: ' || lower(fault) AS {REASON_COLUMN}, "  # noqa: S608
            f"to_json(csv_line)::VARCHAR AS {ROW_COLUMN} FROM ({_rejects_sql(raw)}) WHERE fault IS NOT NULL"
        )
    if file.format == "lines":
        wanted = len(raw.columns)
        reason = f"'line cannot be read: ' || len(fields) || ' fields instead of {wanted}'"
        return (
            f"SELECT {reason} AS {REASON_COLUMN}, to_json(line)::VARCHAR AS {ROW_COLUMN} "  # noqa: S608
            f"FROM ({_lines_sql(file, raw)}) WHERE len(fields) <> {wanted}"
        )
    return None


def unread_values_sql(raw: RawFile) -> str:
    """SQL of the CSV lines that are rows but hold a value that the reader could not parse: `csv_line`."""
    return f"SELECT csv_line FROM ({_rejects_sql(raw)}) WHERE fault IS NULL"  # noqa: S608


def parsed_sql(
    mapping: SourceMapping, file: File, rows: str, types: Mapping[str, str], *, checked: Collection[str] | None = None
) -> str:
    """SQL of a file with its columns parsed, and for rows that cannot be, the reason and the row as it came.

    Args:
        mapping: The source's mapping.
        file: The file's description.
        rows: SQL of its raw rows.
        types: SQL type of each raw column; one that the mapping has and the file lacks is null.
        checked: Columns whose text must be readable, by the mapping's name; None: all.
    """
    if not file.columns:
        return rows
    values, problems = [], []
    for alias, column in file.columns.items():
        header = column.header or alias
        if header not in types:
            values.append(f"NULL::{SQL_TYPES[column.type]} AS {quoted(alias)}")
            continue
        value = value_of(mapping, file, column, header, types[header])
        values.append(f"{value.value} AS {quoted(alias)}")
        if value.unread is not None and (checked is None or alias in checked):
            problem = literal(f"{header} cannot be read as {column.type}")
            problems.append(f"CASE WHEN {value.unread} THEN {problem} END")
    if file.numbered:
        values.append(quoted(file.numbered))
    reason = f"nullif(concat_ws('; ', {', '.join(problems)}), '')" if problems else "NULL::VARCHAR"
    row = f"CASE WHEN {reason} IS NOT NULL THEN to_json({RAW})::VARCHAR END" if problems else "NULL::VARCHAR"
    return f"SELECT {', '.join(values)}, {reason} AS {REASON_COLUMN}, {row} AS {ROW_COLUMN} FROM ({rows}) AS {RAW}"  # noqa: S608


def mapped_sql(table: Table, relation: str, available: Collection[str]) -> str:
    """SQL of a canonical table's rows, with the reasons of those that the mapping refuses.

    Args:
        table: The mapping's entry.
        relation: SQL of the rows of its file or view.
        available: Columns these have.
    """
    selected = [f"({expression}) AS {quoted(name)}" for name, expression in table.expressions.items()]
    if table.columns == IDENTITY:
        names = [column.name for column in all_columns(CONTRACTS[table.table]) if column.name in available]
        selected = [quoted(name) for name in names] + selected
    reasons = [f"CASE WHEN {rule.when} THEN {literal(rule.reason)} END" for rule in table.quarantine]
    if REASON_COLUMN in available:
        reasons.insert(0, REASON_COLUMN)
    if reasons == [REASON_COLUMN]:
        selected.append(REASON_COLUMN)
    elif reasons:
        selected.append(f"nullif(concat_ws('; ', {', '.join(reasons)}), '') AS {REASON_COLUMN}")
    if ROW_COLUMN in available:
        selected.append(ROW_COLUMN)
    where = f" WHERE {table.where}" if table.where else ""
    return f"SELECT {', '.join(selected)} FROM ({relation}) AS {quoted(table.relation)}{where}"  # noqa: S608


def empty_sql(file: File) -> str:
    """SQL of an absent optional file: its columns, typed, and no rows."""
    types = [f"NULL::{SQL_TYPES[column.type]} AS {quoted(alias)}" for alias, column in file.columns.items()]
    return f"SELECT {', '.join(types) or '1'} WHERE false"


def _rejects_sql(raw: RawFile) -> str:
    """Rejected lines, each once, and what is wrong with the line itself; null where it is only with a value.

    `line` tells lines apart; `line_byte_position` does not: DuckDB 2.0 counts it anew in each buffer for the second
    error of a line.
    """
    fault = "min(error_type::VARCHAR) FILTER (error_type <> 'CAST')"
    return f"SELECT {fault} AS fault, any_value(csv_line) AS csv_line FROM {quoted(raw.rejects)} GROUP BY line"  # noqa: S608


def _csv_sql(file: File, raw: RawFile, types: Mapping[str, str]) -> str:
    """The columns are given, because DuckDB's detection refuses a whole file, or drops lines, for one broken line."""
    columns = ", ".join(f"{literal(name)}: {literal(types.get(name, TEXT))}" for name in raw.columns)
    rejects = (
        f"store_rejects = true, rejects_table = {literal(raw.rejects)}, rejects_scan = {literal(raw.rejects + '_scan')}"
    )
    words = ", ".join(map(literal, ("", *file.missing)))
    shape = f"""delim = {literal(file.separator)}, quote = '"', escape = '"', nullstr = [{words}]"""
    header = "false" if file.names else "true"
    return (
        f"read_csv({literal(str(raw.path))}, auto_detect = false, header = {header}, columns = {{{columns}}}, "
        f"{shape}, {rejects})"
    )


def _lines_sql(file: File, raw: RawFile) -> str:
    """Lines with their fields; empty ones left out. The separator is one that no text holds."""
    skip = 0 if file.names else 1
    lines = (
        f"read_csv({literal(str(raw.path))}, auto_detect = false, header = false, skip = {skip}, "
        "columns = {'line': 'VARCHAR'}, delim = '\\x01', quote = '', escape = '')"
    )
    if file.widths:
        starts = [sum(file.widths[:number]) + 1 for number in range(len(file.widths))]
        parts = ", ".join(
            f"trim(line[{start}:{start + width - 1}])" for start, width in zip(starts, file.widths, strict=True)
        )
        fields = f"[{parts}]"
    else:
        fields = "string_split_regex(trim(line), '\\s+')"
    return f"SELECT line, {fields} AS fields FROM {lines} WHERE trim(line) <> ''"  # noqa: S608
