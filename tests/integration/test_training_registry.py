"""The registry over a real MLflow: what is logged is loaded again, aliases move, nothing half-done is served."""

from __future__ import annotations

import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.errors import NotFoundError, UnavailableError
from common.settings import Settings
from training.promotion import appoint, promotion_log
from training.registry import ModelRegistry
from training.results import RegisteredModel, TrainingResult
from training.scorer import Scorer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))
from training_toy import toy_columns, train_toy

NAME = "toy-lead"
NOW = datetime(2025, 6, 1, tzinfo=UTC)


def result(folder: Path) -> TrainingResult:
    scorer = train_toy(folder / "bundle")
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
