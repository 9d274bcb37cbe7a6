"""A CRM in which hardly a deal has ended: stage rates instead of a model, told as such; questions about deals."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from common.errors import NotFoundError
from common.settings import Settings
from common.workspace import Workspace
from features.repository import FeatureRepository
from training.deal import train_deal
from training.deals.asking import deal_answerer, deal_story, open_deals
from training.deals.lists import at_risk, doubtful, stalled
from training.registry import ModelRegistry
from training.results import TrainingOutcome
from warehouse.ingest import ingest
from warehouse.simulator import SimulationConfig, simulate
from warehouse.sources import load_source
from warehouse.store import Warehouse


@dataclass(frozen=True)
class Few:
    """A workspace with few deals, and what its training came to."""

    settings: Settings
    workspace: Workspace
    warehouse: Warehouse
    repository: FeatureRepository
    registry: ModelRegistry
    outcome: TrainingOutcome


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Few:
    folder = tmp_path_factory.mktemp("few")
    settings = Settings(home=folder / "home", mlruns=folder / "mlruns")
    source = load_source("simulated")
    workspace = Workspace.of(settings, source.name)
    simulate(
        SimulationConfig(years=1, leads=100, deals=45, reps=8, seed=3), landing=workspace.landing, truth=workspace.truth
    )
    warehouse = Warehouse(workspace.warehouse)
    ingest(source, workspace.landing, warehouse)
    repository = FeatureRepository(workspace, warehouse, settings.online_store)
    repository.apply()
    registry = ModelRegistry(settings)
    outcome = train_deal(repository, warehouse, registry, source, trials=2, settings=settings)
    return Few(settings, workspace, warehouse, repository, registry, outcome)


def test_too_few_ended_deals_give_stage_rates_and_a_gate_that_stays_shut(few: Few) -> None:
    assert not few.outcome.decision.promoted
    assert "shrunken stage rates" in few.outcome.decision.reason
    assert "40 of each are needed" in few.outcome.warnings[0]
    assert few.registry.champion(few.outcome.name) is None
    assert "shrunken stage rates" in few.outcome.report.read_text()


def test_questions_are_answered_with_the_rates_and_it_is_said(few: Few) -> None:
    answerer = deal_answerer(few.registry, few.workspace)
    assert "shrunken stage rates" in answerer.notes[0]
    deals = open_deals(few.repository, few.warehouse, few.registry, few.workspace, at=few.warehouse.cut())
    assert len(deals.records) > 3
    by_stage: dict[str, set[float]] = {}
    for stage, record in zip(deals.columns["stage"], deals.records, strict=True):
        by_stage.setdefault(stage, set()).add(record["win_probability"])
        assert 0.02 < record["win_probability"] < 0.98
        assert record["actions"] == []
    assert all(len(values) == 1 for values in by_stage.values())
    for made in (at_risk(deals.records, deals.columns), stalled(deals.records, deals.columns)):
        assert json.loads(json.dumps(made, default=str)) == made
    assert isinstance(doubtful(deals.records, deals.columns), list)


def test_all_about_one_deal_adds_up_and_knows_nothing_of_later(few: Few) -> None:
    now = few.warehouse.cut()
    then = now - timedelta(days=30)
    asked = (few.repository, few.warehouse, few.registry, few.workspace)
    deal = str(open_deals(*asked, at=then).records[0]["opportunity_id"])
    story = deal_story(*asked, deal_id=deal, at=then)
    change = story["change"]
    moved = sum(step["change"] for step in change["steps"]) + change["rest"]
    assert moved == pytest.approx(change["after"] - change["before"], abs=1e-5)
    assert story["trend"][-1]["win_probability"] == pytest.approx(story["record"]["win_probability"], abs=1e-6)
    assert story["record"]["scored_at"] == then
    assert any("learned from deals until" in note for note in story["notes"])


def test_a_deal_that_was_not_open_then_is_not_made_up(few: Few) -> None:
    asked = (few.repository, few.warehouse, few.registry, few.workspace)
    with pytest.raises(NotFoundError, match="not known to be open"):
        deal_story(*asked, deal_id="D-999999", at=few.warehouse.cut())


def test_without_a_model_the_next_step_is_named(few: Few, tmp_path: Path) -> None:
    empty = ModelRegistry(Settings(home=tmp_path / "home", mlruns=tmp_path / "mlruns"))
    with pytest.raises(NotFoundError, match="salience train deal"):
        deal_answerer(empty, few.workspace)
