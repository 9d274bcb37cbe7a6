"""Recovery: how good the model is that the loop puts in place after the world has changed, unattended.

    python benchmarks/monitoring_recovery.py [--leads 12000] [--scenario recession] [--convert 0.4] [--seeds 7 21 31]
                                             [--trials 2] [--keep DIR] [--check]

A simulated world of four years changes two thirds of the way through. A lead model is trained as of the change; from
then on the monitor looks every four weeks as of that moment, and where its policy says RETRAIN (something fails, or a
refresh is due) a training runs as of that moment and the gate decides; where it keeps the new model out, the champion
recalibrated on the newest outcomes is offered, as the flow does. It goes on until half a year before the end; nobody
touches anything in between. What is then in use is held, on leads that were scored after its promotion and whose
labels are mature at the end, to a model that learned from the new regime alone: the same training, in another world
of the same kind (another seed, twice as many leads), of which only the leads that came after the change exist.

"Within 2 %" is said of what the loop does, not of the luck of one world. The outcomes of one world's later leads
leave ±3 to ±5 % of the log-loss open (measured, seeds 7, 21 and 31), so that a loop which recovers wholly would miss
2 % in one world of six, and hold it in all of three worlds three times in five; and one that loses 4 % would pass now
and then. So the bars, for log-loss above and AUC below the new regime's model alike, are
 - the mean over the worlds at most 2 %, and
 - no world surely beyond it: the 95 % interval of each reaches down to 2 %,
both by what the leads did and by what the simulator's truth expects of the same leads. The latter has no luck of
outcomes in it: its intervals are ±0.7 to ±1.4 %, and so it is the harder test, which a real loss of 4 % in any one
world fails. With one seed the mean is that world's figure. The noise of each world, and what the worlds differ by
beyond it, is printed.

The simulator's own recession hardly touches the leads: each converts 0.7 times as readily, but fewer come and they are
answered sooner, so that 7.7 % instead of 8.9 % convert in the end, which costs a model next to nothing. With --convert
they convert so many times as readily from the change on. With --keep, the worlds and what was trained in them before
the loop are kept, and found again by the next run.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.monitoring_recovered import World as Recovered

EVERY_DAYS = 28
SEEDS, TIMES = (7, 21, 31), 2
# The loop ends so long before the world does: half a year, of which the newest labels take the second half.
JUDGED_DAYS = 180


@dataclass(frozen=True, kw_only=True)
class World:
    """A simulated world in a folder of its own, ready to be trained on."""

    settings: Any
    workspace: Any
    source: Any
    warehouse: Any
    repository: Any
    registry: Any


def world(config: Any, folder: Path, *, trials: int, only_since: datetime | None = None) -> World:
    """Simulate and load a world; with `only_since`, as if no lead had come before."""
    from common.settings import Settings, TrainingSettings
    from common.workspace import Workspace
    from features.repository import FeatureRepository
    from training.registry import ModelRegistry
    from warehouse.ingest import ingest
    from warehouse.simulator import simulate
    from warehouse.sources import load_source
    from warehouse.store import Warehouse

    settings = Settings(home=folder / "home", mlruns=folder / "mlruns", training=TrainingSettings(trials=trials))
    workspace = Workspace.of(settings, "simulated")
    source, warehouse = load_source("simulated"), Warehouse(workspace.warehouse)
    done = folder / "loaded"
    if not done.exists():
        simulate(config, landing=workspace.landing, truth=workspace.truth)
        if only_since is not None:
            _forget_leads_before(workspace.landing, only_since)
        ingest(source, workspace.landing, warehouse)
        done.touch()
    repository = FeatureRepository(workspace, warehouse, settings.online_store)
    repository.apply()
    return World(
        settings=settings,
        workspace=workspace,
        source=source,
        warehouse=warehouse,
        repository=repository,
        registry=ModelRegistry(settings),
    )


def _forget_leads_before(landing: Path, moment: datetime) -> None:
    """Leave out leads that came before, and what was done by and with them."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    leads = pq.read_table(_files(landing, "leads"))
    since = pa.scalar(moment, type=leads.schema.field("lead_created_at").type)
    kept = pc.unique(leads.filter(pc.greater_equal(leads["lead_created_at"], since))["lead_id"])
    # A large world is written in several files a table.
    for name in ("leads", "lead_events", "activities"):
        for file in _files(landing, name):
            table = pq.read_table(file)
            stays = pc.is_in(table["lead_id"], value_set=kept)
            if name == "activities":
                stays = pc.or_(stays, pc.is_null(table["lead_id"]))
            pq.write_table(table.filter(stays), file)


def _files(landing: Path, table: str) -> list[Path]:
    whole = landing / f"{table}.parquet"
    return [whole] if whole.is_file() else sorted((landing / table).rglob("*.parquet"))


def first_model(place: World, *, as_of: datetime | None = None) -> Any:
    """The model of a world before any loop: the first version, trained unless it is there; it is made champion."""
    name = place.workspace.model_name("lead")
    if not place.registry.versions(name):
        train(place, as_of=as_of)
    place.registry.set_champion(name, "1")
    return place.registry.version(name, "1")


def train(place: World, *, as_of: datetime | None = None) -> Any:
    """Train the lead model as of a moment."""
    from training.lead import train_lead

    settings = place.settings.model_copy(update={"as_of": as_of})
    return train_lead(
        place.repository,
        place.warehouse,
        place.registry,
        place.source,
        trials=settings.training.trials,
        settings=settings,
    )


def run_loop(place: World, *, change: datetime, end: datetime) -> tuple[datetime, Path] | None:
    """Every look until `end`: when the last promotion was, and the bundle in use since; None if there was none."""
    from monitoring.acting import watch
    from monitoring.looks import Parts
    from monitoring.retraining import Policy, RetrainPolicy

    # The shipped policy, but for looks every four weeks.
    parts = Parts(
        settings=place.settings,
        workspace=place.workspace,
        source=place.source,
        warehouse=place.warehouse,
        repository=place.repository,
        registry=place.registry,
        policy=Policy(every_days=EVERY_DAYS, retrain=RetrainPolicy(failing=1, of_last=1)),
    )
    now, found = change + timedelta(days=EVERY_DAYS), None
    while now < end:
        acted = watch(parts, task="lead", now=now, first=1)[-1]
        failing = [check.name for check in acted.look.checks if str(check.state) in ("fails", "notice")]
        weeks = (acted.look.end - change).days / 7
        why = " (refresh)" if acted.record.inputs.get("refresh") else ""
        print(f"  week {weeks:5.1f}: {acted.record.decision}{why}; {', '.join(failing) or 'nothing'}", flush=True)
        if str(acted.record.decision) == "RETRAIN" and acted.is_new:
            promoted = answer(parts, place, look=acted.look)
            if promoted is not None:
                found = acted.look.end, promoted
        now += timedelta(days=EVERY_DAYS)
    return found


def answer(parts: Any, place: World, *, look: Any) -> Path | None:
    """What the retraining flow does: train, and where that is kept out, offer the champion recalibrated."""
    from monitoring.acting import record_retraining
    from monitoring.recalibrating import offer_recalibrated

    trained = train(place, as_of=look.end)
    outcome = {
        "model": trained.name,
        "version": trained.version,
        "promoted": trained.decision.promoted,
        "reason": trained.decision.reason,
        "report": str(trained.report),
    }
    record_retraining(place.workspace, look_id=look.look_id, task="lead", outcome=outcome, data_time=look.end)
    tell("retrained", outcome)
    if not outcome["promoted"]:
        offered = offer_recalibrated(parts, task="lead", look_id=look.look_id, at=look.end)
        if offered is not None:
            tell("recalibrated", offered)
            outcome = offered
    champion = place.registry.champion(trained.name)
    return champion.bundle if outcome["promoted"] else None


def tell(what: str, outcome: dict[str, Any]) -> None:
    """The gate's word, its first sentence."""
    word = "promoted" if outcome["promoted"] else "held"
    print(f"     {what}, {word}: {outcome['reason'].split(';')[0]}", flush=True)


def recovers(config: Any, folder: Path, scratch: Path, *, trials: int) -> Recovered:
    """Both worlds, the loop in a copy of one of them, and what it came to."""
    from benchmarks.monitoring_recovered import compare, rows_to_judge

    old = first_model(world(config, folder / "world", trials=trials), as_of=config.change)
    shutil.copytree(folder / "world", scratch)
    place = world(config, scratch, trials=trials)
    print(f"\nSeed {config.seed}: {config.scenario} at {config.change:%Y-%m-%d}; {config.leads:,} leads", flush=True)
    found = run_loop(place, change=config.change, end=config.end - timedelta(days=JUDGED_DAYS))
    if found is None:
        print("Nothing was promoted: what is judged is the model from before the change, which stayed in use")
    since, promoted = found or (config.change, old.bundle)
    other = replace(config, seed=config.seed + 1, leads=TIMES * config.leads, deals=TIMES * config.deals)
    fresh = first_model(world(other, folder / "other", trials=trials, only_since=other.change))
    bundles = {
        "before the change": old.bundle,
        "in use after the loop": promoted,
        "learned from the new regime alone": fresh.bundle,
    }
    print(f"After {since:%Y-%m-%d}: ", end="")
    judged = rows_to_judge(place, bundles, since=since, end=config.end)
    return compare(judged, name=f"seed {config.seed}", seed=config.seed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--leads", type=int, default=12_000)
    parser.add_argument("--scenario", default="recession")
    parser.add_argument("--convert", type=float, help="how much more readily leads convert after the change")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=SEEDS, help="of the worlds; the next is the other one's"
    )
    parser.add_argument("--trials", type=int, default=2, help="trials of each training")
    parser.add_argument("--keep", type=Path, help="folder in which worlds and first models are kept")
    parser.add_argument("--check", action="store_true", help="exit 1 where a bar is missed")
    options = parser.parse_args()
    from benchmarks.monitoring_recovered import MOST_LOST, over_worlds
    from warehouse.simulator import SimulationConfig
    from warehouse.simulator.parameters import PROCESS_CHANGE, RECESSION

    if options.convert is not None:
        RECESSION["convert"] = PROCESS_CHANGE["convert"] = options.convert
    worlds = []
    for seed in options.seeds:
        config = SimulationConfig(
            years=4, scenario=options.scenario, seed=seed, leads=options.leads, deals=options.leads * 3 // 10
        )
        with tempfile.TemporaryDirectory() as scratch:
            folder = options.keep / str(seed) if options.keep else Path(scratch)
            worlds.append(recovers(config, folder, Path(scratch) / "loop", trials=options.trials))
    good = over_worlds(worlds)
    print(f"{'PASS' if good else 'FAIL'}: within {MOST_LOST:.0%}")
    return 1 if options.check and not good else 0


if __name__ == "__main__":
    # This file's folder is first on the path, and has a warehouse.py and a features.py of its own.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from common.telemetry import disable_telemetry

    disable_telemetry()
    sys.exit(main())
