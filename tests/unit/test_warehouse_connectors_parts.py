"""Loading again: what is unchanged is not read, what is new or lost is; order, copies and parts do not matter."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import SourceError, UnavailableError
from warehouse.connectors import Cursor, Extract, FileConnector, Part, Remark
from warehouse.connectors.scratch import Scratch
from warehouse.ingest import IngestReport, ingest, load
from warehouse.loads import RECORD_FILE, Loads
from warehouse.sources import Source, load_source, read_mapping
from warehouse.store import Warehouse

CALLS: dict[str, Any] = {
    "table": "activities",
    "from": "calls",
    "event_timestamp": "day",
    "created_timestamp": "day",
    "columns": {"activity_id": "id", "kind": "'call'"},
}
REPS: dict[str, Any] = {
    "table": "reps",
    "from": "callers",
    "event_timestamp": "first_day",
    "created_timestamp": "first_day",
    "columns": {"rep_id": "rep"},
}
MAPPING: dict[str, Any] = {
    "name": "mine",
    "about": "Calls.",
    "files": {
        "calls": {
            "path": ["calls.csv", "calls/part-*.csv"],
            "format": "csv",
            "columns": {"id": "string", "day": "timestamp", "rep": "string"},
        }
    },
    "views": {"callers": "SELECT rep, min(day) AS first_day FROM calls WHERE rep IS NOT NULL GROUP BY rep"},
    "tables": [CALLS, REPS],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir()
    return path


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path / "warehouse")


def source(folder: Path, **changed: Any) -> Source:
    path = folder.parent / "mine.yaml"
    path.write_text(yaml.safe_dump(MAPPING | changed))
    return read_mapping(path)


def write(folder: Path, *ids: str, name: str = "calls.csv") -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    lines = [f"{one},2025-01-{number:02},r{number % 2}\n" for number, one in enumerate(ids, start=1)]
    path.write_text("id,day,rep\n" + "".join(lines))


def counted(report: IngestReport, table: str) -> tuple[int, int, int]:
    return report[table].read, report[table].loaded, report[table].known


def test_an_unchanged_file_is_not_read_again_and_its_rows_count_as_known(folder: Path, warehouse: Warehouse) -> None:
    write(folder, "a", "b")
    first = ingest(source(folder), folder, warehouse)
    again = ingest(source(folder), folder, warehouse)
    assert (counted(first, "activities"), counted(again, "activities")) == ((2, 2, 0), (2, 0, 2))
    assert (len(first.parts_read), again.parts_read) == (2, ())
    assert again.parts_known == ("0 activities from calls: calls.csv", "1 reps from callers")


def test_a_touched_file_of_equal_bytes_is_known(folder: Path, warehouse: Warehouse) -> None:
    write(folder, "a")
    ingest(source(folder), folder, warehouse)
    write(folder, "a")
    assert ingest(source(folder), folder, warehouse).parts_read == ()


def test_a_new_file_is_read_and_the_others_are_not(folder: Path, warehouse: Warehouse) -> None:
    write(folder, "a", "b")
    ingest(source(folder), folder, warehouse)
    write(folder, "c", name="calls/part-1.csv")
    report = ingest(source(folder), folder, warehouse)
    assert counted(report, "activities") == (3, 1, 2)
    # A view may read any file, so its table is read again.
    assert report.parts_read == ("0 activities from calls: calls/part-1.csv", "1 reps from callers")
    assert warehouse.row_count("activities") == 3


def test_a_changed_file_is_read_again_and_only_its_new_rows_go_in(folder: Path, warehouse: Warehouse) -> None:
    write(folder, "a", "b")
    ingest(source(folder), folder, warehouse)
    write(folder, "a", "b", "c")
    assert counted(ingest(source(folder), folder, warehouse), "activities") == (3, 1, 2)


def test_another_reading_of_the_same_file_is_a_new_load(folder: Path, warehouse: Warehouse) -> None:
    write(folder, "a")
    ingest(source(folder), folder, warehouse)
    told = ingest(source(folder, about="Other words."), folder, warehouse)
    assert told.parts_read == ()
    renamed = CALLS | {"columns": {"activity_id": "'call ' || id", "kind": "'call'"}}
    report = ingest(source(folder, tables=[renamed]), folder, warehouse)
    assert counted(report, "activities") == (1, 1, 0)


def test_a_table_that_was_deleted_is_filled_again_by_all_its_parts(folder: Path, warehouse: Warehouse) -> None:
    write(folder, "a")
    write(folder, "b", name="calls/part-1.csv")
    ingest(source(folder), folder, warehouse)
    before = warehouse.fingerprint()
    shutil.rmtree(warehouse.root / "activities")
    report = ingest(source(folder), folder, warehouse)
    assert (counted(report, "activities"), counted(report, "reps")) == ((2, 2, 0), (1, 0, 1))
    assert warehouse.fingerprint() == before


def test_a_table_deleted_and_half_filled_by_a_killed_load_is_completed(folder: Path, warehouse: Warehouse) -> None:
    write(folder, "a")
    write(folder, "b", name="calls/part-1.csv")
    ingest(source(folder), folder, warehouse)
    shutil.rmtree(warehouse.root / "activities")
    stopped = StoppingConnector(FileConnector(source(folder).mapping, folder), after=1)
    with pytest.raises(KeyboardInterrupt):
        load(source(folder), stopped, warehouse)
    assert counted(ingest(source(folder), folder, warehouse), "activities") == (2, 1, 1)


def test_a_killed_load_notes_only_what_is_in_and_the_next_one_finishes(folder: Path, warehouse: Warehouse) -> None:
    write(folder, "a", "b")
    write(folder, "c", name="calls/part-1.csv")
    stopped = StoppingConnector(FileConnector(source(folder).mapping, folder), after=1)
    with pytest.raises(KeyboardInterrupt):
        load(source(folder), stopped, warehouse)
    report = ingest(source(folder), folder, warehouse)
    assert report.parts_known == ("0 activities from calls: calls/part-1.csv",)
    assert counted(report, "activities") == (3, 2, 1)


class StoppingConnector:
    """A connector whose process is stopped after some extracts."""

    def __init__(self, connector: FileConnector, *, after: int) -> None:
        self._connector = connector
        self._left = after

    def __enter__(self) -> StoppingConnector:
        return self

    def __exit__(self, *_: object) -> None:
        self._connector.__exit__()

    def parts(self) -> tuple[Part, ...]:
        return tuple(self._connector.parts())

    def is_unchanged(self, part: Part, cursor: Cursor) -> bool:
        return self._connector.is_unchanged(part, cursor)

    def extracts(self, part: Part, *, since: Cursor | None) -> Iterator[Extract]:
        if not self._left:
            self._connector.__exit__()
            raise KeyboardInterrupt
        self._left -= 1
        yield from self._connector.extracts(part, since=since)

    def remarks(self) -> tuple[Remark, ...]:
        return self._connector.remarks()


class PagedConnector:
    """A source like a REST interface: pages after a cursor, and no way to tell that nothing changed."""

    def __init__(self, pages: list[list[str]], *, fails_at: int | None = None) -> None:
        self.pages = pages
        self.fails_at = fails_at
        self.asked: list[int] = []

    def __enter__(self) -> PagedConnector:
        return self

    def __exit__(self, *_: object) -> None: ...

    def parts(self) -> tuple[Part, ...]:
        return (Part("calls", "activities", "calls"),)

    def is_unchanged(self, part: Part, cursor: Cursor) -> bool:
        return False

    def extracts(self, part: Part, *, since: Cursor | None) -> Iterator[Extract]:
        for number in range(0 if since is None else since["page"], len(self.pages)):
            if number == self.fails_at:
                raise SourceError("The interface does not answer")
            self.asked.append(number)
            moment = pa.array([datetime(2025, 1, 6, tzinfo=UTC)] * len(self.pages[number]), pa.timestamp("us", "UTC"))
            page = {"activity_id": self.pages[number], "kind": ["call"] * len(self.pages[number])}
            table = pa.table(page | {"event_timestamp": moment, "created_timestamp": moment})
            yield Extract(part.table, part.relation, table.to_reader(), (), {"page": number + 1}, None)

    def remarks(self) -> tuple[Remark, ...]:
        return ()


def test_a_paged_source_resumes_after_the_last_page_that_is_in(folder: Path, warehouse: Warehouse) -> None:
    pages = [["a", "b"], ["c"], ["d"]]
    with pytest.raises(SourceError, match="does not answer"):
        load(source(folder), PagedConnector(pages, fails_at=2), warehouse)
    resumed = PagedConnector([*pages, ["e"]])
    report = load(source(folder), resumed, warehouse)
    assert (resumed.asked, report["activities"].loaded) == ([2, 3], 2)
    assert warehouse.row_count("activities") == 5


def test_a_file_that_grows_while_it_is_read_is_told_and_not_noted(folder: Path, warehouse: Warehouse) -> None:
    write(folder, "a")
    with FileConnector(source(folder).mapping, folder) as connector:
        part = connector.parts()[0]
        (extract,) = connector.extracts(part, since=None)
        write(folder, "a", "b")
        with pytest.raises(SourceError, match=r"calls\.csv changed while it was read"):
            extract.rows.read_all()


def test_two_sources_keep_their_records_in_one_warehouse(folder: Path, warehouse: Warehouse) -> None:
    write(folder, "a")
    ingest(source(folder), folder, warehouse)
    ingest(source(folder, name="other"), folder, warehouse)
    record = json.loads((warehouse.root / RECORD_FILE).read_text())
    assert sorted(record["sources"]) == ["mine", "other"]
    assert ingest(source(folder), folder, warehouse).parts_read == ()


def test_a_record_that_cannot_be_read_is_told_with_the_way_out(folder: Path, warehouse: Warehouse) -> None:
    write(folder, "a")
    ingest(source(folder), folder, warehouse)
    (warehouse.root / RECORD_FILE).write_text("{")
    with pytest.raises(UnavailableError, match=r"_loads\.json cannot be read.*delete it"):
        Loads(warehouse.root, source(folder).mapping).of(Part("x", "activities", "calls"))
    (warehouse.root / RECORD_FILE).unlink()
    assert counted(ingest(source(folder), folder, warehouse), "activities") == (1, 0, 1)


def test_the_rows_of_a_big_file_are_told_while_they_come(folder: Path, warehouse: Warehouse) -> None:
    write(folder, "a", "b", "c")
    told: list[tuple[str, int, int]] = []
    ingest(source(folder), folder, warehouse, progress=lambda *step: told.append(step))
    assert told[0] == told[1] == ("load activities", 3, 3)


def test_canonical_files_may_come_in_parts_in_a_folder_of_their_own(folder: Path, warehouse: Warehouse) -> None:
    moment = datetime(2025, 1, 6, tzinfo=UTC)
    (folder / "reps").mkdir()
    for number in range(2):
        row = {"rep_id": f"r{number}", "event_timestamp": moment, "created_timestamp": moment}
        pq.write_table(pa.Table.from_pylist([row]), folder / "reps" / f"part-{number:05}.parquet")
    report = ingest(load_source("simulated"), folder, warehouse)
    assert report["reps"].loaded == 2
    assert len(report.parts_read) == 2


def test_the_columns_of_several_files_are_matched_by_name(folder: Path, warehouse: Warehouse) -> None:
    write(folder, "a")
    (folder / "calls").mkdir()
    (folder / "calls" / "part-1.csv").write_text("day,id\n2025-01-02,b\n")
    report = ingest(source(folder), folder, warehouse)
    rows = warehouse.duckdb().execute("SELECT activity_id FROM activities ORDER BY 1").fetchall()
    assert rows == [("a",), ("b",)]
    assert "part-1.csv: lacks rep, which are missing in its rows" in [remark.text for remark in report.remarks]


def test_lines_that_are_no_rows_of_a_file_read_only_by_views_are_kept_apart_once(
    folder: Path, warehouse: Warehouse
) -> None:
    (folder / "calls.csv").write_text("id,day,rep\na,2025-01-01,r1\nbroken\n")
    days = REPS | {"table": "territories", "columns": {"territory_id": "rep"}}
    report = ingest(source(folder, tables=[REPS, days]), folder, warehouse)
    assert {table: (count.loaded, count.quarantined) for table, count in report.items()} == {
        "reps": (1, 1),
        "territories": (1, 0),
    }
    assert report["reps"].reasons == {"line cannot be read: missing columns": 1}


def test_staged_copies_go_with_their_load_also_those_of_a_killed_one(tmp_path: Path) -> None:
    killed, running = Scratch(tmp_path), Scratch(tmp_path)
    (killed.path / "0.txt").write_text("ann@example.com")
    killed._lock.close()  # as the system does for a killed process
    for folder in (killed.path, running.path):
        os.utime(folder, (0, 0))
    third = Scratch(tmp_path)
    assert set(tmp_path.iterdir()) == {running.path, third.path}
    running.close()
    third.close()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def whole() -> str:
    """Fingerprint of eight calls loaded as one file."""
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "data"
        folder.mkdir()
        write_lines(folder, [list(range(8))])
        warehouse = Warehouse(Path(root) / "warehouse")
        ingest(source(folder, tables=[CALLS]), folder, warehouse)
        return warehouse.fingerprint()


def write_lines(folder: Path, parts: list[list[int]]) -> None:
    (folder / "calls").mkdir(exist_ok=True)
    for number, part in enumerate(parts):
        lines = "".join(f"call {one},2025-01-{one + 1:02},r{one % 3}\n" for one in part)
        (folder / "calls" / f"part-{number}.csv").write_text("id,day,rep\n" + lines)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    order=st.permutations(range(8)),
    copies=st.lists(st.integers(0, 7), max_size=4),
    cuts=st.lists(st.integers(1, 11), max_size=3),
    loads=st.integers(1, 2),
)
def test_order_copies_parts_and_repetition_change_nothing(
    whole: str, order: list[int], copies: list[int], cuts: list[int], loads: int
) -> None:
    lines = [*order, *copies]
    places = [0, *sorted(set(cuts)), len(lines)]
    parts = [part for first, last in pairwise(places) if (part := lines[first:last])]
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "data"
        folder.mkdir()
        warehouse = Warehouse(Path(root) / "warehouse")
        for number in range(1, loads + 1):  # first one half of the files, then all
            write_lines(folder, parts[: max(1, len(parts) * number // loads)])
            report = ingest(source(folder, tables=[CALLS]), folder, warehouse)
        assert report["activities"].read == len(lines)
        assert warehouse.row_count("activities") == 8
        assert warehouse.fingerprint() == whole
