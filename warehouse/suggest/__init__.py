"""A mapping to start from, made by looking at a user's own file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from common.errors import SourceError, shorten
from warehouse.suggest.names import SYNONYMS
from warehouse.suggest.reading import FORMATS, format_of, read_sample
from warehouse.suggest.tables import Draft, draft_file
from warehouse.suggest.writing import write_yaml


def suggest_mapping(path: Path, *, name: str | None = None, table: str | None = None) -> str:
    """A commented mapping (YAML) for a file, or for the files of a folder, valid under `read_mapping`.

    Encoding, separator, header, types, formats of dates, missing words, keys, columns known only at the outcome and the
    likely canonical columns are told from a sample of the rows; a large file is never read whole. What the sample does
    not prove is said in a comment: an order of day and month that it does not show, a time zone, and alternatives with
    their confidence (0 to 1).

    Args:
        path: CSV (any encoding, `.gz` too), Excel or Parquet file, or a folder of such files.
        name: Name of the source; unset: made from the file's or folder's name.
        table: Canonical table the file is meant for; unset: the one it is most like.

    Raises:
        SourceError: if there is no such file or table, it cannot be read, or no file is like a canonical table.
    """
    if table is not None and table not in SYNONYMS:
        raise SourceError(f"'{table}' is no table to suggest a mapping for", expected=f"one of {', '.join(SYNONYMS)}")
    drafts = _drafts(_files(path), table)
    if not any(draft.entries for draft in drafts):
        headers = [header for draft in drafts for header in draft.profiles]
        raise SourceError(
            f"No canonical table is like {path.name}",
            got=f"columns {shorten(headers, limit=12)}",
            next_step=f"say which it is meant for with table=… ({', '.join(SYNONYMS)}), or write the mapping by hand",
        )
    stem = path.name.lower().removesuffix(".gz")
    return write_yaml(name or _identifier(Path(stem).stem if path.is_file() else stem, "-"), drafts)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise SourceError(f"There is no file or folder {path}", next_step="give the path of the export")
    found = sorted(file for file in path.iterdir() if file.is_file() and format_of(file) is not None)
    if not found:
        raise SourceError(
            f"The folder {path} holds no file that a mapping reads", expected=f"one of {', '.join(FORMATS)}"
        )
    return found


def _drafts(files: Iterable[Path], table: str | None) -> list[Draft]:
    drafts: list[Draft] = []
    for file in files:
        plain = _identifier(Path(file.name.lower().removesuffix(".gz")).stem, "_")
        same = sum(draft.relation.rstrip("_0123456789") == plain for draft in drafts)
        drafts.append(draft_file(read_sample(file), f"{plain}_{same + 1}" if same else plain, table=table))
    return drafts


def _identifier(text: str, joint: str) -> str:
    words = re.sub(r"[^a-z0-9]+", joint, text.lower()).strip(joint) or "source"
    return words if words[0].isalpha() else f"source{joint}{words}"
