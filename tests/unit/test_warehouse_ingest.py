"""Reading files through a mapping and loading them: values, reasons, counts, and every error a user can meet."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from common.errors import ContractError, SourceError
from warehouse.ingest import ingest
from warehouse.sources import Source, load_source, read_mapping
from warehouse.store import Warehouse

MAPPING: dict[str, Any] = {
    "name": "mine",
    "about": "Calls of a phone system.",
    "time_zone": "America/Sao_Paulo",
    "files": {
        "calls": {
            "path": "calls*.csv*",
            "format": "csv",
            "separator": ";",
            "missing": ["-"],
            "columns": {
                "id": {"type": "string", "header": "Call Id"},
                "start": {"type": "timestamp", "formats": ["%d/%m/%Y %H:%M", "%Y-%m-%d"]},
                "logged": "timestamp",
                "minutes": {"type": "float", "strip": " min,"},
                "way": {"type": "string", "values": {"in": "inbound", "out": "outbound"}, "missing": ["?"]},
            },
        }
    },
    "tables": [
        {
            "table": "activities",
            "from": "calls",
            "where": "id IS DISTINCT FROM 'test call'",
            "event_timestamp": "start",
            "created_timestamp": "coalesce(logged, start)",
            "columns": {"activity_id": "id", "kind": "'call'", "direction": "way", "duration_minutes": "minutes"},
            "quarantine": [{"when": "logged < start", "reason": "logged before it began"}],
        }
    ],
    "models": {},
}
HEADER = "Call Id;start;logged;minutes;way;\n"


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path / "warehouse")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir()
    return path


def source(tmp_path: Path, **changed: Any) -> Source:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(MAPPING | changed))
    return read_mapping(path)


def stored(warehouse: Warehouse, columns: str) -> list[tuple[Any, ...]]:
    return warehouse.duckdb().execute(f"SELECT {columns} FROM activities ORDER BY activity_id").fetchall()


def test_text_becomes_values_as_the_mapping_says(tmp_path: Path, folder: Path, warehouse: Warehouse) -> None:
    (folder / "calls.csv").write_text(
        HEADER
        + "a;06/01/2025 09:30;2025-01-06T18:00:00;1,200 min;in;\n"  # local times, three hours behind UTC
        + "b;2025-01-06;2025-01-06T10:00:00+02:00;-;?;\n"
        + "test call;06/01/2025 09:30;;1;in;\n"
    )
    counts = ingest(source(tmp_path), folder, warehouse)
    assert counts["activities"].loaded == counts["activities"].read == 2
    assert stored(warehouse, "activity_id, event_timestamp, created_timestamp, duration_minutes, direction") == [
        ("a", datetime(2025, 1, 6, 12, 30, tzinfo=UTC), datetime(2025, 1, 6, 21, tzinfo=UTC), 1200.0, "inbound"),
        ("b", datetime(2025, 1, 6, 3, tzinfo=UTC), datetime(2025, 1, 6, 8, tzinfo=UTC), None, None),
    ]


def test_broken_rows_go_to_quarantine_with_what_stood_in_the_file(
    tmp_path: Path, folder: Path, warehouse: Warehouse
) -> None:
    (folder / "calls.csv").write_text(
        HEADER
        + "good;06/01/2025 09:30;;3;in;\n"
        + "day;31/02/2025 09:30;;3;in;\n"
        + "before;06/01/2025 09:30;2025-01-05;3;in;\n"
        + "long;06/01/2025 09:30;;three;in;\n"
        + "short;06/01/2025 09:30\n"
        + "long;06/01/2025 09:30;;3;in;4;5;6;7\n"
        + ";06/01/2025 09:30;;3;in;\n"
    )
    count = ingest(source(tmp_path), folder, warehouse)["activities"]
    assert (count.read, count.loaded, count.known, count.quarantined) == (7, 1, 0, 6)
    assert count.reasons == {
        "activity_id is missing": 1,
        "line cannot be read: missing columns": 1,
        "line cannot be read: too many columns": 1,
        "logged before it began": 1,
        "minutes cannot be read as float": 1,
        "start cannot be read as timestamp": 1,
    }
    kept = {row["reason"]: json.loads(row["row"]) for row in warehouse.quarantine.rows().to_pylist()}
    assert kept["start cannot be read as timestamp"]["start"] == "31/02/2025 09:30"
    assert kept["line cannot be read: missing columns"] == "short;06/01/2025 09:30"
    assert kept["logged before it began"]["activity_id"] == "before"


def test_loading_again_changes_nothing_and_counts_the_same(tmp_path: Path, folder: Path, warehouse: Warehouse) -> None:
    (folder / "calls.csv").write_text(HEADER + "a;06/01/2025 09:30;;3;in;\na;06/01/2025 09:30;;3;in;\nb;x;;3;in;\n")
    first = ingest(source(tmp_path), folder, warehouse)["activities"]
    before = (warehouse.fingerprint(), warehouse.versions(), warehouse.quarantine.rows().num_rows)
    again = ingest(source(tmp_path), folder, warehouse)["activities"]
    assert (first.loaded, first.known, first.quarantined) == (1, 1, 1)
    assert (again.loaded, again.known, again.quarantined) == (0, 2, 1)
    assert (warehouse.fingerprint(), warehouse.versions(), warehouse.quarantine.rows().num_rows) == before


def test_the_order_and_the_parting_of_files_do_not_matter(tmp_path: Path, folder: Path) -> None:
    lines = [f"{name};0{day}/01/2025 09:30;;{day};in;\n" for day, name in enumerate("abcdef", start=1)]
    whole, parts = Warehouse(tmp_path / "whole"), Warehouse(tmp_path / "parts")
    (folder / "calls.csv").write_text(HEADER + "".join(lines))
    ingest(source(tmp_path), folder, whole)
    (folder / "calls.csv").write_text(HEADER + "".join(lines[4:]))
    with gzip.open(folder / "calls_2.csv.gz", "wt") as file:
        file.write(HEADER + "".join(reversed(lines[:4])))
    ingest(source(tmp_path), folder, parts)
    assert whole.fingerprint() == parts.fingerprint()


def test_a_file_with_windows_line_ends_byte_mark_and_repeated_headers_is_read(
    tmp_path: Path, folder: Path, warehouse: Warehouse
) -> None:
    text = "Call Id;start;logged;minutes;way;;way\r\na;06/01/2025 09:30;;3;in;;x\r\n"
    (folder / "calls.csv").write_bytes(text.encode("utf-8-sig"))
    ingest(source(tmp_path), folder, warehouse)
    assert stored(warehouse, "activity_id, direction") == [("a", "inbound")]


def test_a_file_of_no_bytes_is_told(tmp_path: Path, folder: Path, warehouse: Warehouse) -> None:
    (folder / "calls.csv").write_text("")
    with pytest.raises(SourceError, match=r"calls\.csv is empty"):
        ingest(source(tmp_path), folder, warehouse)


def test_a_file_of_another_encoding_is_told(tmp_path: Path, folder: Path, warehouse: Warehouse) -> None:
    (folder / "calls.csv").write_bytes("Müller;start\n".encode("latin-1"))
    with pytest.raises(SourceError, match="cannot be read as utf-8 text"):
        ingest(source(tmp_path), folder, warehouse)


def test_an_encoding_other_than_utf8_is_read(tmp_path: Path, folder: Path, warehouse: Warehouse) -> None:
    (folder / "calls.csv").write_bytes((HEADER + "Müller;06/01/2025 09:30;;3;in;\n").encode("latin-1"))
    files = {"calls": MAPPING["files"]["calls"] | {"encoding": "latin-1"}}
    ingest(source(tmp_path, files=files), folder, warehouse)
    assert stored(warehouse, "activity_id") == [("Müller",)]


def test_progress_is_told_by_table_and_rows(tmp_path: Path, folder: Path, warehouse: Warehouse) -> None:
    (folder / "calls.csv").write_text(HEADER + "a;06/01/2025 09:30;;3;in;\n")
    told: list[tuple[str, int, int]] = []
    ingest(source(tmp_path), folder, warehouse, progress=lambda *step: told.append(step))
    assert set(told) == {("load activities", 1, 1)}


def test_a_missing_folder_is_told(tmp_path: Path, warehouse: Warehouse) -> None:
    with pytest.raises(SourceError, match=r"nowhere of source 'mine' does not exist"):
        ingest(source(tmp_path), tmp_path / "nowhere", warehouse)


def test_an_empty_folder_is_told_what_it_should_hold(tmp_path: Path, folder: Path, warehouse: Warehouse) -> None:
    with pytest.raises(SourceError, match=r"data of source 'mine' is empty.*calls\*\.csv"):
        ingest(source(tmp_path), folder, warehouse)


def test_a_missing_file_is_named_with_what_is_there(tmp_path: Path, folder: Path, warehouse: Warehouse) -> None:
    (folder / "mails.csv").write_text("x\n")
    with pytest.raises(SourceError, match=r"lacks calls\*\.csv\* of source 'mine'.*Got: mails\.csv"):
        ingest(source(tmp_path), folder, warehouse)


def test_missing_columns_are_named_with_those_that_are_there(
    tmp_path: Path, folder: Path, warehouse: Warehouse
) -> None:
    (folder / "calls.csv").write_text("Call Id;start;way\na;06/01/2025 09:30;in\n")
    with pytest.raises(SourceError, match=r"calls\.csv lacks logged, minutes \(it has Call Id, start, way\)"):
        ingest(source(tmp_path), folder, warehouse)
    assert warehouse.tables() == ()


def test_a_file_without_rows_is_named(tmp_path: Path, folder: Path, warehouse: Warehouse) -> None:
    (folder / "calls.csv").write_text(HEADER)
    with pytest.raises(SourceError, match=r"calls\.csv of source 'mine' holds no rows"):
        ingest(source(tmp_path), folder, warehouse)


def test_a_file_without_a_usable_row_is_told_the_reasons(tmp_path: Path, folder: Path, warehouse: Warehouse) -> None:
    (folder / "calls.csv").write_text(HEADER + "a;yesterday;;3;in;\nb;today;;3;in;\n")
    with pytest.raises(
        SourceError, match=r"no usable row for activities in calls: all 2.*start cannot be read.*\(2 rows"
    ):
        ingest(source(tmp_path), folder, warehouse)
    assert warehouse.quarantine.rows("activities").num_rows == 2


def test_a_file_that_is_no_parquet_is_told(folder: Path, warehouse: Warehouse) -> None:
    (folder / "tourism.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(SourceError, match="Source 'tourism': trips cannot be read"):
        ingest(load_source("tourism"), folder, warehouse)


def test_an_expression_that_fails_is_told_with_its_table(tmp_path: Path, folder: Path, warehouse: Warehouse) -> None:
    (folder / "calls.csv").write_text(HEADER + "a;06/01/2025 09:30;;3;in;\n")
    tables = [MAPPING["tables"][0] | {"event_timestamp": "began"}]
    with pytest.raises(SourceError, match=r"activities from calls cannot be read.*began"):
        ingest(source(tmp_path, tables=tables), folder, warehouse)


def landing(folder: Path, **changed: Any) -> None:
    moment = datetime(2025, 1, 6, tzinfo=UTC)
    row = {"rep_id": "r1", "team": "north", "event_timestamp": moment, "created_timestamp": moment} | changed
    pq.write_table(pa.Table.from_pylist([row]), folder / "reps.parquet")


def test_canonical_files_are_taken_as_they_are_and_absent_ones_left_out(folder: Path, warehouse: Warehouse) -> None:
    landing(folder)
    counts = ingest(load_source("simulated"), folder, warehouse)
    assert {table: count.loaded for table, count in counts.items()} == {"reps": 1}


def test_canonical_files_need_their_required_columns(folder: Path, warehouse: Warehouse) -> None:
    pq.write_table(pa.table({"rep_id": ["r1"]}), folder / "reps.parquet")
    with pytest.raises(SourceError, match=r"reps\.parquet lacks created_timestamp, event_timestamp"):
        ingest(load_source("simulated"), folder, warehouse)


def test_canonical_files_need_times_with_a_zone(folder: Path, warehouse: Warehouse) -> None:
    landing(folder, event_timestamp=datetime(2025, 1, 6))
    with pytest.raises(ContractError, match="times of event_timestamp in reps have no time zone"):
        ingest(load_source("simulated"), folder, warehouse)


def test_a_folder_with_none_of_the_canonical_files_is_told(folder: Path, warehouse: Warehouse) -> None:
    (folder / "readme.txt").write_text("nothing here")
    with pytest.raises(SourceError, match="lacks every file of source 'simulated'"):
        ingest(load_source("simulated"), folder, warehouse)
