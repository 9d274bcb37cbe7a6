"""What the comparison found in each column: from alarms and costs to findings, costliest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from monitoring.columns import PREDICTION, ColumnPair
from monitoring.cost import Costs
from monitoring.policy import ColumnDrift
from monitoring.thresholds import ALL_COLUMNS, Alarm


def find_drift(
    pairs: Sequence[ColumnPair],
    alarms: Sequence[Alarm],
    *,
    importance: Mapping[str, float],
    costs: Costs | None,
) -> tuple[ColumnDrift, ...]:
    """Every column's finding; drifted ones first, costliest first."""
    of = {(alarm.column, alarm.what): alarm for alarm in alarms}
    total = sum(importance.get(pair.name, 0.0) for pair in pairs)
    found = []
    for pair in pairs:
        values, missing = of.get((pair.name, "values")), of.get((pair.name, "missing"))
        share = importance.get(pair.name, 0.0) / total if total > 0 and pair.name != PREDICTION else None
        finding = _finding(pair, values, missing, importance=share)
        if costs is not None:
            loss = costs.by_column.get(pair.name, 0.0)
            finding = replace(finding, loss=loss, loss_share=costs.share(pair.name))
        found.append(finding)
    common = of.get((ALL_COLUMNS, "common"))
    if common is not None and common.rings and not any(finding.drifted for finding in found):
        found.append(_in_common(common, found))
    return tuple(sorted(found, key=lambda c: (not c.drifted, -(c.loss or 0.0), -c.cost, c.p_value, c.name)))


def _in_common(alarm: Alarm, columns: Sequence[ColumnDrift]) -> ColumnDrift:
    """Small shifts of many columns as one finding, which costs what the costliest of them does."""
    losses = [column for column in columns if column.loss is not None]
    worst = max(losses, key=lambda column: column.loss or 0.0) if losses else None
    return ColumnDrift(
        name=ALL_COLUMNS,
        about="No column moved beyond chance, but many moved a little.",
        kind="common",
        statistic=alarm.statistic,
        typical=alarm.typical,
        threshold=alarm.threshold,
        p_value=alarm.p_value,
        values_ring=True,
        missing_reference=0.0,
        missing_current=0.0,
        missing_threshold=None,
        missing_rings=False,
        unseen=(),
        importance=None,
        cost=0.0,
        loss=None if worst is None else worst.loss,
        loss_share=None if worst is None else worst.loss_share,
    )


def _finding(pair: ColumnPair, values: Alarm | None, missing: Alarm | None, *, importance: float | None) -> ColumnDrift:
    gone = pair.is_missing
    weight = 1.0 if importance is None else importance
    excess = max(_excess(alarm, rows=gone.size - pair.reference_rows) for alarm in (values, missing))
    return ColumnDrift(
        name=pair.name,
        about=pair.about,
        kind=pair.kind,
        statistic=values.statistic if values is not None else None,
        typical=values.typical if values is not None else None,
        threshold=values.threshold if values is not None else None,
        p_value=min((alarm.p_value for alarm in (values, missing) if alarm is not None), default=1.0),
        values_ring=values is not None and values.rings,
        missing_reference=_share(gone[: pair.reference_rows]),
        missing_current=_share(gone[pair.reference_rows :]),
        missing_threshold=missing.threshold if missing is not None else None,
        missing_rings=missing is not None and missing.rings,
        unseen=pair.unseen,
        importance=importance,
        cost=excess * weight,
    )


def _excess(alarm: Alarm | None, *, rows: int) -> float:
    """How far beyond the typical a statistic lies, in units of what is allowed; 1 is the threshold."""
    if alarm is None or alarm.statistic is None or alarm.threshold is None or alarm.typical is None:
        return 0.0
    allowed = max(alarm.threshold - alarm.typical, 1 / rows if alarm.what == "missing" else 1e-3)
    return max(0.0, alarm.statistic - alarm.typical) / allowed


def _share(flags: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float:
    return float(flags.mean()) if flags.size else 0.0
