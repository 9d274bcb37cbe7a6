"""A lead's grade: by the model's thresholds, by the caller's own, or by a person's decision."""

from __future__ import annotations

from collections.abc import Mapping

from serving.answered import Answered
from serving.answers import Override, Qualification
from serving.decisions import Decision


def grade_by(probability: float, thresholds: Mapping[str, float]) -> str:
    """The highest grade whose least probability is reached.

    Args:
        probability: Probability of converting.
        thresholds: Least probability of each grade; the lowest grade's is 0.

    Example:
        >>> grade_by(0.3, {"cold": 0.0, "warm": 0.1, "hot": 0.4})
        'warm'
    """
    return max((least, grade) for grade, least in thresholds.items() if probability >= least)[1]


def qualification(
    answered: Answered, *, thresholds: Mapping[str, float] | None = None, decision: Decision | None = None
) -> Qualification:
    """What the qualification of a lead says.

    Args:
        answered: Its score.
        thresholds: The caller's own least probabilities of `warm` and `hot`; None: the model's.
        decision: What the caller has just decided; None: what the score says that somebody decided before.
    """
    record, added, champion = answered.scored.record, answered.added, answered.scored.champion
    probability = answered.scored.probability
    used = {"cold": 0.0, **thresholds} if thresholds else dict(champion.scorer_or_raise().thresholds)
    model_grade = grade_by(probability, used)
    held = added["override"] if decision is None else decision.as_override()
    factors = record["scoring_factors"]
    return Qualification(
        lead_id=answered.scored.identifier,
        grade=str(held["value"]) if held else model_grade,
        model_grade=model_grade,
        thresholds=used,
        conversion_probability=probability,
        confidence=record["confidence"],
        evidence_for=[factor["text"] for factor in factors["for"]],
        evidence_against=[factor["text"] for factor in factors["against"]],
        override=Override.model_validate(held) if held else None,
        decision=None if decision is None else decision.number,
        is_replay=decision is not None and decision.is_replay,
        model_name=champion.name,
        model_version=champion.version,
        alias=champion.alias,
        scored_at=answered.scored.scored_at,
        as_of=added["as_of"],
        valid_until=answered.scored.valid_until,
        request_id=added["request_id"],
    )
