"""What the integration tests share: one small simulated world, taken through the whole loop once a session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from common.errors import NotFoundError
from common.settings import Settings, TrainingSettings
from common.workspace import Workspace

if TYPE_CHECKING:
    from features.repository import FeatureRepository
    from training.registry import ModelRegistry
    from training.results import TrainingOutcome
    from warehouse.sources import Source
    from warehouse.store import Warehouse

TRIALS = 2


@dataclass(frozen=True)
class SmallWorld:
    """A simulated CRM's two years after simulate, ingest, features, training, promotion and materialization.

    Tests read it; a test that changes it (moves an alias, appends rows) puts it back or works on a copy of `folder`.

    Args:
        folder: Holds everything: `home` and `mlruns`.
        settings: On `folder`, with the data's clock.
        workspace: `simulated`.
        source: Its source.
        now: The data's cut.
        outcomes: Training outcomes, by task.
    """

    folder: Path
    settings: Settings
    workspace: Workspace
    source: Source
    warehouse: Warehouse
    repository: FeatureRepository
    registry: ModelRegistry
    now: datetime
    outcomes: Mapping[str, TrainingOutcome]


@pytest.fixture(scope="session")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> SmallWorld:
    """The small world. Making it takes tens of seconds, once."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("small_world")
        patch.setenv("SALIENCE_HOME", str(folder / "home"))
        patch.setenv("SALIENCE_MLRUNS", str(folder / "mlruns"))
        return make_world(folder)


def make_world(folder: Path) -> SmallWorld:
    """Simulate, ingest, train and materialize below `folder`."""
    from features.repository import FeatureRepository
    from training.deal import train_deal
    from training.forecast.train import train_forecast
    from training.lead import train_lead
    from training.registry import ModelRegistry
    from warehouse.ingest import ingest
    from warehouse.simulator import SimulationConfig, simulate
    from warehouse.sources import load_source
    from warehouse.store import Warehouse

    settings = Settings(
        home=folder / "home", mlruns=folder / "mlruns", training=TrainingSettings(threads=1, trials=TRIALS)
    )
    workspace = Workspace.of(settings, "simulated")
    config = SimulationConfig(years=2, reps=8, leads=1_500, deals=500)
    simulate(config, landing=workspace.landing, truth=workspace.truth)
    source = load_source("simulated")
    warehouse = Warehouse(workspace.warehouse)
    ingest(source, workspace.landing, warehouse)
    repository = FeatureRepository(workspace, warehouse, settings.online_store)
    repository.apply()
    registry = ModelRegistry(settings)
    outcomes = {
        "lead": train_lead(repository, warehouse, registry, source, trials=TRIALS, settings=settings),
        "deal": train_deal(repository, warehouse, registry, source, trials=TRIALS, settings=settings),
        "forecast": train_forecast(repository, warehouse, registry, source, trials=TRIALS, settings=settings),
    }
    _appoint(outcomes, registry, workspace)
    now = warehouse.cut()
    repository.materialize(now)
    return SmallWorld(
        folder=folder,
        settings=settings,
        workspace=workspace,
        source=source,
        warehouse=warehouse,
        repository=repository,
        registry=registry,
        now=now,
        outcomes=outcomes,
    )


def _appoint(outcomes: Mapping[str, TrainingOutcome], registry: ModelRegistry, workspace: Workspace) -> None:
    """Make every version champion that the gate held back: so small a world seldom convinces it."""
    from training.forecast.store import Forecast, ForecastStore

    for outcome in outcomes.values():
        if registry.champion(outcome.name) is None:
            registry.set_champion(outcome.name, outcome.version)
    store = ForecastStore(workspace.forecasts)
    try:
        store.latest_id()
    except NotFoundError:
        store.save(Forecast.read(outcomes["forecast"].bundle))
