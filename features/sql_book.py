"""The SQL of views as it was compiled before: to run it takes DuckDB alone, to compile it Ibis, sqlglot and seconds."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from pathlib import Path

from common.whole_files import write_whole
from features.maths_digest import maths_digest
from features.specs import ViewSpec
from features.transform import view_sql


class SqlBook:
    """SQL by view, in a folder; compiled where it is not there, or was by other maths or another Ibis.

    Args:
        folder: Where the files are; it is made by the first one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[ViewSpec, str] = {}

    def sql(self, view: ViewSpec) -> str:
        """`features.transform.view_sql` of a view."""
        found = self._known.get(view)
        if found is None:
            found = self._known[view] = self._read(view)
        return found

    def _read(self, view: ViewSpec) -> str:
        name = f"{view.name}-{maths_digest(view)}-{_ibis_version()}.sql"
        try:
            return (self.folder / name).read_text(encoding="utf-8")
        except OSError:
            sql = view_sql(view)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for old in self.folder.glob(f"{view.name}-*.sql"):
                old.unlink(missing_ok=True)
            write_whole(self.folder / name, sql)
        except OSError:
            # A full or read-only disk costs the next process a compilation, no more.
            return sql
        return sql


@cache
def _ibis_version() -> str:
    return version("ibis-framework")
