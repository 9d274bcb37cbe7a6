"""The forecast from deals on days within months, beside the same forecast at the quarter's start.

    python benchmarks/forecast_within.py [--worlds N] [--seed N] [--quick] [--check] [--home DIR]

People ask on any day, backtests on month starts. On simulated worlds (as `forecast.py` makes them) the company's
quarter and the next one are forecast from what was known on some days of the quarter. What is left of a quarter becomes
less, so the error should, too; at least it must not grow: the bar is 1.1 times that of the quarter's first instant.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

DAYS, QUICK_DAYS = (0, 9, 20, 40, 51), (0, 9)
QUARTERS, QUICK_QUARTERS = 8, 2
SPANS = {"quarter": (0, 3), "next quarter": (3, 6)}
BAR = 1.1


def asked(home: Path, *, seed: int, place: int, days: tuple[int, ...], quarters: int) -> Iterator[tuple[Any, ...]]:
    """Span, day, forecast and what came, USD, of the newest quarters of a world that have a next one."""
    from benchmarks.forecast import SCENARIOS, open_world
    from training.forecast.backtest import backtest_origins
    from training.forecast.periods import month_number, month_numbers
    from training.forecast.pipeline import forecast_pipeline

    history, config = open_world(home, SCENARIOS[place % len(SCENARIOS)], seed=seed)
    until = config.end - timedelta(hours=1)
    money = history.transactions(until)
    came = money["amount_usd"].groupby(month_numbers(money["event_timestamp"])).sum()
    for quarter in backtest_origins(history, until=until, most=quarters + 1)[:-1]:
        for day in days:
            at = quarter.start + timedelta(days=day)
            months = range(month_number(at) // 12 * 12, quarter.first_month + 6)
            made = forecast_pipeline(history, at=at, months=months, season_length=12, n_paths=20, seed=seed)
            said = sum(part.sum(axis=0) for part in made.bottom.components.values()) / 100
            for span, (since, stop) in SPANS.items():
                wanted = range(quarter.first_month + since, quarter.first_month + stop)
                actual = sum(float(came.get(month, 0.0)) for month in wanted)
                yield span, day, float(said[[month - months[0] for month in wanted]].sum()), actual


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=7, help="seed of the first world; the others have the next ones")
    parser.add_argument("--quick", action="store_true", help="one world, two quarters, two days")
    parser.add_argument("--check", action="store_true", help="exit 1 where a bar is missed")
    parser.add_argument("--home", type=Path, help="folder to keep the worlds in; default: a temporary one")
    options = parser.parse_args()
    sizes: dict[str, Any] = {
        "days": QUICK_DAYS if options.quick else DAYS,
        "quarters": QUICK_QUARTERS if options.quick else QUARTERS,
    }
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="salience-within-") as scratch:
        for place in range(1 if options.quick else options.worlds):
            home, seed = options.home or Path(scratch), options.seed + place
            for span, day, said, actual in asked(home, seed=seed, place=place, **sizes):
                found.setdefault((span, day), []).append((said, actual))
            print(f"seed {seed} done", flush=True)
    missed = []
    print(f"\n{'work':<34}{'peer: day 0':>12}{'limit':>8}{'ours':>9}{'ratio':>8}  bar        bias")
    for (span, day), pairs in found.items():
        said, actual = np.array(pairs).T
        first, came = np.array(found[span, 0]).T
        ours, peer = (float(np.abs(one - of).sum() / of.sum()) for one, of in ((said, actual), (first, came)))
        held = ours <= BAR * peer
        if not held:
            missed.append(f"{span}, day {day}")
        print(f"{f'WAPE, company, {span}, day {day}':<34}{peer:>12.4f}{0:>8}{ours:>9.4f}{ours / peer:>8.3f}  "
              f"<= {BAR} {'' if held else 'MISSED':<6}{said.sum() / actual.sum() - 1:>+8.4f}")  # fmt: skip
    print(f"\n{'FAIL: missed ' + '; '.join(missed) if missed else 'PASS: the error does not grow within a quarter'}")
    return 1 if missed and options.check else 0


if __name__ == "__main__":
    # This file's folder is first on the path, and others in it are named like the packages they measure.
    sys.path.pop(0)
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from common.telemetry import disable_telemetry

    disable_telemetry()
    sys.exit(main())
