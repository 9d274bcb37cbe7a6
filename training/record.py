"""The record of a training: everything it rested on, so that one command can make the same model again.

It lies in the bundle, beside the model, so that it goes wherever the model goes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.code_version import code_digest, git_commit, library_versions
from common.errors import ContractError, NotFoundError
from training.classifier import Developed
from training.frame import Frame, Partition
from training.model_hash import RECORD_FILE, model_hash
from training.recipe import Context
from training.search import Candidate
from training.study import StudyResult

if TYPE_CHECKING:
    from warehouse.store import Warehouse

CODE_FOLDERS = ("common", "warehouse", "features", "training")
_LIBRARIES = ("numpy", "pandas", "pyarrow", "scikit-learn", "lightgbm", "xgboost-cpu", "optuna", "duckdb", "deltalake")


@dataclass(frozen=True, kw_only=True)
class TrainingRecord:
    """What a training rested on and came to.

    Args:
        task: `lead` or `deal`.
        workspace: Workspace whose warehouse it read.
        source: Source whose protocol it followed.
        feature_service: Feature service of the model.
        horizon_days: Horizon of the labels.
        cut: Until when anything was known, ISO 8601 UTC.
        moment: Where past and test met, ISO 8601 UTC.
        split: How it was split, in words.
        warehouse_versions: Delta version of each table.
        warehouse_fingerprint: Digest of all rows.
        features: Features that the training might read, in order.
        rows: Rows of the frame, of the past and of the test.
        fingerprint: Digest of the past rows.
        seed: Seed of every draw.
        threads: Threads of the fits.
        study: What the study came to, without its trials.
        accepted: Fields that a person accepted in spite of the probes.
        scoring: The scoring file, where the model is somebody's own.
        model_hash: Digest of the model, see `training.model_hash`.
        code: Digest of the code that made it.
        commit: The checkout's commit; empty where there was none.
        libraries: Versions of what it was made with.
    """

    task: str
    workspace: str
    source: str
    feature_service: str
    horizon_days: int
    cut: str
    moment: str
    split: str
    warehouse_versions: Mapping[str, int]
    warehouse_fingerprint: str
    features: tuple[str, ...]
    rows: Mapping[str, int]
    fingerprint: str
    seed: int
    threads: int
    study: Mapping[str, Any]
    accepted: tuple[str, ...]
    scoring: Mapping[str, Any] | None
    model_hash: str
    code: str
    commit: str
    libraries: Mapping[str, str] = field(default_factory=dict)

    def tags(self) -> dict[str, str]:
        """What a run and a version are tagged with."""
        found = {"model_hash": self.model_hash, "code": self.code, "commit": self.commit, "source": self.source}
        return found | ({"scoring": str(self.scoring["name"])} if self.scoring else {})

    def write(self, bundle: Path) -> Path:
        """Write `record.json` into the bundle."""
        path = bundle / RECORD_FILE
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        return path

    @classmethod
    def read(cls, bundle: Path) -> TrainingRecord:
        """Read a bundle's record.

        Raises:
            NotFoundError: if it has none.
            ContractError: if it is of another form.
        """
        path = bundle / RECORD_FILE
        if not path.is_file():
            raise NotFoundError(
                f"{bundle} holds no {RECORD_FILE}, so the training cannot be repeated",
                next_step="only lead and deal models trained since records are kept have one; train anew",
            )
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            return cls(**{**values, "features": tuple(values["features"]), "accepted": tuple(values["accepted"])})
        except (ValueError, TypeError, KeyError) as error:
            raise ContractError(f"{path} is no record of a training", got=str(error)) from error


def training_record(
    context: Context,
    warehouse: Warehouse,
    frame: Frame,
    partition: Partition,
    developed: Developed,
    bundle: Path,
    *,
    source: str,
) -> TrainingRecord:
    """The record of a training whose bundle is written."""
    training, scoring = context.settings.training, context.recipe.scoring
    return TrainingRecord(
        task=context.recipe.task,
        workspace=context.workspace,
        source=source,
        feature_service=context.recipe.feature_service,
        horizon_days=context.recipe.horizon_days,
        cut=context.cut.isoformat(),
        moment=partition.moment.isoformat(),
        split=partition.about,
        warehouse_versions=warehouse.versions(),
        warehouse_fingerprint=warehouse.fingerprint(),
        features=tuple(spec.name for spec in frame.specs),
        rows={"frame": frame.rows, "past": len(partition.past), "test": len(partition.test)},
        fingerprint=developed.fingerprint,
        seed=training.seed,
        threads=training.threads,
        study=study_to_record(developed.study),
        accepted=tuple(sorted(context.accepted)),
        scoring=None if scoring is None else scoring.model_dump(mode="json"),
        model_hash=model_hash(bundle),
        code=code_digest(CODE_FOLDERS),
        commit=git_commit(),
        libraries=library_versions(_LIBRARIES),
    )


def study_to_record(study: StudyResult) -> dict[str, Any]:
    """A study's result as JSON values, without its trials."""
    values = {**asdict(study), "trials": []}
    return {name: None if value != value else value for name, value in values.items()}


def study_from_record(values: Mapping[str, Any]) -> StudyResult:
    """The study's result that `study_to_record` wrote."""
    best_of = tuple(Candidate(**candidate) for candidate in values.get("best_of", ()))
    return StudyResult(**{**values, "trials": (), "best_of": best_of})
