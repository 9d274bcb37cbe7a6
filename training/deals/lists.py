"""Lists of open deals that a sales manager works through: at risk, stalled, doubtful, quiet.

Each is made from score records (`DealScorer.record`) and the feature columns behind them, one entry per deal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.deals.columns import NO_VALUE, numbers, texts

Vector = NDArray[np.float64]
Columns = Mapping[str, Sequence[Any]]
Records = Sequence[Mapping[str, Any]]

STALLED_FROM = 2.0
"""Times the usual days in its stage from which a deal counts as stalled."""
DUE_WITHIN_DAYS = 90.0
COMMIT = "commit"
CALLED_LIKELY = ("commit", "best_case", "closed")
# Where reps call nothing, the CRM's own probability stands for their call.
_CRM_COMMIT = 0.7


def at_risk(records: Records, columns: Columns, *, within_days: float | None = DUE_WITHIN_DAYS) -> list[dict[str, Any]]:
    """Open deals by value at risk, the greatest first: expected amount times the probability of not winning it.

    Args:
        records: Score records.
        columns: Feature columns, in the order of the records.
        within_days: Only deals whose stated close date lies within so many days, or has passed; None for all. Where
            the source has no close dates, all count.
    """
    count = len(records)
    due = numbers(columns, "days_to_close_date", count)
    counts = np.ones(count, dtype=bool) if within_days is None or np.isnan(due).all() else due <= within_days
    found = []
    for row in np.flatnonzero(counts).tolist():
        record = records[row]
        amount = record["expected_amount_usd"]
        if amount is None:
            continue
        value = amount * (1.0 - record["win_probability"])
        found.append(
            {
                **_about(record, columns, row),
                "value_at_risk_usd": round(value, 2),
                "slip_probability": record["slip_probability"],
                "why": _strongest(record, "against"),
            }
        )
    return sorted(found, key=lambda deal: -deal["value_at_risk_usd"])


def stalled(records: Records, columns: Columns, *, times: float = STALLED_FROM) -> list[dict[str, Any]]:
    """Open deals that have been in their stage much longer than deals usually are, the most valuable first.

    Usual is the median of that stage of that pipeline in the year before, as known at the moment.

    Args:
        records: Score records.
        columns: Feature columns, in the order of the records.
        times: How many times the usual days.
    """
    count = len(records)
    days, usual = (numbers(columns, name, count) for name in ("days_in_stage", "usual_days_in_stage_365d"))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = days / usual
    rows = np.flatnonzero((ratio >= times) & (usual > 0))
    found = [
        {
            **_about(records[row], columns, row),
            "days_in_stage": round(float(days[row]), 1),
            "usual_days_in_stage": round(float(usual[row]), 1),
            "times_usual": round(float(ratio[row]), 1),
        }
        for row in rows.tolist()
    ]
    return sorted(found, key=lambda deal: -(deal["expected_value_usd"] or 0.0))


def doubtful(records: Records, columns: Columns, *, below: float = 0.5) -> list[dict[str, Any]]:
    """Commits that the model does not believe, the largest amount first.

    Args:
        records: Score records.
        columns: Feature columns, in the order of the records.
        below: The model believes less than this.
    """
    called = _calls(columns, len(records))
    rows = [row for row, record in enumerate(records) if called[row] == COMMIT and record["win_probability"] < below]
    found = [{**_about(records[row], columns, row), "why": _strongest(records[row], "against")} for row in rows]
    return sorted(found, key=lambda deal: -(deal["expected_amount_usd"] or 0.0))


def quiet(records: Records, columns: Columns, *, above: float = 0.6) -> list[dict[str, Any]]:
    """Deals that nobody calls likely and that the model believes in, the highest expected value first.

    Args:
        records: Score records.
        columns: Feature columns, in the order of the records.
        above: The model believes at least this.
    """
    called = _calls(columns, len(records))
    rows = [
        row
        for row, record in enumerate(records)
        if called[row] not in CALLED_LIKELY and record["win_probability"] >= above
    ]
    found = [{**_about(records[row], columns, row), "why": _strongest(records[row], "for")} for row in rows]
    return sorted(found, key=lambda deal: -(deal["expected_value_usd"] or 0.0))


def _calls(columns: Columns, count: int) -> list[str]:
    """What reps call their deals; "" where nobody called anything."""
    calls = [_plain(call) for call in texts(columns, "forecast_category", count)]
    if any(calls):
        return calls
    stated = numbers(columns, "crm_probability", count)
    return [COMMIT if value >= _CRM_COMMIT else "" for value in np.nan_to_num(stated, nan=0.0).tolist()]


def _plain(call: str) -> str:
    return "" if call == NO_VALUE else call.strip().lower().replace(" ", "_")


def _about(record: Mapping[str, Any], columns: Columns, row: int) -> dict[str, Any]:
    """What a reader recognises a deal by, and what the model says of it."""
    known = {
        name: _json(columns[name][row])
        for name in ("stage", "pipeline", "forecast_category", "rep_id", "deal_age_days", "days_to_close_date")
        if name in columns
    }
    told = ("win_probability", "expected_amount_usd", "expected_value_usd", "expected_close_date")
    return {"opportunity_id": record["opportunity_id"], **known, **{name: record[name] for name in told}}


def _json(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and value != value else value


def _strongest(record: Mapping[str, Any], side: str) -> str | None:
    reasons = record["scoring_factors"][side]
    return str(reasons[0]["text"]) if reasons else None
