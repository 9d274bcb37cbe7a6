"""The files of a view: small ones are written together without a row lost or doubled, whenever the writer dies."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from features_world import day, lead

import features.view_files
from features.catalogue import VIEWS
from features.maths_digest import maths_digest
from features.view_files import ViewFiles
from warehouse.contracts import CONTRACTS
from warehouse.store import Warehouse

VIEW = VIEWS["segment_history"]


def _rows(*numbers: int) -> pa.Table:
    rows = [{"segment_id": f"S{n}", "event_timestamp": day(n), "created_timestamp": day(n)} for n in numbers]
    return pa.Table.from_pylist(rows, schema=VIEW.schema)


def _files(folder: Path, count: int) -> ViewFiles:
    folder.mkdir(exist_ok=True)
    files = ViewFiles(folder, VIEW)
    for number in range(count):
        files.add(_rows(number))
    return files


def _segments(files: ViewFiles) -> list[str]:
    return sorted(name for path in files.paths() for name in pq.read_table(path)["segment_id"].to_pylist())


@pytest.fixture(autouse=True)
def _four_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features.view_files, "_MANY_SMALL_FILES", 4)


def test_few_files_stay_as_they_are(tmp_path: Path) -> None:
    files = _files(tmp_path, 3)
    assert not files.write_together()
    assert len(files.paths()) == 3


def test_many_small_files_become_one(tmp_path: Path) -> None:
    files = _files(tmp_path, 5)
    before = _segments(files)
    assert files.write_together()
    assert len(files.paths()) == 1
    assert _segments(files) == before


def _history(tmp_path: Path) -> Warehouse:
    warehouse = Warehouse(tmp_path / "warehouse")
    rows = pa.Table.from_pylist([lead("L1", 0)], schema=CONTRACTS["leads"].arrow_schema)
    warehouse.append("leads", rows, origin="test")
    return warehouse


def test_a_writer_that_died_before_the_whole_file_was_there_leaves_the_parts(tmp_path: Path) -> None:
    warehouse = _history(tmp_path)
    files = _files(tmp_path / "view", 0)
    files.prepare(warehouse)
    files.add(_rows(1, 2))
    parts = [path.name for path in files.paths()]
    (files.folder / "part-whole.parquet.unfinished").write_bytes(b"half")
    (files.folder / "written_together.json").write_text(json.dumps({"whole": "part-whole.parquet", "parts": parts}))
    files.prepare(warehouse)
    assert _segments(files) == ["S1", "S2"]
    assert sorted(path.suffix for path in files.folder.iterdir()) == [".json", ".parquet", ".parquet"]


def test_a_writer_that_died_before_the_parts_were_gone_doubles_nothing(tmp_path: Path) -> None:
    warehouse = _history(tmp_path)
    files = _files(tmp_path / "view", 0)
    files.prepare(warehouse)
    files.add(_rows(1, 2))
    parts = [path.name for path in files.paths()]
    pq.write_table(_rows(1, 2), files.folder / "part-whole.parquet")
    (files.folder / "written_together.json").write_text(json.dumps({"whole": "part-whole.parquet", "parts": parts}))
    files.prepare(warehouse)
    assert _segments(files) == ["S1", "S2"]


def test_what_is_missing_is_told_once_and_never_for_a_null_key(tmp_path: Path) -> None:
    files = _files(tmp_path, 2)
    moments = pa.table({"segment_id": ["S1", "S9", "S9", None, "S0"], "as_of": _rows(1, 9, 9, 3, 5)["event_timestamp"]})
    missing = files.missing(moments).sort_by("segment_id")
    assert missing["segment_id"].to_pylist() == ["S0", "S9"]


def test_rows_at_a_moment_are_those_of_the_keys_asked(tmp_path: Path) -> None:
    files = _files(tmp_path, 3)
    asked = pa.table({"segment_id": ["S1", "S2"]})
    assert files.rows_at(day(1), asked) == _rows(1)


def test_the_digest_of_the_maths_is_of_the_view() -> None:
    assert maths_digest(VIEW) == maths_digest(VIEWS["segment_history"])
    assert maths_digest(VIEW) != maths_digest(VIEWS["rep_performance"])
