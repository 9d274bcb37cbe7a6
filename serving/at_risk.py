"""Open deals by value at risk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from common.errors import UnavailableError
from serving.answered import Answered
from serving.answers import DealAtRisk, DealsAtRisk
from serving.engine import Engine

_AMOUNT, _DUE = "amount_usd", "days_to_close_date"


def deals_at_risk(
    engine: Engine, *, limit: int, within_days: int, sees: Callable[[str | None], bool], request_id: str
) -> DealsAtRisk:
    """The open deals with the most value at risk: amount times the probability of not winning it.

    A person's probability counts where one holds. Where the source keeps no close dates every open deal counts; a deal
    without an amount comes last.

    Args:
        engine: What answers.
        limit: Deals to list.
        within_days: Only deals due within so many days.
        sees: Whether the caller may see what a rep owns.
        request_id: Id of the request.

    Raises:
        UnavailableError: if what is open cannot be told, or there is no champion.
    """
    ids = engine.open_ids("deal")
    if ids is None:
        raise UnavailableError("What is open cannot be told", next_step="run: salience ingest")
    scores = engine.score("deal", ids, request_id=request_id, may_see=sees, kind="at_risk")
    read = engine.values_of("deal", [row.scored.identifier for row in scores.rows], names=(_AMOUNT, _DUE))
    is_dated = any(values.get(_DUE) is not None for values in read.values())
    found = [
        (at_risk, row, read[row.scored.identifier])
        for row in scores.rows
        if not is_dated or _is_due(read[row.scored.identifier], within_days)
        for at_risk in [_at_risk(row, read[row.scored.identifier])]
    ]
    found.sort(key=lambda each: (-(each[0] if each[0] is not None else -1.0), each[1].scored.identifier))
    return DealsAtRisk(
        deals=[_listed(at_risk, row, values) for at_risk, row, values in found[:limit]],
        open_deals=len(scores.rows),
        value_at_risk_usd=round(sum(at_risk or 0.0 for at_risk, _, _ in found), 2),
        within_days=within_days,
        request_id=request_id,
        **scores.stamp,
    )


def _probability(row: Answered) -> float:
    held = row.added["override"]
    return float(held["value"]) if held else row.scored.probability


def _at_risk(row: Answered, values: Mapping[str, Any]) -> float | None:
    amount = values.get(_AMOUNT)
    return None if amount is None else round(float(amount) * (1.0 - _probability(row)), 2)


def _is_due(values: Mapping[str, Any], within_days: int) -> bool:
    due = values.get(_DUE)
    return due is not None and float(due) <= within_days


def _listed(at_risk: float | None, row: Answered, values: Mapping[str, Any]) -> DealAtRisk:
    against = row.scored.record["scoring_factors"]["against"]
    return DealAtRisk(
        opportunity_id=row.scored.identifier,
        win_probability=_probability(row),
        is_overridden=row.added["override"] is not None,
        risk_level=row.scored.record["risk_level"],
        amount_usd=values.get(_AMOUNT),
        value_at_risk_usd=at_risk,
        days_to_close_date=values.get(_DUE),
        rep_id=row.scored.owner,
        reasons=[factor["text"] for factor in against],
    )
