"""What a drift report says, as checks of a look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monitoring.checks import Check, State, unknown
from monitoring.columns import PREDICTION
from monitoring.drift import DriftReport


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
