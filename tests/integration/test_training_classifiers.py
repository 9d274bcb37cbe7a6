"""Lead and deal models of a small simulated world: what was trained, registered, judged and written down."""

from __future__ import annotations

import json
import re
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import pytest

from common.errors import InputError
from common.workspace import Workspace
from training.deal import train_deal
from training.evaluation import evaluate
from training.lead import train_lead
from training.promotion import promotion_log
from training.scorer import Scorer
from warehouse.sources import load_source

if TYPE_CHECKING:
    from conftest import SmallWorld

TASKS = ("lead", "deal")


@pytest.mark.parametrize("task", TASKS)
def test_the_model_is_judged_beside_its_baselines_with_intervals(small_world: SmallWorld, task: str) -> None:
    outcome = small_world.outcomes[task]
    assert {"const", "logistic_regression"} <= set(outcome.baselines)
    area = outcome.metrics["auc"]
    assert area.low is not None
    assert area.high is not None
    assert area.low < area.value < area.high
    assert outcome.metrics["log_loss"].value < outcome.baselines["const"]["log_loss"].value + 0.02
    assert 0.5 < area.value < 0.95


@pytest.mark.parametrize("task", TASKS)
def test_the_report_starts_with_the_verdict_and_needs_nothing_else(small_world: SmallWorld, task: str) -> None:
    outcome = small_world.outcomes[task]
    assert outcome.verdict is not None
    page = outcome.report.read_text()
    assert page.index(outcome.verdict.status.capitalize()) < page.index("<table>")
    assert page.count("<svg ") >= 4
    assert re.findall(r'(?:src|href)="(?!#|data:)[^"]*"|url\((?!#)', page) == []
    assert "width=device-width" in page
    assert json.loads(outcome.report.with_suffix(".json").read_text())["verdict"]["status"] == outcome.verdict.status


@pytest.mark.parametrize("task", TASKS)
def test_the_run_in_mlflow_holds_the_report_its_plots_and_its_numbers(small_world: SmallWorld, task: str) -> None:
    outcome = small_world.outcomes[task]
    logged = small_world.registry.version(outcome.name, outcome.version)
    assert {"capacity_found", "brier_reliability", "log_loss_less_const"} <= set(logged.metrics)
    files = {
        path.name for path in (small_world.folder / "mlruns" / "artifacts" / outcome.name).rglob("*") if path.is_file()
    }
    assert {"training.html", "training.json", "reliability.svg", "gain.svg"} <= files


@pytest.mark.parametrize("task", TASKS)
def test_the_registered_version_answers_as_evaluated_and_the_decision_is_logged(
    small_world: SmallWorld, task: str
) -> None:
    outcome = small_world.outcomes[task]
    scorer = Scorer.load(outcome.bundle)
    assert scorer.manifest.version == outcome.version
    assert scorer.manifest.metrics["auc"] == pytest.approx(outcome.metrics["auc"].value)
    entries = [e for e in promotion_log(small_world.registry).entries() if e["name"] == outcome.name]
    assert [(e["version"], e["promoted"]) for e in entries][:1] == [(outcome.version, outcome.decision.promoted)]
    assert json.dumps(entries)


@pytest.mark.parametrize("task", TASKS)
def test_the_reference_sample_is_scored_as_written(small_world: SmallWorld, task: str) -> None:
    bundle = small_world.outcomes[task].bundle
    table, scorer = pq.read_table(bundle / "reference.parquet"), Scorer.load(bundle)
    columns = {name: table.column(name).to_pylist() for name in scorer.manifest.feature_names}
    assert scorer.label_probability(scorer.encode(columns)) == pytest.approx(table.column("probability").to_numpy())


def earlier_deals(small_world: SmallWorld, folder: Path) -> Path:
    """Bundle of a deal model made from what was known half a year before the end.

    A deal model learns from every week before its test, so that no later row of the small world itself has seen its
    whole horizon.
    """
    from features.repository import FeatureRepository
    from training.registry import ModelRegistry
    from warehouse.store import Warehouse

    home = folder / "home"
    shutil.copytree(small_world.settings.home, home)
    known = {"home": home, "mlruns": folder / "mlruns", "as_of": small_world.now - timedelta(days=183)}
    settings = small_world.settings.model_copy(update=known)
    workspace = Workspace(small_world.workspace.name, home)
    warehouse = Warehouse(workspace.warehouse)
    repository = FeatureRepository(workspace, warehouse, settings.online_store)
    outcome = train_deal(
        repository, warehouse, ModelRegistry(settings), small_world.source, trials=1, settings=settings
    )
    return outcome.bundle


@pytest.mark.parametrize(
    ("task", "key", "truth"),
    [("lead", "lead_id", "true_probability"), ("deal", "opportunity_id", "true_probability_180d")],
)
def test_the_model_is_not_better_than_the_truth(
    small_world: SmallWorld, tmp_path: Path, task: str, key: str, truth: str
) -> None:
    from features.spines import deal_history_spine, lead_history_spine
    from training.labels import DEAL_WON, LEAD_CONVERTED, label_spine
    from training.splits import instant

    warehouse = small_world.warehouse
    scorer = Scorer.load(small_world.outcomes[task].bundle if task == "lead" else earlier_deals(small_world, tmp_path))
    spine = (
        lead_history_spine(warehouse, mode="lifecycle", until=small_world.now)
        if task == "lead"
        else deal_history_spine(warehouse, mode="weekly", until=small_world.now)
    )
    outcome = LEAD_CONVERTED if task == "lead" else DEAL_WON
    frame = small_world.repository.training_frame(scorer.manifest.feature_service, spine)
    labels = label_spine(
        frame, warehouse, outcome=outcome, horizon_days=scorer.manifest.horizon_days, cut=small_world.now
    )
    known = pq.read_table(small_world.workspace.truth / f"{task}_truth.parquet").to_pandas()
    rows = frame.select([key, "as_of"]).to_pandas().assign(position=np.arange(frame.num_rows))
    joined = rows.merge(known[[key, "as_of", truth]], on=[key, "as_of"])
    until = instant(datetime.fromisoformat(scorer.manifest.trained_until))
    joined = joined[joined["as_of"].dt.tz_localize(None).to_numpy() > until]
    position = joined["position"].to_numpy()
    usable = labels.usable[position]
    position, expected = position[usable], joined[truth].to_numpy()[usable]
    label = labels.value[position]
    columns = {name: frame.column(name).take(position).to_pylist() for name in scorer.manifest.feature_names}
    answered = scorer.label_probability(scorer.encode(columns))
    entity = np.array(frame.column(key).take(position).to_pylist(), dtype=object)
    ours = evaluate(label, answered, entity=entity, seed=1)["log_loss"]
    oracle = evaluate(label, expected, entity=entity, seed=1)["log_loss"]
    assert ours.high is not None
    assert oracle.value < ours.high


def test_a_second_training_reuses_the_study_and_does_not_replace_its_equal(small_world: SmallWorld) -> None:
    champion = small_world.registry.champion(small_world.workspace.model_name("lead"))
    again = train_lead(
        small_world.repository,
        small_world.warehouse,
        small_world.registry,
        small_world.source,
        trials=2,
        settings=small_world.settings,
    )
    assert again.reused == ("2 trials of the study",)
    if champion is not None:
        assert not again.decision.promoted
        now = small_world.registry.champion(champion.name)
        assert now is not None
        assert now.version == champion.version


def test_a_source_without_deals_is_told_so(small_world: SmallWorld) -> None:
    with pytest.raises(InputError, match="'olist' feeds no deal model"):
        train_deal(
            small_world.repository,
            small_world.warehouse,
            small_world.registry,
            load_source("olist"),
            trials=1,
            settings=small_world.settings,
        )
