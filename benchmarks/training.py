"""One full training beside the fits it has to make, and reasons beside a bare predict.

    python benchmarks/training.py [--quick] [--check] [--rows N]

**Overhead.** A training of N rows x 40 features (numbers, counts, categories, holes; made) runs whole: codes, probes,
split, study, the winner's fits (rounds, cross-fits, the final one), calibration, evaluation beside the baselines,
explanation tables, bundle. The peer is the time within the libraries' own training calls of that very run (LightGBM's
and XGBoost's `train`, the regression's solver), the same fits with the same parameters; the metric that we evaluate
within them counts as ours. The ratio is the whole over the fits, binning included. A bare LightGBM fit by hand on the
same rows stands beside, with the same fit through our own door, and both peaks of memory.

**Reasons.** The peer is a bare predict of the same model on the same rows, the limit what the library takes for its own
Shapley values. "Values" are contributions by theme, what the library's call gives; "in words" is the whole of an
answer's reasons, five for and five against: Python objects, whose price per row (some 10 us) no batch makes smaller.
The bar holds for the values, and for the words of one row, which every answer pays. One row: median of single calls;
many: 4 096 rows at once. Agreement is measured on rows of the test period, against the library's values.

Each work runs in a process of its own (benchmarks/training_works.py), on one thread; seconds are CPU seconds, so that
what else the machine does counts for nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WORKS = Path(__file__).with_name("training_works.py")
MOST_OVERHEAD = 1.5
MOST_OVER_PREDICT = 4.0
LEAST_AGREEMENT = 0.95
ROWS, QUICK_ROWS, REASON_ROWS = 1_000_000, 12_000, 30_000
_PARTS_SHOWN = 12


@dataclass(frozen=True)
class Row:
    """One measured figure beside its peer and its limit; `bar` is None where there is none to hold."""

    work: str
    peer: str
    limit: str
    ours: str
    ratio: float
    bar: float | None
    more_is_better: bool = False

    @property
    def passed(self) -> bool:
        """Whether the bar is held."""
        if self.bar is None:
            return True
        return self.ratio >= self.bar if self.more_is_better else self.ratio <= self.bar


def run(work: str, rows: int) -> dict[str, Any]:
    """One work in a process of its own."""
    ended = subprocess.run([sys.executable, str(WORKS), work, str(rows)], capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        print(ended.stderr[-2_000:], file=sys.stderr)
        raise SystemExit(f"{work} failed with {rows:,} rows")
    told: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return told


def training_rows(found: Mapping[str, Any], bare: Mapping[str, Any]) -> Iterator[Row]:
    """Overhead and memory of a whole training."""
    own = found["total"] - found["fit"]
    yield Row(
        f"training, {found['rows']:,} rows x 40 ({found['fits']} fits)",
        f"{found['fit']:.1f} s",
        "-",
        f"{found['total']:.1f} s",
        found["total"] / found["fit"],
        MOST_OVERHEAD,
    )
    yield Row("  of it beside the fits", "-", "-", f"{own:.1f} s", own / found["fit"], None)
    yield Row(
        "one LightGBM fit, 100 rounds", f"{bare['bare']:.1f} s", "-", f"{bare['ours']:.1f} s",
        bare["ours"] / bare["bare"], MOST_OVERHEAD,
    )  # fmt: skip
    yield Row(
        "peak memory", f"{bare['peak_gb']:.2f} GB", f"{found['frame_gb']:.2f} GB", f"{found['peak_gb']:.2f} GB",
        found["peak_gb"] / bare["peak_gb"], None,
    )  # fmt: skip


def reason_rows(found: Mapping[str, Any]) -> Iterator[Row]:
    """Cost of reasons and their agreement with the exact ones, by kind of model."""
    for kind, told in found.items():
        took = told["microseconds"]
        for count, said in (("one", "one row"), ("many", "4,096 rows")):
            peer, limit = took[f"predict_{count}"], took[f"shap_{count}"]
            for work, name in (("values", "values"), ("told", "in words")):
                ours = took[f"{work}_{count}"]
                yield Row(
                    f"{kind}: {name}, {said}", f"{peer:.1f} us", f"{limit:.0f} us", f"{ours:.1f} us",
                    ours / peer,  None if (work, count) == ("told", "many") else MOST_OVER_PREDICT,
                )  # fmt: skip
        for name, what in (("top_theme", "top reason"), ("sign_of_top_three", "sign of top three")):
            share = told["agreement"][name]
            yield Row(f"{kind}: {what} agrees", "-", "100 %", f"{share:.1%}", share, LEAST_AGREEMENT, True)
        share = told["agreement"]["top_feature"]
        yield Row(f"{kind}: top feature agrees", "-", "100 %", f"{share:.1%}", share, None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=None, help=f"rows of the training (usually {ROWS:,})")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROWS:,} rows, under a minute; no overhead bar")
    parser.add_argument("--check", action="store_true", help="exit 1 where a bar is missed")
    options = parser.parse_args()
    rows = options.rows or (QUICK_ROWS if options.quick else ROWS)
    found, bare = run("train", rows), run("bare", rows)
    shown = [*training_rows(found, bare), *reason_rows(run("reasons", min(rows, REASON_ROWS)))]
    if options.quick:
        # On few rows the fixed costs (imports, probes, tables) outweigh the fits.
        shown = [row if row.bar != MOST_OVERHEAD else Row(**{**vars(row), "bar": None}) for row in shown]
    width = max(len(row.work) for row in shown) + 2
    print(f"{'work':<{width}}{'peer':>12}{'limit':>12}{'ours':>12}{'ratio':>8}{'bar':>7}")
    for row in shown:
        bar = "-" if row.bar is None else f"{row.bar:g}"
        mark = "" if row.passed else "  MISSED"
        print(f"{row.work:<{width}}{row.peer:>12}{row.limit:>12}{row.ours:>12}{row.ratio:>8.2f}{bar:>7}{mark}")
    what = f"{found['library']}, AUC {found['auc']:.3f}, bundle {found['bundle_mb']:.0f} MB"
    print(f"\nwhere a training's time goes ({what}):")
    for name, seconds in sorted(found["parts"].items(), key=lambda part: -part[1])[:_PARTS_SHOWN]:
        print(f"  {name:<24}{seconds:>8.1f} s")
    missed = sum(not row.passed for row in shown)
    held = sum(row.bar is not None for row in shown)
    print(f"{'PASS' if not missed else 'FAIL'}: {held - missed} of {held} bars held")
    return 1 if missed and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
