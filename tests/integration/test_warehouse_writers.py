"""Several processes append to one warehouse at once: nothing is lost, nothing is there twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from warehouse.store import Warehouse

WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
import pyarrow as pa
from warehouse.store import Warehouse
moment = datetime(2025, 1, 6, tzinfo=UTC)
loaded = 0
for batch in range(3):
    ids = [f"{batch}-{i}" for i in range(5)] + [f"{sys.argv[2]}-{batch}"]
    rows = pa.table({"rep_id": ids, "event_timestamp": [moment] * 6, "created_timestamp": [moment] * 6})
    loaded += Warehouse(Path(sys.argv[1])).append("reps", rows, origin=sys.argv[2]).loaded
print(loaded)
"""


def test_two_writers_of_the_same_rows_leave_each_row_once(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), name], cwd=root, stdout=subprocess.PIPE, text=True
        )
        for name in ("first", "second")
    ]
    loaded = [int(writer.communicate(timeout=120)[0]) for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    warehouse = Warehouse(tmp_path)
    assert warehouse.row_count("reps") == sum(loaded) == 3 * 5 + 2 * 3
    assert warehouse.duckdb().execute("SELECT count(DISTINCT rep_id) FROM reps").fetchall() == [(21,)]
