"""Killed loads and crowded tables: nothing is lost, nothing is there twice, nobody sees half a commit."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from warehouse.ingest import ingest
from warehouse.sources import read_mapping
from warehouse.store import Warehouse
from warehouse.views import literal, open_connection

ROOT = Path(__file__).resolve().parents[2]
MAPPING = """
name: calls
about: Calls in a few files, some of them broken.
files:
  calls:
    path: calls-*.csv
    format: csv
    columns: {id: string, rep: string, minutes: float, happened: timestamp, noted: timestamp}
tables:
  - table: activities
    from: calls
    event_timestamp: happened
    created_timestamp: noted
    columns: {activity_id: id, kind: "'call'", rep_id: rep, duration_minutes: minutes}
models: {}
"""
LOADER = """
import sys
from pathlib import Path
from warehouse import store
from warehouse.ingest import ingest
from warehouse.sources import read_mapping
store.BATCH_ROWS = int(sys.argv[3])
folder = Path(sys.argv[1])
ingest(read_mapping(folder / "mapping.yaml"), folder, store.Warehouse(Path(sys.argv[2])))
"""


def write_calls(folder: Path, *, rows: int, files: int) -> None:
    """CSV files of calls; each hundredth has a negative duration, each thousandth is a line that stands twice."""
    folder.mkdir()
    (folder / "mapping.yaml").write_text(MAPPING)
    with open_connection() as connection:
        for number in range(files):
            target = literal(str(folder / f"calls-{number}.csv"))
            connection.execute(
                f"""COPY (
                    SELECT 'V-' || i AS id, 'R-' || i % 97 AS rep,
                        CASE WHEN i % 100 = 0 THEN -1 ELSE i % 60 END AS minutes,
                        TIMESTAMP '2024-01-01' + to_seconds(i) AS happened,
                        TIMESTAMP '2024-01-02' + to_seconds(i) AS noted
                    FROM (SELECT i - (i % 1000 = 1)::INT AS i FROM range({number}, {rows}, {files}) t(i))
                ) TO {target}"""
            )


def load_and_kill(folder: Path, warehouse: Path, *, batch_rows: int, after: float | None) -> bool:
    """Load in a process of its own, which is killed `after` seconds; says whether it came to its end."""
    command = [sys.executable, "-c", LOADER, str(folder), str(warehouse), str(batch_rows)]
    loader = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        _, errors = loader.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        loader.kill()
        loader.communicate()
        return False
    assert loader.returncode == 0, errors
    return True


def check_killed_loads(tmp_path: Path, *, rows: int, files: int, batch_rows: int, kills: int) -> None:
    """Kill loads at random moments of their time and start them again; whenever one gets through, it must be right."""
    folder = tmp_path / "calls"
    write_calls(folder, rows=rows, files=files)
    undisturbed = Warehouse(tmp_path / "undisturbed")
    began = time.monotonic()
    assert load_and_kill(folder, undisturbed.root, batch_rows=batch_rows, after=None)
    lasted = time.monotonic() - began
    moments = random.Random(7)  # noqa: S311
    done, worlds = 0, 0
    while done < kills:
        killed = Warehouse(tmp_path / f"killed-{worlds}")
        if load_and_kill(folder, killed.root, batch_rows=batch_rows, after=moments.uniform(0.05, 1) * lasted):
            check_same(killed, undisturbed, folder, rows=rows)
            worlds += 1
        else:
            done += 1
    check_same(killed, undisturbed, folder, rows=rows)


def check_same(killed: Warehouse, undisturbed: Warehouse, folder: Path, *, rows: int) -> None:
    report = ingest(read_mapping(folder / "mapping.yaml"), folder, killed)
    assert report["activities"].read == rows
    assert killed.fingerprint() == undisturbed.fingerprint()
    assert killed.row_count("activities") == undisturbed.row_count("activities") > 0.98 * rows
    kept = [warehouse.quarantine.rows().select(["id", "reason", "row"]) for warehouse in (killed, undisturbed)]
    assert kept[0].sort_by("id").equals(kept[1].sort_by("id"))


def test_a_load_that_is_killed_again_and_again_ends_with_the_same_rows(tmp_path: Path) -> None:
    check_killed_loads(tmp_path, rows=60_000, files=3, batch_rows=8_000, kills=4)


@pytest.mark.slow
def test_a_million_rows_killed_at_twenty_random_moments_end_with_the_same_rows(tmp_path: Path) -> None:
    check_killed_loads(tmp_path, rows=1_000_000, files=4, batch_rows=100_000, kills=20)


WRITER = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
import pyarrow as pa
from warehouse.store import Warehouse
name, commits, rows = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
for commit in range(commits):
    # Every third commit is one that the other writer makes too.
    tag = f"both {commit}" if commit % 3 == 0 else f"{name} {commit}"
    moment = datetime(2025, 1, 6, tzinfo=UTC) + timedelta(hours=commit)
    columns = {"activity_id": [f"{tag} {row}" for row in range(rows)], "kind": ["call"] * rows, "outcome": [tag] * rows}
    times = {"event_timestamp": [moment] * rows, "created_timestamp": [moment] * rows}
    broken = pa.table(columns | times).slice(0, 1).set_column(1, "kind", [["odd"]])
    whole = pa.concat_tables([pa.table(columns | times), broken])
    Warehouse(Path(sys.argv[1])).append("activities", whole, origin="crm")
"""


def test_two_writers_and_a_reader_lose_and_tear_nothing(tmp_path: Path) -> None:
    commits, rows = 9, 500
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name, str(commits), str(rows)], cwd=ROOT)
        for name in ("first", "second")
    ]
    warehouse, seen = Warehouse(tmp_path), 0
    while any(writer.poll() is None for writer in writers):
        with warehouse.duckdb() as connection:
            found = connection.execute("SELECT outcome, count(*) FROM activities GROUP BY outcome").fetchall()
        assert {count for _, count in found} <= {rows}
        assert len(found) >= seen, "a commit that was seen before is gone"
        seen = len(found)
    assert [writer.returncode for writer in writers] == [0, 0]
    shared = len(range(0, commits, 3))
    assert warehouse.row_count("activities") == rows * (2 * (commits - shared) + shared)
    assert warehouse.quarantine.rows().num_rows == 2 * (commits - shared) + shared
