"""What a row of `accuracy.py` is, how the table is shown, and a fresh workspace for what is judged."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
FIGURES = {"auc": 1.0, "pr_auc": 1.0, "log_loss": 0.0, "brier": 0.0, "ece": 0.0, "top_decile_lift": 10.0}
"""Figures of a probability, and the best value of each."""


@dataclass(frozen=True)
class Row:
    """One measured figure beside its peer and its limit; NaN where there is none.

    Args:
        held: Whether the bar is held; None where the figure has no bar.
    """

    work: str
    peer: float
    limit: float
    ours: float
    interval: str = ""
    bar: float = math.nan
    held: bool | None = None
    logistic: float = math.nan
    const: float = math.nan


def opened(name: str, *, folder: Path, data: Path | None = None, world: Any = None) -> Any:
    """A fresh workspace of a source, loaded; (settings, source, workspace, warehouse, repository).

    Args:
        name: The source.
        folder: Where the workspace goes.
        data: Folder of the source's files, by default the one of its name in `DATA`.
        world: Configuration of the world, for the source "simulated".
    """
    from common.settings import Settings
    from common.workspace import Workspace
    from features.repository import FeatureRepository
    from warehouse.ingest import ingest
    from warehouse.simulator import simulate
    from warehouse.sources import load_source
    from warehouse.store import Warehouse

    settings = Settings(home=folder / "home", mlruns=folder / "mlruns")
    source = load_source(name)
    workspace = Workspace.of(settings, source.name)
    warehouse = Warehouse(workspace.warehouse)
    landing = data or DATA / name
    if name == "simulated":
        landing = workspace.landing
        simulate(world, landing=landing, truth=workspace.truth)
    ingest(source, landing, warehouse)
    repository = FeatureRepository(workspace, warehouse, settings.online_store)
    repository.apply()
    return settings, source, workspace, warehouse, repository


def mean(values: Iterable[float]) -> float:
    """The mean of a few figures."""
    found = list(values)
    return sum(found) / len(found)


def span(metric: Any) -> str:
    """A metric's interval in words."""
    return "" if metric.low is None else f"[{metric.low:.3f}, {metric.high:.3f}]"


def number(value: float, places: int = 4) -> str:
    """A figure in a cell of the table; empty where there is none."""
    return "" if math.isnan(value) else f"{value:.{places}f}"


def show(rows: list[Row]) -> int:
    """Print the table and the verdict; the number of missed bars."""
    columns = f"{'peer':>8}{'limit':>8}{'logistic':>10}{'const':>8}{'ours':>9}  {'95 %':<17}{'ratio':>7}{'bar':>9}"
    print(f"{'work':<44}{columns}")
    for row in rows:
        left = f"{number(row.peer):>8}{number(row.limit, 1):>8}{number(row.logistic):>10}{number(row.const):>8}"
        ratio = row.ours / row.peer if row.peer else math.nan
        right = f"{number(row.ours):>9}  {row.interval:<17}{number(ratio, 3):>7}{number(row.bar):>9}"
        print(f"{row.work:<44}{left}{right}{'  MISSED' if row.held is False else ''}")
    barred = [row for row in rows if row.held is not None]
    missed = sum(not row.held for row in barred)
    print(f"{'PASS' if not missed else 'FAIL'}: {len(barred) - missed} of {len(barred)} bars held")
    return missed
