"""A small world with rows in every canonical table, drawn from the contracts alone, so that new views need no care."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pyarrow as pa
from features_world import day

from features.specs import ViewSpec
from features.transformations.series_history import COMPANY
from warehouse.contracts import CONTRACTS, UTC_MICROSECONDS, Column, Contract
from warehouse.store import Warehouse

THINGS = 4
"""Different values of each identifier."""
LAST_DAY = 200


def rows_of(table: str, count: int, *, seed: int, first_day: float = 0, last_day: float = LAST_DAY) -> pa.Table:
    """Rows of a table that happened in a span of days; every third was recorded later."""
    contract = CONTRACTS[table]
    draw = random.Random(f"{table} {seed}")  # noqa: S311 - made-up rows
    rows = []
    for number in range(count):
        happened = draw.uniform(first_day, last_day)
        late = draw.choice((0, 0, draw.uniform(0, 30)))
        values = {column.name: _value(draw, contract, column, f"{seed}-{number}") for column in contract.columns}
        rows.append({**values, "event_timestamp": day(happened), "created_timestamp": day(happened + late)})
    return pa.Table.from_pylist(rows, schema=contract.arrow_schema)


def fill(warehouse: Warehouse, *, rows: int = 40, without: Sequence[str] = (), seed: int = 1) -> Warehouse:
    """Append rows of every table."""
    for table in CONTRACTS:
        if table not in without:
            warehouse.append(table, rows_of(table, rows, seed=seed), origin="test")
    return warehouse


def moments_of(view: ViewSpec, count: int, *, seed: int = 1) -> pa.Table:
    """Moments of the view's entities: known ones, unknown ones, and null; some twice."""
    draw = random.Random(seed)  # noqa: S311 - made-up rows
    keys = {
        "segment_id": ("web|a", "|", "x|y"),
        "series_id": (COMPANY, "rep:rep-1", "team:a"),
    }.get(view.join_key, tuple(_identifier(view.join_key, number) for number in range(THINGS + 1)))
    asked = [(draw.choice((*keys, None)), day(draw.uniform(-5, LAST_DAY + 40))) for _ in range(count)]
    asked += asked[:3]
    return pa.table(
        {
            view.join_key: pa.array([key for key, _ in asked], pa.string()),
            "as_of": pa.array([moment for _, moment in asked], UTC_MICROSECONDS),
        }
    )


def _value(draw: random.Random, contract: Contract, column: Column, number: str) -> Any:
    if column.name == contract.key and contract.kind == "event":
        return f"{contract.table}-{number}"
    if column.name.endswith("_id"):
        return _identifier(column.name, draw.randrange(THINGS))
    if not column.required and draw.random() < 0.2:
        return None
    if column.allowed:
        return draw.choice(column.allowed)
    least, most = column.minimum or 0, 9 if column.maximum is None else column.maximum
    span = most - least if most > least else 9
    values = {
        "string": lambda: draw.choice("abc"),
        "float": lambda: least + round(draw.random() * span, 2),
        "int": lambda: int(least) + draw.randrange(int(span) + 1),
        "bool": lambda: draw.random() < 0.1,
        "timestamp": lambda: day(draw.uniform(-20, 20)),
        "date": lambda: (day(draw.uniform(0, LAST_DAY)) + timedelta(days=0)).date(),
    }
    return values[column.dtype]()


def _identifier(column: str, number: int) -> str:
    return f"{column.removesuffix('_id')}-{number}"
