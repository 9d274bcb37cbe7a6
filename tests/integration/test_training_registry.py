"""The registry over a real MLflow: what is logged is loaded again, aliases move, nothing half-done is served."""

from __future__ import annotations

import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.errors import ContractError, NotFoundError, UnavailableError
from common.settings import Settings
from training.history import read_history
from training.promotion import appoint, promotion_log, roll_back
from training.promotion_log import Seal
from training.registry import ModelRegistry
from training.results import RegisteredModel, TrainingResult
from training.scorer import Scorer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))
from training_toy import toy_columns, train_toy

NAME = "toy-lead"
NOW = datetime(2025, 6, 1, tzinfo=UTC)


def result(folder: Path, *, rounds: int = 60) -> TrainingResult:
    scorer = train_toy(folder / "bundle", rounds=rounds)
    columns = toy_columns(3, seed=1)
    report = folder / "training.html"
    report.write_text("<p>report</p>")
    return TrainingResult(
        task="lead",
        folder=folder / "bundle",
        loader_module="training.scorer",
        params={"library": "lightgbm", "rounds": 60},
        metrics={"auc": 0.71, "auc_low": float("nan")},
        baselines={"const": {"auc": 0.5, "log_loss": 0.4}},
        fingerprint="0123456789abcdef" * 2,
        frame={"rows": 3_000, "split": "toy"},
        features=scorer.manifest.feature_names,
        feature_service="lead_score_v1",
        artifacts={"report": [report]},
        input_example={name: list(values) for name, values in columns.items()},
        output_example={"probability": [0.1, 0.2, 0.3]},
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("registry")


@pytest.fixture(scope="module")
def registry(home: Path) -> ModelRegistry:
    return ModelRegistry(Settings(mlruns=home / "mlruns", home=home / "home"))


@pytest.fixture(scope="module")
def first(registry: ModelRegistry, home: Path) -> RegisteredModel:
    return registry.log(NAME, result(home / "first"))


def test_a_new_version_is_challenger_and_not_champion(registry: ModelRegistry, first: RegisteredModel) -> None:
    assert first.version == "1"
    assert registry.champion(NAME) is None
    assert registry.model(NAME, "challenger") is not None
    with pytest.raises(NotFoundError, match=f"'{NAME}' has no champion.*salience train lead"):
        registry.bundle(NAME)


def test_the_run_holds_params_metrics_baselines_dataset_report_and_signature(
    registry: ModelRegistry, first: RegisteredModel
) -> None:
    import mlflow

    client = mlflow.MlflowClient(registry.settings.mlflow_uri)
    run = client.get_run(first.run_id)
    assert run.data.params["library"] == "lightgbm"
    assert run.data.metrics == {"auc": 0.71, "baseline_const_auc": 0.5, "baseline_const_log_loss": 0.4}
    assert run.inputs.dataset_inputs[0].dataset.digest == "0123456789abcdef0123456789abcdef"
    assert [item.path for item in client.list_artifacts(first.run_id, "report")] == ["report/training.html"]
    model = mlflow.models.get_model_info(f"models:/{NAME}@challenger")
    assert model.signature.inputs.input_names() == ["count_pricing_view_30d", "employee_count", "source"]
    assert model.metadata["feature_service"] == "lead_score_v1"


def test_bundle_and_pyfunc_and_booster_answer_the_same(registry: ModelRegistry, first: RegisteredModel) -> None:
    columns = toy_columns(40, seed=6)
    scorer = Scorer.load(first.bundle)
    ours = scorer.probability(scorer.encode(columns))
    theirs = registry.load_pyfunc(NAME, "challenger").predict(pd.DataFrame(columns))
    assert ours == pytest.approx(theirs["probability"].to_numpy())
    assert scorer.manifest.version == "1"
    assert scorer.record(columns, ids=[str(i) for i in range(40)], at=NOW)[0]["model_version"] == "1"


def test_a_bundle_that_is_gone_is_fetched_again(registry: ModelRegistry, first: RegisteredModel) -> None:
    shutil.rmtree(first.bundle)
    model = registry.model(NAME, "challenger")
    assert model is not None
    assert model.bundle == first.bundle
    assert Scorer.load(model.bundle).manifest.version == "1"
    assert (model.bundle / "reference.parquet").is_file()


def test_the_champion_moves_and_goes_back_and_the_log_tells(
    registry: ModelRegistry, first: RegisteredModel, home: Path
) -> None:
    second = registry.log(NAME, result(home / "second"))
    appoint(registry, NAME, second.version, why="a test", who="ops")
    champion = registry.champion(NAME)
    assert champion is not None
    assert (champion.version, champion.aliases) == (second.version, ("challenger", "champion"))
    assert registry.quality(NAME) == {
        "name": NAME,
        "version": second.version,
        "metrics": {"auc": 0.7},
        "baselines": {"const": {"auc": 0.5}},
    }
    appoint(registry, NAME, first.version, why="back again", who="ops")
    assert registry.bundle(NAME) == first.bundle
    assert [entry["champion_before"] for entry in promotion_log(registry).entries()] == [None, second.version]


def test_a_version_that_does_not_exist_cannot_become_champion(registry: ModelRegistry, first: RegisteredModel) -> None:
    with pytest.raises(NotFoundError, match=f"'{NAME}' has no version 99"):
        registry.set_champion(NAME, "99")


def test_a_registry_that_is_away_says_where_and_what_to_do(tmp_path: Path) -> None:
    away = ModelRegistry(Settings(mlruns=tmp_path, tracking_uri="sqlite:////proc/nowhere/mlflow.db"))
    with pytest.raises(UnavailableError, match=r"/proc/nowhere/mlflow\.db.*SALIENCE_TRACKING_URI"):
        away.champion(NAME)


def test_bundles_answer_after_the_folder_was_moved(
    registry: ModelRegistry, first: RegisteredModel, home: Path, tmp_path: Path
) -> None:
    appoint(registry, NAME, first.version, why="a test", who="ops")
    moved = tmp_path / "elsewhere"
    shutil.copytree(home / "mlruns", moved)
    there = ModelRegistry(Settings(mlruns=moved))
    folder = there.bundle(NAME)
    assert folder.is_relative_to(moved)
    matrix = np.array([[1.0, 100.0, 0.0]])
    assert Scorer.load(folder).probability(matrix) == pytest.approx(Scorer.load(first.bundle).probability(matrix))


def test_rollback_brings_back_the_older_answers_bit_for_bit(
    registry: ModelRegistry, first: RegisteredModel, home: Path
) -> None:
    name, columns = "rolled-lead", toy_columns(500, seed=8)
    older = registry.log(name, result(home / "older"))
    appoint(registry, name, older.version, why="the first one", who="ops")

    def answers() -> np.ndarray:
        scorer = Scorer.load(registry.bundle(name))
        return scorer.probability(scorer.encode(columns))

    before = answers()
    newer = registry.log(name, result(home / "newer", rounds=20))
    appoint(registry, name, newer.version, why="a newer one", who="ops")
    assert not np.array_equal(answers(), before)
    decision = roll_back(registry, name, why="odd answers", who="ops")
    assert decision.version == older.version
    assert np.array_equal(answers(), before)


def test_versions_tell_their_aliases_tags_and_figures_newest_first(registry: ModelRegistry, home: Path) -> None:
    name = "listed-lead"
    for rounds in (10, 20):
        registry.log(name, result(home / f"listed-{rounds}", rounds=rounds))
    appoint(registry, name, "1", why="the older one", who="ops")
    newest, oldest = registry.versions(name)
    assert (newest.version, newest.aliases, oldest.version, oldest.aliases) == (
        "2",
        ("challenger",),
        "1",
        ("champion",),
    )
    assert newest.metrics["auc"] == 0.71
    assert newest.params["library"] == "lightgbm"
    assert newest.tags["task"] == "lead"
    assert newest.created_at.tzinfo is not None
    assert name in registry.names()
    assert registry.versions("nobody-lead") == ()
    assert registry.version(name, "1").aliases == ("champion",)
    assert registry.run(newest.run_id).tags["fingerprint"] == "0123456789abcdef" * 2
    with pytest.raises(NotFoundError, match="has no version newest"):
        registry.version(name, "newest")


def test_the_registry_keeps_the_seal_and_history_finds_the_log_whole_or_says_so(
    registry: ModelRegistry, home: Path
) -> None:
    name = "sealed-lead"
    registry.log(name, result(home / "sealed"))
    appoint(registry, name, "1", why="the only one", who="ops")
    found = read_history(registry, [name])
    assert [entry["version"] for entry in found.entries] == ["1"]
    assert found.outside == {}
    assert registry.seals()[name].digest == found.entries[-1]["hash"]
    registry.log(name, result(home / "sealed-2", rounds=10))
    registry.set_champion(name, "2")
    assert "is version 2, and the log's newest word is version 1" in read_history(registry, [name]).outside[name]
    log = promotion_log(registry).path
    whole = log.read_text()
    log.write_text("".join(whole.splitlines(keepends=True)[:-1]))
    with pytest.raises(ContractError, match="decisions about sealed-lead that it does not hold"):
        read_history(registry, [name])
    log.write_text(whole)


def test_a_model_that_does_not_exist_is_not_sealed(registry: ModelRegistry) -> None:
    with pytest.raises(NotFoundError, match="There is no model 'nobody-lead'"):
        registry.seal("nobody-lead", Seal(1, "0"))
