"""Training where too few deals have ended for a model: shrunken stage rates, registered and told for what they are.

Nothing can be judged on so few outcomes, so the gate stays shut, and says so; `training.deals.asking` answers with the
rates as long as nothing else has passed the gate.
"""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from common.errors import TooLittleDataError
from common.whole_files import write_whole
from training.bundle import describe_features, grade_thresholds, probability_bands, write_bundle
from training.calibration import Calibration
from training.deals.amounts import learn_amounts
from training.deals.develop import encode_rows
from training.deals.facts import DealFacts
from training.deals.outcomes import Outcomes
from training.deals.periods import expand
from training.deals.rates import STAGE, fit_rates
from training.frame import Frame, fingerprint, fit_entries, make_frame
from training.gate.verdict import refused
from training.manifest import Manifest
from training.promotion import put_to_gate
from training.results import TrainingOutcome, TrainingResult
from training.splits import MIN_TRAIN_OUTCOMES, instant, moment_of

if TYPE_CHECKING:
    from features.repository import FeatureRepository
    from training.recipe import Context
    from training.registry import ModelRegistry
    from warehouse.store import Warehouse

_LEAST_ROWS = 20
_EXPLAINED_ROWS = 200


def train_stage_rates(
    context: Context,
    repository: FeatureRepository,
    warehouse: Warehouse,
    registry: ModelRegistry,
    *,
    because: TooLittleDataError,
) -> TrainingOutcome:
    """Register shrunken stage rates in the place of a model.

    Args:
        context: What every step of the training needs.
        repository: Features.
        warehouse: The history.
        registry: Where the rates go.
        because: Why there is no model.

    Raises:
        TooLittleDataError: if not one deal has ended; then there is nothing to learn from at all.
        UnavailableError: if the registry cannot be reached.
    """
    frame, rows, outcomes = _frame(context, repository, warehouse, because)
    won, lost = (len(_deals(frame.entity[rows[outcomes.won == value]])) for value in (1.0, 0.0))
    words = (
        f"Only {won} won and {lost} lost deals are known, and {MIN_TRAIN_OUTCOMES} of each are needed for a model: "
        "these are shrunken stage rates"
    )
    with tempfile.TemporaryDirectory(prefix="salience-training-") as scratch:
        folder = Path(scratch)
        manifest = _write(context, frame, rows, outcomes, folder / "bundle")
        registered = registry.log(context.name, _result(context, rows, manifest, folder, words=words))
        report = repository.workspace.reports / "deal" / f"training-{registered.version}.html"
        report.parent.mkdir(parents=True, exist_ok=True)
        write_whole(report, _page(context.name, registered.version, words))
    decision = put_to_gate(registered, lambda _champion: refused(words), registry=registry)
    return TrainingOutcome(
        task="deal",
        name=context.name,
        version=registered.version,
        run_id=registered.run_id,
        metrics={},
        baselines={},
        protocols={},
        decision=decision,
        bundle=registered.bundle,
        report=report,
        warnings=(words,),
    )


def _frame(
    context: Context, repository: FeatureRepository, warehouse: Warehouse, because: TooLittleDataError
) -> tuple[Frame, NDArray[np.int64], Outcomes]:
    """The frame, the snapshots that teach something, and how their deals ended."""
    recipe = context.recipe
    spine = recipe.spine(warehouse, context.cut)
    if spine.num_rows == 0:
        raise because
    repository.build(recipe.feature_service, spine, progress=context.progress)
    table = repository.training_frame(recipe.feature_service, spine)
    frame = make_frame(
        table,
        warehouse,
        outcome=recipe.outcome,
        specs=tuple(
            feature
            for view in repository.views(recipe.feature_service)
            for feature in view.features
            if feature.name in (STAGE, "amount_usd", "count_amount_changes", "days_to_close_date", "deal_age_days")
        ),
        horizon_days=recipe.horizon_days,
        cut=context.cut,
    )
    if frame.outcomes_at is None:
        raise because
    known = frame.outcomes_at(context.cut)
    rows = np.flatnonzero(~known.is_decided & (frame.as_of < instant(context.cut)))
    outcomes = known.take(rows)
    if np.isnan(outcomes.won).all():
        raise because
    return frame, rows, outcomes


def _deals(entity: NDArray[np.object_]) -> set[str]:
    return set(entity.astype(str).tolist())


def _write(context: Context, frame: Frame, rows: NDArray[np.int64], outcomes: Outcomes, folder: Path) -> Manifest:
    ended = ~np.isnan(outcomes.won)
    entries = fit_entries(frame, rows[ended], outcomes.won[ended])
    matrix = encode_rows(frame, entries, rows)
    columns = {name: values[rows] for name, values in frame.columns.items()}
    amounts = learn_amounts(columns, entity=frame.entity[rows], won=outcomes.won, final_usd=outcomes.final_usd)
    rates = fit_rates(matrix, expand(outcomes), entries, entity=frame.entity[rows])
    model = rates.with_facts(DealFacts(amounts=amounts))
    shown = matrix[-_EXPLAINED_ROWS:]
    contributions = model.contributions(shown)[:, :-1]
    label = np.nan_to_num(outcomes.won, nan=0.0)
    base_rate = float(np.clip(outcomes.won[ended].mean(), 0.01, 0.99))
    probability = model.futures(matrix).won_ever
    manifest = Manifest(
        task="deal",
        name=context.name,
        version="unregistered",
        feature_service=context.recipe.feature_service,
        features=describe_features(entries, matrix, label, explained=shown, contributions=contributions),
        library=model.library,
        horizon_days=context.recipe.horizon_days,
        base_rate=base_rate,
        trained_at=datetime.now(UTC).isoformat(timespec="seconds"),
        trained_until=moment_of(frame.as_of[rows].max()).isoformat(),
        calibration=Calibration().to_dict(),
        thresholds=grade_thresholds("deal", base_rate),
        quantiles={"probability": tuple(np.quantile(probability, np.linspace(0, 1, 101)).tolist())},
        bands=probability_bands(label[ended], probability[ended], frame.entity[rows][ended]),
        fingerprint=fingerprint(matrix, label, frame.as_of[rows], about="stage rates"),
    )
    written = {entry.name: columns[entry.name] for entry in entries}
    scorer = write_bundle(
        folder,
        manifest,
        model,
        columns=written,
        as_of=frame.as_of[rows],
        explained=shown,
        contributions=contributions,
        seed=context.settings.training.seed,
    )
    return scorer.manifest


def _result(
    context: Context, rows: NDArray[np.int64], manifest: Manifest, folder: Path, *, words: str
) -> TrainingResult:
    return TrainingResult(
        task="deal",
        folder=folder / "bundle",
        loader_module="training.scorer",
        params={"library": "stage_rates", "horizon_days": context.recipe.horizon_days},
        metrics={},
        baselines={},
        fingerprint=manifest.fingerprint,
        frame={"workspace": context.workspace, "rows": len(rows), "cut": context.cut.isoformat(), "about": words},
        features=manifest.feature_names,
        feature_service=context.recipe.feature_service,
    )


def _page(name: str, version: str, words: str) -> str:
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        "<style>:root{color-scheme:light dark}body{font:1rem/1.5 system-ui;margin:2rem auto;max-width:40rem;"
        f"padding:0 1rem}}</style><title>{name} {version}</title></head>\n<body><h1>{name}, version {version}</h1>\n"
        f"<p>{words}.</p>\n<p>The gate stays shut: nothing can be judged on so few outcomes. "
        "<code>salience deal</code> and <code>salience deals</code> answer with these rates, and say so. Train again "
        "when more deals have ended.</p></body></html>\n"
    )
