"""Text files: their encoding, told apart and checked; the names of their columns; staging of what DuckDB cannot read.

DuckDB reads UTF-8 (also gzipped) as it is. Of other encodings it takes some, but big-endian UTF-16 as no rows at all,
and a file that mixes line ends not at all; so whatever is unusual is first written anew as UTF-8, in pieces.
"""

from __future__ import annotations

import codecs
import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

from common.errors import SourceError
from warehouse.mapping import File

_CHUNK_BYTES = 1 << 22
_LOOKED_AT_ROWS = 1_000
_SAMPLE_BYTES = 1 << 20
_PACKED = 5
"""How much smaller gzip makes text, about: only for the estimate of rows."""


def readable_text(file: File, path: Path, scratch: Path) -> Path:
    """A path from which DuckDB can read the file's rows as UTF-8: `path` itself, or a copy in `scratch`.

    Raises:
        SourceError: if the file is not text of the declared encoding: names the byte, the line and the encoding.
    """
    mixed_line_ends = _check_encoding(file, path)
    if file.encoding == "utf-8" and file.header_row == 1 and not mixed_line_ends:
        return path
    copy = scratch / f"{len(list(scratch.iterdir()))}.txt"
    skipped = file.header_row - 1
    with copy.open("w", encoding="utf-8", newline="") as target:
        for text in _normal_line_ends(_decoded(file, path)):
            while skipped and "\n" in text:
                skipped, text = skipped - 1, text.partition("\n")[2]
            if not skipped:
                target.write(text)
    return copy


@dataclass(frozen=True)
class Head:
    """What the first lines of a text file say.

    Args:
        names: Its column names; nameless and repeated ones are numbered, so that all differ.
        nameless: Those that had no name.
        has_rows: Whether a row follows.
        expected_rows: How many, estimated from the file's size and the length of its first lines.
    """

    names: tuple[str, ...]
    nameless: tuple[str, ...]
    has_rows: bool
    expected_rows: int


def read_head(file: File, path: Path) -> Head:
    """Column names of a text file, and whether rows follow.

    Raises:
        SourceError: if the file is empty or its beginning is not text of the declared encoding.
    """
    import csv

    try:
        with _opened(path, "rt", encoding=_python_encoding(file.encoding), newline="") as text:
            for _ in range(file.header_row - 1):
                next(text, "")
            lines = (
                map(file_splitter(file), text) if file.format == "lines" else csv.reader(text, delimiter=file.separator)
            )
            header = list(file.names) or next(lines, [])
            has_rows = any(any(fields) for fields in islice(lines, _LOOKED_AT_ROWS))
    except UnicodeError:
        _check_encoding(file, path)
        raise
    except csv.Error:  # a broken quote: the rows are there, and reading them will tell
        has_rows = True
    except (OSError, EOFError) as error:
        raise _unreadable(path, error) from error
    if not header:
        raise SourceError(f"The file {path} is empty", expected="a line of column names and rows below it")
    names = distinct_names(header)
    nameless = tuple(name for name, raw in zip(names, header, strict=True) if not raw.strip())
    return Head(tuple(names), nameless, has_rows, _expected_rows(path, has_rows=has_rows))


def distinct_names(header: list[str]) -> list[str]:
    """The header's names, stripped; `column_<position from 1>` where there is none, `name_<position>` if repeated."""
    names: list[str] = []
    for position, raw in enumerate(header, start=1):
        name = raw.strip() or f"column_{position}"
        names.append(f"{name}_{position}" if name in names else name)
    return names


def file_splitter(file: File) -> Callable[[str], list[str]]:
    """How a line of format `lines` falls into fields."""
    if not file.widths:
        return str.split
    ends = [sum(file.widths[: number + 1]) for number in range(len(file.widths))]
    return lambda line: [
        line.rstrip("\r\n")[end - width : end].strip() for end, width in zip(ends, file.widths, strict=True)
    ]


def _expected_rows(path: Path, *, has_rows: bool) -> int:
    try:
        with _opened(path, "rb") as file:
            sample: bytes = file.read(_SAMPLE_BYTES)
    except (OSError, EOFError) as error:
        raise _unreadable(path, error) from error
    lines = sample.count(b"\n")
    if len(sample) < _SAMPLE_BYTES:
        return max(lines - 1, int(has_rows))
    return path.stat().st_size * (_PACKED if path.suffix == ".gz" else 1) * lines // len(sample)


def _check_encoding(file: File, path: Path) -> bool:
    """Refuse bytes that are not text of the declared encoding; returns whether the line ends are mixed."""
    windows = unix = False
    decoder = _decoder(file.encoding)
    position = pending = 0
    for chunk in _chunks(path):
        if pending or file.encoding == "utf-16" or not chunk.isascii():
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                raise _undecodable(file, path, position - pending + error.start, error) from error
            pending = len(decoder.getstate()[0])
        paired = chunk.count(b"\r\n") if b"\r" in chunk else 0
        windows |= paired > 0
        unix |= chunk.count(b"\n") > paired if paired else b"\n" in chunk
        position += len(chunk)
    if pending:
        raise _wrong_encoding(file, path, f"the file ends inside a character, after byte {position}")
    return windows and unix


def _undecodable(file: File, path: Path, byte: int, error: UnicodeDecodeError) -> SourceError:
    """The error for a byte, counted from 0; where a line is a row of bytes it is named too."""
    found = error.object[error.start : error.end].hex(" ")
    if file.encoding == "utf-16":
        return _wrong_encoding(file, path, f"byte {byte}: {found}")
    line, left = 1, byte
    for chunk in _chunks(path):
        line += chunk[:left].count(b"\n")
        left = max(left - len(chunk), 0)
    return _wrong_encoding(file, path, f"byte {byte}, line {line}: {found}")


def _wrong_encoding(file: File, path: Path, got: str) -> SourceError:
    return SourceError(
        f"The file {path} cannot be read as {file.encoding} text",
        got=got,
        next_step="set its `encoding` in the mapping to utf-8, utf-16, latin-1 or cp1252",
    )


def _unreadable(path: Path, error: Exception) -> SourceError:
    return SourceError(f"The file {path} cannot be read", got=str(error), next_step="export it again")


def _python_encoding(encoding: str) -> str:
    return "utf-8-sig" if encoding == "utf-8" else encoding


def _decoder(encoding: str) -> Any:
    return codecs.getincrementaldecoder(_python_encoding(encoding))()


def _decoded(file: File, path: Path) -> Iterator[str]:
    decoder = _decoder(file.encoding)
    yield from (decoder.decode(chunk) for chunk in _chunks(path))
    yield decoder.decode(b"", final=True)


def _normal_line_ends(texts: Iterator[str]) -> Iterator[str]:
    """The same text with a line feed at the end of each line, also where a line end lies between two pieces."""
    held = ""
    for piece in texts:
        text = held + piece
        held = "\r" if text.endswith("\r") else ""
        yield text.removesuffix("\r").replace("\r\n", "\n")
    yield held


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with _opened(path, "rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk
    except (OSError, EOFError) as error:
        raise _unreadable(path, error) from error


def _opened(path: Path, mode: str, **options: Any) -> IO[Any]:
    opener: Any = gzip.open if path.suffix == ".gz" else open
    opened: IO[Any] = opener(path, mode, **options)
    return opened
