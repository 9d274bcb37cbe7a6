"""Looking into a user's own file: encoding, separator, header line, and a sample of its rows."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

from common.errors import SourceError
from warehouse.connectors.text import distinct_names

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["csv", "excel", "parquet"]
FORMATS: dict[str, Format] = {
    ".csv": "csv",
    ".txt": "csv",
    ".tsv": "csv",
    ".xlsx": "excel",
    ".xlsm": "excel",
    ".xlsb": "excel",
    ".xls": "excel",
    ".ods": "excel",
    ".parquet": "parquet",
    ".pq": "parquet",
}
FIRST_ROWS = 3_000
_SMALL_BYTES = 4_000_000
_GZIP_ROWS = 100_000
_GZIP_STEP = 20
_SPREAD_POINTS = 40
_SPREAD_BYTES = 16_384
_PEEK_BYTES = 262_144
_SEPARATORS = (",", ";", "\t", "|")


@dataclass(frozen=True)
class Sample:
    """Some rows of a file, as text.

    Args:
        path: The file.
        format: Its kind.
        columns: Cells by header, in the file's order; None where a cell is empty; names are distinct.
        whole: Whether these are all its rows.
        typed: Types of the columns that are no text in the file (`timestamp`, `date`, `float`, `int`, `bool`).
        encoding: Encoding of a CSV file.
        separator: Separator of a CSV file.
        sheet: Sheet of an Excel file.
        other_sheets: Its further sheets.
        skipped_lines: Lines above the header.
    """

    path: Path
    format: Format
    columns: dict[str, list[str | None]]
    whole: bool
    typed: dict[str, str]
    encoding: str = "utf-8"
    separator: str = ","
    sheet: str | None = None
    other_sheets: tuple[str, ...] = ()
    skipped_lines: int = 0

    @property
    def row_count(self) -> int:
        """Rows looked at."""
        return len(next(iter(self.columns.values()), []))


def format_of(path: Path) -> Format | None:
    """Kind of a file by its name, a `.gz` left off; None if it is none that a mapping reads."""
    return FORMATS.get(Path(path.name.lower().removesuffix(".gz")).suffix)


def read_sample(path: Path) -> Sample:
    """The first rows of a file and, of a long CSV file, rows spread over the rest; never the whole file in memory.

    Raises:
        SourceError: if the file is of an unknown kind, empty, unreadable, or has no line of column names.
    """
    kind = format_of(path)
    if kind is None:
        raise SourceError(
            f"The file {path.name} is of no kind that a mapping reads", expected=f"one of {', '.join(FORMATS)}"
        )
    try:
        return {"csv": _csv_sample, "excel": _excel_sample, "parquet": _parquet_sample}[kind](path)
    except (OSError, EOFError, ValueError, csv.Error) as error:
        raise SourceError(f"The file {path} cannot be read as {kind}", got=str(error)) from error


def _csv_sample(path: Path) -> Sample:
    with _opened(path) as file:
        start = file.read(_PEEK_BYTES)
    if not start.strip():
        raise SourceError(f"The file {path} is empty", expected="a line of column names and rows below it")
    encoding = detect_encoding(path, start)
    separator = _separator(_text(start, encoding))
    small = path.stat().st_size <= _SMALL_BYTES and path.suffix.lower() != ".gz"
    with _opened(path) as file:
        reader = csv.reader(io.TextIOWrapper(file, _codec(encoding), newline=""), delimiter=separator)
        lines = list(reader) if small else list(islice(reader, FIRST_ROWS))
        place = file.tell()
        # A gzipped file can only be read on from where it is.
        further = list(islice(reader, 0, _GZIP_ROWS, _GZIP_STEP)) if path.suffix.lower() == ".gz" else []
        whole = small or (not further and next(reader, None) is None)
    skipped = _header_line(path, lines)
    headers = distinct_names(lines[skipped])
    if not whole and not further:
        further = list(_spread(path, encoding, separator, place))
    rows = [line for line in lines[skipped + 1 :] + further if len(line) == len(headers)]
    columns = {name: [row[place].strip() or None for row in rows] for place, name in enumerate(headers)}
    return Sample(path, "csv", columns, whole, {}, encoding, separator, skipped_lines=skipped)


def _opened(path: Path) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path, "rb")) if path.suffix.lower() == ".gz" else path.open("rb")


def detect_encoding(path: Path, start: bytes) -> str:
    """`utf-8`, `utf-16`, `cp1252` or `latin-1`, from the marks, zeros and bytes of a file.

    Args:
        path: The file, of which places after the start are looked at as well.
        start: Its first bytes.
    """
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or start[1:400:2].count(0) > 100:
        return "utf-16"
    places = [start, *_chunks(path, len(start))]
    if all(_is_utf8(chunk) for chunk in places):
        return "utf-8"
    # Latin-1 has control characters where Windows has quotation marks, dashes and the euro sign.
    return "cp1252" if any(0x80 <= byte < 0xA0 for chunk in places for byte in chunk) else "latin-1"


def _is_utf8(chunk: bytes) -> bool:
    """Whether a piece of a file, which may begin and end inside a character, is UTF-8."""
    begin = next((place for place in range(min(4, len(chunk))) if chunk[place] & 0xC0 != 0x80), 0)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(chunk[begin:])
    except UnicodeDecodeError:
        return False
    return True


def _chunks(path: Path, begin: int) -> Iterator[bytes]:
    """Pieces of a plain file, evenly spread after `begin`. A gzipped file has none: it cannot be entered midway."""
    size = path.stat().st_size
    if path.suffix.lower() == ".gz" or size <= begin:
        return
    step = max(_SPREAD_BYTES, (size - begin) // _SPREAD_POINTS)
    with path.open("rb") as file:
        for place in range(begin, size, step):
            file.seek(place // 2 * 2)
            yield file.read(_SPREAD_BYTES)


def _codec(encoding: str) -> str:
    return "utf-8-sig" if encoding == "utf-8" else encoding


def _text(piece: bytes, encoding: str) -> str:
    return codecs.getincrementaldecoder(_codec(encoding))(errors="replace").decode(piece)


def _spread(path: Path, encoding: str, separator: str, begin: int) -> Iterator[list[str]]:
    """Rows of a long file's later parts; the first and last line of a piece are torn and left out."""
    big_endian = _first_bytes(path) == codecs.BOM_UTF16_BE
    inner = ("utf-16-be" if big_endian else "utf-16-le") if encoding == "utf-16" else encoding
    for chunk in _chunks(path, begin):
        lines = _text(chunk, inner).splitlines()[1:-1]
        yield from csv.reader(lines, delimiter=separator)


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(2)


def _separator(text: str) -> str:
    """The separator that cuts most lines into the same number of fields, more than one."""
    best = (0.0, 1, ",")
    for separator in _SEPARATORS:
        rows = csv.reader(io.StringIO(text[:50_000], newline=""), delimiter=separator)
        widths = Counter(len(row) for row in list(rows)[:-1] or [[]])
        width, count = max(((w, n) for w, n in widths.items()), key=lambda pair: (pair[0] > 1, pair[1]))
        share = count / max(1, widths.total())
        if width > 1 and (share, width) > best[:2]:
            best = (share, width, separator)
    return best[2]


def _header_line(path: Path, lines: list[list[str]]) -> int:
    """Position of the line of column names: the first as wide as most lines are."""
    width = Counter(len(line) for line in lines if line).most_common(1)[0][0]
    place = next(number for number, line in enumerate(lines) if len(line) == width and any(map(str.strip, line)))
    named = [cell.strip() for cell in lines[place] if cell.strip()]
    if len(lines) > place + 1 and sum(_is_number(cell) for cell in named) * 2 > len(named):
        raise SourceError(
            f"The file {path.name} seems to have no line of column names",
            got=", ".join(named[:5]),
            next_step="put a line with the columns' names above the rows",
        )
    return place


def _is_number(cell: str) -> bool:
    return cell.replace(".", "", 1).replace("-", "").replace("/", "").isdigit()


def _excel_sample(path: Path) -> Sample:
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        with CalamineWorkbook.from_path(path) as book:
            lines = {name: _sheet_rows(book, name) for name in book.sheet_names}
    except CalamineError as error:
        raise SourceError(f"The file {path} cannot be read as an Excel workbook", got=str(error)) from error
    sheet = max(lines, key=lambda name: len(lines[name]))
    if len(lines[sheet]) < 2:
        raise SourceError(f"The file {path} is empty", expected="a line of column names and rows below it")
    rows = lines[sheet]
    width = Counter(sum(cell not in ("", None) for cell in row) for row in rows[:50]).most_common(1)[0][0]
    skipped = next(n for n, row in enumerate(rows) if sum(cell not in ("", None) for cell in row) * 2 >= width)
    headers, body = distinct_names([_cell_text(cell) or "" for cell in rows[skipped]]), rows[skipped + 1 :]
    cells = {name: [row[place] if place < len(row) else None for row in body] for place, name in enumerate(headers)}
    typed = {name: kind for name, values in cells.items() if (kind := _cell_type(values)) is not None}
    columns = {name: [_cell_text(value) for value in values] for name, values in cells.items()}
    others = tuple(name for name in lines if name != sheet and len(lines[name]) > 1)
    whole = len(rows) <= FIRST_ROWS
    return Sample(path, "excel", columns, whole, typed, sheet=sheet, other_sheets=others, skipped_lines=skipped)


def _sheet_rows(book: Any, name: str) -> list[list[Any]]:
    sheet = book.get_sheet_by_name(name)
    return list(islice(sheet.iter_rows(), FIRST_ROWS + 1))


def _cell_type(values: list[Any]) -> str | None:
    kinds = {type(value) for value in values if value not in ("", None)}
    if kinds and kinds <= {datetime, date}:
        return "timestamp"
    if kinds == {bool}:
        return "bool"
    if kinds and kinds <= {int, float}:
        return "int" if all(float(value).is_integer() for value in values if value not in ("", None)) else "float"
    return None


def _cell_text(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, datetime | date):
        return value.isoformat(sep=" ") if isinstance(value, datetime) else value.isoformat()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip() or None


def _parquet_sample(path: Path) -> Sample:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    total = file.metadata.num_rows
    first = next(file.iter_batches(batch_size=FIRST_ROWS), None)
    if first is None:
        raise SourceError(f"The file {path} holds no rows", next_step="export it again")
    columns, typed = {}, {}
    for name in first.schema.names:
        values = first.column(name)
        kind = _arrow_kind(values.type)
        if kind is not None:
            typed[name] = kind
        columns[name] = [_cell_text(value) for value in values.to_pylist()]
    return Sample(path, "parquet", columns, total <= FIRST_ROWS, typed)


def _arrow_kind(kind: pa.DataType) -> str | None:
    import pyarrow as pa

    checks = {
        "timestamp": pa.types.is_timestamp,
        "date": pa.types.is_date,
        "bool": pa.types.is_boolean,
        "int": pa.types.is_integer,
        "float": lambda found: pa.types.is_floating(found) or pa.types.is_decimal(found),
    }
    return next((name for name, check in checks.items() if check(kind)), None)
