"""A build that is killed at random moments ends, run again, as one that nobody disturbed."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.catalogue import VIEWS
from warehouse.contracts import CONTRACTS, UTC_MICROSECONDS
from warehouse.store import Warehouse

BUILD = """
import sys
from pathlib import Path
import pyarrow.parquet as pq
import features.building
from features.catalogue import VIEWS
from features.view_files import ViewFiles, one_writer
from warehouse.store import Warehouse
folder = Path(sys.argv[1])
features.building.OWN_CHUNK_ROWS = 300
view = VIEWS["lead_engagement"]
files = ViewFiles(folder / sys.argv[2], view)
with one_writer(files.folder):
    print("begins", flush=True)
    features.building.build_views(
        Warehouse(folder / "warehouse"),
        [(files, pq.read_table(folder / "spine.parquet"))],
        scratch=folder / "scratch",
    )
"""


def _world(folder: Path) -> None:
    count = 3000
    moments = pa.array([1_735_689_600_000_000 + number * 60_000_000 for number in range(count)], UTC_MICROSECONDS)
    leads = pa.array([f"L{number % 97}" for number in range(count)])
    columns = {"event_id": [f"E{number}" for number in range(count)], "lead_id": leads, "kind": ["page_view"] * count}
    rows = pa.table({**columns, "event_timestamp": moments, "created_timestamp": moments})
    Warehouse(folder / "warehouse").append("lead_events", rows, origin="test")
    assert set(rows.column_names) <= set(CONTRACTS["lead_events"].arrow_schema.names)
    pq.write_table(pa.table({"lead_id": leads, "as_of": moments}), folder / "spine.parquet")


def _start(folder: Path, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", BUILD, str(folder), name], stdout=subprocess.PIPE, text=True)


def _run(folder: Path, name: str) -> None:
    with _start(folder, name) as build:
        build.communicate()
    assert build.returncode == 0


def _stored(folder: Path) -> pa.Table:
    schema = VIEWS["lead_engagement"].schema
    files = [pq.read_table(path, partitioning=None).cast(schema) for path in folder.glob("part-*.parquet")]
    rows = pa.concat_tables(files)
    return rows.combine_chunks().sort_by([("lead_id", "ascending"), ("event_timestamp", "ascending")])


@pytest.mark.parametrize("kills", [2, pytest.param(15, marks=pytest.mark.slow)])
def test_a_build_killed_at_random_moments_ends_as_an_undisturbed_one(kills: int, tmp_path: Path) -> None:
    _world(tmp_path)
    draw = random.Random(3)  # noqa: S311 - moments to kill at
    began = time.monotonic()
    _run(tmp_path, "undisturbed")
    lasts = time.monotonic() - began
    for _ in range(kills):
        with _start(tmp_path, "disturbed") as build:
            assert build.stdout is not None
            build.stdout.readline()
            time.sleep(draw.uniform(0, lasts / 2))
            build.kill()
    _run(tmp_path, "disturbed")
    assert _stored(tmp_path / "disturbed") == _stored(tmp_path / "undisturbed")
    assert not list((tmp_path / "disturbed").glob("*.unfinished"))
    assert not (tmp_path / "scratch").exists()
