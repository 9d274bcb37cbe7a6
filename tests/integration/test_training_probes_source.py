"""Probes over a source's warehouse: an export's late columns are named, what the models read is honest."""

from __future__ import annotations

import pytest

from common.errors import InputError
from common.settings import Settings
from common.workspace import Workspace
from features.repository import FeatureRepository
from training.probes.source_probes import PlaceReport, probe_source
from warehouse.ingest import ingest
from warehouse.simulator import SimulationConfig, simulate
from warehouse.sources import Source, load_source
from warehouse.store import Warehouse


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Source, Warehouse, FeatureRepository]:
    folder = tmp_path_factory.mktemp("probed")
    config = SimulationConfig(years=2, leads=900, deals=400, reps=8, seed=5)
    simulate(config, landing=folder / "landing", truth=folder / "truth")
    settings = Settings(home=folder / "home", mlruns=folder / "mlruns")
    source = load_source("simulated")
    workspace = Workspace.of(settings, source.name)
    warehouse = Warehouse(workspace.warehouse)
    ingest(source, folder / "landing", warehouse)
    return source, warehouse, FeatureRepository(workspace, warehouse, settings.online_store)


@pytest.fixture(scope="module")
def places(world: tuple[Source, Warehouse, FeatureRepository]) -> dict[str, PlaceReport]:
    source, warehouse, repository = world
    return {place.place: place for place in probe_source(source, warehouse, repository, cut=warehouse.cut())}


def test_an_exports_columns_that_closing_writes_are_named(places: dict[str, PlaceReport]) -> None:
    leads, deals = places["leads at the export"], places["opportunities at the export"]
    assert {"status", "opportunity_id", "disqualified_reason"} <= leads.report.named
    assert {"status", "stage", "crm_probability", "lost_reason"} <= deals.report.named
    assert {"opportunity_id", "disqualified_reason"} <= leads.guarded
    told = {finding.probe for finding in deals.report.findings if finding.feature == "stage"}
    assert {"single_field", "as_of_ablation", "changed_after_closing"} <= told


def test_an_exports_columns_that_nothing_changes_are_left_in_peace(places: dict[str, PlaceReport]) -> None:
    honest = {"source", "campaign_id", "landing_page", "industry", "country", "title"}
    assert not honest & places["leads at the export"].report.named
    assert not {"pipeline", "lead_id", "deal_type"} & places["opportunities at the export"].report.named


@pytest.mark.parametrize("task", ["lead", "deal"])
def test_what_the_models_read_is_honest(places: dict[str, PlaceReport], task: str) -> None:
    place = places[f"what the {task} model reads"]
    assert place.is_model_input
    assert len(place.report.fields) > 20
    assert place.report.findings == ()


def test_a_source_without_leads_and_deals_is_refused(
    world: tuple[Source, Warehouse, FeatureRepository],
) -> None:
    _, warehouse, repository = world
    with pytest.raises(InputError, match="'tourism' has no leads or deals to probe"):
        probe_source(load_source("tourism"), warehouse, repository, cut=warehouse.cut())
