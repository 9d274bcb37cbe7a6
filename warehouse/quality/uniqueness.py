"""Uniqueness: versions that contradict each other, and rows that say the same under different keys.

Rows are compared by a 64-bit hash, so that memory grows with the number of rows and not with their width.
"""

from __future__ import annotations

from warehouse.contracts import TIME_COLUMNS
from warehouse.quality.reading import Reading
from warehouse.quality.results import Found
from warehouse.quality.weights import penalty
from warehouse.views import quoted

_NAMING = {"accounts": "name", "contacts": "email", "leads": "email", "reps": "name", "campaigns": "name"}
"""Versioned tables whose things can be told apart by their content, and the column that must be filled for it."""


def uniqueness_findings(reading: Reading, table: str, *, rows: int) -> list[Found]:
    """Both checks of one table."""
    return [*_conflicting(reading, table, rows=rows), *_same_content(reading, table, rows=rows)]


def _conflicting(reading: Reading, table: str, *, rows: int) -> list[Found]:
    """Rows with one key and the same two times: nothing says which of them is newer."""
    known, key = reading.rows_of(table), reading.key_of(table)
    place = ", ".join((key, *TIME_COLUMNS))
    reading.connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE conflicting AS SELECT hash({place}) AS mark, count(*) AS times
            FROM {known} GROUP BY mark HAVING times > 1"""  # noqa: S608
    )
    places, count = reading.row("SELECT count(*), coalesce(sum(times), 0) FROM conflicting")
    if not places:
        return []
    return [
        Found(
            check="uniqueness.conflicting",
            table=table,
            column=reading.contracts[table].key,
            dimension="uniqueness",
            what=f"{count:,} of {rows:,} rows share key and both times with another row of different content",
            advice="Give the source's own time of change as `event_timestamp` in the mapping; until then the greatest "
            "content counts, which is arbitrary.",
            count=int(count),
            of=rows,
            penalty=penalty("conflicting_versions", count, of=rows),
            examples=reading.examples(f"{known} WHERE hash({place}) IN (SELECT mark FROM conflicting)", key),  # noqa: S608
        )
    ]


def _same_content(reading: Reading, table: str, *, rows: int) -> list[Found]:
    """Rows that agree in everything but the key and the moment they became known."""
    contract = reading.contracts[table]
    naming = _NAMING.get(table)
    if contract.kind == "versioned" and naming is None:
        return []
    known, key = reading.rows_of(table), reading.key_of(table)
    told_apart = f"WHERE {naming} IS NOT NULL" if contract.kind == "versioned" else ""
    content = ", ".join(quoted(column.name) for column in contract.columns if column.name != contract.key)
    marked = f"(SELECT {key}, hash({content}, event_timestamp) AS mark FROM {known} {told_apart})"  # noqa: S608
    # Two passes: counting the keys of every content at once would hold all keys.
    reading.connection.execute(
        f"CREATE OR REPLACE TEMP TABLE repeated AS SELECT mark FROM {marked} GROUP BY mark HAVING count(*) > 1"  # noqa: S608
    )
    reading.connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE repeated_keys AS SELECT mark, count(DISTINCT {key}) AS keys
            FROM {marked} SEMI JOIN repeated USING (mark) GROUP BY mark HAVING keys > 1"""  # noqa: S608
    )
    surplus = int(reading.row("SELECT coalesce(sum(keys - 1), 0) FROM repeated_keys")[0])
    if not surplus:
        return []
    return [
        Found(
            check="uniqueness.same_content",
            table=table,
            column=contract.key,
            dimension="uniqueness",
            what=f"{surplus:,} of {rows:,} rows repeat another row under a different {contract.key}",
            advice="Look whether an import ran twice with new ids; where the source has times by the day only, they "
            "may be real repeats.",
            count=surplus,
            of=rows,
            penalty=penalty("duplicate_rows", surplus, of=rows),
            examples=reading.examples(f"{marked} SEMI JOIN repeated_keys USING (mark)", key),
        )
    ]
