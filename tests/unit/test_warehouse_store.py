"""The warehouse's tables: idempotent, atomic, told apart by their content."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from common.errors import ContractError, NotFoundError, UnavailableError
from warehouse import delta_tables, store
from warehouse.contracts import CONTRACTS, Column
from warehouse.delta_tables import AppendOnlyTable
from warehouse.store import LoadCount, Warehouse, memory_tables

MOMENT = datetime(2025, 1, 6, 9, tzinfo=UTC)


def lead(lead_id: str, *, hours: float = 0, **more: Any) -> dict[str, Any]:
    time = MOMENT + timedelta(hours=hours)
    row = {"lead_id": lead_id, "lead_created_at": time, "status": "new", "employee_count": None}
    return row | {"event_timestamp": time, "created_timestamp": time} | more


def leads(*rows: dict[str, Any]) -> pa.Table:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows])


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path / "warehouse")


def test_appended_rows_can_be_read_back(warehouse: Warehouse) -> None:
    count = warehouse.append("leads", leads(lead("b", hours=1), lead("a")), origin="test")
    assert count == LoadCount(read=2, loaded=2, known=0, quarantined=0, reasons={})
    assert warehouse.tables() == ("leads",)
    assert warehouse.row_count("leads") == 2
    rows = warehouse.duckdb().execute("SELECT lead_id, event_timestamp FROM leads ORDER BY lead_id").fetchall()
    assert rows == [("a", MOMENT), ("b", MOMENT + timedelta(hours=1))]
    assert warehouse.ibis()["leads"].lead_id.to_pyarrow().to_pylist() == ["a", "b"]


def test_the_same_rows_again_change_nothing(warehouse: Warehouse) -> None:
    rows = leads(lead("a", employee_count=5), lead("b"))
    warehouse.append("leads", rows, origin="first")
    before = (warehouse.versions(), warehouse.fingerprint(), sorted(warehouse.root.rglob("*")))
    assert warehouse.append("leads", rows, origin="again") == LoadCount(2, 0, 2, 0, {})
    assert (warehouse.versions(), warehouse.fingerprint(), sorted(warehouse.root.rglob("*"))) == before


def test_rows_that_come_twice_in_one_batch_go_in_once(warehouse: Warehouse) -> None:
    assert warehouse.append("leads", leads(lead("a"), lead("a")), origin="test") == LoadCount(2, 1, 1, 0, {})
    assert warehouse.row_count("leads") == 1


def test_a_row_that_differs_in_one_optional_column_is_new(warehouse: Warehouse) -> None:
    warehouse.append("leads", leads(lead("a")), origin="test")
    assert warehouse.append("leads", leads(lead("a", employee_count=3)), origin="test").loaded == 1


def test_counts_add_up_and_broken_rows_are_kept_once(warehouse: Warehouse) -> None:
    rows = leads(lead("a"), lead("a"), lead("b", status="odd"), lead(""))
    for _ in range(2):
        count = warehouse.append("leads", rows, origin="file.csv")
        assert count.read == count.loaded + count.known + count.quarantined == 4
        assert count.quarantined == sum(count.reasons.values()) == 2
    kept = warehouse.quarantine.rows("leads").to_pylist()
    assert [row["origin"] for row in kept] == ["file.csv"] * 2
    assert sorted(row["reason"] for row in kept) == [
        "lead_id is missing",
        "status is not one of new, working, qualified, converted, disqualified",
    ]
    assert warehouse.quarantine.rows("accounts").num_rows == 0
    assert warehouse.tables() == ("leads",)


def test_the_fingerprint_tells_content_not_history(tmp_path: Path) -> None:
    at_once, in_steps, other = (Warehouse(tmp_path / name) for name in ("at_once", "in_steps", "other"))
    at_once.append("leads", leads(lead("a"), lead("b"), lead("c")), origin="x")
    for name in "cab":
        in_steps.append("leads", leads(lead(name)), origin="y")
    other.append("leads", leads(lead("a"), lead("b"), lead("d")), origin="x")
    assert at_once.fingerprint() == in_steps.fingerprint() != other.fingerprint()
    assert in_steps.versions() == {"leads": 2}


def test_the_fingerprint_is_recounted_when_another_engine_wrote_last(warehouse: Warehouse) -> None:
    from deltalake import DeltaTable

    for name in "ab":
        warehouse.append("leads", leads(lead(name)), origin="x")
    before = warehouse.fingerprint()
    DeltaTable(warehouse.root / "leads").optimize.compact()
    assert warehouse.versions() == {"leads": 2}
    assert warehouse.fingerprint() == before


def test_the_cut_is_the_newest_moment_anything_was_known(warehouse: Warehouse) -> None:
    late = MOMENT + timedelta(days=3)
    warehouse.append("leads", leads(lead("a", created_timestamp=late), lead("b", hours=5)), origin="x")
    assert warehouse.cut() == late


def test_an_empty_warehouse_has_typed_views_and_no_cut(warehouse: Warehouse) -> None:
    assert warehouse.tables() == ()
    assert warehouse.row_count("leads") == 0
    for name, table in warehouse.ibis().items():
        assert table.schema().to_pyarrow() == CONTRACTS[name].arrow_schema
        assert table.count().to_pyarrow().as_py() == 0
    with pytest.raises(NotFoundError, match=r"is empty.*salience ingest"):
        warehouse.cut()


def test_stored_times_are_microseconds_in_utc_whatever_zone_they_came_in(warehouse: Warehouse) -> None:
    import pyarrow.parquet as pq

    rows = leads(lead("a"))
    offset = rows.column("event_timestamp").cast(pa.timestamp("ns", tz="America/Sao_Paulo"))
    warehouse.append("leads", rows.set_column(4, "event_timestamp", offset), origin="x")
    (file,) = (warehouse.root / "leads").glob("*.parquet")
    assert pq.read_schema(file).field("event_timestamp").type == pa.timestamp("us", tz="UTC")
    assert warehouse.duckdb().execute("SELECT event_timestamp FROM leads").fetchall() == [(MOMENT,)]


def test_a_table_written_before_a_column_existed_reads_it_as_null(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dataclasses

    now = CONTRACTS["leads"]
    older = dataclasses.replace(now, columns=tuple(column for column in now.columns if column.name != "title"))
    with monkeypatch.context() as past:
        past.setitem(CONTRACTS, "leads", older)
        warehouse.append("leads", leads(lead("a")), origin="x")
    assert warehouse.append("leads", leads(lead("a")), origin="x").known == 1
    assert warehouse.append("leads", leads(lead("b", title="CFO")), origin="x").loaded == 1
    rows = warehouse.duckdb().execute("SELECT lead_id, title FROM leads ORDER BY lead_id").fetchall()
    assert rows == [("a", None), ("b", "CFO")]


def test_an_unknown_table_is_refused_by_name(warehouse: Warehouse) -> None:
    with pytest.raises(ContractError, match=r"There is no table 'deals'.*opportunities"):
        warehouse.append("deals", leads(lead("a")), origin="x")
    with pytest.raises(ContractError, match="There is no table 'deals'"):
        memory_tables({"deals": leads(lead("a"))})


@pytest.fixture
def other_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writers that do not see each other's lock files, as on two machines that share an object store."""
    from contextlib import nullcontext

    monkeypatch.setattr(AppendOnlyTable, "lock", lambda self: nullcontext())


def race(monkeypatch: pytest.MonkeyPatch, faster: Callable[[], object]) -> None:
    """Let `faster` append in the moment before the next write of a table."""
    write, raced = AppendOnlyTable._write, []

    def write_second(self: AppendOnlyTable, *args: Any, **keywords: Any) -> tuple[str, ...]:
        if not raced:
            raced.append(True)
            faster()
        return write(self, *args, **keywords)

    monkeypatch.setattr(AppendOnlyTable, "_write", write_second)


@pytest.mark.usefixtures("other_machine")
def test_a_writer_that_loses_the_race_compares_with_the_winner(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse.append("leads", leads(lead("a")), origin="x")
    race(monkeypatch, lambda: warehouse.append("leads", leads(lead("b")), origin="the faster one"))
    count = warehouse.append("leads", leads(lead("b"), lead("c")), origin="y")
    assert (count.loaded, count.known) == (1, 1)
    assert warehouse.row_count("leads") == 3


@pytest.mark.usefixtures("other_machine")
def test_two_writers_that_both_make_the_table_leave_each_row_once(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    race(monkeypatch, lambda: warehouse.append("leads", leads(lead("a")), origin="the faster one"))
    count = warehouse.append("leads", leads(lead("a"), lead("b")), origin="y")
    assert (count.loaded, count.known) == (1, 1)
    assert warehouse.row_count("leads") == 2


@pytest.mark.usefixtures("other_machine")
def test_a_writer_that_always_loses_says_so(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    from itertools import count

    warehouse.append("leads", leads(lead("a")), origin="x")
    write, numbers = AppendOnlyTable._write, count()

    def always_second(self: AppendOnlyTable, fresh: pa.Table, *args: Any, **keywords: Any) -> tuple[str, ...]:
        if fresh.column("lead_id").to_pylist() == ["slow"]:
            warehouse.append("leads", leads(lead(f"fast{next(numbers)}")), origin="z")
        return write(self, fresh, *args, **keywords)

    monkeypatch.setattr(AppendOnlyTable, "_write", always_second)
    with pytest.raises(UnavailableError, match="leads could not be written: other writers were faster"):
        warehouse.append("leads", leads(lead("slow")), origin="y")


def test_a_writer_that_holds_the_table_too_long_is_named(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delta_tables, "_LOCK_SECONDS", 0.1)
    with (
        AppendOnlyTable(warehouse.root / "leads", CONTRACTS["leads"]).lock(),
        pytest.raises(UnavailableError, match="Another process has been writing leads"),
    ):
        warehouse.append("leads", leads(lead("a")), origin="x")


def test_a_stream_is_committed_in_parts_and_again_changes_nothing(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "BATCH_ROWS", 2)
    rows = leads(*(lead(str(number), hours=number) for number in range(5))).combine_chunks()
    seen: list[int] = []
    for loaded in (5, 0):
        stream = pa.RecordBatchReader.from_batches(rows.schema, rows.to_batches(max_chunksize=1))
        count = warehouse.append("leads", stream, origin="x", progress=seen.append)
        assert (count.read, count.loaded, count.known) == (5, loaded, 5 - loaded)
    assert seen == [2, 4, 5] * 2
    assert warehouse.versions() == {"leads": 2}


def test_corrections_are_counted_by_thing_and_moment(warehouse: Warehouse) -> None:
    warehouse.append("leads", leads(lead("a"), lead("b")), origin="x")
    later = MOMENT + timedelta(days=1)
    rows = leads(lead("a", employee_count=9, created_timestamp=later), lead("b", hours=1), lead("c"))
    count = warehouse.append("leads", rows, origin="y")
    assert (count.loaded, count.corrected) == (3, 1)
    event = {"event_id": "e", "lead_id": "a", "kind": "page_view", "created_timestamp": later}
    for moment, corrected in ((MOMENT, 0), (MOMENT + timedelta(hours=1), 1)):
        rows = pa.Table.from_pylist([event | {"event_timestamp": moment}])
        assert warehouse.append("lead_events", rows, origin="z").corrected == corrected


def test_many_small_commits_are_written_together_without_a_change(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deltalake import DeltaTable

    monkeypatch.setattr(delta_tables, "_MANY_SMALL_FILES", 4)
    for number in range(6):
        warehouse.append("leads", leads(lead(str(number), hours=number)), origin="x")
    assert len(DeltaTable(warehouse.root / "leads").file_uris()) < 4
    assert warehouse.row_count("leads") == 6
    noted = warehouse.fingerprint()
    at_once = Warehouse(warehouse.root.parent / "at_once")
    at_once.append("leads", leads(*(lead(str(number), hours=number) for number in range(6))), origin="x")
    assert noted == at_once.fingerprint()


SCORE = Column(name="custom_score", dtype="float", about="The source's own score.")


def test_own_fields_are_kept_typed_and_shown_wherever_the_table_is(warehouse: Warehouse) -> None:
    warehouse.append("leads", leads(lead("a")), origin="x")
    rows = leads(lead("a"), lead("b", custom_score=0.5))
    count = warehouse.append("leads", rows, origin="y", extension=[SCORE])
    assert (count.loaded, count.known) == (1, 1)
    assert warehouse.contract("leads").extension == (SCORE,)
    assert warehouse.contract("accounts").extension == ()
    found = warehouse.ibis()["leads"].order_by("lead_id").custom_score.to_pyarrow().to_pylist()
    assert found == [None, 0.5]


def test_an_own_field_keeps_its_type_and_its_prefix(warehouse: Warehouse) -> None:
    warehouse.append("leads", leads(lead("a", custom_score=1.0)), origin="x", extension=[SCORE])
    with pytest.raises(ContractError, match=r"leads.custom_score was declared before with another type"):
        warehouse.append("leads", leads(lead("a")), origin="x", extension=[replace(SCORE, dtype="string")])
    with pytest.raises(ContractError, match="'score' cannot extend leads"):
        warehouse.append("leads", leads(lead("a")), origin="x", extension=[replace(SCORE, name="score")])
    assert Warehouse(warehouse.root).contract("leads").extension == (SCORE,)


def test_the_fingerprint_does_not_tell_when_an_own_field_was_declared(tmp_path: Path) -> None:
    early, late = Warehouse(tmp_path / "early"), Warehouse(tmp_path / "late")
    early.append("leads", leads(lead("a"), lead("b", custom_score=1.0)), origin="x", extension=[SCORE])
    late.append("leads", leads(lead("a")), origin="x")
    late.append("leads", leads(lead("b", custom_score=1.0)), origin="x", extension=[SCORE])
    assert early.fingerprint() == late.fingerprint()


def test_the_log_of_a_table_holds_no_value_but_times(warehouse: Warehouse) -> None:
    warehouse.append("leads", leads(lead("the-lead", email="jo@example.org")), origin="x")
    log = b"".join(path.read_bytes() for path in (warehouse.root / "leads" / "_delta_log").glob("*.json"))
    assert b"the-lead" not in log
    assert b"jo@example.org" not in log
    assert b"minValues" in log


def test_memory_tables_show_the_given_rows_and_empty_typed_tables() -> None:
    tables = memory_tables({"leads": leads(lead("a"))})
    assert set(tables) == set(CONTRACTS)
    assert tables["leads"].schema().to_pyarrow() == CONTRACTS["leads"].arrow_schema
    assert tables["leads"].count().to_pyarrow().as_py() == 1
    assert tables["activities"].count().to_pyarrow().as_py() == 0


def test_memory_tables_refuse_columns_and_types_outside_the_contract() -> None:
    with pytest.raises(ContractError, match="leads has no column 'score'"):
        memory_tables({"leads": pa.table({"lead_id": ["a"], "score": [1]})})
    with pytest.raises(ContractError, match="A column of leads does not have its type"):
        memory_tables({"leads": pa.table({"lead_id": ["a"], "employee_count": ["many"]})})


def test_dates_stay_dates(warehouse: Warehouse) -> None:
    deal = {"opportunity_id": "d", "opened_at": MOMENT, "status": "open", "stage": "s", "close_date": date(2025, 3, 31)}
    rows = pa.Table.from_pylist([deal | {"event_timestamp": MOMENT, "created_timestamp": MOMENT}])
    warehouse.append("opportunities", rows, origin="x")
    assert warehouse.duckdb().execute("SELECT close_date FROM opportunities").fetchall() == [(date(2025, 3, 31),)]
