"""The model registry, and the only module that imports MLflow.

A training is one MLflow run with its model as a pyfunc; a version is registered under `{workspace}-{task}` with the
alias `challenger`, and the gate moves `champion`. Each version's bundle also lies under
`{mlruns}/bundles/{name}/{version}`: immutable, read by the services without MLflow's pyfunc. MLflow stores artifact
paths absolute, so a moved folder breaks its own loads; the bundles are found by name and version, so serving and the
gate survive the move.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.errors import NotFoundError, UnavailableError
from common.settings import Settings
from common.telemetry import disable_telemetry
from training.manifest import MANIFEST_FILE
from training.promotion_log import Seal
from training.registry_reading import (
    SEAL_TAG,
    RunRecord,
    VersionRecord,
    read_seals,
    registered_model,
    registered_models,
    run_record,
    seal_text,
    version_records,
)
from training.results import RegisteredModel, TrainingResult

CHAMPION = "champion"
CHALLENGER = "challenger"

_PACKAGES = ("lightgbm", "xgboost-cpu", "numpy", "pandas", "pyarrow", "scikit-learn")
_PARAM_LENGTH = 500


class ModelRegistry:
    """Runs, versions, aliases and bundles over MLflow.

    Args:
        settings: Where MLflow lives (`mlflow_uri`) and where artifacts go (`mlruns`).
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.home = settings.mlruns.resolve()

    def log(self, name: str, training: TrainingResult) -> RegisteredModel:
        """Log a run with everything in `training`, register its model as a new version, alias it `challenger`.

        Args:
            name: Name of the registered model.
            training: The finished model and what belongs to it.

        Raises:
            UnavailableError: if MLflow's store cannot be reached.
        """
        with self._reaching() as (mlflow, client):
            experiment = self._experiment(client, name)
            run = client.create_run(experiment, tags=_run_tags(name, training))
            run_id = run.info.run_id
            status = "FAILED"
            try:
                _log_figures(client, run_id, training)
                _log_frame(client, run_id, name, training)
                for folder, files in training.artifacts.items():
                    for file in files:
                        client.log_artifact(run_id, str(file), folder)
                version = self._register(mlflow, client, name, run_id, training)
                status = "FINISHED"
            finally:
                client.set_terminated(run_id, status)
            client.set_registered_model_alias(name, CHALLENGER, version)
        bundle = self._keep_bundle(name, version, training.folder)
        return RegisteredModel(
            name=name,
            version=version,
            run_id=run_id,
            aliases=(CHALLENGER,),
            metrics=_finite(training.metrics),
            bundle=bundle,
        )

    def champion(self, name: str) -> RegisteredModel | None:
        """The version that the services answer with; None where nothing was promoted yet.

        Raises:
            UnavailableError: if MLflow's store cannot be reached.
        """
        return self.model(name, CHAMPION)

    def model(self, name: str, alias: str) -> RegisteredModel | None:
        """The version behind an alias, or None.

        Raises:
            UnavailableError: if MLflow's store cannot be reached.
        """
        with self._reaching() as (_, client):
            version = _aliased(client, name, alias)
            if version is None:
                return None
            return registered_model(client, version, self._bundle(client, name, version))

    def bundle(self, name: str, alias: str = CHAMPION) -> Path:
        """Folder of the bundle behind an alias; the same folder for as long as the alias stays.

        Raises:
            NotFoundError: if there is no such model or alias.
            UnavailableError: if MLflow's store cannot be reached.
        """
        with self._reaching() as (_, client):
            version = _aliased(client, name, alias)
            if version is None:
                raise NotFoundError(
                    f"Model '{name}' has no {alias}",
                    next_step=f"train it: salience train {name.rsplit('-', 1)[-1]}",
                )
            return self._bundle(client, name, version)

    def set_champion(self, name: str, version: str) -> None:
        """Point the alias `champion` at a version. The gate and `promotion.appoint` call this and keep the log.

        Raises:
            NotFoundError: if the version does not exist.
            UnavailableError: if MLflow's store cannot be reached.
        """
        with self._reaching() as (mlflow, client):
            _version(mlflow, client, name, version)
            client.set_registered_model_alias(name, CHAMPION, version)

    def names(self) -> tuple[str, ...]:
        """Names of all registered models.

        Raises:
            UnavailableError: if MLflow's store cannot be reached.
        """
        with self._reaching() as (_, client):
            return tuple(sorted(model.name for model in registered_models(client)))

    def versions(self, name: str) -> tuple[VersionRecord, ...]:
        """All versions of a model, newest first; empty where there is no such model.

        Raises:
            UnavailableError: if MLflow's store cannot be reached.
        """
        with self._reaching() as (_, client):
            return version_records(client, name)

    def version(self, name: str, version: str) -> RegisteredModel:
        """A version and its bundle.

        Raises:
            NotFoundError: if there is no such version.
            UnavailableError: if MLflow's store cannot be reached.
        """
        with self._reaching() as (mlflow, client):
            found = _version(mlflow, client, name, version)
            bundle = self._bundle(client, name, found)
            return registered_model(client, found, bundle)

    def run(self, run_id: str) -> RunRecord:
        """Parameters, tags and figures of a run.

        Raises:
            UnavailableError: if MLflow's store cannot be reached.
        """
        with self._reaching() as (_, client):
            return run_record(client, run_id)

    def seal(self, name: str, seal: Seal) -> None:
        """Keep the number and the hash of the newest line that the promotion log has about a model.

        Raises:
            NotFoundError: if there is no such model.
            UnavailableError: if MLflow's store cannot be reached.
        """
        with self._reaching() as (_, client):
            if not client.search_registered_models(f"name = '{name}'"):
                raise NotFoundError(f"There is no model '{name}'", next_step="look at the models: salience models list")
            client.set_registered_model_tag(name, SEAL_TAG, seal_text(seal))

    def seals(self) -> dict[str, Seal]:
        """The newest line that the promotion log had about each model.

        Raises:
            UnavailableError: if MLflow's store cannot be reached.
        """
        with self._reaching() as (_, client):
            return read_seals(client)

    def quality(self, name: str) -> dict[str, Any]:
        """Figures of the champion on the untouched period it was tested on, beside its baselines.

        Returns:
            `name`, `version`, `metrics` (flat), `baselines` (flat, by baseline).

        Raises:
            NotFoundError: if there is no champion.
            UnavailableError: if MLflow's store cannot be reached.
        """
        folder = self.bundle(name)
        values = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
        return {
            "name": name,
            "version": values["version"],
            "metrics": values.get("metrics", {}),
            "baselines": values.get("baselines", {}),
        }

    def load_pyfunc(self, name: str, alias: str = CHAMPION) -> Any:
        """MLflow's own loaded model behind an alias, for checks and for users of MLflow; the services read bundles.

        Raises:
            UnavailableError: if MLflow's store cannot be reached.
        """
        with self._reaching() as (mlflow, _):
            with _mlflow_quiet():
                importlib.import_module("mlflow.pyfunc")
            return mlflow.pyfunc.load_model(f"models:/{name}@{alias}")

    @contextmanager
    def _reaching(self) -> Iterator[tuple[Any, Any]]:
        """MLflow and a client on our address; its errors as ours."""
        disable_telemetry()
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        self.home.mkdir(parents=True, exist_ok=True)
        import mlflow
        import sqlalchemy.exc
        import sqlalchemy.orm

        uri = self.settings.mlflow_uri
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        away = (mlflow.exceptions.MlflowException, sqlalchemy.exc.SQLAlchemyError, OSError)
        try:
            with _mlflow_quiet():
                client = mlflow.MlflowClient(uri, registry_uri=uri)
                _ = client._get_registry_client()
                sqlalchemy.orm.configure_mappers()
            yield mlflow, client
        except away as error:
            raise UnavailableError(
                f"The model registry at {uri} did not do its work: {str(error).splitlines()[0]}",
                next_step="check SALIENCE_TRACKING_URI and the folder's permissions, then run the command again",
            ) from error

    def _experiment(self, client: Any, name: str) -> str:
        found = client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        # A server knows its own artifact store; only the embedded one needs a folder.
        embedded = self.settings.tracking_uri is None
        location = (self.home / "artifacts" / name).as_uri() if embedded else None
        return str(client.create_experiment(name, artifact_location=location))

    def _register(self, mlflow: Any, client: Any, name: str, run_id: str, training: TrainingResult) -> str:
        with _mlflow_quiet():
            importlib.import_module("mlflow.pyfunc")
        signature, example = _signature(mlflow, training)
        with mlflow.start_run(run_id=run_id):
            logged = mlflow.pyfunc.log_model(
                name=training.task,
                loader_module=training.loader_module,
                data_path=str(training.folder),
                pip_requirements=_requirements(),
                signature=signature,
                input_example=example,
                metadata={"features": list(training.features), "feature_service": training.feature_service},
            )
        found = client.search_registered_models(f"name = '{name}'")
        if not found:
            client.create_registered_model(name)
        tags = {"fingerprint": training.fingerprint, "task": training.task, **training.tags}
        version = client.create_model_version(
            name, logged.model_uri, run_id=run_id, tags=tags, model_id=logged.model_id
        )
        return str(version.version)

    def _bundle(self, client: Any, name: str, version: Any) -> Path:
        folder = self._bundle_folder(name, str(version.version))
        if folder.is_dir():
            return folder
        with tempfile.TemporaryDirectory(prefix="salience-bundle-") as scratch:
            source = client.get_model_version_download_uri(name, version.version)
            from mlflow.artifacts import download_artifacts

            fetched = Path(download_artifacts(artifact_uri=source, dst_path=scratch))
            held = next(iter(sorted(fetched.glob(f"data/*/{MANIFEST_FILE}"))), None)
            if held is None:
                raise NotFoundError(
                    f"Version {version.version} of '{name}' holds no bundle", next_step="train it again"
                )
            return self._keep_bundle(name, str(version.version), held.parent)

    def _bundle_folder(self, name: str, version: str) -> Path:
        return self.home / "bundles" / name / version

    def _keep_bundle(self, name: str, version: str, source: Path) -> Path:
        """Copy a bundle to its place in one step, its version written into the manifest."""
        folder = self._bundle_folder(name, version)
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{version}-"))
        try:
            shutil.copytree(source, scratch, dirs_exist_ok=True)
            manifest = scratch / MANIFEST_FILE
            values = json.loads(manifest.read_text(encoding="utf-8"))
            values |= {"name": name, "version": version}
            manifest.write_text(json.dumps(values, indent=1, allow_nan=False) + "\n", encoding="utf-8")
            scratch.chmod(0o755)
            if not folder.is_dir():
                scratch.replace(folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return folder


@contextmanager
def _mlflow_quiet() -> Iterator[None]:
    """Leave out what MLflow 3.17 warns of in its own code.

    A loader that SQLAlchemy 2.1 deprecates, its type hints, and Prefect's column types where both are in one process.
    """
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The ``noload`` loader strategy")
        warnings.filterwarnings("ignore", message="Type object .* does not refer to an OperatorClass")
        warnings.filterwarnings("ignore", message=".*Any type hint is inferred as AnyType")
        yield


def _aliased(client: Any, name: str, alias: str) -> Any:
    """The version behind an alias, or None where the model or the alias does not exist."""
    found = client.search_registered_models(f"name = '{name}'")
    if not found or alias not in found[0].aliases:
        return None
    return client.get_model_version_by_alias(name, alias)


def _version(mlflow: Any, client: Any, name: str, version: str) -> Any:
    try:
        return client.get_model_version(name, version)
    except mlflow.exceptions.MlflowException as error:
        # A number that is none, such as "newest", is an invalid value to MLflow.
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise NotFoundError(
            f"Model '{name}' has no version {version}", next_step="look at its versions: salience models list"
        ) from error


def _run_tags(name: str, training: TrainingResult) -> dict[str, str]:
    tags = {
        "task": training.task,
        "fingerprint": training.fingerprint,
        "mlflow.runName": f"{name} {training.fingerprint[:8]}",
    }
    if training.feature_service:
        tags["feature_service"] = training.feature_service
    return {**tags, **training.tags}


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items() if math.isfinite(value)}


def _log_figures(client: Any, run_id: str, training: TrainingResult) -> None:
    from mlflow.entities import Metric, Param

    figures = _finite(training.metrics)
    for baseline, metrics in training.baselines.items():
        figures |= {f"baseline_{baseline}_{name}": value for name, value in _finite(metrics).items()}
    now_ms = _now_ms()
    logged = [Metric(name, value, now_ms, 0) for name, value in figures.items()]
    params = [Param(name, str(value)[:_PARAM_LENGTH]) for name, value in training.params.items()]
    client.log_batch(run_id, metrics=logged, params=params)


def _now_ms() -> int:
    import time

    return time.time_ns() // 1_000_000


def _log_frame(client: Any, run_id: str, name: str, training: TrainingResult) -> None:
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.entities import DatasetInput, InputTag

    source = CodeDatasetSource(tags={key: str(value) for key, value in training.frame.items()})
    dataset = MetaDataset(source, name=f"{name} frame", digest=training.fingerprint[:36])
    entity = dataset._to_mlflow_entity()
    client.log_inputs(run_id, [DatasetInput(entity, [InputTag("mlflow.data.context", "training")])])
    client.log_dict(run_id, dict(training.frame), "frame.json")


def _signature(mlflow: Any, training: TrainingResult) -> tuple[Any, Any]:
    if training.input_example is None or training.output_example is None:
        return None, None
    import pandas as pd

    example = pd.DataFrame({name: list(values) for name, values in training.input_example.items()})
    answer = pd.DataFrame({name: list(values) for name, values in training.output_example.items()})
    return mlflow.models.infer_signature(example, answer), example


def _requirements() -> list[str]:
    """Exact versions of what loading a bundle needs, as installed here."""
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for package in _PACKAGES:
        try:
            found.append(f"{package}=={version(package)}")
        except PackageNotFoundError:
            continue
    return found
