"""Checking rows against their table's contract: what may enter the warehouse, and why the rest may not."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from common.errors import ContractError
from warehouse.contracts import Column, Contract
from warehouse.views import SQL_TYPES, all_columns, literal, open_connection, quoted, refuse_unknown_columns

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

REASON_COLUMN = "quarantine_reason"
"""Optional column of offered rows: where it is not null, the row goes to quarantine with that text as the reason."""

ROW_COLUMN = "quarantine_row"
"""Optional column of offered rows: what to keep of the row in quarantine (JSON) where the row itself says less."""

_TYPE_WORDS = {
    "string": "text",
    "float": "a number",
    "int": "a whole number",
    "bool": "true or false",
    "timestamp": "a time",
    "date": "a date",
}
_UNCAST = "_uncast_"


@dataclass(frozen=True)
class Checked:
    """Offered rows, parted.

    Args:
        good: Rows that keep the contract, in its schema.
        bad: Rows that break it: the text columns `reason` and `row`, the row as it was offered, as JSON.
        reasons: Broken rows by reason; a row with several breaks counts once, under all of them joined by "; ".
    """

    good: pa.Table
    bad: pa.Table
    reasons: dict[str, int]


def check_rows(rows: pa.Table, contract: Contract) -> Checked:
    """Part `rows` into those that keep the contract and those that break it, with the reason of each.

    A row breaks its contract when a required column or one of the two times is missing, a value cannot be cast to its
    column's type (a fraction is no int), is not finite, lies outside the range or is not among the allowed values.
    Empty text and NaN count as missing. Columns that are not given are null.

    Raises:
        ContractError: if a column is not in the contract, or holds times without a time zone.
    """
    import numpy as np

    _refuse_unusable(rows, contract)
    with open_connection() as connection:
        connection.register("offered", rows.append_column("_row", [np.arange(rows.num_rows)]))
        cast = _cast_columns(rows, contract)
        # Casts are done once; without any, a copy of the rows would cost more than reading them twice.
        made = "TABLE" if cast else "VIEW"
        connection.execute(f"CREATE {made} typed AS SELECT {_typed_columns(rows, contract)} FROM offered")  # noqa: S608
        failures = _failures(connection, contract, cast)
        connection.register("failures", failures)
        good = _good_rows(connection, contract, "ANTI JOIN failures USING (_row)" if failures.num_rows else "")
        bad = _bad_rows(connection)
    return Checked(good=good, bad=bad, reasons=dict(sorted(Counter(bad.column("reason").to_pylist()).items())))


def _refuse_unusable(rows: pa.Table, contract: Contract) -> None:
    import pyarrow as pa

    own = {REASON_COLUMN, ROW_COLUMN}
    refuse_unknown_columns([name for name in rows.column_names if name not in own], contract)
    times = {column.name for column in all_columns(contract) if column.dtype == "timestamp"} & set(rows.column_names)
    kinds = {name: rows.schema.field(name).type for name in sorted(times)}
    naive = [name for name, kind in kinds.items() if pa.types.is_timestamp(kind) and kind.tz is None]
    if naive:
        raise ContractError(
            f"The times of {', '.join(naive)} in {contract.table} have no time zone",
            expected="UTC, microseconds",
            next_step="give the source's time zone in its mapping",
        )


def _cast_columns(rows: pa.Table, contract: Contract) -> tuple[str, ...]:
    """Offered columns that have not the contract's type: only their casts can fail."""
    offered = set(rows.column_names)
    return tuple(
        column.name
        for column in all_columns(contract)
        if column.name in offered and rows.schema.field(column.name).type != column.arrow_type
    )


def _typed_columns(rows: pa.Table, contract: Contract) -> str:
    """SQL of the contract's columns cast from the offered ones, and of the marks where a cast failed."""
    parts = ["_row", REASON_COLUMN if REASON_COLUMN in rows.column_names else f"NULL::VARCHAR AS {REASON_COLUMN}"]
    cast = _cast_columns(rows, contract)
    for column in all_columns(contract):
        offered = quoted(column.name)
        if column.name not in rows.column_names:
            parts.append(f"NULL::{SQL_TYPES[column.dtype]} AS {offered}")
            continue
        parts.append(f"{_typed(column)} AS {offered}")
        if column.name in cast:
            blank = f"nullif(trim({offered}::VARCHAR), '') IS NULL OR ({offered}::VARCHAR = 'nan')"
            parts.append(f"({_typed(column)}) IS NULL AND NOT ({blank}) AS {_UNCAST}{column.name}")
    return ", ".join(parts)


def _typed(column: Column) -> str:
    name = quoted(column.name)
    if column.dtype == "string":
        return f"nullif({name}::VARCHAR, '')"
    if column.dtype == "float":
        return f"CASE WHEN NOT isnan(TRY_CAST({name} AS DOUBLE)) THEN TRY_CAST({name} AS DOUBLE) END"
    if column.dtype == "int":
        # A plain cast would round 3.7 to 4.
        whole = f"TRY_CAST({name} AS DOUBLE) = floor(TRY_CAST({name} AS DOUBLE))"
        return f"CASE WHEN {whole} THEN TRY_CAST({name} AS BIGINT) END"
    return f"TRY_CAST({name} AS {SQL_TYPES[column.dtype]})"


def _failures(connection: duckdb.DuckDBPyConnection, contract: Contract, cast: tuple[str, ...]) -> pa.Table:
    """One row per broken row: `_row` and `reason`, reasons in the order of the contract's columns.

    pandera judges, but only the rows that a screen in SQL cannot pass: nearly all rows are right, and DuckDB sees that
    ten times faster. A test holds the screen to pandera's own verdict.
    """
    import pyarrow as pa

    suspects = connection.sql(
        f"SELECT * FROM typed WHERE {suspect_sql(contract, cast)} ORDER BY _row"  # noqa: S608
    ).to_arrow_table()
    reasons = _judge(suspects, pandera_schema(contract, cast)) if suspects.num_rows else {}
    mapped = connection.execute(f"SELECT _row, {REASON_COLUMN} FROM typed WHERE {REASON_COLUMN} IS NOT NULL")  # noqa: S608
    reasons.update(mapped.fetchall())
    rows = sorted(reasons)
    return pa.table(
        {"_row": pa.array(rows, pa.int64()), "reason": pa.array([reasons[row] for row in rows], pa.string())}
    )


def _judge(suspects: pa.Table, schema: Any) -> dict[int, str]:
    """What pandera says of rows, by `_row`; those it passes are left out."""
    import pandas as pd
    import pandera.errors

    frame = suspects.select(["_row", *schema.columns]).to_pandas(types_mapper=pd.ArrowDtype).set_index("_row")
    found: dict[int, dict[str, str]] = {}
    try:
        with warnings.catch_warnings():
            # pandera concatenates its own tables of failures, some of them empty, in a way pandas is about to change.
            warnings.filterwarnings("ignore", message="The behavior of DataFrame concatenation", category=FutureWarning)
            schema.validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        order = {name: position for position, name in enumerate(schema.columns)}
        cases = errors.failure_cases.assign(order=errors.failure_cases["column"].map(order)).sort_values("order")
        for name, check, row in zip(cases["column"], cases["check"], cases["index"], strict=True):
            column = name.removeprefix(_UNCAST)
            # The first failure of a column says it: what cannot be read is not called missing as well.
            found.setdefault(int(row), {}).setdefault(column, _reason(column, str(check)))
    return {row: "; ".join(reasons.values()) for row, reasons in found.items()}


def _reason(column: str, check: str) -> str:
    return f"{column} is missing" if check == "not_nullable" else check


def suspect_sql(contract: Contract, cast: tuple[str, ...]) -> str:
    """SQL condition on `typed` that holds for every row which the contract's pandera schema refuses."""
    conditions = ["false", *(quoted(_UNCAST + name) for name in cast)]
    for column in all_columns(contract):
        name = quoted(column.name)
        if column.required:
            conditions.append(f"{name} IS NULL")
        if column.dtype == "float":
            conditions.append(f"isinf({name})")
        if column.minimum is not None:
            conditions.append(f"{name} < {column.minimum!r}")
        if column.maximum is not None:
            conditions.append(f"{name} > {column.maximum!r}")
        if column.allowed is not None:
            conditions.append(f"{name} NOT IN ({', '.join(literal(value) for value in column.allowed)})")
    # A comparison with null is null, which OR passes over.
    return " OR ".join(conditions)


@cache
def pandera_schema(contract: Contract, cast: tuple[str, ...]) -> Any:
    """The pandera schema of a contract; types are settled before; of the columns `cast` it reads the failures."""
    import pandera.pandas as pandera

    columns: dict[str, Any] = {}
    for column in all_columns(contract):
        if column.name in cast:
            unread = pandera.Check.eq(False, error=f"{column.name} is not {_TYPE_WORDS[column.dtype]}")
            columns[_UNCAST + column.name] = pandera.Column(None, unread)
        checks = _value_checks(column)
        if column.required or checks:
            columns[column.name] = pandera.Column(None, checks, nullable=not column.required)
    return pandera.DataFrameSchema(columns)


def _value_checks(column: Column) -> list[Any]:
    import pandera.pandas as pandera

    checks = []
    if column.dtype == "float":
        checks.append(pandera.Check(lambda values: values.abs() < float("inf"), error=f"{column.name} is not finite"))
    if column.minimum is not None:
        checks.append(pandera.Check.ge(column.minimum, error=f"{column.name} is below {column.minimum:g}"))
    if column.maximum is not None:
        checks.append(pandera.Check.le(column.maximum, error=f"{column.name} is above {column.maximum:g}"))
    if column.allowed is not None:
        checks.append(
            pandera.Check.isin(column.allowed, error=f"{column.name} is not one of {', '.join(column.allowed)}")
        )
    return checks


def _good_rows(connection: duckdb.DuckDBPyConnection, contract: Contract, without_failures: str) -> pa.Table:
    names = ", ".join(quoted(column.name) for column in all_columns(contract))
    order = "ORDER BY _row" if without_failures else ""
    good = connection.sql(f"SELECT {names} FROM typed {without_failures} {order}")  # noqa: S608
    return good.to_arrow_table().cast(contract.arrow_schema)


def _bad_rows(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    offered = [name for (name, *_) in connection.execute("DESCRIBE offered").fetchall()]
    kept = ", ".join(f"{quoted(n)} := o.{quoted(n)}" for n in offered if n not in {"_row", REASON_COLUMN, ROW_COLUMN})
    row = f"to_json(struct_pack({kept}))::VARCHAR"
    row = f"coalesce(o.{ROW_COLUMN}, {row})" if ROW_COLUMN in offered else row
    return connection.sql(
        f'SELECT f.reason, {row} AS "row" FROM offered o JOIN failures f USING (_row) ORDER BY o._row'  # noqa: S608
    ).to_arrow_table()
