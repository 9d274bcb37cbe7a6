"""Payloads: a lead with its events and activities, or a deal with its activities, checked and made into tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from common.clock import parse_moment, utc
from common.errors import InputError
from features.catalogue import OwnFields
from warehouse.contracts import CONTRACTS, OPEN_LEAD_STATUSES, TIME_COLUMNS, Column

PAYLOAD_ID = "payload"


@dataclass(frozen=True)
class _Shape:
    """How a payload names a thing and what happened with it (name in the payload and table), and where these go."""

    thing: str
    thing_table: str
    happenings: tuple[tuple[str, str], ...]
    begins: str
    open_statuses: tuple[str, ...]


_SHAPES = {
    "lead_id": _Shape(
        "lead",
        "leads",
        (("events", "lead_events"), ("activities", "activities")),
        "lead_created_at",
        OPEN_LEAD_STATUSES,
    ),
    "opportunity_id": _Shape("deal", "opportunities", (("activities", "activities"),), "opened_at", ("open",)),
}


def payload_tables(
    payload: Mapping[str, Any], *, join_key: str, at: datetime, extensions: OwnFields = ()
) -> tuple[str, dict[str, pa.Table]]:
    """Check a payload and turn it into canonical tables.

    `lead` (or `deal`) is one record of canonical columns, or a list of its versions; a lead's `events` and the
    `activities` of either are lists of records. Without an id the thing is called `payload`; without a status it is
    new (or open). A version without `event_timestamp` holds from the first contact (or the opening) on; without
    `created_timestamp` a row was known at once.

    Args:
        payload: What the caller sent.
        join_key: `lead_id` or `opportunity_id`.
        at: The moment of scoring, aware; nothing may have happened later.
        extensions: The source's own fields that a record may have beside the canonical columns.

    Returns:
        The thing's id, and the tables by name.

    Raises:
        InputError: naming the field, if something is missing, unknown, of a wrong type, out of range or of the future.
    """
    if join_key not in _SHAPES:
        raise InputError(f"Things with the key {join_key} cannot be scored from a payload", expected=", ".join(_SHAPES))
    shape = _SHAPES[join_key]
    names = (shape.thing, *(name for name, _ in shape.happenings))
    unknown = [name for name in payload if name not in names]
    if unknown:
        raise _unknown(unknown[0], names)
    versions = _versions(payload, shape)
    first_id = versions[0][1].get(join_key, PAYLOAD_ID)
    own = dict(extensions).get(shape.thing_table, ())
    things = [_thing_row(record, field, shape, join_key, first_id, at=at, own=own) for field, record in versions]
    identifier = str(things[0][join_key])
    tables = {shape.thing_table: pa.Table.from_pylist(things, CONTRACTS[shape.thing_table].extended(own).arrow_schema)}
    for name, table in shape.happenings:
        rows = [
            _happening_row(record, f"{name}[{place}]", table, join_key, identifier, place, at=at)
            for place, record in enumerate(_records(payload.get(name, []), name))
        ]
        tables[table] = pa.Table.from_pylist(rows, CONTRACTS[table].arrow_schema)
    return identifier, tables


def _versions(payload: Mapping[str, Any], shape: _Shape) -> list[tuple[str, Mapping[str, Any]]]:
    given = payload.get(shape.thing)
    if given is None:
        raise InputError(f"The payload has no '{shape.thing}'", expected=f"a record '{shape.thing}'", field=shape.thing)
    if isinstance(given, Mapping):
        return [(shape.thing, given)]
    records = _records(given, shape.thing)
    if not records:
        raise InputError(f"'{shape.thing}' is an empty list", expected="at least one version", field=shape.thing)
    return [(f"{shape.thing}[{place}]", record) for place, record in enumerate(records)]


def _records(given: Any, field: str) -> list[Mapping[str, Any]]:
    if not isinstance(given, Sequence) or isinstance(given, str | bytes):
        raise InputError(f"'{field}' is not a list of records", got=type(given).__name__, field=field)
    for place, record in enumerate(given):
        if not isinstance(record, Mapping):
            name = f"{field}[{place}]"
            raise InputError(f"'{name}' is not a record", expected="an object", got=type(record).__name__, field=name)
    return list(given)


def _thing_row(
    record: Mapping[str, Any],
    field: str,
    shape: _Shape,
    join_key: str,
    identifier: Any,
    *,
    at: datetime,
    own: Sequence[Column],
) -> dict[str, Any]:
    defaults = {join_key: identifier, "status": shape.open_statuses[0]}
    row = canonical_row({**defaults, **_without_nulls(record)}, field, shape.thing_table, own=own)
    if row["status"] not in shape.open_statuses:
        raise InputError(
            f"'{field}.status' says that the {shape.thing} is decided; only an open one can be scored",
            expected=f"one of {', '.join(shape.open_statuses)}",
            got=str(row["status"]),
            field=f"{field}.status",
        )
    row.setdefault("event_timestamp", row[shape.begins])
    row.setdefault("created_timestamp", row["event_timestamp"])
    return _checked(row, field, join_key, identifier, times=(shape.begins, *TIME_COLUMNS), at=at)


def _happening_row(
    record: Mapping[str, Any], field: str, table: str, join_key: str, identifier: str, place: int, *, at: datetime
) -> dict[str, Any]:
    contract = CONTRACTS[table]
    defaults = {contract.key: f"{PAYLOAD_ID}-{place}", join_key: identifier}
    row = canonical_row({**defaults, **_without_nulls(record)}, field, table)
    if "event_timestamp" not in row:
        raise _absent(f"{field}.event_timestamp", "when it happened")
    row.setdefault("created_timestamp", row["event_timestamp"])
    return _checked(row, field, join_key, identifier, times=TIME_COLUMNS, at=at)


def _checked(
    row: dict[str, Any], field: str, join_key: str, identifier: Any, *, times: Sequence[str], at: datetime
) -> dict[str, Any]:
    """`row`, if it is about the right thing and nothing in it is of the future."""
    if row[join_key] != identifier:
        name = f"{field}.{join_key}"
        raise InputError(f"'{name}' names another one", expected=str(identifier), got=str(row[join_key]), field=name)
    for name in times:
        if row[name] > utc(at):
            raise InputError(
                f"'{field}.{name}' lies after the moment of scoring",
                expected=f"a time at or before {utc(at).isoformat()}",
                got=row[name].isoformat(),
                field=f"{field}.{name}",
            )
    return row


def _without_nulls(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if value is not None}


def canonical_row(record: Mapping[str, Any], field: str, table: str, *, own: Sequence[Column] = ()) -> dict[str, Any]:
    """A record with its values in the types of a canonical table, checked against the contract, times apart.

    Args:
        record: Columns as an application sent them, without nulls.
        field: How the sender knows the record, for messages.
        table: The canonical table.
        own: The source's own fields that the record may have beside the table's columns.

    Raises:
        InputError: naming the field that is missing, unknown, of a wrong type or out of range.
    """
    contract = CONTRACTS[table].extended(own)
    columns = {column.name: column for column in contract.columns}
    columns |= {name: Column(name=name, dtype="timestamp", about="") for name in TIME_COLUMNS}
    unknown = [name for name in record if name not in columns]
    if unknown:
        raise _unknown(f"{field}.{unknown[0]}", columns)
    for column in contract.columns:
        if column.required and column.name not in record:
            raise _absent(f"{field}.{column.name}", column.about)
    return {name: _value(value, columns[name], f"{field}.{name}") for name, value in record.items()}


def _value(value: Any, column: Column, field: str) -> Any:
    read, expected = _READERS[column.dtype]
    plain = read(value, field)
    if plain is None:
        raise InputError(f"'{field}' has a wrong type", expected=expected, got=f"{value!r}", field=field)
    if column.allowed is not None and plain not in column.allowed:
        raise InputError(
            f"'{field}' has an unknown value",
            expected=f"one of {', '.join(column.allowed)}",
            got=f"{value!r}",
            field=field,
        )
    too_small = column.minimum is not None and plain < column.minimum
    too_great = column.maximum is not None and plain > column.maximum
    if too_small or too_great:
        bounds = f"from {column.minimum} to {'any' if column.maximum is None else column.maximum}"
        raise InputError(f"'{field}' is out of range", expected=bounds, got=f"{value!r}", field=field)
    return plain


def _text(value: Any, _: str) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Any, _: str) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number else None


def _whole(value: Any, _: str) -> int | None:
    is_whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    return value if is_whole else None


def _yes_or_no(value: Any, _: str) -> bool | None:
    return value if isinstance(value, bool) else None


def _moment(value: Any, field: str) -> datetime | None:
    if not isinstance(value, datetime | str):
        return None
    try:
        return utc(value) if isinstance(value, datetime) else parse_moment(value, field=field)
    except InputError as error:
        raise InputError(
            f"'{field}': {error.what}", expected=error.expected, next_step=error.next_step, field=field
        ) from error


def _day(value: Any, _: str) -> date | None:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


_READERS: dict[str, tuple[Callable[[Any, str], Any], str]] = {
    "string": (_text, "text"),
    "float": (_number, "a finite number"),
    "int": (_whole, "a whole number"),
    "bool": (_yes_or_no, "true or false"),
    "timestamp": (_moment, "a day or time in ISO 8601"),
    "date": (_day, "a day in ISO 8601, such as 2025-03-31"),
}


def _unknown(field: str, known: Any) -> InputError:
    return InputError(f"There is no field '{field}'", expected=f"one of {', '.join(known)}", field=field)


def _absent(field: str, about: str) -> InputError:
    return InputError(f"'{field}' is missing", expected=about.rstrip("."), field=field)
