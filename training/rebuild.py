"""A training repeated from its record: the same tables, the same rows, the same parameters; is it the same model?"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from common.clock import utc
from common.code_version import code_digest, library_versions
from common.errors import InputError
from common.settings import Settings
from common.workspace import Workspace
from training.deal import deal_recipe
from training.lead import lead_recipe
from training.model_hash import model_hash
from training.probes.acceptance import Acceptance
from training.recipe import Context, Recipe
from training.record import CODE_FOLDERS, TrainingRecord, study_from_record
from training.results import RegisteredModel
from training.scoring.scoring_file import ScoringFile
from training.study import Progress
from training.train import develop_model, training_rows
from training.writing import make_bundle
from warehouse.earlier import warehouse_at

if TYPE_CHECKING:
    from training.frame import Frame, Partition
    from warehouse.sources import Source
    from warehouse.store import Warehouse

RECIPES: Mapping[str, Callable[..., Recipe]] = {"lead": lead_recipe, "deal": deal_recipe}


@dataclass(frozen=True, kw_only=True)
class Rebuilt:
    """What came of repeating a training.

    Args:
        version: The version that was repeated.
        is_same: Whether the new model is the old one, bit for bit.
        recorded_hash: The old model's hash.
        model_hash: The new one's.
        differences: What differs from the record, in words; may name other code or libraries of an equal model.
    """

    version: str
    is_same: bool
    recorded_hash: str
    model_hash: str
    differences: tuple[str, ...]


def rebuild(
    model: RegisteredModel,
    warehouse: Warehouse,
    source: Source,
    *,
    workspace: Workspace,
    settings: Settings,
    progress: Progress | None = None,
) -> Rebuilt:
    """Make a version again from its record, beside the real workspace, and compare.

    Args:
        model: The version.
        warehouse: The history; it is read as of the versions that the training read.
        source: The source of the workspace.
        workspace: The workspace that the version belongs to.
        settings: The process's settings; seed and threads are the record's.
        progress: Told (what, done, total).

    Raises:
        NotFoundError: if the version has no record, or a table's version is not known any more.
        ContractError: if a table's version cannot be read any more.
        InputError: if the record is another workspace's or source's.
    """
    record = TrainingRecord.read(model.bundle)
    if (record.workspace, record.source) != (workspace.name, source.name):
        raise InputError(
            f"Version {model.version} of '{model.name}' was trained in another workspace",
            expected=f"workspace {record.workspace} with source {record.source}",
            got=f"{workspace.name} with {source.name}",
            next_step=f"give --source {record.workspace}",
        )
    with tempfile.TemporaryDirectory(prefix="salience-rebuild-") as scratch:
        folder = Path(scratch)
        earlier = warehouse_at(warehouse, record.warehouse_versions, folder=folder / "warehouse")
        context = _context(record, model, source, settings, folder, progress)
        frame, partition = _rows(context, record, earlier, Workspace(workspace.name, folder / "home"), settings)
        developed = develop_model(context, frame, partition)
        bundle, _ = make_bundle(context, frame, partition, developed, folder)
        made = model_hash(bundle)
        differences = _differences(record, frame, partition, developed.fingerprint, earlier)
    is_same = made == record.model_hash
    if not is_same and not differences:
        differences = ("nothing that the record tells: the same frame, seed, code and libraries made another model",)
    return Rebuilt(
        version=model.version,
        is_same=is_same,
        recorded_hash=record.model_hash,
        model_hash=made,
        differences=differences,
    )


def _context(
    record: TrainingRecord,
    model: RegisteredModel,
    source: Source,
    settings: Settings,
    folder: Path,
    progress: Progress | None,
) -> Context:
    scoring = None if record.scoring is None else ScoringFile.model_validate(record.scoring)
    training = settings.training.model_copy(update={"seed": record.seed, "threads": record.threads})
    return Context(
        recipe=RECIPES[record.task](source, horizon_days=record.horizon_days, scoring=scoring),
        settings=settings.model_copy(update={"training": training}),
        name=model.name,
        workspace=record.workspace,
        cut=utc(datetime.fromisoformat(record.cut)),
        journal=folder / "study.journal",
        trials=0,
        accepted={name: Acceptance(feature=name, who="the record", when="", why="") for name in record.accepted},
        progress=progress,
        settled=study_from_record(record.study),
    )


def _rows(
    context: Context, record: TrainingRecord, earlier: Warehouse, workspace: Workspace, settings: Settings
) -> tuple[Frame, Partition]:
    """The frame on the earlier tables, with the features of then."""
    from features.repository import FeatureRepository

    repository = FeatureRepository(workspace, earlier, settings.online_store)
    repository.apply()
    frame, partition, _ = training_rows(context, repository, earlier)
    known = {spec.name: spec for spec in frame.specs}
    specs = tuple(known[name] for name in record.features if name in known)
    return replace(frame, specs=specs), partition


def _differences(
    record: TrainingRecord, frame: Frame, partition: Partition, fingerprint: str, earlier: Warehouse
) -> tuple[str, ...]:
    found = []
    lost = sorted(set(record.features) - {spec.name for spec in frame.specs})
    if lost:
        found.append(f"features that there are no more: {', '.join(lost)}")
    if earlier.fingerprint() != record.warehouse_fingerprint:
        found.append("the rows of the warehouse's tables")
    rows = {"frame": frame.rows, "past": len(partition.past), "test": len(partition.test)}
    found += [
        f"{name} rows: {record.rows[name]} then, {count} now"
        for name, count in rows.items()
        if count != record.rows[name]
    ]
    if partition.moment.isoformat() != record.moment:
        found.append(f"the split: {record.moment} then, {partition.moment.isoformat()} now")
    if fingerprint != record.fingerprint:
        found.append("the values that the model learned from")
    code = code_digest(CODE_FOLDERS)
    if code != record.code:
        found.append(f"the code: {record.commit or record.code} then")
    now = library_versions(record.libraries)
    found += [
        f"{name}: {held} then, {now.get(name, 'not installed')} now"
        for name, held in record.libraries.items()
        if now.get(name) != held
    ]
    return tuple(found)
