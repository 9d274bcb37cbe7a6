"""Quality on the public sets' own protocols, beside their reference figures (../shared/data/README.md).

    python benchmarks/accuracy.py [--task lead|deal|forecast] [--quick] [--check]

The reference is an untuned LightGBM on the same honest columns and the same split, or the better naive forecast. The
limit is the best possible value of the measure. The bar is what the first version promises: at most 0.02 AUC below the
reference, and no worse than the better naive forecast at any level.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
SOURCES = {"lead": "olist", "deal": "bpic2012", "forecast": "tourism"}
AUC_SLACK = 0.02
OLIST_AUC = 0.641
BPIC_AUC = {"submitted": 0.628, "preaccepted": 0.607, "accepted": 0.543, "offer_sent": 0.564}
TOURISM_WAPE = {"total": 0.0558, "state": 0.0796, "region": 0.1264, "series": 0.1998}


@dataclass(frozen=True)
class Row:
    """One measured figure beside its peer and its limit."""

    work: str
    peer: float
    limit: float
    ours: float
    interval: str
    bar: float

    @property
    def more_is_better(self) -> bool:
        """Whether the measure's best value lies above its peer's."""
        return self.limit > self.peer

    @property
    def passed(self) -> bool:
        """Whether the bar is held."""
        return self.ours >= self.bar if self.more_is_better else self.ours <= self.bar


def train(task: str, *, trials: int, folder: Path) -> Any:
    """Load the task's public set into a fresh workspace and train its model."""
    from common.settings import Settings
    from common.workspace import Workspace
    from features.repository import FeatureRepository
    from training.deal import train_deal
    from training.forecast import train_forecast
    from training.lead import train_lead
    from training.registry import ModelRegistry
    from warehouse.ingest import ingest
    from warehouse.sources import load_source
    from warehouse.store import Warehouse

    settings = Settings(home=folder / "home", mlruns=folder / "mlruns")
    source = load_source(SOURCES[task])
    workspace = Workspace.of(settings, source.name)
    warehouse = Warehouse(workspace.warehouse)
    ingest(source, DATA / source.name, warehouse)
    repository = FeatureRepository(workspace, warehouse, settings.online_store)
    repository.apply()
    trainer = {"lead": train_lead, "deal": train_deal, "forecast": train_forecast}[task]
    return trainer(repository, warehouse, ModelRegistry(settings), source, trials=trials, settings=settings)


def rows_of(task: str, outcome: Any) -> Iterator[Row]:
    """The task's figures on the protocol."""
    if task == "forecast":
        for level, naive in TOURISM_WAPE.items():
            yield Row(f"tourism WAPE, {level}", naive, 0.0, outcome.metrics[f"wape_{level}"].value, "", naive)
        return
    if task == "lead":
        name = next(name for name in outcome.protocols if name.startswith("published split, "))
        yield auc_row("olist AUC, published split", OLIST_AUC, outcome.protocols[name])
        return
    for stage, reference in BPIC_AUC.items():
        yield auc_row(f"bpic2012 AUC @{stage}", reference, outcome.protocols[f"@{stage}"])


def auc_row(work: str, reference: float, metrics: Mapping[str, Any]) -> Row:
    auc = metrics["auc"]
    return Row(work, reference, 1.0, auc.value, f"[{auc.low:.3f}, {auc.high:.3f}]", reference - AUC_SLACK)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=[*SOURCES, "all"], default="all")
    parser.add_argument("--quick", action="store_true", help="two trials, and no forecast unless asked for")
    parser.add_argument("--check", action="store_true", help="exit 1 where a bar is missed")
    options = parser.parse_args()
    if not DATA.is_dir():
        print(f"Skipped: the public sets are not at {DATA}")
        return 0
    tasks = [options.task] if options.task != "all" else ["lead", "deal"] if options.quick else list(SOURCES)
    rows: list[Row] = []
    for task in tasks:
        with tempfile.TemporaryDirectory(prefix="salience-accuracy-") as folder:
            outcome = train(task, trials=2 if options.quick else 20, folder=Path(folder))
        rows += rows_of(task, outcome)
    print(f"{'work':<32}{'peer':>8}{'limit':>8}{'ours':>8}  {'95 %':<16}{'ratio':>7}{'bar':>8}")
    for row in rows:
        mark = "" if row.passed else "  MISSED"
        figures = f"{row.peer:>8.4f}{row.limit:>8.1f}{row.ours:>8.4f}  {row.interval:<16}"
        print(f"{row.work:<32}{figures}{row.ours / row.peer:>7.3f}{row.bar:>8.4f}{mark}")
    missed = sum(not row.passed for row in rows)
    print(f"{'PASS' if not missed else 'FAIL'}: {len(rows) - missed} of {len(rows)} bars held")
    return 1 if missed and options.check else 0


if __name__ == "__main__":
    # This file's folder is first on the path, and others in it are named like the packages they measure.
    sys.path.pop(0)
    from common.telemetry import disable_telemetry

    disable_telemetry()
    os.environ.setdefault("MPLBACKEND", "Agg")
    sys.exit(main())
