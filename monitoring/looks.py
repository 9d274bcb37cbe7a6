"""One look at a model: every check as known at the window's end, kept as a file, made once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common.clock import parse_moment, utc
from common.settings import Settings
from common.whole_files import whole_file
from common.workspace import Workspace
from monitoring.checks import Check, State, unknown
from monitoring.columns import PREDICTION
from monitoring.drift import DriftReport, report_drift
from monitoring.estimating import estimate_quality
from monitoring.forecasts import check_forecasts
from monitoring.gathering import Material, gather
from monitoring.outcomes import by_month, check_outcomes, spans
from monitoring.pace import LENGTHS, MOST_WEEKS, check_pace, split_weeks, weekly_pace
from monitoring.retraining import Policy
from monitoring.rolling import FEWEST_OUTCOMES
from monitoring.serving_log import check_serving
from monitoring.windows import split_features

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
class Look:
    """What was seen of one model at one moment.

    Args:
        look_id: Identifier; names the folder and the records.
        task: lead, deal or forecast.
        model: Registered model.
        version: Version that was champion.
        window: First and last moment of the current rows, UTC.
        checks: What was found.
        report: Page of the drift report; None where nothing could be compared.
        facts: `new_labels`, `rows`, and whatever else the page and the policy need, JSON values.
    """

    look_id: str
    task: str
    model: str
    version: str
    window: tuple[datetime, datetime]
    checks: tuple[Check, ...]
    report: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def end(self) -> datetime:
        """End of the window."""
        return self.window[1]

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "look_id": self.look_id,
            "task": self.task,
            "model": self.model,
            "version": self.version,
            "window": [moment.isoformat() for moment in self.window],
            "checks": [check.as_dict() for check in self.checks],
            "report": self.report,
            "facts": dict(self.facts),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Look:
        """The look that `as_dict` described."""
        start, end = (parse_moment(text) for text in values["window"])
        checks = tuple(Check.from_dict(check) for check in values["checks"])
        return cls(**{**values, "window": (start, end), "checks": checks})


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


def looks_folder(workspace: Workspace, task: str) -> Path:
    """Where the looks at a task's model are kept."""
    return workspace.reports / "monitoring" / task


def read_looks(workspace: Workspace, task: str) -> list[Look]:
    """All looks, oldest window first."""
    files = sorted(looks_folder(workspace, task).glob("look-*.json"))
    looks = [Look.from_dict(json.loads(path.read_text(encoding="utf-8"))) for path in files]
    return sorted(looks, key=lambda look: (look.end, look.look_id))


def keep_look(workspace: Workspace, look: Look) -> Path:
    """Write a look, whole or not at all."""
    path = looks_folder(workspace, look.task) / f"{look.look_id}.json"
    with whole_file(path) as partial:
        partial.write_text(json.dumps(look.as_dict(), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return path


def due_ends(
    *, now: datetime, every_days: float, newest: datetime | None, since: datetime | None = None, first: int = 1
) -> list[datetime]:
    """Ends of the windows that are to be looked at, oldest first: those missed after an outage too.

    Windows end on a fixed grid (multiples of `every_days` from a Monday 00:00 UTC), so that a second run on the same
    day finds nothing left to do.

    Args:
        now: The present.
        every_days: Days between two looks.
        newest: End of the newest window looked at; None if there is none.
        since: Look at every window that ends at or after this moment, whatever was looked at.
        first: How many windows to look at where none was looked at yet.

    Example:
        >>> now = datetime(2026, 1, 1, tzinfo=UTC)
        >>> [end.date().isoformat() for end in due_ends(now=now, every_days=7, newest=None, first=2)]
        ['2025-12-22', '2025-12-29']
    """
    step = timedelta(days=every_days)
    monday = datetime(2000, 1, 3, tzinfo=UTC)
    last = monday + (utc(now) - monday) // step * step
    if since is not None:
        count = max(0, (last - utc(since)) // step + 1)
    elif newest is not None:
        count = max(0, (last - utc(newest)) // step)
    else:
        count = first
    return [last - place * step for place in range(count - 1, -1, -1)]


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
        facts=_facts(material, report, seed=parts.settings.training.seed),
    )


def look_id(model: str, version: str, end: datetime) -> str:
    """Identifier of the look at a version as of a moment."""
    return f"look-{model}-{version}-{end:%Y%m%dT%H%M%SZ}"


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


def drift_checks(report: DriftReport) -> list[Check]:
    """Input drift, prediction drift and missing features from a drift report."""
    if str(report.verdict) == "CANNOT TELL":
        names = ("input drift", "prediction drift", "missing features")
        return [unknown(name, report.reason) for name in names]
    shares = [column.loss_share for column in report.drifted if column.loss_share is not None]
    cost = max(shares) if shares else None
    broken = [column for column in report.drifted if column.feed_is_broken]
    inputs = [column for column in report.drifted if column.name != PREDICTION]
    state = {"RETRAIN": State.FAILS, "HOLD": State.FAILS}.get(str(report.recommendation), State.NOTICE)
    says = report.reason
    checks = [
        Check(
            name="input drift",
            state=state if inputs else State.OK,
            says=says if inputs else f"None of {len(report.columns)} columns moved beyond chance.",
            cause=", ".join(column.name for column in inputs[:3]),
            cost_share=cost,
            figures={"columns": [_column(column) for column in report.columns[:12]], "in_all": len(report.columns)},
        )
    ]
    answer = next((column for column in report.columns if column.name == PREDICTION), None)
    if answer is None:
        checks.append(unknown("prediction drift", "The frames hold no answers."))
    else:
        moved = "moved beyond chance" if answer.drifted else "are within chance"
        distance = (
            "" if answer.statistic is None else f" (distance {answer.statistic:.3f}, {answer.threshold:.3f} allowed)"
        )
        state = (State.NOTICE if state != State.FAILS else State.FAILS) if answer.drifted else State.OK
        says = f"The answers {moved}{distance}."
        checks.append(
            Check(
                name="prediction drift",
                state=state,
                says=says,
                cause="answers",
                cost_share=answer.loss_share if answer.drifted else None,
            )
        )
    checks.append(_missing(report, broken))
    return checks


def _missing(report: DriftReport, broken: Sequence[Any]) -> Check:
    gone = [column for column in report.columns if column.missing_rings]
    table = [
        {"column": c.name, "before": c.missing_reference, "now": c.missing_current}
        for c in sorted(report.columns, key=lambda c: -(c.missing_current - c.missing_reference))[:8]
    ]
    if broken:
        says = f"Most values went missing in {', '.join(column.name for column in broken[:5])}."
        cause = ", ".join(column.name for column in broken[:3])
        return Check(name="missing features", state=State.FAILS, says=says, cause=cause, figures={"columns": table})
    if gone:
        says = f"The share of missing values changed in {', '.join(column.name for column in gone[:5])}."
        cause = ", ".join(column.name for column in gone[:3])
        return Check(name="missing features", state=State.NOTICE, says=says, cause=cause, figures={"columns": table})
    return Check(name="missing features", state=State.OK, says="Nothing went missing.", figures={"columns": table})


def _column(column: Any) -> dict[str, Any]:
    names = ("name", "statistic", "threshold", "p_value", "drifted", "loss", "loss_share", "importance")
    return {name: getattr(column, name) for name in names}


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


def _facts(material: Material, report: DriftReport, *, seed: int) -> dict[str, Any]:
    known = ~np.isnan(material.label)
    return {
        "new_labels": len(set(material.entity[known].tolist())),
        "rows": material.current.num_rows,
        "trained_until": material.scorer.manifest.trained_until,
        "drift_verdict": str(report.verdict),
        "evidently": str(report.evidently_page) if report.evidently_page else None,
        "advantage": report.decision.inputs.get("advantage"),
        "months": by_month(material.as_of, material.label, material.probability, material.entity, seed=seed),
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
