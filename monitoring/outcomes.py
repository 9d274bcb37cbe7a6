"""Real quality as labels mature: never counting the unknown as negative (`training.labels`).

The newest window whose labels are all mature is judged twice. Beside the mature rows before it that the model did not
learn from: outcome rate, residual and regret with thresholds that are resampled like those of the inputs. And by the
answers themselves: if they are right, outcomes lie around them by chance alone, however bad the rows before were too (a
world that changed right after the training leaves no good ones). Chance is what drawing outcomes from the answers
does, widened by how much more than that weeks differ. So are the newest thirteen weeks: a level that is off by a third
costs a sixth of what a lead model is worth, and a single week of three hundred leads does not show it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monitoring.checks import Check, State, unknown
from monitoring.columns import pair_columns
from monitoring.cost import regret_rows
from monitoring.matured import FEWEST_OUTCOMES, FEWEST_ROWS, Matured, too_few
from monitoring.promise import Span, longer_span, span_of
from monitoring.thresholds import calibrate
from training.calibration import log_loss_rows
from training.evaluation import evaluate
from training.results import Metric, flatten

Vector = NDArray[np.float64]

# Half of what input drift (`monitoring.thresholds.ALPHA`) and the pace (`monitoring.pace.ALPHA`) leave of the 5 %; the
# promise below takes the other half.
ALPHA_OUTCOMES = 0.01
# Of it for each of the two tests of the promise, shared by the spans that are looked at.
_ALPHA_PROMISE = ALPHA_OUTCOMES / 2
_MOST_GROUPS = 12
_Z_SEGMENT = 3.5
_COMPARED = (
    ("outcome", "category", "Whether the outcome came."),
    ("residual", "float", "Outcome less the answer."),
    ("regret", "float", "Log-loss beyond what the answer promised."),
)


def check_outcomes(
    matured: Matured,
    *,
    newest_from: datetime,
    length: timedelta,
    least_share: float,
    seed: int,
    worth: float | None = None,
) -> list[Check]:
    """Label drift, real quality, calibration and segments of the newest mature window.

    Args:
        matured: Mature rows, the newest window last.
        newest_from: Where the newest mature window begins; earlier rows are the reference.
        length: Its length, and that of the stretches of the reference.
        least_share: Cost, as a share of what the model is worth, below which nothing fails.
        seed: Seed of every draw.
        worth: What the model was proven to be worth: its log-loss below the base rate's on its test period; unset, or
            not above 0: measured on the reference.
    """
    start = np.datetime64(newest_from.replace(tzinfo=None), "us")
    newest, before = (matured.rows(chosen) for chosen in (matured.as_of > start, matured.as_of <= start))
    if too_few(newest) is not None:
        # A young model has few mature rows: all of them are the newest window, then.
        newest, before = matured, matured.rows(np.zeros(len(matured.label), dtype=np.bool_))
    refusal = too_few(newest)
    if refusal is not None:
        return [unknown(name, refusal) for name in ("label drift", "real quality", "calibration", "segments")]
    span = span_of(newest, before, start, length, seed=seed)
    # Without rows to compare with, the answers themselves are what the outcomes are held to.
    rung = set() if too_few(span.past) is not None else _rung(span.past, span.now, span.blocks, seed=seed)
    longer = longer_span(matured, start, length, seed=seed)
    alpha = _ALPHA_PROMISE / (1 if longer is None else 2)
    lost = "regret" in rung or span.promise.is_broken(alpha)
    apart = "residual" in rung or span.promise.is_off(alpha)
    shown = span
    if longer is not None and (longer.promise.is_broken(alpha) or longer.promise.is_off(alpha)):
        lost, apart = lost or longer.promise.is_broken(alpha), apart or longer.promise.is_off(alpha)
        # What is known from more rows is known better, unless it is the newest window alone that broke.
        shown = max((span, longer), key=lambda each: each.promise.evidence)
    advantage = worth
    if worth is None or worth <= 0:
        advantage = _advantage(span.past if len(span.past.label) else span.now)
    quality = _quality(shown, advantage, rings=lost, least_share=least_share)
    return [
        _label_drift(span.past, span.now, quality, rings="outcome" in rung),
        quality,
        _calibration(shown.now, advantage, shown.words, rings=apart, least_share=least_share),
        check_segments(newest, seed=seed),
    ]


def _advantage(past: Matured) -> float:
    base = float(log_loss_rows(past.label, np.full(len(past.label), past.label.mean())).mean())
    return max(base - float(log_loss_rows(past.label, past.probability).mean()), 1e-9)


def _rung(past: Matured, now: Matured, blocks: NDArray[np.int64], *, seed: int) -> set[str]:
    """Which of outcome, residual and regret moved beyond what chance and weeks do."""
    frames = [
        pd.DataFrame(
            {
                "outcome": np.where(rows.label > 0, "yes", "no"),
                "residual": rows.label - rows.probability,
                "regret": regret_rows(rows.label, rows.probability),
            }
        )
        for rows in (past, now)
    ]
    features = [SimpleNamespace(name=name, dtype=dtype, about=about) for name, dtype, about in _COMPARED]
    pairs = pair_columns(frames[0], frames[1], features=features)
    pooled = np.r_[blocks, np.full(len(now.label), -1)]
    return {alarm.column for alarm in calibrate(pairs, seed=seed, blocks=pooled, alpha=ALPHA_OUTCOMES) if alarm.rings}


def _label_drift(past: Matured, now: Matured, quality: Check, *, rings: bool) -> Check:
    current, expected = float(now.label.mean()), float(now.probability.mean())
    before = float(past.label.mean()) if len(past.label) else None
    earlier = "nothing to compare with" if before is None else f"{before:.1%} before"
    says = f"{current:.1%} came true; {earlier}, {expected:.1%} expected."
    state = State.OK if not rings else (State.FAILS if quality.state == State.FAILS else State.NOTICE)
    figures = {"before": before, "now": current, "expected": expected, "rows": len(now.label)}
    return Check(name="label drift", state=state, says=says, cause="outcome rate", figures=figures)


def _quality(span: Span, advantage: float, *, rings: bool, least_share: float) -> Check:
    """Log-loss that answers brought to the outcomes would save: fails if beyond chance and enough to matter."""
    past, now, promise = span.past, span.now, span.promise
    share = promise.lost / advantage
    figures = _figures(now, seed=0)
    if too_few(past) is None:
        figures |= {f"{name}_before": value for name, value in _figures(past, seed=0).items()}
    before = f" ({figures['auc_before']:.3f} before)" if "auc_before" in figures else ""
    said = f"{span.words}AUC {figures['auc']:.3f}{before}, log-loss {figures['log_loss']:.4f}"
    figures |= {"lost": promise.lost, "evidence": promise.evidence, "spread": promise.spread}
    if rings and share >= least_share:
        says = f"{said}: it loses {promise.lost:.4f} a row to wrong answers, {min(share, 1.0):.0%} of what it is worth."
        return Check(
            name="real quality",
            state=State.FAILS,
            says=says,
            cause="regret",
            cost_share=min(1.0, share),
            figures=figures,
        )
    state = State.NOTICE if rings else State.OK
    says = f"{said}, as its answers promise." if not rings else f"{said}: changed, but no loss that matters."
    cost = min(1.0, share) if rings else None
    return Check(name="real quality", state=state, says=says, cause="regret", cost_share=cost, figures=figures)


def _figures(rows: Matured, *, seed: int) -> dict[str, float]:
    figures = flatten(evaluate(rows.label, rows.probability, entity=rows.entity, seed=seed, replicates=100))
    return {name: value for name, value in figures.items() if np.isfinite(value)}


def _calibration(now: Matured, advantage: float, words: str, *, rings: bool, least_share: float) -> Check:
    """Mean answer against outcome rate, and what shifting all answers alike would save."""
    from training.calibration import fit_calibration, logit

    fitted = fit_calibration("intercept", logit(now.probability), now.label)
    saved = float(
        (
            log_loss_rows(now.label, now.probability) - log_loss_rows(now.label, fitted.apply(logit(now.probability)))
        ).mean()
    )
    share = min(1.0, max(0.0, saved) / advantage)
    says = (
        f"{words}Expected {now.probability.mean():.1%}, came {now.label.mean():.1%}; "
        f"shifting all answers alike would save {share:.0%} of what the model is worth."
    )
    state = State.OK
    if rings:
        state = State.FAILS if share >= least_share else State.NOTICE
    figures = {"expected": float(now.probability.mean()), "came": float(now.label.mean()), "saved": saved}
    cost = share if rings else None
    return Check(name="calibration", state=state, says=says, cause="calibration", cost_share=cost, figures=figures)


def check_segments(rows: Matured, *, seed: int) -> Check:
    """Whether any group is answered too high or too low beyond chance (Bonferroni over all groups looked at)."""
    one = rows.one_each(seed=seed)
    found: list[dict[str, Any]] = []
    for name, values in one.groups.items():
        kinds, counts = np.unique(values.astype(str), return_counts=True)
        for kind in kinds[np.argsort(-counts)][:_MOST_GROUPS]:
            chosen = values.astype(str) == kind
            if chosen.sum() >= FEWEST_ROWS // 2:
                found.append(_group(name, str(kind), one, chosen))
    biased = [group for group in found if abs(group["z"]) >= _Z_SEGMENT]
    biased.sort(key=lambda group: -abs(group["z"]))
    if not found:
        return unknown("segments", "No group has enough mature rows to be looked at.")
    figures = {"groups": sorted(found, key=lambda group: -abs(group["z"]))[:_MOST_GROUPS]}
    if not biased:
        return Check(
            name="segments", state=State.OK, says=f"None of {len(found)} groups is answered wrongly beyond chance.",
            figures=figures,
        )  # fmt: skip
    worst = biased[0]
    says = (
        f"{len(biased)} of {len(found)} groups are answered wrongly beyond chance; most: {worst['segment']} = "
        f"{worst['value']}, expected {worst['expected']:.1%}, came {worst['came']:.1%} of {worst['rows']} rows."
    )
    cause = ", ".join(f"{group['segment']}={group['value']}" for group in biased[:3])
    return Check(name="segments", state=State.NOTICE, says=says, cause=cause, figures=figures)


def _group(name: str, kind: str, rows: Matured, chosen: NDArray[np.bool_]) -> dict[str, Any]:
    p, y = rows.probability[chosen], rows.label[chosen]
    spread = float(np.sqrt(np.sum(p * (1 - p))))
    return {
        "segment": name,
        "value": kind,
        "rows": int(chosen.sum()),
        "expected": float(p.mean()),
        "came": float(y.mean()),
        "z": float((y.sum() - p.sum()) / spread) if spread > 0 else 0.0,
    }


def by_month(
    as_of: NDArray[np.datetime64], label: Vector, probability: Vector, entity: NDArray[np.object_], *, seed: int
) -> list[dict[str, Any]]:
    """Quality by month of scoring and how much of it is known; months with unknown labels show what is mature only.

    Args:
        as_of: Moment of each row, UTC.
        label: 0, 1, or NaN where it is not known yet.
        probability: What the model answered.
        entity: Lead or deal of each row.
        seed: Seed of the intervals.

    Returns:
        JSON values, oldest month first: month, rows, mature, and where there are enough outcomes auc, auc_low,
        auc_high, log_loss, expected, came.
    """
    months = as_of.astype("datetime64[M]")
    table = []
    for month in np.unique(months):
        chosen = months == month
        known = chosen & ~np.isnan(label)
        row: dict[str, Any] = {"month": str(month), "rows": int(chosen.sum()), "mature": int(known.sum())}
        positives = int(label[known].sum())
        if min(positives, int(known.sum()) - positives) >= FEWEST_OUTCOMES:
            figures = evaluate(label[known], probability[known], entity=entity[known], seed=seed, replicates=100)
            row |= {"auc": figures["auc"].value, "auc_low": figures["auc"].low, "auc_high": figures["auc"].high}
            row |= {"log_loss": figures["log_loss"].value, "expected": figures["mean_probability"].value}
            row |= {"came": figures["outcome_rate"].value}
        table.append(row)
    return table


def spans(metric: Metric | Sequence[float]) -> str:
    """A figure with its interval in words."""
    value, low, high = (metric.value, metric.low, metric.high) if isinstance(metric, Metric) else metric
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} ({low:.3f} to {high:.3f})"
