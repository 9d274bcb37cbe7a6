"""Simulated worlds for the deal benchmarks: their history, their snapshots with outcomes and truths, their model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

HORIZON_WEEKS = 26


@dataclass(frozen=True)
class World:
    """A simulated world, loaded.

    Args:
        settings: Where it is.
        workspace: Its workspace.
        warehouse: Its history.
        repository: Its features.
        source: Its source.
        config: What it was made from.
    """

    settings: Any
    workspace: Any
    warehouse: Any
    repository: Any
    source: Any
    config: Any


@dataclass(frozen=True)
class Trained:
    """A world's deal model, and what came of its training."""

    world: World
    outcome: Any
    scorer: Any

    @property
    def split(self) -> np.datetime64:
        """Where past and test meet."""
        return np.datetime64(self.scorer.manifest.trained_until[:19], "us")


@dataclass(frozen=True)
class Later:
    """Monday snapshots after the split, with what became of them.

    Args:
        table: Their features.
        matrix: The same as the model reads them.
        won: True P(won within k weeks), shape (n, HORIZON_WEEKS + 1), k from 0.
        open: True P(still open after k weeks), the same shape.
        stage: Their stages.
        entity: Their deals.
        as_of: Their moments, UTC.
        outcomes: How the deals ended, as known at the world's end.
    """

    table: Any
    matrix: np.ndarray
    won: np.ndarray
    open: np.ndarray
    stage: np.ndarray
    entity: np.ndarray
    as_of: np.ndarray
    outcomes: Any


def make_world(home: Path, *, deals: int, seed: int) -> World:
    """Simulate and load; what is there already is used again."""
    from common.settings import Settings
    from common.workspace import Workspace
    from features.repository import FeatureRepository
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
    return World(settings, workspace, warehouse, repository, source, config)


def train(world: World, *, trials: int) -> Trained:
    """Train the world's deal model as a user would."""
    from training.deal import train_deal
    from training.registry import ModelRegistry
    from training.scorer import Scorer

    began = time.monotonic()
    outcome = train_deal(
        world.repository,
        world.warehouse,
        ModelRegistry(world.settings),
        world.source,
        trials=trials,
        settings=world.settings,
        progress=None,
    )
    print(f"trained in {time.monotonic() - began:,.0f} s; {outcome.decision.reason}")
    return Trained(world, outcome, Scorer.load(outcome.bundle, threads=2))


def snapshots(world: World, service: str) -> tuple[Any, Any]:
    """Features of the weekly snapshots, and when each was."""
    from features.spines import deal_history_spine
    from training.labels import as_of_times
    from warehouse.present import known_until

    cut = known_until(world.settings, world.warehouse)
    spine = deal_history_spine(world.warehouse, mode="weekly", until=cut)
    world.repository.build(service, spine)
    table = world.repository.training_frame(service, spine)
    return table, as_of_times(table)


def later_rows(trained: Trained, table: Any, as_of: np.ndarray) -> Later:
    """Join the snapshots after the split with their truths, and with their outcomes as known at the world's end."""
    from warehouse.present import known_until

    cut = known_until(trained.world.settings, trained.world.warehouse)
    return _with_truths(trained, table, as_of >= trained.split, since=trained.split, as_of=as_of, cut=cut)


def past_rows(trained: Trained, table: Any, as_of: np.ndarray) -> Later:
    """The same of the snapshots before the split, with their outcomes as known then: what the model learned from."""
    cut = trained.split.item().replace(tzinfo=UTC)
    return _with_truths(trained, table, as_of < trained.split, since=as_of.min(), as_of=as_of, cut=cut)


def _with_truths(
    trained: Trained, table: Any, asked: np.ndarray, *, since: np.datetime64, as_of: np.ndarray, cut: datetime
) -> Later:
    from benchmarks.deals_truth import truths_since
    from training.deals.outcomes import outcomes_at

    truths = truths_since(trained.world.config, since=since, weeks=HORIZON_WEEKS)
    keys = zip(truths.opportunity_id, truths.as_of.astype(np.int64), strict=True)
    key = {pair: number for number, pair in enumerate(keys)}
    deal = np.array(table["opportunity_id"].to_pylist())
    found = np.array([key.get((d, t), -1) for d, t in zip(deal, as_of.astype(np.int64), strict=True)])
    rows = np.flatnonzero(asked & (found >= 0))
    chosen = table.take(rows)
    return Later(
        table=chosen,
        matrix=trained.scorer.encode(columns_of(trained, chosen)),
        won=truths.won[found[rows]],
        open=truths.open[found[rows]],
        stage=np.array(chosen["stage"].to_pylist()),
        entity=deal[rows],
        as_of=as_of[rows],
        outcomes=outcomes_at(chosen.select(["opportunity_id", "as_of"]), trained.world.warehouse, cut=cut),
    )


def columns_of(trained: Trained, table: Any) -> dict[str, list[Any]]:
    """The model's columns of a table."""
    return {name: table[name].to_pylist() for name in trained.scorer.manifest.feature_names}


def known_truth(world: World, table: Any) -> np.ndarray:
    """True P(won within 180 days) of snapshots, NaN where it is not kept."""
    import pandas as pd
    import pyarrow.dataset

    files = pyarrow.dataset.dataset(world.workspace.truth, format="parquet").files
    kept = pyarrow.dataset.dataset([file for file in files if "deal_truth" in file], format="parquet")
    truth = kept.to_table(columns=["opportunity_id", "as_of", "true_probability_180d"]).to_pandas()
    known = truth.set_index(["opportunity_id", "as_of"])["true_probability_180d"]
    index = pd.MultiIndex.from_arrays([table["opportunity_id"].to_pandas(), table["as_of"].to_pandas()])
    return np.asarray(known.reindex(index).to_numpy())


def taught_the_truth(trained: Trained, later: Later, lessons: Sequence[tuple[Any, np.ndarray]]) -> np.ndarray:
    """What trees say of later rows that were taught the true probability itself, by the model's own features.

    Args:
        trained: Whose features.
        later: The rows.
        lessons: Tables of snapshots, and their true probabilities.
    """
    import lightgbm

    from training.calibration import logit, sigmoid

    entries = trained.scorer.manifest.features
    usable = [np.flatnonzero(~np.isnan(truth)) for _, truth in lessons]
    matrix = np.concatenate(
        [
            trained.scorer.encode(columns_of(trained, table.take(rows)))
            for (table, _), rows in zip(lessons, usable, strict=True)
        ]
    )
    target = np.concatenate([truth[rows] for (_, truth), rows in zip(lessons, usable, strict=True)])
    data = lightgbm.Dataset(
        matrix,
        logit(target),
        categorical_feature=[at for at, entry in enumerate(entries) if entry.dtype == "category"],
    )
    params = {"objective": "regression", "learning_rate": 0.05, "num_leaves": 31, "min_data_in_leaf": 100,
              "feature_fraction": 0.4, "num_threads": 2, "verbosity": -1, "seed": 1}  # fmt: skip
    return sigmoid(np.asarray(lightgbm.train(params, data, 500).predict(later.matrix)))
