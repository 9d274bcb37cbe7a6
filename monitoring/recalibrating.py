"""The champion brought to the newest outcomes: what is offered where the gate keeps a retrained challenger out.

A retrained model sees a new regime late: it is tested on the newest rows and learns from rows whose labels were mature
before those, so with a horizon of 90 days most of what it learned came before the change. Where the level of the
outcomes has moved, and not what they hang on, a champion whose calibration is fitted anew on the newest mature labels
follows within months. The gate judges it on the newest leads of all, which it has not learned from (docs/adr/0033).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from common.errors import NotFoundError
from monitoring.acting import record_retraining
from monitoring.gathering import Material, gather
from training.bundle import grade_thresholds, probability_bands, write_reference
from training.calibration import Calibration, choose_calibration
from training.evaluation import evaluate
from training.manifest import Manifest
from training.model_hash import RECORD_FILE, model_hash
from training.models import load_model
from training.promotion import Holdout, decide
from training.promotion_log import Decision
from training.record import TrainingRecord
from training.results import Metric, RegisteredModel, TrainingResult, flatten
from training.scorer import Scorer
from training.splits import MIN_SLICE_OUTCOMES, moment_of

if TYPE_CHECKING:
    from monitoring.looks import Parts

Vector = NDArray[np.float64]
Rows = NDArray[np.int64]

# Leads of the rarer outcome that judge, at most. More of them see a smaller error of the level, but leave fewer of the
# newest to learn from: where the level fell to 0.4 in odds, a hundred reached back beyond the change for most of a
# year, and what was offered had learned nothing of it (docs/adr/0036). Where fewer are known, half of them judge.
MOST_JUDGING = 50
# Leads of either outcome that each side must hold.
LEAST_OUTCOMES = MIN_SLICE_OUTCOMES
_EXAMPLE_ROWS = 3
# A deal's answer has a level for every month ahead: one shift does not mend it.
RECALIBRATED = ("lead",)


@dataclass(frozen=True, kw_only=True)
class Division:
    """Mature rows that the champion has not learned from, in two parts.

    Args:
        learned: Rows that the calibration is fitted on, oldest first.
        judged: Rows of the newest leads, which the gate judges on; no lead of theirs is in `learned`.
    """

    learned: Rows
    judged: Rows


@dataclass(frozen=True, kw_only=True)
class Recalibrated:
    """What came of offering a recalibrated champion.

    Args:
        model: The version that was registered.
        decision: What the gate said.
        learned_until: Newest moment of the rows that the calibration learned from, UTC.
    """

    model: RegisteredModel
    decision: Decision
    learned_until: datetime


def divide(as_of: NDArray[np.datetime64], entity: NDArray[np.object_], label: Vector) -> Division | None:
    """Which mature rows the calibration learns from, and which judge it.

    Args:
        as_of: Moment of each row.
        entity: Lead of each row.
        label: 0 or 1; NaN where it is not mature.

    Leads go to one side by the moment they were first seen, whatever became of them. (Dropping those that are on both
    sides would do otherwise: of the leads just before, those that are still open would be missing, and the rest
    converts twice as often.)

    Returns:
        The newest leads that hold half of the rarer outcome judge (at most `MOST_JUDGING` of it), all others are
        learned from; None where either part would have too few of either outcome.
    """
    _, lead = np.unique(entity.astype(str), return_inverse=True)
    first = np.full(lead.max(initial=-1) + 1, np.datetime64("9999-01-01", "us"))
    np.minimum.at(first, lead, as_of)
    rarer = min((np.unique(lead[label == outcome]) for outcome in (0.0, 1.0)), key=len)
    judging = min(MOST_JUDGING, len(rarer) // 2)
    if judging < LEAST_OUTCOMES:
        return None
    begin = np.sort(first[rarer])[-judging].astype("datetime64[D]")
    known = np.flatnonzero(~np.isnan(label))
    known = known[np.argsort(as_of[known], kind="stable")]
    is_judged = first[lead[known]] >= begin
    learned, judged = known[~is_judged], known[is_judged]
    for side in (learned, judged):
        if any(len(np.unique(lead[side[label[side] == outcome]])) < LEAST_OUTCOMES for outcome in (0.0, 1.0)):
            return None
    return Division(learned=learned, judged=judged)


def offer_recalibrated(parts: Parts, *, task: str, look_id: str | None, at: datetime) -> dict[str, Any] | None:
    """Recalibrate the champion on what was known at a moment, put it before the gate, and record what came of it.

    Args:
        parts: The platform.
        task: lead, deal or forecast.
        look_id: Look that asked for a retraining.
        at: The present of the data, UTC.

    Returns:
        `model`, `version`, `promoted`, `reason` and `report`, as a retraining's outcome; None where the champion cannot
        be recalibrated: it is no lead model, a scorecard of somebody's own, or too few outcomes are known.
    """
    if task not in RECALIBRATED:
        return None
    material = gather(
        parts.repository, parts.warehouse, parts.registry, parts.source, task=task, at=at, settings=parts.settings
    )
    made = recalibrate(material, parts)
    if made is None:
        return None
    outcome = {
        "model": made.model.name,
        "version": made.model.version,
        "recalibrated_from": material.champion.version,
        "promoted": made.decision.promoted,
        "reason": f"version {material.champion.version} recalibrated on outcomes of leads scored until "
        f"{made.learned_until:%Y-%m-%d}: {made.decision.reason}",
        "report": "",
    }
    record_retraining(parts.workspace, look_id=look_id, task=task, outcome=outcome, data_time=at)
    return outcome


def recalibrate(material: Material, parts: Parts) -> Recalibrated | None:
    """A new version: the champion with a calibration fitted on the newest mature labels; judged by the gate."""
    division = divide(material.as_of, material.entity, material.label)
    if division is None or _is_scorecard(material.champion):
        return None
    columns = material.columns(material.recent)
    manifest, champion = material.scorer.manifest, material.champion
    margin = load_model(manifest.library, champion.bundle).margin(material.scorer.encode(_plain(columns)), threads=2)
    calibration, _ = choose_calibration(margin[division.learned], material.label[division.learned])
    seed = parts.settings.training.seed
    with tempfile.TemporaryDirectory(prefix="salience-recalibration-") as scratch:
        folder = Path(scratch) / "bundle"
        shutil.copytree(champion.bundle, folder)
        # It says how the champion was trained; repeating that would not give this version.
        (folder / RECORD_FILE).unlink(missing_ok=True)
        changed, metrics = _manifest(material, division, calibration, margin, seed=seed)
        changed.write(folder)
        judged = {name: values[division.judged] for name, values in columns.items()}
        write_reference(
            folder, Scorer.load(folder), columns=_plain(judged), as_of=material.as_of[division.judged], seed=seed
        )
        result = _result(material, division, folder, changed, metrics, judged, source=parts.source.name)
        registered = parts.registry.log(champion.name, result)
    holdout = Holdout(
        columns=_plain(judged),
        label=material.label[division.judged],
        entity=material.entity[division.judged],
        base_rate=float(material.label[division.learned].mean()),
        until=moment_of(material.as_of[division.judged].max()).isoformat(),
        as_of=material.as_of[division.judged],
        horizon_days=manifest.horizon_days,
    )
    decision = decide(registered, holdout, registry=parts.registry, seed=seed, limits=parts.settings.gate)
    until = moment_of(material.as_of[division.learned].max())
    return Recalibrated(model=registered, decision=decision, learned_until=until)


def _plain(columns: Mapping[str, NDArray[np.generic]]) -> dict[str, Any]:
    """Columns as the scorer takes them."""
    return dict(columns)


def _is_scorecard(champion: RegisteredModel) -> bool:
    """Whether somebody made the champion up: what they wrote is theirs to change."""
    try:
        return TrainingRecord.read(champion.bundle).scoring is not None
    except NotFoundError:
        return False


def _manifest(
    material: Material, division: Division, calibration: Calibration, margin: Vector, *, seed: int
) -> tuple[Manifest, Mapping[str, Metric]]:
    """What the new version says of itself, and its figures on the rows that judge it."""
    manifest, label = material.scorer.manifest, material.label
    probability = calibration.apply(margin)
    entity = material.entity[division.judged]
    rate = float(label[division.learned].mean())
    metrics = evaluate(label[division.judged], probability[division.judged], entity=entity, seed=seed)
    const = evaluate(label[division.judged], np.full(len(entity), rate), entity=entity, seed=seed)
    everything = np.concatenate([division.learned, division.judged])
    newest_rate = float(np.clip(probability[division.judged].mean(), 0.001, 0.999))
    ranks = tuple(np.quantile(probability[everything], np.linspace(0, 1, 101)).tolist())
    changed = replace(
        manifest,
        version="unregistered",
        trained_at=datetime.now(UTC).isoformat(timespec="seconds"),
        trained_until=moment_of(material.as_of[division.learned].max()).isoformat(),
        calibration=calibration.to_dict(),
        thresholds=grade_thresholds(manifest.task, newest_rate),
        quantiles={**manifest.quantiles, "probability": ranks},
        bands=probability_bands(label[division.judged], probability[division.judged], entity),
        metrics=_finite(metrics),
        baselines={"const": _finite(const)},
    )
    return changed, metrics


def _finite(metrics: Mapping[str, Metric]) -> dict[str, float]:
    return {name: value for name, value in flatten(metrics).items() if np.isfinite(value)}


def _result(
    material: Material,
    division: Division,
    folder: Path,
    manifest: Manifest,
    metrics: Mapping[str, Metric],
    judged: Mapping[str, NDArray[np.generic]],
    *,
    source: str,
) -> TrainingResult:
    """What the registry keeps of the new version."""
    scorer, champion = Scorer.load(folder), material.champion
    example = {name: list(judged[name][:_EXAMPLE_ROWS]) for name in manifest.feature_names}
    answers = scorer.probability(scorer.encode(example))
    return TrainingResult(
        task=material.task,
        folder=folder,
        loader_module="training.scorer",
        params={
            "library": manifest.library,
            "calibration": str(manifest.calibration["method"]),
            "recalibrated_from": champion.version,
            "horizon_days": manifest.horizon_days,
        },
        metrics=flatten(metrics),
        baselines=manifest.baselines,
        fingerprint=manifest.fingerprint,
        frame={
            "feature_service": manifest.feature_service,
            "past_rows": len(division.learned),
            "test_rows": len(division.judged),
            "cut": material.end.isoformat(),
            "horizon_days": manifest.horizon_days,
        },
        features=manifest.feature_names,
        feature_service=manifest.feature_service,
        input_example=example,
        output_example={"probability": answers.tolist()},
        tags={"model_hash": model_hash(folder), "source": source, "recalibrated_from": champion.version},
    )
