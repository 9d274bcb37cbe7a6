"""The quarantine: rows that broke a contract, each with its reason, kept until the source or its mapping is mended.

It is a log like every other table: a row that is let go, or breaks for another reason, is a new entry under its id,
and the newest entry counts.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from warehouse.contracts import Column, Contract
from warehouse.delta_tables import AppendOnlyTable
from warehouse.views import open_connection, parquet_relation

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = "_quarantine"
_SHOWN = ("id", "table", "reason", "origin", "row", "quarantined_at", "released_at")


def _text(name: str, about: str) -> Column:
    return Column(name=name, dtype="string", about=about, required=True)


CONTRACT = Contract(
    table=FOLDER,
    kind="event",
    key="id",
    about="A row that broke a contract; event_timestamp is when this was noted, by the wall clock.",
    columns=(
        _text("id", "Identifier: table, origin and row."),
        _text("table", "Canonical table it was meant for."),
        _text("reason", "Why it was refused."),
        _text("origin", "Where it came from: source and file or view."),
        _text("row", "The row as JSON: as it came, where it could not be read; else in canonical columns."),
        Column(name="is_released", dtype="bool", about="True once it has gone in after all.", required=True),
    ),
)
_NEWEST = """SELECT * FROM {files}
    QUALIFY row_number() OVER (PARTITION BY id ORDER BY event_timestamp DESC, is_released DESC, reason) = 1"""


@dataclass(frozen=True)
class QuarantineCount:
    """Rows held for one reason.

    Args:
        table: Canonical table they were meant for.
        origin: Source and file or view they came from.
        reason: Why they were refused.
        rows: Their number.
        first: When the first came, UTC, wall clock.
        last: When the last came.
    """

    table: str
    origin: str
    reason: str
    rows: int
    first: datetime
    last: datetime


class Quarantine:
    """The quarantine of a warehouse.

    Args:
        root: Folder of the warehouse.
    """

    def __init__(self, root: Path) -> None:
        self.table = AppendOnlyTable(root / FOLDER, CONTRACT)

    def add(self, table: str, bad: pa.Table, *, origin: str) -> int:
        """Keep the broken rows (`reason`, `row`) that are not kept already; returns how many are new."""
        if bad.num_rows == 0:
            return 0
        with open_connection() as connection:
            connection.register("bad", bad)
            entries = connection.sql(
                """SELECT DISTINCT md5(concat_ws('|', $table, $origin, "row")) AS id, $table AS "table", reason,
                   $origin AS origin, "row", false AS is_released FROM bad ORDER BY ALL""",
                params={"table": table, "origin": origin},
            ).to_arrow_table()
        return self._note(entries, unless_held=True)

    def release(self, ids: Collection[str]) -> int:
        """Note that rows have gone in after all; returns how many were held. Unknown ids are passed over."""
        import pyarrow as pa
        import pyarrow.compute as pc

        held = self.rows()
        let_go = held.filter(pc.is_in(held.column("id"), pa.array(sorted(ids), pa.string())))
        entries = let_go.select(["id", "table", "reason", "origin", "row"])
        return self._note(entries.append_column("is_released", pa.array([True] * entries.num_rows, pa.bool_())))

    def rows(self, table: str | None = None, *, include_released: bool = False) -> pa.Table:
        """The rows held, of one table or of all, oldest first.

        Args:
            table: Canonical table; None for all.
            include_released: Whether to show those that have gone in after all, with the moment in `released_at`.

        Returns:
            Columns `id, table, reason, origin, row` (text), `quarantined_at` and `released_at` (UTC, wall clock).
        """
        import pyarrow as pa

        delta = self.table.opened_with_rows()
        if delta is None:
            times = pa.timestamp("us", tz="UTC")
            return pa.schema([(name, times if name.endswith("_at") else pa.string()) for name in _SHOWN]).empty_table()
        files = parquet_relation(delta.file_uris())
        with open_connection() as connection:
            return connection.sql(
                f"""SELECT id, "table", reason, origin, "row",
                        (SELECT min(event_timestamp) FROM {files} first WHERE first.id = newest.id) AS quarantined_at,
                        CASE WHEN is_released THEN event_timestamp END AS released_at
                    FROM ({_NEWEST.format(files=files)}) newest
                    WHERE ($table IS NULL OR "table" = $table) AND ($released OR NOT is_released)
                    ORDER BY quarantined_at, "table", origin, "row", reason""",  # noqa: S608
                params={"table": table, "released": include_released},
            ).to_arrow_table()

    def counts(self, table: str | None = None) -> list[QuarantineCount]:
        """The rows held, counted by table, origin and reason, the most first.

        Args:
            table: Canonical table; None for all.
        """
        delta = self.table.opened_with_rows()
        if delta is None:
            return []
        files = parquet_relation(delta.file_uris())
        with open_connection() as connection:
            found = connection.execute(
                f"""SELECT "table", origin, reason, count(*), min(event_timestamp), max(event_timestamp)
                    FROM ({_NEWEST.format(files=files)})
                    WHERE NOT is_released AND ($table IS NULL OR "table" = $table)
                    GROUP BY ALL ORDER BY 4 DESC, 1, 2, 3""",  # noqa: S608
                {"table": table},
            ).fetchall()
        return [QuarantineCount(*row) for row in found]

    def _note(self, entries: pa.Table, *, unless_held: bool = False) -> int:
        """Append entries, without those whose newest entry says the same already."""
        import pyarrow as pa

        delta = self.table.opened_with_rows()
        with open_connection() as connection:
            connection.register("entries", entries)
            if delta is not None and unless_held:
                connection.execute(
                    f"CREATE TABLE newest AS {_NEWEST.format(files=parquet_relation(delta.file_uris()))}"
                )
                entries = connection.sql(
                    """SELECT * FROM entries ANTI JOIN (SELECT id, reason FROM newest WHERE NOT is_released)
                        USING (id, reason)"""
                ).to_arrow_table()
        moment = pa.array([datetime.now(UTC)] * entries.num_rows, pa.timestamp("us", tz="UTC"))
        for name in ("event_timestamp", "created_timestamp"):
            entries = entries.append_column(name, moment)
        return self.table.append(entries.cast(CONTRACT.arrow_schema), origin="quarantine").rows
