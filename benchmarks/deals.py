"""The deal model against the simulator's truth, the CRM's own dates, and the bare prediction.

    python benchmarks/deals.py [--home DIR] [--deals N] [--trials N] [--seed N] [--lessons SEED ...] [--latent]
        [--rows N] [--plot FILE] [--check]

Trains on a simulated world (reused where `--home` holds one) and looks at the Monday snapshots after the training's
split: ability by stage beside the oracle's, and beside what a learner gets from the same features that is *taught the
truth itself*, of this world's past and of whole other worlds (`--lessons`): no model on these features can be expected
to do better. Nor any model at all than *the best reader* of a CRM (deal_filter.py), who knows every rate of the
simulator and all but what is hidden: beside the model, and over all Mondays as the truth expects it. `--latent` tells
what hidden things the oracle's ability rests on. Then expected wins by month ahead beside the true expectation, and
how near to it a level learned from the past can come; the share still open; days of closing beside the CRM's; and the
speed of scoring many deals.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

ORACLE_SHARE, COVERAGE = 0.97, (0.77, 0.83)


def show_days(trained: Any) -> float:
    """Coverage and error of the day of closing on the test rows of the training."""
    from training.deals.protocols import DAYS

    found = {name: metric.value for name, metric in trained.outcome.protocols[DAYS].items()}
    print(f"\nday of closing, {found['rows']:,.0f} later snapshots of won deals that were watched long enough")
    print(f"80 % interval covers {found['coverage']:.3f}; mean error {found['error_days_where_stated']:.1f} days, "
          f"the CRM's own date {found['crm_error_days']:.1f} days")  # fmt: skip
    return found["coverage"]


def show_speed(trained: Any, later: Any, *, rows: int) -> float:
    """Records with reasons and actions, against the bare prediction of the two models."""
    from benchmarks.deals_world import columns_of

    scorer = trained.scorer
    chosen = np.random.default_rng(1).integers(0, len(later.matrix), rows)
    table = later.table.take(chosen)
    columns, matrix = columns_of(trained, table), later.matrix[chosen]
    wall_bare, began = time.monotonic(), time.process_time()
    scorer.log_odds(matrix)
    bare, wall_bare = time.process_time() - began, time.monotonic() - wall_bare
    wall, began = time.monotonic(), time.process_time()
    records = scorer.record(columns, ids=table["opportunity_id"].to_pylist(), at=datetime.now().astimezone())
    full, wall = time.process_time() - began, time.monotonic() - wall
    told = sum(len(record["actions"]) for record in records) / len(records)
    print(f"\n{rows:,} open deals with reasons, months, dates, amounts and {told:.1f} actions each: {full:,.1f} s CPU "
          f"({rows / full:,.0f} rows/s), {wall:,.1f} s on the clock ({rows / wall:,.0f} rows/s); bare prediction "
          f"{bare:,.1f} s CPU ({rows / bare:,.0f} rows/s), {wall_bare:,.1f} s: {full / bare:.1f}x")  # fmt: skip
    return full / bare


def plot(path: Path, mine: np.ndarray, right: np.ndarray) -> None:
    """The share of deals still open, week by week, beside the truth."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4))
    axes.plot(np.arange(len(right)), right, label="truth", linewidth=2)
    axes.plot(np.arange(len(mine)), mine, label="model", linestyle="--", linewidth=2)
    axes.set(xlabel="weeks ahead", ylabel="share still open", ylim=(0, 1), title="Open deals after the split")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    print(f"survival curve: {path}")


def ceilings(
    trained: Any, later: Any, table: Any, as_of: np.ndarray, *, home: Path, options: argparse.Namespace
) -> dict[str, np.ndarray]:
    """What a learner says that was taught the truth, of this world's past and of other whole worlds."""
    from benchmarks.deals_world import known_truth, make_world, snapshots, taught_the_truth

    past = table.take(np.flatnonzero(as_of < trained.split))
    lessons = [(past, known_truth(trained.world, past))]
    found = {"taught the truth": taught_the_truth(trained, later, lessons)}
    for seed in options.lessons:
        other = make_world(home / f"lesson-{seed}", deals=options.deals, seed=seed)
        whole, _ = snapshots(other, trained.scorer.manifest.feature_service)
        lessons.append((whole, known_truth(other, whole)))
    if options.lessons:
        found[f"taught, {len(lessons)} worlds"] = taught_the_truth(trained, later, lessons)
    return found


def main() -> int:
    from benchmarks.deal_filter import best_reader
    from benchmarks.deals_ability import answers_of, show_ability, show_bound
    from benchmarks.deals_latent import show_latent
    from benchmarks.deals_sums import IN_SUM, show_sums
    from benchmarks.deals_world import later_rows, make_world, past_rows, snapshots, train

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, help="folder to keep the world in; default: a temporary one")
    parser.add_argument("--deals", type=int, default=6_000)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument(
        "--lessons", type=int, nargs="*", default=[], help="seeds of further worlds to teach the truth of"
    )
    parser.add_argument("--latent", action="store_true", help="tell what the oracle's ability rests on")
    parser.add_argument("--rows", type=int, default=100_000, help="deals of the speed test")
    parser.add_argument("--plot", type=Path, help="where to put the survival curve (PNG)")
    parser.add_argument("--check", action="store_true", help="exit 1 where a bar is missed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="salience-deals-") as scratch:
        home = options.home or Path(scratch)
        trained = train(make_world(home, deals=options.deals, seed=options.seed), trials=options.trials)
        table, as_of = snapshots(trained.world, trained.scorer.manifest.feature_service)
        later = later_rows(trained, table, as_of)
        others = ceilings(trained, later, table, as_of, home=home, options=options)
        reading = best_reader(trained.world.config, seed=options.seed)
        shares = show_ability(trained, later, others | {"the best reader": answers_of(reading, later)})
        show_bound(reading, bar=ORACLE_SHARE)
        if options.latent:
            show_latent(trained.world.config)
        ratios, mine, right = show_sums(trained, later, past_rows(trained, table, as_of))
        covered = show_days(trained)
        show_speed(trained, later, rows=options.rows)
        if options.plot:
            plot(options.plot, mine, right)
    bars = {
        f"AUC at least {ORACLE_SHARE} of the oracle's at each stage": min(shares) >= ORACLE_SHARE,
        f"expected wins within {IN_SUM:.0%} of the truth in each month ahead": max(abs(r - 1) for r in ratios)
        <= IN_SUM,
        f"80 % interval of the day covers {COVERAGE[0]:.0%} to {COVERAGE[1]:.0%}": COVERAGE[0]
        <= covered
        <= COVERAGE[1],
    }
    print()
    for words, held in bars.items():
        print(f"{'held  ' if held else 'MISSED'}  {words}")
    return 1 if options.check and not all(bars.values()) else 0


if __name__ == "__main__":
    # This file's folder is first on the path, and others in it are named like the packages they measure.
    sys.path.pop(0)
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from common.telemetry import disable_telemetry

    disable_telemetry()
    os.environ.setdefault("MPLBACKEND", "Agg")
    sys.exit(main())
