"""Which rows of the warehouse a feature's value was computed from, proved by computing it again from them alone."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from common.clock import utc
from common.errors import NotFoundError
from features.catalogue import own_fields
from features.definitions import served_views
from features.specs import FeatureSpec, ViewSpec
from features.transform import compute, tables_read
from warehouse.contracts import CONTRACTS, UTC_MICROSECONDS
from warehouse.views import literal, open_connection, quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from warehouse.store import Warehouse

_SEGMENT = "coalesce(source, '') || '|' || coalesce(landing_page, '')"
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Explanation:
    """A feature's value and what it rests on.

    Args:
        feature: The feature.
        view: Its view.
        key: Value of the view's join key.
        as_of: The moment, UTC.
        value: The value; None where missing.
        scope: Which rows these are, in words.
        rows: Rows by table, none of them happened or known after `as_of`; computing the feature from them alone gives
            `value`.
    """

    feature: FeatureSpec
    view: ViewSpec
    key: str
    as_of: datetime
    value: Any
    scope: str
    rows: Mapping[str, pa.Table]


def explain_feature(warehouse: Warehouse, feature: str, key: str, as_of: datetime) -> Explanation:
    """The rows that a feature of an entity was computed from at a moment.

    The rows visible at `as_of` are narrowed step by step: to the entity, to the feature's window, to the kind of event
    that its name says. The narrowest set from which the same maths gives the same value is the answer, so it always
    proves itself; a rate that is drawn towards everybody's needs everybody's rows.

    Args:
        warehouse: The histories.
        feature: Name of the feature.
        key: Value of its view's join key, such as a lead's id.
        as_of: The moment, aware.

    Raises:
        NotFoundError: if there is no such feature, or nothing is known of the key at that moment.
    """
    view, spec = find_feature(warehouse, feature)
    moment = utc(as_of)
    with warehouse.duckdb() as connection:
        tables = tables_read(view)
        visible = {table: _visible_sql(table, moment) for table in tables}
        value = _value(view, spec, key, moment, connection)
        about = {table: _of_key(view, table, key, visible) for table in tables}
        own = _where(visible, about)
        _require_known(view, key, moment, own, connection)
        for scope, queries in _narrowings(view, spec, moment, visible, own):  # noqa: B007 - the last one counts
            rows = {table: connection.sql(query).to_arrow_table() for table, query in queries.items()}
            if is_same(spec, value, recompute(view, spec, key, moment, rows)):
                break
    shown = {table: found for table, found in rows.items() if found.num_rows}
    return Explanation(spec, view, key, moment, value, scope, shown)


def find_feature(warehouse: Warehouse, name: str) -> tuple[ViewSpec, FeatureSpec]:
    """A feature that the warehouse can fill, with its view.

    Raises:
        NotFoundError: if there is none of that name; with the most similar ones.
    """
    views = served_views(warehouse.tables(), extensions=own_fields(warehouse))
    found = {each.name: (view, each) for view in views for each in view.features}
    if name not in found:
        alike = difflib.get_close_matches(name, found, n=3)
        raise NotFoundError(
            f"There is no feature '{name}' here",
            expected=f"such as {', '.join(alike or list(found)[:3])}",
            next_step="see all of them: `salience features catalogue`",
        )
    return found[name]


def recompute(view: ViewSpec, feature: FeatureSpec, key: str, as_of: datetime, rows: Mapping[str, pa.Table]) -> Any:
    """The feature's value from these rows alone; tables not given are empty."""
    with open_connection() as connection:
        connection.execute("SET threads = 1")
        for table in tables_read(view):
            schema = CONTRACTS[table].extended(view.own_fields if table == view.extends else ()).arrow_schema
            given, columns, empty = rows.get(table), schema.names, schema.empty_table()
            connection.register(table, empty if given is None else given.select(columns))
        return _value(view, feature, key, as_of, connection)


def is_same(feature: FeatureSpec, one: Any, other: Any) -> bool:
    """Whether two values are equal, floats to 1e-9."""
    if one is None or other is None or feature.dtype != "float":
        return bool(one == other)
    return bool(abs(one - other) <= _TOLERANCE * max(1.0, abs(one)))


def _value(view: ViewSpec, feature: FeatureSpec, key: str, as_of: datetime, connection: DuckDBPyConnection) -> Any:
    moments = pa.table({view.join_key: pa.array([key], pa.string()), "as_of": pa.array([as_of], UTC_MICROSECONDS)})
    return compute(view, moments, connection)[feature.name][0].as_py()


def _visible_sql(table: str, as_of: datetime) -> str:
    at = f"'{as_of.isoformat()}'::TIMESTAMPTZ"
    return f"SELECT * FROM {table} WHERE event_timestamp <= {at} AND created_timestamp <= {at}"  # noqa: S608


def _of_key(view: ViewSpec, table: str, key: str, visible: Mapping[str, str]) -> str:
    """SQL condition: whether a row is about the key. A thing that ever was the key's counts with all its versions."""
    contract, wanted = CONTRACTS[table], literal(key)
    names = {column.name for column in contract.columns}
    if view.join_key == "segment_id" and {"source", "landing_page"} <= names:
        mine = f"{_SEGMENT} = {wanted}"
    elif view.join_key in names:
        mine = f"{quoted(view.join_key)} = {wanted}"
    else:
        return "true"
    if contract.kind == "event" or contract.key == view.join_key:
        return mine
    return f"{contract.key} IN (SELECT {contract.key} FROM ({visible[table]}) WHERE {mine})"  # noqa: S608


def _require_known(
    view: ViewSpec, key: str, as_of: datetime, own: Mapping[str, str], connection: DuckDBPyConnection
) -> None:
    things = [table for table in own if CONTRACTS[table].key == view.join_key]
    if things and not any(connection.execute(f"{own[table]} LIMIT 1").fetchall() for table in things):
        raise NotFoundError(
            f"Nothing was known of {view.join_key} '{key}' at {as_of.isoformat()}",
            next_step="check the id and the moment: `salience as-of DAY TABLE` shows what was known",
        )


def _narrowings(
    view: ViewSpec, feature: FeatureSpec, as_of: datetime, visible: Mapping[str, str], own: Mapping[str, str]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Sets of rows to try, the narrowest first, each with its name in words."""
    kinds = {table: _kind_sql(table, feature) for table in own}
    recent = {table: _recent_sql(table, feature, as_of) for table in own}
    has_kind = any(kind != "true" for kind in kinds.values())
    subjects = {f"of {view.join_key} {{key}}": own, "of all": visible}
    for whose, base in subjects.items():
        about = whose.format(key="itself")
        if has_kind and feature.window:
            both = {table: f"{kinds[table]} AND {recent[table]}" for table in own}
            yield f"events of its kind in its window, {about}", _where(base, both)
        if feature.window:
            yield f"rows in its window, {about}", _where(base, recent)
        if has_kind:
            yield f"events of its kind, {about}", _where(base, kinds)
        yield f"every row known at the moment, {about}", dict(base)


def _where(base: Mapping[str, str], conditions: Mapping[str, str]) -> dict[str, str]:
    return {table: f"SELECT * FROM ({query}) WHERE {conditions[table]}" for table, query in base.items()}  # noqa: S608


def _kind_sql(table: str, feature: FeatureSpec) -> str:
    """Condition on the enumerated columns of an event table that the feature's name speaks of."""
    if CONTRACTS[table].kind != "event":
        return "true"
    words = f"_{feature.name}_"
    for column in CONTRACTS[table].columns:
        named = [value for value in column.allowed or () if f"_{value}_" in words or f"_{value}s_" in words]
        if named:
            return f"{quoted(column.name)} = {literal(max(named, key=len))}"
    return "true"


def _recent_sql(table: str, feature: FeatureSpec, as_of: datetime) -> str:
    """Condition: events in the window; things with a version that happened or became known in it."""
    if feature.window is None or not feature.window.endswith("d"):
        return "true"
    begin = f"('{as_of.isoformat()}'::TIMESTAMPTZ - INTERVAL {int(feature.window[:-1])} DAY)"
    contract = CONTRACTS[table]
    if contract.kind == "event":
        return f"event_timestamp > {begin}"
    latest = f"max(greatest(event_timestamp, created_timestamp)) OVER (PARTITION BY {contract.key})"
    return f"true QUALIFY {latest} > {begin}"
