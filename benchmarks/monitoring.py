"""Monitoring: false alarms, power, estimates before labels, and what a report over a million rows costs.

    python benchmarks/monitoring.py [--quick] [--check] [--only alarms,quiet,power,estimates,refresh,million]
                                    [--changes bank,olist,steady,recession,new-product,process-change]

alarms     simulated weeks without any shift, at four batch sizes, rows independent and rows of a week alike; beside
           Evidently's defaults on the same weeks (fewer of them, for its time). A week rings by its columns or by the
           pace of as many open things. Bar: at most 5 % of weeks ring.
quiet      the same for the pace of what becomes of open things, over the last year of three quiet simulated worlds.
power      weeks from a change to the first alarm: the simulator's regime changes and the quiet world, bank's base-rate
           rise, olist's 2018-01; by inputs, by the outcomes of the week's rows once they are known, and by the pace of
           what becomes of open things, beside Evidently's defaults on the same rows. What rang before the change is
           named, with what was already different then.
estimates  AUC estimated before labels against the later truth. Bars: within 0.03, and inside the interval; beside it
           whether earlier windows' estimates missed by more than chance, which the report then says, and how far the
           later truth may be off by the luck of its own rows.
refresh    a champion that says the truth, refreshed for two years of a world without change: how many recalibrated
           challengers luck lets in, and what that costs in the end, also where weeks differ. Bars: at most 5 %, and 1 %
           of the log-loss. And how soon recalibrating follows a level that fell or rose.
million    one report over a million rows a side and 40 columns: seconds and memory, beside Evidently as it comes, and
           beside the time to read the file once (the limit). Bar: a minute and 2 GB.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path

WEEKS, QUICK_WEEKS = 200, 10
CHANGES = "bank,olist,steady,recession,new-product,process-change"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_WEEKS} weeks, smaller worlds, 100 000 rows")
    parser.add_argument("--check", action="store_true", help="exit 1 where a bar is missed")
    parser.add_argument("--only", default="alarms,quiet,power,estimates,refresh,million", help="parts to run")
    parser.add_argument("--sizes", default="50,150,1000,20000", help="batch sizes of `alarms`")
    parser.add_argument("--changes", default=CHANGES, help="what `power` looks for")
    options = parser.parse_args()
    from benchmarks.monitoring_alarms import false_alarms
    from benchmarks.monitoring_estimates import estimates
    from benchmarks.monitoring_million import million
    from benchmarks.monitoring_pace import quiet_weeks
    from benchmarks.monitoring_power import power
    from benchmarks.monitoring_refresh import refreshing

    parts: Sequence[str] = options.only.split(",")
    began, good = time.perf_counter(), True
    if "million" in parts:
        rows = 100_000 if options.quick else 1_000_000
        # Evidently's preset needs 5 GB and minutes for a million rows a side; a tenth shows how it grows.
        good &= million(rows, peer_rows=20_000 if options.quick else 100_000)
    if "estimates" in parts:
        good &= estimates(options.quick)
    if "power" in parts:
        power(options.quick, named=options.changes.split(","))
    sizes = [int(size) for size in options.sizes.split(",")]
    if "quiet" in parts:
        good &= quiet_weeks(quick=options.quick)
    if "alarms" in parts:
        good &= false_alarms(QUICK_WEEKS if options.quick else WEEKS, sizes)
    if "refresh" in parts:
        good &= refreshing(options.quick)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{time.perf_counter() - began:.0f} s, {peak:.1f} GB at most")
    return 1 if options.check and not good else 0


if __name__ == "__main__":
    # This file's folder is first on the path, and has a warehouse.py and a features.py of its own.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from common.telemetry import disable_telemetry

    disable_telemetry()
    sys.exit(main())
