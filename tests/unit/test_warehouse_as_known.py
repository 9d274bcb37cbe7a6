"""What was known at a moment: hand-made cases, a loop as oracle, and the as-of property."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import ContractError, InputError
from warehouse.as_known import newest_versions, versions_on_spine, visible
from warehouse.contracts import ACTIVITIES, CONTRACTS, LEAD_STATUSES, LEADS, REPS
from warehouse.store import memory_tables
from warehouse.views import create_empty_view, create_view, ibis_tables, open_connection

MONDAY = datetime(2025, 1, 6, tzinfo=UTC)
FEW = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def at(day: float) -> datetime:
    return MONDAY + timedelta(days=day)


def lead(
    status: str, *, happened: float, known: float | None = None, lead_id: str = "a", **more: Any
) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(LEADS.arrow_schema.names)
    return row | {
        "lead_id": lead_id,
        "lead_created_at": at(0),
        "status": status,
        "event_timestamp": at(happened),
        "created_timestamp": at(happened if known is None else known),
        **more,
    }


def leads(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=LEADS.arrow_schema)


@cache
def connection_and_leads() -> tuple[Any, Any]:
    """One DuckDB for all examples; a new one for each would take most of the time."""
    connection = open_connection()
    connection.register("rows", leads())
    for contract in CONTRACTS.values():
        create_empty_view(connection, contract)
    create_view(connection, LEADS, "rows", LEADS.arrow_schema.names)
    return connection, ibis_tables(connection, list(CONTRACTS.values()))["leads"]


def lead_table(rows: pa.Table) -> Any:
    connection, table = connection_and_leads()
    connection.register("rows", rows)
    return table


def state(rows: pa.Table, moment: datetime) -> list[dict[str, Any]]:
    table = lead_table(rows)
    return newest_versions(table, LEADS, moment).order_by("lead_id").to_pyarrow().to_pylist()


def statuses_on(spine: list[tuple[str, float]], rows: pa.Table) -> list[str | None]:
    """Status per spine row, in the spine's order."""
    import ibis

    frame = pa.table(
        {
            "row": pa.array(range(len(spine)), pa.int64()),
            "lead_id": pa.array([key for key, _ in spine], pa.string()),
            "as_of": pa.array([at(day) for _, day in spine], pa.timestamp("us", tz="UTC")),
        }
    )
    table = lead_table(rows)
    found = versions_on_spine(ibis.memtable(frame), table, LEADS, key="lead_id").order_by("row").to_pyarrow()
    assert found.column("row").to_pylist() == list(range(len(spine)))
    return found.column("status").to_pylist()


def oracle(spine: list[tuple[str, float]], rows: pa.Table) -> list[str | None]:
    """The definition, as a loop."""
    answers: list[str | None] = []
    for key, day in spine:
        known = [
            row
            for row in rows.to_pylist()
            if row["lead_id"] == key and row["event_timestamp"] <= at(day) and row["created_timestamp"] <= at(day)
        ]
        # A tie goes by the other columns as the contract lists them: statuses in its order, nulls least.
        known.sort(
            key=lambda row: (
                row["event_timestamp"],
                row["created_timestamp"],
                LEAD_STATUSES.index(row["status"]),
                *[
                    (row[name] is not None, row[name] or kind())
                    for name, kind in (("source", str), ("is_deleted", bool))
                ],
            )
        )
        newest = known[-1] if known else None
        answers.append(None if newest is None or newest["is_deleted"] else newest["status"])
    return answers


versions = st.lists(
    st.builds(
        lambda key, happened, delay, status, source, gone: lead(
            status, happened=happened, known=happened + delay, lead_id=key, source=source, is_deleted=gone
        ),
        st.sampled_from(["a", "b"]),
        st.integers(0, 6),
        st.integers(-1, 4),
        st.sampled_from(["new", "working", "qualified"]),
        st.sampled_from([None, "web", "event"]),
        st.sampled_from([None, False, False, True]),
    ),
    max_size=12,
)
spines = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(-1, 11)), min_size=1, max_size=8)


def test_a_row_is_visible_only_when_it_had_happened_and_was_known() -> None:
    rows = leads(
        lead("new", happened=0),
        lead("working", happened=1, known=5),  # entered late
        lead("qualified", happened=4, known=2),  # announced ahead
    )
    table = memory_tables({"leads": rows})["leads"]
    seen = {day: sorted(visible(table, at(day)).status.to_pyarrow().to_pylist()) for day in (0, 3, 4, 5)}
    assert seen == {
        0: ["new"],
        3: ["new"],
        4: ["new", "qualified"],
        5: ["new", "qualified", "working"],
    }


def test_visible_takes_a_column_of_moments() -> None:
    rows = leads(lead("new", happened=0), lead("working", happened=3))
    table = memory_tables({"leads": rows})["leads"].mutate(as_of=at(2))
    assert visible(table, table.as_of).status.to_pyarrow().to_pylist() == ["new"]


def test_a_moment_without_time_zone_is_refused() -> None:
    table = memory_tables({})["leads"]
    with pytest.raises(InputError, match="has no time zone"):
        visible(table, datetime(2025, 1, 1))


def test_the_newest_event_counts_even_when_an_older_one_is_recorded_later() -> None:
    rows = leads(lead("qualified", happened=3), lead("working", happened=2, known=6))
    assert [row["status"] for row in state(rows, at(9))] == ["qualified"]


def test_a_correction_replaces_the_version_of_the_same_time_once_it_is_known() -> None:
    rows = leads(lead("working", happened=1), lead("disqualified", happened=1, known=4))
    assert [row["status"] for row in state(rows, at(3))] == ["working"]
    assert [row["status"] for row in state(rows, at(4))] == ["disqualified"]


def test_a_full_tie_has_the_same_answer_in_any_order_of_rows() -> None:
    tied = [lead("new", happened=1, source=source) for source in ("event", None, "web")]
    answers = {tuple(row["source"] for row in state(leads(*order), at(2))) for order in (tied, tied[::-1])}
    assert answers == {("web",)}


def test_deleted_things_have_no_state() -> None:
    rows = leads(
        lead("new", happened=0), lead("new", happened=2, is_deleted=True), lead("new", happened=0, lead_id="b")
    )
    assert [row["lead_id"] for row in state(rows, at(1))] == ["a", "b"]
    assert [row["lead_id"] for row in state(rows, at(2))] == ["b"]
    assert statuses_on([("a", 1), ("a", 2), ("b", 2)], rows) == ["new", None, "new"]


def test_an_event_is_taken_as_last_corrected() -> None:
    call = dict.fromkeys(ACTIVITIES.arrow_schema.names) | {"activity_id": "x", "kind": "call", "event_timestamp": at(1)}
    rows = pa.Table.from_pylist(
        [
            call | {"duration_minutes": 5.0, "created_timestamp": at(1)},
            call | {"duration_minutes": 50.0, "created_timestamp": at(3)},
        ],
        schema=ACTIVITIES.arrow_schema,
    )
    table = memory_tables({"activities": rows})["activities"]
    assert newest_versions(table, ACTIVITIES, at(2)).duration_minutes.to_pyarrow().to_pylist() == [5.0]
    assert newest_versions(table, ACTIVITIES, at(3)).duration_minutes.to_pyarrow().to_pylist() == [50.0]


def test_each_spine_row_gets_one_row_back_with_the_version_of_its_moment() -> None:
    rows = leads(lead("new", happened=0), lead("working", happened=2, known=5), lead("qualified", happened=7))
    spine = [("a", 4.0), ("a", 5.0), ("a", -1.0), ("a", 7.0), ("a", 4.0), ("unknown", 9.0)]
    assert statuses_on(spine, rows) == ["new", "working", None, "qualified", "new", None]


def test_the_spine_keeps_its_columns_and_may_name_the_key_otherwise() -> None:
    import ibis

    rep = dict.fromkeys(REPS.arrow_schema.names) | {"event_timestamp": at(0), "created_timestamp": at(0)}
    reps = pa.Table.from_pylist([rep | {"rep_id": "boss", "team": "north", "region": "EMEA"}], schema=REPS.arrow_schema)
    spine = ibis.memtable({"manager_id": ["boss", None], "as_of": [at(1), at(1)], "region": ["mine", "mine"]})
    found = versions_on_spine(spine, memory_tables({"reps": reps})["reps"], REPS, key="manager_id")
    rows = found.order_by(ibis.asc("manager_id", nulls_first=True)).to_pyarrow().to_pylist()
    assert [(row["manager_id"], row["rep_id"], row["team"], row["region"]) for row in rows] == [
        (None, None, None, "mine"),
        ("boss", "boss", "north", "mine"),
    ]


def test_a_spine_without_its_key_is_refused() -> None:
    import ibis

    with pytest.raises(ContractError, match="The spine lacks lead_id"):
        versions_on_spine(ibis.memtable({"as_of": [at(0)]}), memory_tables({})["leads"], LEADS, key="lead_id")


def test_the_same_expressions_compile_for_spark() -> None:
    import ibis
    from ibis.backends.sql.compilers.pyspark import PySparkCompiler

    table = memory_tables({})["leads"]
    spine = ibis.table({"lead_id": "string", "as_of": "timestamp('UTC', 6)"}, name="spine")
    for expression in (newest_versions(table, LEADS, at(0)), versions_on_spine(spine, table, LEADS, key="lead_id")):
        assert "OVER (PARTITION BY" in PySparkCompiler().to_sqlglot(expression).sql("spark")


@FEW
@given(rows=versions, spine=spines)
def test_versions_on_a_spine_equal_the_definition(rows: list[dict[str, Any]], spine: list[tuple[str, float]]) -> None:
    assert statuses_on(spine, leads(*rows)) == oracle(spine, leads(*rows))


@FEW
@given(rows=versions, day=st.integers(0, 8), later=versions)
def test_a_version_that_happens_or_is_recorded_later_changes_nothing(
    rows: list[dict[str, Any]], day: int, later: list[dict[str, Any]]
) -> None:
    unseen = [row for row in later if max(row["event_timestamp"], row["created_timestamp"]) > at(day)]
    worlds = leads(*in_world("before", rows), *in_world("after", unseen + rows))
    before, after = [("before a", day), ("before b", day)], [("after a", day), ("after b", day)]
    answers = statuses_on(before + after, worlds)
    assert answers[:2] == answers[2:]
    assert world_state("before", worlds, day) == world_state("after", worlds, day)


@FEW
@given(rows=versions, day=st.integers(0, 8), data=st.data())
def test_the_order_of_rows_does_not_matter(rows: list[dict[str, Any]], day: int, data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(rows))
    worlds = leads(*in_world("one", rows), *in_world("other", shuffled))
    assert world_state("one", worlds, day) == world_state("other", worlds, day)


def in_world(name: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same rows about leads of another name, so that two worlds fit into one query."""
    return [row | {"lead_id": f"{name} {row['lead_id']}"} for row in rows]


def world_state(name: str, worlds: pa.Table, day: int) -> list[dict[str, Any]]:
    rows = [row for row in state(worlds, at(day)) if row["lead_id"].startswith(f"{name} ")]
    return [row | {"lead_id": row["lead_id"].removeprefix(f"{name} ")} for row in rows]
