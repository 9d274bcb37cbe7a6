"""The history of features: how fast it is built, in how much memory, and how both grow with the world.

    python benchmarks/feature_history.py [--quick] [--check] [--keep FOLDER]

A world of a tenth and the whole one (a million leads, fifty million events) are simulated and loaded; then, in a
process of its own each, every moment of every lead and deal is listed and the features of all their views are computed.
The limit is reading the tables once. `--quick` makes worlds a hundred times smaller; `--keep` leaves the
warehouses in a folder and takes them from there the next time; `--check` exits with 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

MOST_MEMORY_GB = 6.0
MOST_GROWTH = 12.0
BUILD = """
import json, resource, sys, time
from pathlib import Path
from common.settings import OnlineStoreSettings
from common.workspace import Workspace
from features.repository import FeatureRepository
from features.spines import deal_history_spine, lead_history_spine
from warehouse.store import Warehouse
workspace = Workspace(name="history", home=Path(sys.argv[1]))
warehouse = Warehouse(workspace.warehouse)
repository = FeatureRepository(workspace, warehouse, OnlineStoreSettings(kind="sqlite"))
repository.apply()
begin = time.perf_counter()
with warehouse.duckdb() as connection:
    for table in ("lead_events", "activities", "leads", "opportunities"):
        connection.execute(f"SELECT count(hash(COLUMNS(*))) FROM {table}").fetchall()
scan = time.perf_counter() - begin
until = warehouse.cut()
services = {}
for name, spine, service, mode in (
    ("leads", lead_history_spine, "lead_score_v1", "lifecycle"),
    ("deals", deal_history_spine, "deal_win_v1", "weekly"),
):
    begin, cpu = time.perf_counter(), time.process_time()
    rows = repository.build(service, spine(warehouse, mode=mode, until=until))
    services[name] = {"rows": rows, "seconds": time.perf_counter() - begin, "cpu": time.process_time() - cpu}
again = sum(
    repository.build(service, spine(warehouse, mode=mode, until=until))
    for spine, service, mode in ((deal_history_spine, "deal_win_v1", "weekly"),)
)
if again:
    raise SystemExit(f"{again} rows were computed twice")
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
events = warehouse.row_count("lead_events") + warehouse.row_count("activities")
print(json.dumps({"services": services, "scan": scan, "peak_gb": peak, "events": events}))
"""


@dataclass(frozen=True)
class Row:
    """One measured figure beside its limit.

    Args:
        work: What was done.
        limit: The physical limit's figure, if there is one.
        ours: Ours.
        bar: What it must keep.
        passed: Whether it does.
    """

    work: str
    limit: str
    ours: str
    bar: str
    passed: bool


def make_world(home: Path, *, leads: int, deals: int) -> None:
    """Simulate a year of a large company with so many leads and deals, and load it, unless it is there."""
    from common.workspace import Workspace
    from warehouse.ingest import ingest
    from warehouse.simulator import SimulationConfig, simulate
    from warehouse.sources import load_source
    from warehouse.store import Warehouse

    workspace = Workspace(name="history", home=home)
    if (workspace.root / "loaded").is_file():
        return
    shutil.rmtree(workspace.root, ignore_errors=True)
    config = dataclasses.replace(SimulationConfig.of_size("large", years=1), leads=leads, deals=deals)
    simulate(config, landing=workspace.landing, truth=workspace.truth)
    ingest(load_source("simulated"), workspace.landing, Warehouse(workspace.warehouse))
    shutil.rmtree(workspace.landing)
    shutil.rmtree(workspace.truth)
    (workspace.root / "loaded").touch()


@dataclass(frozen=True)
class Built:
    """What building all features of a world took.

    Args:
        services: For leads and for deals: rows, seconds, and seconds of CPU, which other work on the machine leaves
            as they are.
        scan: Seconds of reading the tables once.
        peak_gb: Memory of the process.
        events: Events of the world.
    """

    services: dict[str, dict[str, float]]
    scan: float
    peak_gb: float
    events: int

    def total(self, figure: str) -> float:
        """A figure over both services."""
        return sum(one[figure] for one in self.services.values())


def build(home: Path) -> Built:
    """What building all features in a process of its own took; features that are there are removed first."""
    from common.workspace import Workspace

    shutil.rmtree(Workspace(name="history", home=home).features, ignore_errors=True)
    answer = subprocess.run([sys.executable, "-c", BUILD, str(home)], capture_output=True, text=True, check=True)
    return Built(**json.loads(answer.stdout.splitlines()[-1]))


def measured(folder: Path, *, leads: int, deals: int) -> list[Row]:
    """The build of a tenth and of the whole, and how one grew from the other."""
    rows: list[Row] = []
    built: list[Built] = []
    for part in (10, 1):
        home = folder / f"part-{part}"
        began = time.perf_counter()
        make_world(home, leads=leads // part, deals=deals // part)
        made = time.perf_counter() - began
        one = build(home)
        built.append(one)
        print(
            f"{leads // part:,} leads, {one.events:,} events: simulated and loaded in {made:.0f} s, "
            f"built in {one.total('seconds'):.0f} s",
            flush=True,
        )
        for name, took in one.services.items():
            told = f"{took['rows']:,.0f} rows, {took['seconds']:.0f} s, {took['rows'] / took['seconds']:,.0f}/s"
            rows.append(Row(f"{name} of {one.events:,} events", f"{one.scan:.1f} s", told, "–", True))
        peak = one.peak_gb
        rows.append(Row("peak memory", "–", f"{peak:.2f} GB", f"< {MOST_MEMORY_GB:.0f} GB", peak < MOST_MEMORY_GB))
    for figure, name in (("seconds", "time"), ("cpu", "work (CPU)")):
        growth = built[1].total(figure) / built[0].total(figure)
        held = growth <= MOST_GROWTH
        rows.append(Row(f"{name} from a tenth", "x 10", f"x {growth:.1f}", f"<= x {MOST_GROWTH:.0f}", held))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="10,000 leads and half a million events at most")
    parser.add_argument("--check", action="store_true", help="exit 1 where a bar is missed")
    parser.add_argument("--keep", type=Path, help="folder to leave the warehouses in")
    options = parser.parse_args()
    leads, deals = (10_000, 2_500) if options.quick else (1_000_000, 250_000)
    with tempfile.TemporaryDirectory(prefix="salience-history-") as name:
        rows = measured(options.keep or Path(name), leads=leads, deals=deals)
    print(f"{'work':<44}{'limit':>10}{'ours':>44}  bar")
    for row in rows:
        print(f"{row.work:<44}{row.limit:>10}{row.ours:>44}  {row.bar}{'' if row.passed else '  MISSED'}")
    missed = sum(not row.passed for row in rows)
    print(f"{'PASS' if not missed else 'FAIL'}: {len(rows) - missed} of {len(rows)} bars held")
    return 1 if missed and options.check else 0


if __name__ == "__main__":
    # This file's folder is first on the path, and files in it are named like the packages they measure.
    sys.path.pop(0)
    from common.telemetry import disable_telemetry

    disable_telemetry()
    sys.exit(main())
