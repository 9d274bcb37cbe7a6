"""The packed row: the same bytes from one row and from a batch, and the same values back, whatever they are."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from online_stores import hour

from common.errors import ContractError, UnavailableError
from features.online_store_layout import (
    BODY,
    HEADER,
    Layout,
    aligned,
    entity_key,
    flagged_alone,
    layout_id,
    to_microseconds,
)

KINDS = ("float", "int", "bool", "text", "single", "short", "bytes")
TYPES = (pa.float64(), pa.int64(), pa.bool_(), pa.string(), pa.float32(), pa.int32(), pa.binary())
VALUES = (
    st.floats(),
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.text(max_size=20),
    st.floats(width=32),
    st.integers(-(2**31), 2**31 - 1),
    st.binary(max_size=20),
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[Layout, pa.RecordBatch]:
    places = draw(st.lists(st.integers(0, len(KINDS) - 1), max_size=12))
    rows = draw(st.integers(0, 6))
    columns = {"k": pa.array([f"k{row}é" for row in range(rows)], pa.string())}
    for number, place in enumerate(places):
        drawn = draw(st.lists(st.none() | VALUES[place], min_size=rows, max_size=rows))
        columns[f"c{number}"] = pa.array(drawn, TYPES[place])
    times = [draw(st.datetimes().map(lambda each: each.replace(tzinfo=hour(0).tzinfo))) for _ in range(rows)]
    for name in ("event_timestamp", "created_timestamp"):
        columns[name] = pa.array(times, pa.timestamp("us", tz="UTC"))
    layout = Layout(tuple(f"c{number}" for number in range(len(places))), tuple(KINDS[place] for place in places))
    return layout, pa.RecordBatch.from_pydict(columns)


def without_nan(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


@settings(max_examples=150, deadline=None)
@given(tables())
def test_a_batch_and_its_rows_make_the_same_bytes_and_give_their_values_back(
    made: tuple[Layout, pa.RecordBatch],
) -> None:
    layout, batch = made
    packed = layout.pack_batch(batch, join_key="k", written=7)
    rows = batch.to_pylist()
    assert packed.keys == [entity_key(row["k"]) for row in rows]
    for row, as_of, created, stored in zip(rows, packed.as_of, packed.created, packed.rows, strict=True):
        assert as_of == created == to_microseconds(row["event_timestamp"])
        assert stored == layout.pack(row, as_of=as_of, created=created, written=7)
        assert HEADER.unpack_from(stored) == (1, 0, as_of, created, 7)
        assert layout.unpack(stored) == {name: without_nan(row[name]) for name in layout.names}


def test_a_slice_of_a_batch_packs_like_the_whole() -> None:
    layout = Layout(("x", "t"), ("float", "text"))
    times = pa.array([hour(n) for n in range(4)], pa.timestamp("us", tz="UTC"))
    batch = pa.RecordBatch.from_pydict(
        {
            "k": ["a", "b", "c", "d"],
            "x": [1.0, None, 3.0, None],
            "t": ["p", None, "r", "s"],
            "event_timestamp": times,
            "created_timestamp": times,
        }
    )
    whole = layout.pack_batch(batch, join_key="k", written=0)
    assert layout.pack_batch(batch.slice(1, 2), join_key="k", written=0).rows == whole.rows[1:3]


def test_a_missing_value_has_one_form() -> None:
    layout = Layout(("x",), ("float",))
    rows = [layout.pack(values, as_of=1, created=1, written=1) for values in ({}, {"x": None}, {"x": math.nan})]
    assert rows[0] == rows[1] == rows[2]
    assert layout.unpack(rows[0]) == {"x": None}


def test_a_row_knows_its_layout_and_its_body_leaves_out_the_times() -> None:
    layout, other = Layout(("x",), ("float",)), Layout(("x",), ("int",))
    first = layout.pack({"x": 1.0}, as_of=1, created=1, written=1)
    later = layout.pack({"x": 1.0}, as_of=2, created=3, written=4)
    assert first[BODY:] == later[BODY:]
    assert layout_id(first) == layout.id != other.id
    assert Layout.from_json(layout.to_json()) == layout
    assert flagged_alone(first)[BODY:] == first[BODY:]


def test_a_row_of_an_unknown_format_is_refused_with_what_to_do() -> None:
    row = Layout(("x",), ("float",)).pack({"x": 1.0}, as_of=1, created=1, written=1)
    with pytest.raises(UnavailableError, match=r"rows of format 9.*salience features materialize"):
        layout_id(b"\x09" + row[1:])


def test_new_and_changed_features_of_an_old_row_are_missing_and_a_count_may_become_a_number() -> None:
    stored = Layout(("a", "b", "c"), ("int", "int", "text"))
    wanted = Layout(("d", "a", "b", "c"), ("float", "float", "int", "float"))
    assert aligned({"a": 1, "b": 2, "c": "x"}, stored, wanted) == {"d": None, "a": 1.0, "b": 2, "c": None}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": [1.0]}, "Got: no k"),
        ({"k": [None], "x": [1.0]}, "Got: 1 rows without a key"),
        ({"k": ["a"]}, "Got: no x"),
    ],
)
def test_rows_without_a_key_or_a_column_are_refused(columns: dict[str, Any], message: str) -> None:
    times = pa.array([hour(0)], pa.timestamp("us", tz="UTC"))
    given = {"k": pa.array(columns["k"], pa.string())} if "k" in columns else {}
    given |= {"x": pa.array(columns["x"])} if "x" in columns else {}
    batch = pa.RecordBatch.from_pydict({**given, "event_timestamp": times, "created_timestamp": times})
    with pytest.raises(ContractError, match=message):
        Layout(("x",), ("float",)).pack_batch(batch, join_key="k", written=0)
