"""The test: challenger against champion on the newest rows, by quality, value, calibration, segment and speed.

The challenger has to be surely better in log-loss. Whatever else is looked at can only keep it out, and only where it
is worse by more than a bound *and* surely worse: neither noise alone nor a trifle alone does so (docs/adr/0017).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.settings import GateSettings
from training.capacity import first_rows, share_of
from training.evaluation import evaluate
from training.gate.answers import Answers, answers_of
from training.gate.holdout import MIN_OUTCOMES, Holdout
from training.gate.latency import Latency, time_answers
from training.gate.paired import (
    Paired,
    SegmentPair,
    compare_calibration,
    compare_log_loss,
    compare_segment,
    compare_value,
)
from training.gate.verdict import Check, Verdict, refused
from training.results import RegisteredModel
from training.scorer import Scorer
from training.segments import segment_rows

Vector = NDArray[np.float64]

_TENTH = 0.1
_SIGNAL_REPLICATES = 100
_CHANCE = 0.5


def judge(
    challenger: RegisteredModel,
    champion: RegisteredModel | None,
    holdout: Holdout,
    *,
    limits: GateSettings,
    seed: int,
) -> Verdict:
    """Judge a challenger; without a champion it has to beat the base rate.

    Args:
        challenger: The version in question.
        champion: The version in its place; None where there is none.
        holdout: The newest rows with known labels.
        limits: Bounds and budget.
        seed: Seed of the bootstrap.

    Raises:
        SalienceError: if one of the two cannot be asked; the caller keeps the challenger out.
    """
    fault = holdout.fault()
    if fault is not None:
        return refused(fault)
    if champion is not None and champion.version == challenger.version:
        return Verdict(promoted=False, reason="it is the champion already")
    ours = answers_of(challenger, holdout)
    theirs = None if champion is None else answers_of(champion, holdout)
    rival = "the base rate" if champion is None else f"champion {champion.version}"
    checks = judge_answers(ours, theirs, holdout, limits=limits, seed=seed)
    return _verdict(checks, rival=rival)


def judge_answers(
    ours: Answers, theirs: Answers | None, holdout: Holdout, *, limits: GateSettings, seed: int
) -> tuple[Check, ...]:
    """All checks of two models' answers to the holdout; see `judge`."""
    rival = None if theirs is None else theirs.probability
    quality = judge_quality(ours.probability, rival, holdout, limits=limits, seed=seed)
    return (*quality, _latency(ours.scorer, theirs.scorer if theirs else None, holdout, limits=limits, seed=seed))


def judge_quality(
    ours: Vector, theirs: Vector | None, holdout: Holdout, *, limits: GateSettings, seed: int
) -> tuple[Check, ...]:
    """The checks of what two models say: log-loss, value at capacity, calibration, segments; without a rival, signal.

    What the challenger foretold row by row is judged where the holdout has it, except for what ranking brings: a level
    that was followed differs from week to week, and nobody works the leads of one week before those of another.

    Args:
        ours: The challenger's probabilities.
        theirs: The champion's; None where there is none, and then the first two checks are against the base rate.
        holdout: The newest rows with known labels.
        limits: Bounds.
        seed: Seed of the bootstrap.
    """
    other = np.full(len(holdout.label), holdout.base_rate) if theirs is None else theirs
    told = ours if holdout.foretold is None else holdout.foretold
    first = (_log_loss(told, other, holdout, seed=seed), _value(ours, other, holdout, limits=limits, seed=seed))
    if theirs is None:
        return (*first, _signal(ours, holdout, seed=seed))
    calibration = _calibration(told, theirs, holdout, limits=limits, seed=seed)
    return (*first, calibration, _segments(segment_pairs(told, theirs, holdout, limits=limits), limits=limits))


def segment_pairs(ours: Vector, theirs: Vector, holdout: Holdout, *, limits: GateSettings) -> list[SegmentPair]:
    """Both models' log-loss in each segment that holds enough entities and outcomes."""
    found = []
    for kind, names in segment_rows(holdout.columns, as_of=holdout.as_of).items():
        for name in sorted(set(names.tolist())):
            chosen = names == name
            label, entity = holdout.label[chosen], holdout.entity[chosen]
            enough = min(label.sum(), (1 - label).sum()) >= MIN_OUTCOMES
            if enough and len(set(entity.tolist())) >= limits.segment_entities:
                found.append(compare_segment(ours[chosen], theirs[chosen], label, entity, kind=kind, name=name))
    return found


def value_pair(ours: Vector, theirs: Vector, holdout: Holdout, *, capacity: float, seed: int) -> tuple[Paired, float]:
    """What working the leads or deals with the highest probabilities would have brought, by either model.

    Each lead or deal counts once, at its first row, as in the training report.

    Returns:
        The pair, and the share of the leads or deals that is worked.
    """
    rows = np.arange(len(holdout.label)) if holdout.as_of is None else first_rows(holdout.entity, holdout.as_of)
    share = min(capacity, 1.0) if holdout.as_of is None else share_of(capacity, holdout.as_of[rows])
    pair = compare_value(ours[rows], theirs[rows], holdout.value()[rows], holdout.entity[rows], share=share, seed=seed)
    return pair, share


def _log_loss(ours: Vector, theirs: Vector, holdout: Holdout, *, seed: int) -> Check:
    found = compare_log_loss(ours, theirs, holdout.label, holdout.entity, seed=seed)
    return Check(
        name="log_loss",
        passed=found.at_most() < 0.0,
        words=f"log-loss {found.ours:.4f} against {found.theirs:.4f} on the newest {len(holdout.label)} rows; "
        f"difference {found.difference:+.4f}, at most {found.at_most():+.4f} with 95 %",
        figures={
            "log_loss_challenger": found.ours,
            "log_loss_champion": found.theirs,
            "difference": found.difference,
            "difference_upper": found.at_most(),
            "rows": float(len(holdout.label)),
            "entities": float(len(set(holdout.entity.tolist()))),
        },
    )


def _value(ours: Vector, theirs: Vector, holdout: Holdout, *, limits: GateSettings, seed: int) -> Check:
    found, share = value_pair(ours, theirs, holdout, capacity=limits.capacity, seed=seed)
    is_worse = -found.difference > limits.value_loss * found.theirs and found.at_most() < 0.0
    what = "outcomes" if holdout.worth is None else "in value"
    return Check(
        name="value",
        passed=not is_worse,
        words=f"working the {100 * share:.3g} % with the highest probability brings {found.ours:,.0f} {what} "
        f"against {found.theirs:,.0f}{_surely(is_worse)}",
        figures=_figures("value", found) | {"worked_share": share},
    )


def _signal(ours: Vector, holdout: Holdout, *, seed: int) -> Check:
    """Whether the challenger ranks at all: where a base rate has moved, any level nearer to the new one beats it."""
    area = evaluate(holdout.label, ours, entity=holdout.entity, seed=seed, replicates=_SIGNAL_REPLICATES)["auc"]
    low = area.value if area.low is None else area.low
    return Check(
        name="signal",
        passed=low > _CHANCE,
        words=f"it ranks with AUC {area.value:.3f}, at least {low:.3f}"
        + ("" if low > _CHANCE else ": no signal found, it tells the outcomes apart no better than chance"),
        figures={"auc_challenger": area.value, "auc_lower": low},
    )


def _calibration(ours: Vector, theirs: Vector, holdout: Holdout, *, limits: GateSettings, seed: int) -> Check:
    found = compare_calibration(ours, theirs, holdout.label, holdout.entity, seed=seed)
    is_worse = found.difference > limits.calibration_loss and found.at_least() > 0.0
    return Check(
        name="calibration",
        passed=not is_worse,
        words=f"calibration error {found.ours:.4f} against {found.theirs:.4f}{_surely(is_worse)}",
        figures=_figures("calibration_error", found),
    )


def _segments(pairs: list[SegmentPair], *, limits: GateSettings) -> Check:
    looked_at = max(len(pairs), 1)
    worse = [
        pair
        for pair in pairs
        if pair.difference > limits.segment_loss * pair.theirs and pair.at_least(looked_at=looked_at) > 0.0
    ]
    figures = {"segments": float(len(pairs)), "segments_worse": float(len(worse))}
    if not worse:
        return Check(name="segments", passed=True, words=f"no segment of {len(pairs)} surely worse", figures=figures)
    worst = max(worse, key=lambda pair: pair.difference / pair.theirs)
    return Check(
        name="segments",
        passed=False,
        words=f"{len(worse)} of {len(pairs)} segments surely worse, most of all {worst.kind} {worst.name}: log-loss "
        f"{worst.ours:.4f} against {worst.theirs:.4f} on {worst.rows} rows",
        figures=figures | {f"worse_{pair.kind}_{pair.name}": pair.difference for pair in worse},
    )


def _latency(ours: Scorer, theirs: Scorer | None, holdout: Holdout, *, limits: GateSettings, seed: int) -> Check:
    timed = time_answers([ours, theirs] if theirs is not None else [ours], holdout.columns, seed=seed)
    mine = timed[0]
    rival = timed[1] if theirs is not None else None
    figures = {
        "latency_median_ms": mine.median_ms,
        "latency_p99_ms": mine.p99_ms,
        "latency_budget_ms": limits.latency_ms,
    }
    words = f"an answer takes {mine.median_ms:.2g} ms, 99 of 100 at most {mine.p99_ms:.2g} of {limits.latency_ms:g} ms"
    if rival is not None:
        figures["latency_median_ms_champion"] = rival.median_ms
        words += f", the champion's {rival.median_ms:.2g} ms"
    return Check(name="latency", passed=_is_fast(mine, rival, limits), words=words, figures=figures)


def _is_fast(mine: Latency, rival: Latency | None, limits: GateSettings) -> bool:
    if mine.p99_ms > limits.latency_ms:
        return False
    is_noticed = mine.median_ms > _TENTH * limits.latency_ms
    return rival is None or not is_noticed or mine.median_ms <= limits.latency_times * rival.median_ms


def _figures(name: str, found: Paired) -> dict[str, float]:
    return {
        f"{name}_challenger": found.ours,
        f"{name}_champion": found.theirs,
        f"{name}_lower": found.at_least(),
        f"{name}_upper": found.at_most(),
    }


def _surely(is_worse: bool) -> str:
    return ", surely worse" if is_worse else ""


def _verdict(checks: tuple[Check, ...], *, rival: str) -> Verdict:
    loss, rest = checks[0], checks[1:]
    against = [check for check in rest if not check.passed]
    evidence = {name: figure for check in checks for name, figure in check.figures.items()}
    if not loss.passed:
        head = f"not surely better than {rival}"
    elif against:
        head = f"better than {rival} in log-loss, but kept out by {' and '.join(check.name for check in against)}"
    else:
        head = f"better than {rival}"
    reason = f"{head}: {'; '.join(check.words for check in checks)}"
    return Verdict(promoted=loss.passed and not against, reason=reason, evidence=evidence, checks=checks)
