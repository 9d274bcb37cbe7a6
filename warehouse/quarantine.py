"""The quarantine: rows that broke a contract, each with its reason, kept for whoever mends the source."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from warehouse.views import open_connection, parquet_relation

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = "_quarantine"


class Quarantine:
    """Delta table `_quarantine` of a warehouse: `table, reason, origin, row` (JSON), `quarantined_at` (wall clock).

    Args:
        root: Folder of the warehouse.
    """

    def __init__(self, root: Path) -> None:
        self._path = root / FOLDER

    def add(self, table: str, bad: pa.Table, *, origin: str) -> int:
        """Keep the broken rows (`reason`, `row`) that are not kept already; returns how many are new."""
        import pyarrow as pa
        from deltalake import write_deltalake

        if bad.num_rows == 0:
            return 0
        with open_connection() as connection:
            connection.register("bad", bad)
            connection.register("kept", self.rows())
            fresh = connection.sql(
                """SELECT DISTINCT $table AS "table", reason, $origin AS origin, "row" FROM bad
                   EXCEPT SELECT "table", reason, origin, "row" FROM kept ORDER BY ALL""",
                params={"table": table, "origin": origin},
            ).to_arrow_table()
        if fresh.num_rows == 0:
            return 0
        moment = pa.array([datetime.now(UTC)] * fresh.num_rows, pa.timestamp("us", tz="UTC"))
        write_deltalake(self._path, fresh.append_column("quarantined_at", moment), mode="append")
        return int(fresh.num_rows)

    def rows(self, table: str | None = None) -> pa.Table:
        """The quarantined rows, of one table or of all, oldest first."""
        import pyarrow as pa
        from deltalake import DeltaTable

        names = ("table", "reason", "origin", "row")
        if not DeltaTable.is_deltatable(str(self._path)):
            return pa.schema(
                [*((n, pa.string()) for n in names), ("quarantined_at", pa.timestamp("us", tz="UTC"))]
            ).empty_table()
        with open_connection() as connection:
            files = parquet_relation(DeltaTable(self._path).file_uris())
            return connection.sql(
                f"""SELECT "table", reason, origin, "row", quarantined_at FROM {files}
                    WHERE $table IS NULL OR "table" = $table ORDER BY quarantined_at, "table", origin, "row", reason""",  # noqa: S608
                params={"table": table},
            ).to_arrow_table()
