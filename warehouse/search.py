"""Looking for texts in files: byte by byte, and in Parquet, whose pages are compressed, value by value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from warehouse.views import first_row, literal, open_connection, parquet_relation, quoted

_CHUNK = 2**22


@dataclass(frozen=True)
class Search:
    """What a search looked at and found.

    Args:
        files: Files searched.
        bytes: Their size.
        traces: Files, relative to the searched folder, that hold one of the texts.
    """

    files: int
    bytes: int
    traces: tuple[str, ...]


def find_traces(folder: Path, texts: Sequence[str]) -> Search:
    """Search every file below a folder for texts, in UTF-8 and whatever the case of ASCII letters.

    Args:
        folder: Where to look; nothing is found in a folder that is not there.
        texts: What to look for.
    """
    wanted = [text.lower().encode() for text in texts]
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    traces = [
        str(path.relative_to(folder))
        for path in paths
        if _holds_bytes(path, wanted) or (path.suffix == ".parquet" and _holds_values(path, texts))
    ]
    return Search(files=len(paths), bytes=sum(path.stat().st_size for path in paths), traces=tuple(traces))


def _holds_bytes(path: Path, wanted: Sequence[bytes]) -> bool:
    return any(text in chunk for chunk in _chunks(path, max(map(len, wanted), default=0)) for text in wanted)


def _chunks(path: Path, overlap: int) -> Iterator[bytes]:
    """The file in lower case, in pieces that overlap, so that no text is cut in two."""
    tail = b""
    with path.open("rb") as file:
        while read := file.read(_CHUNK):
            chunk = tail + read.lower()
            yield chunk
            tail = chunk[-overlap:] if overlap else b""


def _holds_values(path: Path, texts: Sequence[str]) -> bool:
    with open_connection() as connection:
        relation = parquet_relation([str(path)])
        described = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()  # noqa: S608
        columns = [name for name, kind, *_ in described if kind == "VARCHAR"]
        if not columns or not texts:
            return False
        held = [f"contains(lower({quoted(name)}), {literal(text.lower())})" for name in columns for text in texts]
        return int(first_row(connection, f"SELECT count(*) FROM {relation} WHERE {' OR '.join(held)}")[0]) > 0  # noqa: S608
