"""What a report over a million rows a side costs, beside Evidently as it comes and beside reading the file once."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

MOST_SECONDS, MOST_GB = 60.0, 2.0


_WORK = """
import sys, time, resource, json
from pathlib import Path
folder, which, rows = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
sys.path.insert(0, sys.argv[4])
from common.telemetry import disable_telemetry
disable_telemetry()
import warnings; warnings.simplefilter("ignore")
import pyarrow.parquet as pq
began = time.perf_counter()
if which == "read":
    for side in ("reference", "current"):
        pq.read_table(folder / f"{side}.parquet")
elif which == "ours":
    from datetime import datetime, UTC, timedelta
    from types import SimpleNamespace
    from common.workspace import Workspace
    from monitoring.drift import report_drift
    import pyarrow as pa
    tables = {side: pq.read_table(folder / f"{side}.parquet") for side in ("reference", "current")}
    schema = tables["current"].schema
    features = [SimpleNamespace(name=f.name, dtype="category" if f.type == pa.string() else "float", about="")
                for f in schema if f.name != "as_of"]
    end = datetime(2025, 1, 6, tzinfo=UTC)
    report = report_drift(tables["reference"], tables["current"], features=features, task="lead",
        workspace=Workspace("bench", folder), window=(end - timedelta(days=7), end), model_version="1", seed=7,
        reference_window=(end - timedelta(days=371), end - timedelta(days=7)), stretch=timedelta(days=7),
        with_evidently="--evidently" in sys.argv)
else:
    from evidently import Dataset, Report
    from evidently.presets import DataDriftPreset
    frames = [pq.read_table(folder / f"{side}.parquet").drop_columns(["as_of"]).to_pandas()
              for side in ("reference", "current")]
    snapshot = Report([DataDriftPreset()]).run(Dataset.from_pandas(frames[1]), Dataset.from_pandas(frames[0]))
    snapshot.save_html(str(folder / "evidently.html"))
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([time.perf_counter() - began, used.ru_maxrss / 2**20, used.ru_utime + used.ru_stime]))
"""


def million(rows: int, *, peer_rows: int) -> bool:
    """A report over `rows` rows a side and 40 columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        for count in {rows, peer_rows}:
            (folder / str(count)).mkdir()
            for side in ("reference", "current"):
                columns: dict[str, Any] = {f"n{place}": random.normal(size=count) for place in range(32)}
                kinds = pa.array([f"kind {place}" for place in range(12)])
                columns |= {f"c{place}": kinds.take(pa.array(random.integers(0, 12, count))) for place in range(8)}
                back = random.uniform(0, 364, count) if side == "reference" else random.uniform(-7, 0, count)
                moments = (datetime(2024, 12, 30, tzinfo=UTC).timestamp() - back * 86_400) * 1e6
                columns["as_of"] = pa.array(moments.astype("int64")).cast(pa.timestamp("us", tz="UTC"))
                pq.write_table(pa.table(columns), folder / str(count) / f"{side}.parquet")
        found = {
            "limit: read both files once": (rows, _run(folder / str(rows), "read", rows)),
            "ours, verdict and page": (rows, _run(folder / str(rows), "ours", rows)),
            "ours, with Evidently's pages": (rows, _run(folder / str(rows), "ours", rows, "--evidently")),
            "peer: Evidently's preset, HTML": (peer_rows, _run(folder / str(peer_rows), "evidently", peer_rows)),
        }
    print(f"{'40 columns':<34}{'rows a side':>12}{'seconds':>10}{'of CPU':>9}{'GB':>7}{'CPU against ours':>18}")
    ours = found["ours, with Evidently's pages"][1]
    for name, (count, (seconds, size, cpu)) in found.items():
        print(f"{name:<34}{count:>12,}{seconds:>10.1f}{cpu:>9.1f}{size:>7.2f}{cpu / ours[2]:>18.2f}")
    good = ours[0] <= MOST_SECONDS and ours[1] <= MOST_GB
    print(f"{'PASS' if good else 'FAIL'}: within {MOST_SECONDS:.0f} s and {MOST_GB:.0f} GB\n")
    return good


def _run(folder: Path, which: str, rows: int, *more: str) -> tuple[float, float, float]:
    root = str(Path(__file__).resolve().parents[1])
    command = [sys.executable, "-c", _WORK, str(folder), which, str(rows), root, *more]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    seconds, size, cpu = json.loads(done.stdout.strip().splitlines()[-1])
    return seconds, size, cpu
