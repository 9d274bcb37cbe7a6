"""The SQL of views as it was compiled before: to run it takes DuckDB alone, to compile it Ibis, sqlglot and seconds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

from common.whole_files import write_whole
from features.maths_digest import maths_digest
from features.specs import ViewSpec
from features.transform import tables_read, view_sql

_READS = "-- reads "


@dataclass(frozen=True)
class _Page:
    """What is kept of a view: its `view_sql`, and its `tables_read`."""

    sql: str
    tables: tuple[str, ...]


class SqlBook:
    """SQL by view, in a folder; compiled where it is not there, or was by other maths or another Ibis.

    Args:
        folder: Where the files are; it is made by the first one. None: every process compiles.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._known: dict[ViewSpec, _Page] = {}

    def sql(self, view: ViewSpec) -> str:
        """`features.transform.view_sql` of a view."""
        return self._page(view).sql

    def tables(self, view: ViewSpec) -> tuple[str, ...]:
        """`features.transform.tables_read` of a view."""
        return self._page(view).tables

    def _page(self, view: ViewSpec) -> _Page:
        found = self._known.get(view)
        if found is None:
            found = self._known[view] = self._read(view)
        return found

    def _read(self, view: ViewSpec) -> _Page:
        if self.folder is None:
            return _Page(view_sql(view), tables_read(view))
        file = self.folder / f"{view.name}-{maths_digest(view)}-{_ibis_version()}.sql"
        kept = _page_of(file)
        if kept is not None:
            return kept
        page = _Page(view_sql(view), tables_read(view))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for old in self.folder.glob(f"{view.name}-*.sql"):
                old.unlink(missing_ok=True)
            write_whole(file, f"{_READS}{' '.join(page.tables)}\n{page.sql}")
        except OSError:
            # A full or read-only disk costs the next process a compilation, no more.
            return page
        return page


def _page_of(file: Path) -> _Page | None:
    """What a file holds; None where it is not there, or is from before the tables were kept."""
    try:
        reads, _, sql = file.read_text(encoding="utf-8").partition("\n")
    except OSError:
        return None
    return _Page(sql, tuple(reads.removeprefix(_READS).split())) if reads.startswith(_READS) else None


@cache
def _ibis_version() -> str:
    return version("ibis-framework")
