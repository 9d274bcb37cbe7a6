"""The champion brought to the newest outcomes: what is offered where the gate keeps a retrained challenger out.

A retrained model sees a new regime late: it is tested on the newest rows and learns from rows whose labels were mature
before those, so with a horizon of 90 days most of what it learned came before the change. Where the level of the
outcomes has moved, and not what they hang on, a champion whose level is brought to the newest mature labels follows
within months (docs/adr/0033).

All newest rows both teach and judge, and none at once: a lead is answered with the level as it was known when the lead
was first seen, and these answers are what the gate holds to the champion's (Dawid 1984, docs/adr/0040).
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

from common.clock import parse_moment
from common.errors import NotFoundError
from monitoring.acting import record_retraining
from monitoring.gathering import Material, gather
from monitoring.level import follow_level, shifted
from monitoring.promise import QUARTER
from training.bundle import grade_thresholds, probability_bands, write_reference
from training.calibration import Calibration, logit, sigmoid
from training.evaluation import evaluate
from training.manifest import Manifest
from training.model_hash import RECORD_FILE, model_hash
from training.promotion import Holdout, decide
from training.promotion_log import Decision
from training.record import TrainingRecord
from training.results import Metric, RegisteredModel, TrainingResult, flatten
from training.scorer import Scorer
from training.splits import MIN_SLICE_OUTCOMES, instant, moment_of

if TYPE_CHECKING:
    from monitoring.looks import Parts

Vector = NDArray[np.float64]
Rows = NDArray[np.int64]

# Leads of either outcome that must judge.
LEAST_OUTCOMES = MIN_SLICE_OUTCOMES
_EXAMPLE_ROWS = 3
# A deal's answer has a level for every month ahead: one shift does not mend it.
RECALIBRATED = ("lead",)


@dataclass(frozen=True, kw_only=True)
class Foretold:
    """What a champion whose level is followed would have answered, and where the level is now.

    Args:
        known: Rows with a mature label that teach the level, oldest first.
        judged: Those of leads that the champion has learned nothing from, which the gate judges on, oldest first.
        probability: What each judged row was answered, from rows before the lead's first week alone.
        level: What is to be added to the champion's log-odds now.
    """

    known: Rows
    judged: Rows
    probability: Vector
    level: float


@dataclass(frozen=True, kw_only=True)
class Recalibrated:
    """What came of offering a recalibrated champion.

    Args:
        model: The version that was registered.
        decision: What the gate said.
        learned_until: Newest moment of the rows that the level learned from, UTC.
    """

    model: RegisteredModel
    decision: Decision
    learned_until: datetime


def foretell(
    as_of: NDArray[np.datetime64],
    entity: NDArray[np.object_],
    label: Vector,
    probability: Vector,
    *,
    learned_until: np.datetime64,
) -> Foretold | None:
    """Follow the level of the champion's answers, and answer each lead by what was known when it came.

    Args:
        as_of: Moment of each row.
        entity: Lead of each row.
        label: 0 or 1; NaN where it is not mature.
        probability: What the champion answers.
        learned_until: Newest moment that the champion has learned from; leads first seen until then do not judge.

    A lead is answered as in the week when it was first seen, whatever its later rows: rows of one lead share its
    outcome. (Were those rows dropped, the leads that are open long would be missing.)

    Returns:
        None where too few leads of either outcome could judge.
    """
    known = np.flatnonzero(~np.isnan(label))
    known = known[np.argsort(as_of[known], kind="stable")]
    if not len(known):
        return None
    names, lead = np.unique(entity[known].astype(str), return_inverse=True)
    moment, came, margin = as_of[known], label[known], logit(probability[known])
    first = np.full(len(names), moment[-1])
    np.minimum.at(first, lead, moment)
    judges = first[lead] > learned_until
    if any(len(np.unique(lead[judges & (came == outcome)])) < LEAST_OUTCOMES for outcome in (0.0, 1.0)):
        return None
    levels = follow_level(margin, came, _weeks(moment, moment[0]), counts=len(names) / len(known))
    told = sigmoid(margin + levels[_weeks(first, moment[0])[lead]])
    return Foretold(known=known, judged=known[judges], probability=told[judges], level=float(levels[-1]))


def _weeks(moment: NDArray[np.datetime64], since: np.datetime64) -> Rows:
    return np.asarray((moment - since) // np.timedelta64(7, "D"), dtype=np.int64)


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
    """A new version: the champion with its level brought to the newest mature labels; judged by the gate."""
    manifest, champion = material.scorer.manifest, material.champion
    foretold = foretell(
        material.as_of,
        material.entity,
        material.known,
        material.probability,
        learned_until=instant(parse_moment(manifest.trained_until)),
    )
    if foretold is None or _is_scorecard(champion):
        return None
    seed, judged = parts.settings.training.seed, foretold.judged
    columns = {name: values[judged] for name, values in material.columns(material.recent).items()}
    with tempfile.TemporaryDirectory(prefix="salience-recalibration-") as scratch:
        folder = Path(scratch) / "bundle"
        shutil.copytree(champion.bundle, folder)
        # It says how the champion was trained; repeating that would not give this version.
        (folder / RECORD_FILE).unlink(missing_ok=True)
        changed, metrics = _manifest(material, foretold, seed=seed)
        changed.write(folder)
        write_reference(folder, Scorer.load(folder), columns=_plain(columns), as_of=material.as_of[judged], seed=seed)
        result = _result(material, foretold, folder, changed, metrics, columns, source=parts.source.name)
        registered = parts.registry.log(champion.name, result)
    holdout = Holdout(
        columns=_plain(columns),
        label=material.known[judged],
        entity=material.entity[judged],
        base_rate=float(material.known[foretold.known].mean()),
        until=moment_of(material.as_of[judged].max()).isoformat(),
        as_of=material.as_of[judged],
        horizon_days=manifest.horizon_days,
        foretold=foretold.probability,
    )
    decision = decide(registered, holdout, registry=parts.registry, seed=seed, limits=parts.settings.gate)
    until = moment_of(material.as_of[foretold.known].max())
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


def _manifest(material: Material, foretold: Foretold, *, seed: int) -> tuple[Manifest, Mapping[str, Metric]]:
    """What the new version says of itself, and the figures of what was foretold of the newest leads."""
    manifest, newest = material.scorer.manifest, _newest(material, foretold)
    rows, told = foretold.judged[newest], foretold.probability[newest]
    label, entity = material.known[rows], material.entity[rows]
    before = material.known[np.setdiff1d(foretold.known, rows)]
    rate = float(before.mean()) if len(before) else float(label.mean())
    probability = sigmoid(logit(material.probability) + foretold.level)
    metrics = evaluate(label, told, entity=entity, seed=seed)
    const = evaluate(label, np.full(len(label), rate), entity=entity, seed=seed)
    newest_rate = float(np.clip(probability[rows].mean(), 0.001, 0.999))
    ranks = tuple(np.quantile(probability[foretold.known], np.linspace(0, 1, 101)).tolist())
    changed = replace(
        manifest,
        version="unregistered",
        trained_at=datetime.now(UTC).isoformat(timespec="seconds"),
        trained_until=moment_of(material.as_of[foretold.known].max()).isoformat(),
        calibration=shifted(Calibration.from_dict(manifest.calibration), foretold.level).to_dict(),
        thresholds=grade_thresholds(manifest.task, newest_rate),
        quantiles={**manifest.quantiles, "probability": ranks},
        bands=probability_bands(label, told, entity),
        metrics=_finite(metrics),
        baselines={"const": _finite(const)},
    )
    return changed, metrics


def _newest(material: Material, foretold: Foretold) -> NDArray[np.bool_]:
    """Which of the judged rows are of the newest quarter; all where that has too few outcomes.

    Earlier ones were foretold before the level was known that the new version has, so they tell less of its worth.
    """
    moment, label = material.as_of[foretold.judged], material.known[foretold.judged]
    newest = np.asarray(moment > moment.max() - np.timedelta64(QUARTER, "us"), dtype=np.bool_)
    leads = (material.entity[foretold.judged][newest & (label == outcome)] for outcome in (0.0, 1.0))
    return newest if all(len(set(each.tolist())) >= LEAST_OUTCOMES for each in leads) else np.ones_like(newest)


def _finite(metrics: Mapping[str, Metric]) -> dict[str, float]:
    return {name: value for name, value in flatten(metrics).items() if np.isfinite(value)}


def _result(
    material: Material,
    foretold: Foretold,
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
            "past_rows": len(foretold.known),
            "test_rows": len(foretold.judged),
            "cut": material.end.isoformat(),
            "horizon_days": manifest.horizon_days,
        },
        features=manifest.feature_names,
        feature_service=manifest.feature_service,
        input_example=example,
        output_example={"probability": answers.tolist()},
        tags={"model_hash": model_hash(folder), "source": source, "recalibrated_from": champion.version},
    )
