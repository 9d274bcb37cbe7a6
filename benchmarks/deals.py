"""The deal model against the simulator's truth, the CRM's own dates, and the bare prediction.

    python benchmarks/deals.py [--home DIR] [--deals N] [--trials N] [--seed N] [--rows N] [--plot FILE] [--check]

Trains on a simulated world (reused where `--home` holds one) and looks at the Monday snapshots after the training's
split: ability by stage beside the oracle's, and beside what a learner gets from the same features that is *taught the
truth itself* (no model on these features can be expected to do better); expected wins by month ahead beside the true
expectation; the share still open; days of closing beside the CRM's; and the speed of scoring many deals.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

MONTH_WEEKS, MONTHS = 4, 6
ORACLE_SHARE, IN_SUM, COVERAGE = 0.97, 0.02, (0.77, 0.83)
HORIZON_WEEKS = 26


@dataclass(frozen=True)
class World:
    """A simulated world with its trained deal model."""

    settings: Any
    workspace: Any
    warehouse: Any
    repository: Any
    scorer: Any
    outcome: Any
    config: Any


def make_world(home: Path, *, deals: int, trials: int, seed: int) -> World:
    """Simulate, load, train; whatever is there already is used again."""
    from common.settings import Settings
    from common.workspace import Workspace
    from features.repository import FeatureRepository
    from training.deal import train_deal
    from training.registry import ModelRegistry
    from training.scorer import Scorer
    from warehouse.ingest import ingest
    from warehouse.simulator import SimulationConfig, simulate
    from warehouse.sources import load_source
    from warehouse.store import Warehouse

    settings = Settings(home=home / "home", mlruns=home / "mlruns")
    source = load_source("simulated")
    workspace = Workspace.of(settings, source.name)
    config = SimulationConfig(deals=deals, leads=max(1, deals * 2), seed=seed)
    if not workspace.landing.is_dir():
        simulate(config, landing=workspace.landing, truth=workspace.truth)
    warehouse = Warehouse(workspace.warehouse)
    ingest(source, workspace.landing, warehouse)
    repository = FeatureRepository(workspace, warehouse, settings.online_store)
    repository.apply()
    began = time.monotonic()
    outcome = train_deal(
        repository, warehouse, ModelRegistry(settings), source, trials=trials, settings=settings, progress=None
    )
    print(f"trained in {time.monotonic() - began:,.0f} s; {outcome.decision.reason}")
    return World(settings, workspace, warehouse, repository, Scorer.load(outcome.bundle, threads=2), outcome, config)


def snapshots(world: World) -> tuple[Any, Any]:
    """Features of the weekly snapshots, and when each was."""
    from features.spines import deal_history_spine
    from training.labels import as_of_times
    from warehouse.present import known_until

    cut = known_until(world.settings, world.warehouse)
    table = world.repository.training_frame(
        world.scorer.manifest.feature_service, deal_history_spine(world.warehouse, mode="weekly", until=cut)
    )
    return table, as_of_times(table)


@dataclass(frozen=True)
class Later:
    """Monday snapshots after the split, with their truths."""

    table: Any
    matrix: np.ndarray
    truths: Any
    place: np.ndarray
    stage: np.ndarray
    entity: np.ndarray


def later_rows(world: World, table: Any, as_of: np.ndarray, split: np.datetime64) -> Later:
    """Join the snapshots after the split with the truths."""
    from benchmarks.deals_truth import truths_since

    truths = truths_since(world.config, since=split, weeks=HORIZON_WEEKS)
    key = {
        pair: number
        for number, pair in enumerate(zip(truths.opportunity_id, truths.as_of.astype(np.int64), strict=True))
    }
    deal = np.array(table["opportunity_id"].to_pylist())
    found = np.array([key.get((d, t), -1) for d, t in zip(deal, as_of.astype(np.int64), strict=True)])
    rows = np.flatnonzero((as_of >= split) & (found >= 0))
    chosen = table.take(rows)
    columns = {name: chosen[name].to_pylist() for name in world.scorer.manifest.feature_names}
    return Later(
        table=chosen,
        matrix=world.scorer.encode(columns),
        truths=truths,
        place=found[rows],
        stage=np.array(chosen["stage"].to_pylist()),
        entity=deal[rows],
    )


def show_ability(world: World, later: Later, table: Any, as_of: np.ndarray, split: np.datetime64) -> list[float]:
    """AUC and accuracy of P(won within 26 weeks) by stage, on rows watched so long."""
    from training.deals.outcomes import outcomes_at
    from training.evaluation import auc, log_loss
    from warehouse.present import known_until

    cut = known_until(world.settings, world.warehouse)
    outcomes = outcomes_at(later.table.select(["opportunity_id", "as_of"]), world.warehouse, cut=cut)
    days = 7.0 * HORIZON_WEEKS
    usable = (outcomes.watched_days >= days) & ~outcomes.is_decided
    label = ((outcomes.won == 1.0) & (outcomes.days <= days)).astype(float)
    ours, oracle = world.scorer.futures(later.matrix).by(days)[0], later.truths.won[later.place, -1]
    taught = taught_the_truth(world, table, as_of, split, later)

    def one(figure: Any, probability: np.ndarray, rows: np.ndarray) -> float:
        return float(figure(label[rows], probability[rows], np.ones((int(rows.sum()), 1)))[0])

    def accuracy(probability: np.ndarray, rows: np.ndarray) -> float:
        return float(((probability[rows] >= 0.5) == (label[rows] == 1)).mean())

    print(f"\nwon within {HORIZON_WEEKS} weeks, {int(usable.sum()):,} Monday snapshots after {split}")
    print(f"{'stage':<16}{'rows':>7}{'AUC':>8}{'oracle':>8}{'share':>7}{'taught':>8}{'share':>7}"
          f"{'log-loss':>10}{'oracle':>8}{'accuracy':>10}{'oracle':>8}")  # fmt: skip
    shares = []
    for name in [*sorted(set(later.stage.tolist())), "all"]:
        rows = usable & ((later.stage == name) | (name == "all"))
        if not 20 < label[rows].sum() < rows.sum() - 20:
            continue
        mine, best, same = (one(auc, probability, rows) for probability in (ours, oracle, taught))
        shares.append(mine / best)
        print(f"{name:<16}{int(rows.sum()):>7}{mine:>8.3f}{best:>8.3f}{mine / best:>7.3f}"
              f"{same:>8.3f}{mine / same:>7.3f}"
              f"{one(log_loss, ours, rows):>10.4f}{one(log_loss, oracle, rows):>8.4f}"
              f"{accuracy(ours, rows):>10.3f}{accuracy(oracle, rows):>8.3f}")  # fmt: skip
    return shares


def taught_the_truth(world: World, table: Any, as_of: np.ndarray, split: np.datetime64, later: Later) -> np.ndarray:
    """What a learner says that was taught the true probability of all earlier snapshots, on the model's features."""
    import lightgbm
    import pyarrow.dataset

    from training.calibration import logit, sigmoid

    known = pyarrow.dataset.dataset(world.workspace.truth, format="parquet").files
    files = [file for file in known if "deal_truth" in file]
    truth = pyarrow.dataset.dataset(files, format="parquet").to_table(
        columns=["opportunity_id", "as_of", "true_probability_180d"]
    )
    frame = truth.to_pandas().set_index(["opportunity_id", "as_of"])["true_probability_180d"]
    past = table.take(np.flatnonzero(as_of < split))
    import pandas as pd

    index = pd.MultiIndex.from_arrays([past["opportunity_id"].to_pandas(), past["as_of"].to_pandas()])
    target = frame.reindex(index).to_numpy()
    rows = np.flatnonzero(~np.isnan(target))
    columns = {name: past[name].take(rows).to_pylist() for name in world.scorer.manifest.feature_names}
    matrix = world.scorer.encode(columns)
    categorical = [at for at, entry in enumerate(world.scorer.manifest.features) if entry.dtype == "category"]
    params = {"objective": "regression", "learning_rate": 0.08, "num_leaves": 31, "min_data_in_leaf": 50,
              "feature_fraction": 0.6, "num_threads": 2, "verbosity": -1}  # fmt: skip
    data = lightgbm.Dataset(matrix, logit(target[rows]), categorical_feature=categorical)
    return sigmoid(np.asarray(lightgbm.train(params, data, 300).predict(later.matrix)))


def show_sums(world: World, later: Later) -> tuple[list[float], np.ndarray, np.ndarray]:
    """Expected wins of each month ahead beside the true expectation; the share open week by week."""
    futures = world.scorer.futures(later.matrix)
    weeks = np.arange(HORIZON_WEEKS + 1)
    won, lost = futures.by((7.0 * weeks)[None, :])
    truth, still = later.truths.won[later.place], later.truths.open[later.place]
    print(f"\nin the large: {len(later.matrix):,} Monday snapshots after the split, months of {MONTH_WEEKS} weeks")
    print(f"{'month':<8}{'expected wins':>15}{'true':>12}{'ratio':>8}{'open after it':>15}{'true':>8}")
    ratios = []
    for month in range(1, MONTHS + 1):
        a, b = MONTH_WEEKS * (month - 1), MONTH_WEEKS * month
        mine, right = float((won[:, b] - won[:, a]).sum()), float((truth[:, b] - truth[:, a]).sum())
        ratios.append(mine / right)
        open_mine = float((1 - won[:, b] - lost[:, b]).mean())
        print(
            f"{month:<8}{mine:>15,.1f}{right:>12,.1f}{mine / right:>8.3f}{open_mine:>15.3f}"
            f"{float(still[:, b].mean()):>8.3f}"
        )
    total = float(won[:, MONTH_WEEKS * MONTHS].sum() / truth[:, MONTH_WEEKS * MONTHS].sum())
    print(f"{'all six':<8}{'':>27}{total:>8.3f}")
    return ratios, (1 - won - lost).mean(axis=0), still.mean(axis=0)


def show_days(world: World) -> float:
    """Coverage and error of the day of closing on the test rows of the training."""
    from training.deals.protocols import DAYS

    found = {name: metric.value for name, metric in world.outcome.protocols[DAYS].items()}
    print(f"\nday of closing, {found['rows']:,.0f} later snapshots of won deals that were watched long enough")
    print(f"80 % interval covers {found['coverage']:.3f}; mean error {found['error_days_where_stated']:.1f} days, "
          f"the CRM's own date {found['crm_error_days']:.1f} days")  # fmt: skip
    return found["coverage"]


def show_speed(world: World, later: Later, *, rows: int) -> float:
    """Records with reasons and actions, against the bare prediction of the two models."""
    chosen = np.random.default_rng(1).integers(0, len(later.matrix), rows)
    table = later.table.take(chosen)
    columns = {name: table[name].to_pylist() for name in world.scorer.manifest.feature_names}
    matrix = later.matrix[chosen]
    began = time.process_time()
    world.scorer.log_odds(matrix)
    bare = time.process_time() - began
    wall, began = time.monotonic(), time.process_time()
    records = world.scorer.record(columns, ids=table["opportunity_id"].to_pylist(), at=datetime.now().astimezone())
    full, wall = time.process_time() - began, time.monotonic() - wall
    told = sum(len(record["actions"]) for record in records) / len(records)
    print(f"\n{rows:,} open deals with reasons, months, dates, amounts and {told:.1f} actions each: {full:,.1f} s CPU "
          f"({rows / full:,.0f} rows/s), {wall:,.1f} s on the clock; bare prediction {bare:,.1f} s "
          f"({rows / bare:,.0f} rows/s): {full / bare:.1f}x")  # fmt: skip
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, help="folder to keep the world in; default: a temporary one")
    parser.add_argument("--deals", type=int, default=6_000)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--rows", type=int, default=100_000, help="deals of the speed test")
    parser.add_argument("--plot", type=Path, help="where to put the survival curve (PNG)")
    parser.add_argument("--check", action="store_true", help="exit 1 where a bar is missed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="salience-deals-") as scratch:
        home = options.home or Path(scratch)
        world = make_world(home, deals=options.deals, trials=options.trials, seed=options.seed)
        table, as_of = snapshots(world)
        split = np.datetime64(world.scorer.manifest.trained_until[:19], "us")
        later = later_rows(world, table, as_of, split)
        shares = show_ability(world, later, table, as_of, split)
        ratios, mine, right = show_sums(world, later)
        covered = show_days(world)
        show_speed(world, later, rows=options.rows)
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
