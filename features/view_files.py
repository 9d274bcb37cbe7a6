"""The Parquet files of one feature view: which rows are there, and how new ones get in without harm."""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.clock import utc
from features.specs import ViewSpec

if TYPE_CHECKING:
    import pyarrow as pa

_RECEIPT = "computed_from.txt"


class ViewFiles:
    """Computed rows of one view, in a folder of Parquet files that Feast reads.

    A row is computed once for each (join key, as_of) and then reused, as long as the warehouse's content and the
    maths are the same; when either changes, all rows are computed anew. Each file appears whole or not at all.

    Args:
        folder: Where the files are.
        view: The view.
    """

    def __init__(self, folder: Path, view: ViewSpec) -> None:
        self.folder = folder
        self.view = view

    def prepare(self, fingerprint: str) -> None:
        """Make the folder hold only rows that were computed from this content by the present maths.

        Args:
            fingerprint: Of the warehouse's content.
        """
        computed_from = f"{fingerprint} {maths_digest()}"
        receipt = self.folder / _RECEIPT
        if receipt.is_file() and receipt.read_text() == computed_from:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        # An empty file gives readers the columns before there is a row.
        self.add(self.view.schema.empty_table())
        _write_text(receipt, computed_from)

    def missing(self, moments: pa.Table) -> pa.Table:
        """Rows (join key, as_of) of `moments` that are not computed yet, each once; rows without a key need nothing."""
        key = self.view.join_key
        if not self._files():
            return moments.filter(moments[key].is_valid()).group_by([key, "as_of"]).aggregate([])
        query = f"""
            SELECT DISTINCT "{key}", as_of FROM moments WHERE "{key}" IS NOT NULL
            EXCEPT SELECT "{key}", event_timestamp FROM stored
        """  # noqa: S608 - the key is the catalogue's
        return self._query(query, moments=moments).cast(moments.select([key, "as_of"]).schema)

    def add(self, rows: pa.Table) -> None:
        """Append rows of the view's schema as one file."""
        import pyarrow.parquet as pq

        name = f"part-{uuid.uuid4().hex}.parquet"
        unfinished = self.folder / f"{name}.unfinished"
        pq.write_table(rows.cast(self.view.schema), unfinished, coerce_timestamps="us")
        unfinished.replace(self.folder / name)

    def rows_at(self, at: datetime, keys: pa.Table) -> pa.Table:
        """The computed rows of the keys in `keys` at exactly `at`, ordered by key."""
        key = self.view.join_key
        query = f"""
            SELECT s.* FROM stored s SEMI JOIN moments m ON s."{key}" = m."{key}"
            WHERE s.event_timestamp = '{utc(at).isoformat()}' ORDER BY s."{key}"
        """  # noqa: S608 - the key is the catalogue's
        return self._query(query, moments=keys).cast(self.view.schema)

    def _files(self) -> list[str]:
        return sorted(str(path) for path in self.folder.glob("part-*.parquet"))

    def _query(self, query: str, *, moments: pa.Table) -> Any:
        from warehouse.views import open_connection, parquet_relation

        with open_connection() as connection:
            connection.register("moments", moments)
            connection.execute(f"CREATE VIEW stored AS SELECT * FROM {parquet_relation(self._files())}")  # noqa: S608
            return connection.sql(query).to_arrow_table()


@contextmanager
def one_writer(folder: Path) -> Iterator[None]:
    """Let only one process at a time write below `folder`; the others wait. A killed process leaves no lock behind."""
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)


@cache
def maths_digest() -> str:
    """Digest of the code that computes features: 16 hexadecimal digits."""
    import warehouse.as_known

    folder = Path(__file__).parent / "transformations"
    digest = hashlib.sha256(Path(str(warehouse.as_known.__file__)).read_bytes())
    for path in sorted(folder.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _write_text(path: Path, text: str) -> None:
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(text)
    unfinished.replace(path)
