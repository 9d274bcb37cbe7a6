"""The loop, unattended: the world changes, a look sees it, the policy retrains, the gate decides, the alias moves."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import SmallWorld

from common.settings import Settings
from features.repository import FeatureRepository
from monitoring.acting import DRIFT_EVENT, EVALUATED_EVENT, finish, record_retraining, was_retrained, watch
from monitoring.checks import State
from monitoring.decisions import DECISION, EVALUATION, RETRAINING, decide, decision_log, read_decisions
from monitoring.decisions import Recommendation as Decision
from monitoring.drift import report_drift
from monitoring.drift_checks import drift_checks
from monitoring.estimating import Labelled
from monitoring.look import Look, keep_look, read_looks
from monitoring.looks import Parts
from monitoring.model_page import page_of, write_model_page
from monitoring.prometheus import metrics_file
from monitoring.recalibrating import offer_recalibrated
from monitoring.retraining import Policy, RetrainPolicy
from training.bundle import REFERENCE_FILE
from training.lead import train_lead
from training.promotion import promotion_log
from training.registry import ModelRegistry
from training.scorer import Scorer
from warehouse.store import Warehouse

TRIALS = 2
# Answers of another regime: log-odds too high by this much.
SHIFT = 2.0


def copy_of(world: SmallWorld, folder: Path) -> SmallWorld:
    """The world in a folder of its own, to be changed."""
    shutil.copytree(world.folder, folder, dirs_exist_ok=True)
    settings = Settings(home=folder / "home", mlruns=folder / "mlruns", training=world.settings.training)
    workspace = replace(world.workspace, home=settings.home)
    warehouse = Warehouse(workspace.warehouse)
    repository = FeatureRepository(workspace, warehouse, settings.online_store)
    repository.apply()
    return replace(
        world, folder=folder, settings=settings, workspace=workspace, warehouse=warehouse, repository=repository,
        registry=ModelRegistry(settings),
    )  # fmt: skip


def age_champion(world: SmallWorld, task: str) -> str:
    """Make the champion one of another regime: the world it learned had far more conversions than this one."""
    champion = world.registry.champion(world.workspace.model_name(task))
    assert champion is not None
    file = champion.bundle / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["calibration"] = {"method": "intercept", "weights": [1.0, SHIFT], "x": [], "y": []}
    file.write_text(json.dumps(manifest))
    # Its stored cases are answered so too, or the services would rightly refuse it.
    sample = champion.bundle / REFERENCE_FILE
    table, scorer = pq.read_table(sample), Scorer.load(champion.bundle)
    columns = {name: table[name].to_pylist() for name in scorer.manifest.feature_names}
    place = table.column_names.index("probability")
    told = pa.array(scorer.label_probability(scorer.encode(columns)))
    pq.write_table(table.set_column(place, "probability", told), sample)
    return champion.version


def parts_of(world: SmallWorld, **retrain: Any) -> Parts:
    policy = Policy(
        every_days=28, retrain=RetrainPolicy(**({"failing": 1, "of_last": 1, "least_new_labels": 20} | retrain))
    )
    return Parts(
        settings=world.settings, workspace=world.workspace, source=world.source, warehouse=world.warehouse,
        repository=world.repository, registry=world.registry, policy=policy,
    )  # fmt: skip


def retrain(world: SmallWorld, look: Look) -> tuple[Any, Any]:
    """What the retraining flow does, without Prefect."""
    outcome = train_lead(
        world.repository, world.warehouse, world.registry, world.source, trials=TRIALS, settings=world.settings
    )
    held = record_retraining(
        world.workspace,
        look_id=look.look_id,
        task="lead",
        outcome={"model": outcome.name, "version": outcome.version, "promoted": outcome.decision.promoted,
                 "reason": outcome.decision.reason, "report": str(outcome.report)},
        data_time=world.now,
    )  # fmt: skip
    return outcome, held


@pytest.fixture(scope="module")
def changed_world(small_world: SmallWorld, tmp_path_factory: pytest.TempPathFactory) -> SmallWorld:
    return copy_of(small_world, tmp_path_factory.mktemp("changed"))


def test_a_model_of_another_regime_is_seen_retrained_judged_and_replaced(changed_world: SmallWorld) -> None:
    world = changed_world
    old = age_champion(world, "lead")
    events: list[tuple[str, str, dict[str, Any]]] = []
    parts = parts_of(world)

    def emit(name: str, resource: str, payload: Any) -> None:
        events.append((name, resource, dict(payload)))

    first = watch(parts, task="lead", now=world.now, emit=emit)
    assert [acted.record.decision for acted in first] == [Decision.RETRAIN]
    failing = {check.name for check in first[0].look.checks if check.state == State.FAILS}
    assert {"real quality", "calibration"} <= failing
    # The clock of a refresh has no beginning before the first look at a version.
    assert first[0].look.facts["last_try"] is None
    assert 0 < first[0].look.facts["fresh_labels"] == first[0].look.facts["new_labels"]
    assert events[0][:2] == (DRIFT_EVENT, f"salience.model.{world.workspace.model_name('lead')}")
    look_id = events[0][2]["look_id"]

    # The same run again: nothing is looked at, sent or recorded twice.
    again = watch(parts, task="lead", now=world.now, emit=emit)
    assert [(acted.look.look_id, acted.is_new) for acted in again] == [(look_id, False)]
    assert len(events) == 1
    assert sum(step.step == EVALUATION for step in decision_log(world.workspace).steps()) == 1

    outcome, held = retrain(world, first[0].look)
    assert outcome.decision.promoted
    assert held is None
    assert was_retrained(world.workspace, look_id)
    champion = world.registry.champion(outcome.name)
    assert champion is not None
    assert champion.version == outcome.version != old
    assert promotion_log(world.registry).entries()[-1]["champion_before"] == old

    # The next look is at the new version, and shows the effect.
    after = watch(parts, task="lead", now=world.now, emit=emit)
    assert after[0].look.version == outcome.version
    assert "real quality" not in {check.name for check in after[0].look.checks if check.state == State.FAILS}
    assert events[-1][0] == EVALUATED_EVENT

    page = page_of(world.workspace, "lead").read_text()
    for word in (
        DRIFT_EVENT,
        "alias moved",
        f"champion is now version {outcome.version}",
        "RETRAIN",
        "What should I do",
    ):
        assert word.lower() in page.lower()
    metrics = metrics_file(world.workspace).read_text()
    assert f'salience_monitoring_check_state{{model="{outcome.name}",version="{outcome.version}"' in metrics
    assert f'salience_monitoring_retrainings_total{{model="{outcome.name}",result="promoted"}} 1' in metrics


def test_a_challenger_that_is_no_better_is_held_and_that_is_recorded(changed_world: SmallWorld) -> None:
    world = changed_world
    look = read_looks(world.workspace, "lead")[-1]
    before = world.registry.champion(look.model)
    outcome, held = retrain(world, look)
    assert not outcome.decision.promoted
    assert held is not None
    assert (held.decision, held.decided_by) == (Decision.HOLD, "gate")
    assert outcome.decision.reason in held.reason
    assert world.registry.champion(look.model).version == before.version  # type: ignore[union-attr]
    steps = [step.step for step in decision_log(world.workspace).steps(report_id=look.look_id)]
    assert steps[-2:] == [RETRAINING, DECISION]
    write_model_page(parts_of(world), "lead")
    assert "challenger kept out" in page_of(world.workspace, "lead").read_text()


def test_drift_that_costs_nothing_ends_in_a_recorded_ignore(changed_world: SmallWorld) -> None:
    """Rows shift to where the model is as right as anywhere."""
    world = changed_world
    random = np.random.default_rng(5)
    x = random.normal(size=6_000)
    truth = 1 / (1 + np.exp(-(x - 1)))
    frame = pd.DataFrame({"x": x, "probability": truth})
    now = frame[frame["x"] > 0.3].head(500)
    known = Labelled(
        probability=truth, label=(random.random(6_000) < truth).astype(float),
        entity=np.arange(6_000).astype(str), until=world.now, columns={"x": x},
    )  # fmt: skip
    end = world.now + timedelta(days=365)
    report = report_drift(
        frame, now, features=[SimpleNamespace(name="x", dtype="float", about="")], task="lead", seed=1,
        workspace=world.workspace, window=(end - timedelta(days=7), end), model_version="9", labelled=known,
        score=lambda columns: 1 / (1 + np.exp(-(np.nan_to_num(columns["x"]) - 1))), with_evidently=False,
        recorded=False,
    )  # fmt: skip
    assert {column.name for column in report.drifted} == {"x", "probability"}
    look = Look(
        look_id="look-harmless", task="lead", model=world.workspace.model_name("lead"), version="9",
        window=report.decision.window, checks=tuple(drift_checks(report)), facts={"new_labels": 500},
    )  # fmt: skip
    keep_look(world.workspace, look)
    acted = finish(parts_of(world), look)
    assert (acted.record.verdict, acted.record.decision) == ("DRIFT", Decision.IGNORE)
    assert "costs next to nothing" in acted.record.reason
    assert read_decisions(world.workspace)[-1] == acted.record


@pytest.mark.slow
def test_a_persons_word_stands_for_the_same_cause(small_world: SmallWorld, tmp_path: Path) -> None:
    world = copy_of(small_world, tmp_path / "copy")
    age_champion(world, "lead")
    parts = parts_of(world)
    earlier = watch(parts, task="lead", now=world.now - timedelta(days=28))[-1]
    assert earlier.record.decision == Decision.RETRAIN
    decide(
        world.workspace, report_id=earlier.look.look_id, decision=Decision.HOLD, by="Ada", reason="The fair ends soon."
    )
    later = watch(parts, task="lead", now=world.now)[-1]
    assert later.look.facts["last_try"] == earlier.look.end.isoformat()
    assert 0 < later.look.facts["fresh_labels"] < later.look.facts["new_labels"]
    if later.record.inputs["cause"] == earlier.record.inputs["cause"]:
        assert later.record.decision == Decision.HOLD
        assert "Ada decided HOLD" in later.record.reason
    else:
        assert later.record.decision == Decision.RETRAIN


@pytest.mark.slow
def test_a_run_that_was_killed_before_its_record_is_finished_by_the_next(
    small_world: SmallWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = copy_of(small_world, tmp_path / "copy")
    parts = parts_of(world)

    def die(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("monitoring.acting.append_decision", die)
        with pytest.raises(KeyboardInterrupt):
            watch(parts, task="deal", now=world.now)
    assert read_decisions(world.workspace) == []
    found = watch(parts, task="deal", now=world.now)
    assert len(read_looks(world.workspace, "deal")) == 1
    assert len(read_decisions(world.workspace)) == 1
    assert found[0].is_new


def test_where_retraining_does_not_help_the_champion_is_recalibrated_and_judged_by_the_same_gate(
    small_world: SmallWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitoring.recalibrating.LEAST_OUTCOMES", 12)
    world = copy_of(small_world, tmp_path / "copy")
    old = age_champion(world, "lead")
    parts = parts_of(world)
    look = watch(parts, task="lead", now=world.now)[-1].look
    before = Scorer.load(world.registry.champion(look.model).bundle).manifest  # type: ignore[union-attr]

    outcome = offer_recalibrated(parts, task="lead", look_id=look.look_id, at=world.now)
    assert outcome is not None
    assert outcome["promoted"], outcome["reason"]
    champion = world.registry.champion(look.model)
    assert champion is not None
    assert champion.version == outcome["version"] != old
    after = Scorer.load(champion.bundle).manifest
    assert after.trained_until > before.trained_until
    assert [entry.name for entry in after.features] == [entry.name for entry in before.features]
    assert after.metrics["log_loss"] < after.baselines["const"]["log_loss"]
    sample = pq.read_table(champion.bundle / REFERENCE_FILE)
    scorer = Scorer.load(champion.bundle)
    columns = {name: sample[name].to_pylist() for name in after.feature_names}
    assert np.allclose(scorer.label_probability(scorer.encode(columns)), sample["probability"].to_numpy())
    steps = list(decision_log(world.workspace).steps(report_id=look.look_id, step=RETRAINING))
    assert steps[-1].record["version"] == outcome["version"]
    assert f"version {old} recalibrated" in steps[-1].record["reason"]

    # It has learned from all that is known, so nothing measures it yet; but the rows that its trees have not seen still
    # tell what drift costs, and the version before is no better on labels that nobody has.
    seen = watch(parts, task="lead", now=world.now)[-1].look
    checks = {check.name: check for check in seen.checks}
    assert (seen.version, seen.facts["new_labels"], seen.facts["predecessor"]) == (outcome["version"], 0, None)
    assert checks["real quality"].state == State.UNKNOWN
    assert checks["estimated quality"].figures["labelled_rows"] > 0

    # What is right by now is not replaced again, and that is recorded as HOLD; a deal has no one level.
    again = offer_recalibrated(parts, task="lead", look_id=look.look_id, at=world.now)
    assert again is None or not again["promoted"]
    assert offer_recalibrated(parts, task="deal", look_id=None, at=world.now) is None


@pytest.mark.slow
def test_the_loop_closes_through_prefect_and_a_running_service_follows(
    small_world: SmallWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flow, policy, training, gate, alias, service: nobody touches anything in between."""
    from flows.monitor_models import monitor_models
    from flows.orchestration import local_orchestration
    from serving.run import running_service

    world = copy_of(small_world, tmp_path / "copy")
    old = age_champion(world, "lead")
    monkeypatch.setenv("SALIENCE_HOME", str(world.settings.home))
    monkeypatch.setenv("SALIENCE_MLRUNS", str(world.settings.mlruns))
    monkeypatch.setenv("SALIENCE_TRAINING__TRIALS", str(TRIALS))
    monkeypatch.setenv("SALIENCE_TRAINING__THREADS", "1")
    (world.workspace.root / "monitoring.yaml").write_text(
        "every_days: 28\nretrain: {failing: 1, of_last: 1, least_new_labels: 20}\n"
    )
    from features.spines import open_lead_spine

    lead = open_lead_spine(world.warehouse, world.now)["lead_id"][0].as_py()
    with running_service(world.settings, world.workspace, timeout_s=240) as url, httpx.Client(base_url=url) as client:
        assert ask(client, lead) == old
        with local_orchestration():
            found = monitor_models(source="simulated", model="lead", act=True)
        assert found["models"]["lead"][-1]["decision"] == "RETRAIN"
        retrained = found["retrained"]["lead"]
        assert retrained["decision"] == "PROMOTED"
        assert wait_for(client, lead, retrained["version"])


def ask(client: httpx.Client, lead: str) -> str:
    answer = client.post(f"/api/v1/leads/{lead}/score", timeout=60)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["model_version"])


def wait_for(client: httpx.Client, lead: str, version: str) -> bool:
    import time

    until = datetime.now().timestamp() + 60
    while datetime.now().timestamp() < until:
        if ask(client, lead) == version:
            return True
        time.sleep(0.5)
    return False
