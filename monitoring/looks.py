"""One look at a model: every check as known at the window's end, kept as a file, made once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from common.clock import parse_moment, utc
from common.settings import Settings
from common.workspace import Workspace
from monitoring.checks import Check, State, unknown
from monitoring.columns import PREDICTION
from monitoring.drift import DriftReport, report_drift
from monitoring.drift_checks import drift_checks
from monitoring.estimating import estimate_quality
from monitoring.forecasts import check_forecasts
from monitoring.gathering import Material, gather
from monitoring.look import Look, look_id
from monitoring.outcomes import by_month, check_outcomes, spans
from monitoring.pace import LENGTHS, MOST_WEEKS, check_pace, split_weeks, weekly_pace
from monitoring.predecessor import beside_predecessor, champion_before
from monitoring.refreshing import refresh_facts
from monitoring.retraining import Policy
from monitoring.rolling import FEWEST_OUTCOMES
from monitoring.serving_log import check_serving
from monitoring.windows import split_features
from training.splits import instant

if TYPE_CHECKING:
    from features.repository import FeatureRepository
    from training.registry import ModelRegistry
    from warehouse.sources import Source
    from warehouse.store import Warehouse

Progress = Callable[[str, int, int], None]
CLASSIFIERS = ("lead", "deal")
TASKS = (*CLASSIFIERS, "forecast")
# A loss of this much AUC before labels are in is worth a line on the page.
_AUC_LOSS = 0.05


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a look needs of the platform."""

    settings: Settings
    workspace: Workspace
    source: Source
    warehouse: Warehouse
    repository: FeatureRepository
    registry: ModelRegistry
    policy: Policy


def look_at(
    parts: Parts, *, task: str, end: datetime, with_evidently: bool = True, progress: Progress | None = None
) -> Look:
    """Look at a task's champion as of a moment; nothing known later is used.

    Args:
        parts: The platform.
        task: lead, deal or forecast.
        end: End of the current window, UTC.
        with_evidently: Whether Evidently makes its page and keeps the run.
        progress: Told what is being done.

    Raises:
        NotFoundError: if the task has no champion.
        InputError: if the source does not feed the task.
    """
    if task == "forecast":
        return _look_at_forecast(parts, end=utc(end))
    material = gather(
        parts.repository,
        parts.warehouse,
        parts.registry,
        parts.source,
        task=task,
        at=end,
        settings=parts.settings,
        progress=progress,
    )
    seed = parts.settings.training.seed
    report = drift_of(material, workspace=parts.workspace, seed=seed, with_evidently=with_evidently, progress=progress)
    checks = [
        *drift_checks(report),
        _estimated(parts, material),
        _pace(parts, material),
        *_outcomes(parts, material),
        data_quality(parts, end=material.end),
        *_serving(parts, material),
    ]
    return Look(
        look_id=look_id(material.champion.name, material.champion.version, material.end),
        task=task,
        model=material.champion.name,
        version=material.champion.version,
        window=material.windows.current,
        checks=tuple(checks),
        report=str(report.page),
        facts=_facts(material, report, parts) | refresh_facts(material, parts.workspace),
    )


def drift_of(
    material: Material,
    *,
    workspace: Workspace,
    seed: int,
    with_evidently: bool = True,
    recorded: bool = False,
    progress: Progress | None = None,
) -> DriftReport:
    """The drift report of what was gathered; see `monitoring.drift.report_drift`."""
    compared, left_out = split_features(material.scorer.manifest.features)
    return report_drift(
        material.reference,
        material.current,
        features=compared,
        task=material.task,
        workspace=workspace,
        window=material.windows.current,
        reference_window=material.windows.reference,
        stretch=material.windows.stretch,
        model_version=material.champion.version,
        seed=seed,
        importance={entry.name: entry.importance for entry in material.scorer.manifest.features},
        labelled=material.labelled(),
        score=material.score,
        worth=material.worth,
        entity=material.key,
        not_compared=left_out,
        with_evidently=with_evidently,
        recorded=recorded,
        progress=progress,
    )


def _estimated(parts: Parts, material: Material) -> Check:
    """Quality of the current answers before their labels are in, beside what was measured."""
    answers = np.asarray(material.current[PREDICTION].to_numpy(zero_copy_only=False), dtype=np.float64)
    if len(answers) < 2 * FEWEST_OUTCOMES:
        return unknown("estimated quality", f"{len(answers)} answers are too few for an estimate.")
    compared = {entry.name for entry in split_features(material.scorer.manifest.features)[0]}
    columns = {name: values for name, values in material.columns(material.current).items() if name in compared}
    estimate = estimate_quality(answers, material.labelled(), columns=columns, seed=parts.settings.training.seed)
    auc, rate = estimate.figures["auc"], estimate.figures["outcome_rate"]
    proven = material.scorer.manifest.metrics.get("auc")
    figures: dict[str, Any] = {
        name: [metric.value, metric.low, metric.high] for name, metric in estimate.figures.items()
    }
    figures |= {"rows": estimate.rows, "labelled_rows": estimate.labelled_rows, "proven_auc": proven}
    figures |= {"earlier_windows": estimate.windows, "is_a_guess": estimate.is_a_guess}
    lost = proven is not None and auc.high is not None and auc.high < proven - _AUC_LOSS
    says = f"Expected AUC {spans(auc)}, outcome rate {rate.value:.1%}. {estimate.caveat}"
    return Check(
        name="estimated quality",
        # An estimate that cannot be trusted is no all-clear.
        state=State.NOTICE if lost or estimate.is_a_guess else State.OK,
        says=says,
        cause="expected AUC",
        figures={name: value for name, value in figures.items() if value is not None},
    )


def _pace(parts: Parts, material: Material) -> Check:
    learned_until = parse_moment(material.scorer.manifest.trained_until)
    since = max(0, (material.end - learned_until).days // 7)
    weeks = weekly_pace(
        parts.warehouse, task=material.task, end=material.end, most=MOST_WEEKS + max(since + 1, *LENGTHS)
    )
    past, newest = split_weeks(weeks, end=material.end, learned_until=learned_until)
    return check_pace(past, newest, things=f"{material.task}s")


def _outcomes(parts: Parts, material: Material) -> list[Check]:
    length = material.windows.current[1] - material.windows.current[0]
    return check_outcomes(
        material.matured(),
        newest_from=material.end - material.horizon - length,
        length=length,
        least_share=parts.policy.least_cost_share,
        seed=parts.settings.training.seed,
        worth=material.worth,
    )


def data_quality(parts: Parts, *, end: datetime) -> Check:
    """Score of the warehouse's quality report as known at a moment."""
    from warehouse.quality import assess_quality

    report = assess_quality(parts.warehouse, as_of=end)
    if report.score is None:
        return unknown("data quality", report.verdict)
    least = parts.policy.trust.least_data_quality
    worst = [finding for finding in report.findings if finding.severity == "high"]
    figures = {"score": report.score, "least": least, "findings": [f"{f.table}: {f.what}" for f in worst[:5]]}
    says = f"Score {report.score:.0f} of 100; {least:g} are needed." + (f" {worst[0].what}" if worst else "")
    state = State.OK if report.score >= least else State.FAILS
    return Check(name="data quality", state=state, says=says, cause="quality score", figures=figures)


def _serving(parts: Parts, material: Material) -> list[Check]:
    return check_serving(
        parts.workspace,
        material.task,
        champion=material.champion.version,
        repository=parts.repository,
        warehouse=parts.warehouse,
        service=material.scorer.manifest.feature_service,
        # The services score by the clock on the wall.
        since=datetime.now(UTC) - timedelta(days=parts.policy.every_days),
        until=datetime.now(UTC),
        policy=parts.policy,
        seed=parts.settings.training.seed,
    )


def _facts(material: Material, report: DriftReport, parts: Parts) -> dict[str, Any]:
    seed, known = parts.settings.training.seed, ~np.isnan(material.label)
    before = champion_before(parts.registry, material.champion)
    # Of a recalibrated model, rows of earlier months are at hand too; they are no measure of it.
    own = material.as_of > instant(
        min(parse_moment(material.scorer.manifest.trained_until), material.windows.current[0])
    )
    months = (values[own] for values in (material.as_of, material.label, material.probability, material.entity))
    return {
        "new_labels": len(set(material.entity[known].tolist())),
        "rows": material.current.num_rows,
        "trained_until": material.scorer.manifest.trained_until,
        "drift_verdict": str(report.verdict),
        "evidently": str(report.evidently_page) if report.evidently_page else None,
        "advantage": report.decision.inputs.get("advantage"),
        "months": by_month(*months, seed=seed),
        "predecessor": None if before is None else beside_predecessor(material, before, seed=seed),
    }


def _look_at_forecast(parts: Parts, *, end: datetime) -> Look:
    from common.errors import NotFoundError

    name = parts.workspace.model_name("forecast")
    champion = parts.registry.champion(name)
    if champion is None:
        raise NotFoundError(
            f"No champion of '{name}'", next_step=f"salience train forecast --source {parts.workspace.name}"
        )
    checks = [
        *check_forecasts(
            parts.workspace.forecasts,
            parts.warehouse,
            bundle=champion.bundle,
            until=end,
            least_share=parts.policy.least_cost_share,
        ),
        data_quality(parts, end=end),
    ]
    return Look(
        look_id=look_id(champion.name, champion.version, end),
        task="forecast",
        model=champion.name,
        version=champion.version,
        window=(end - timedelta(days=parts.policy.every_days), end),
        checks=tuple(checks),
        facts={"new_labels": None},
    )
