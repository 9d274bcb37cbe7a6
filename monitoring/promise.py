"""Outcomes held to the answers' own promise: if the answers are right, outcomes lie around them by chance alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from monitoring.matured import Matured, one_each_per_stretch, stretches_of, too_few
from training.calibration import log_loss_rows

_FEWEST_STRETCHES = 8
QUARTER = timedelta(days=91)


@dataclass(frozen=True)
class Promise:
    """How far outcomes lie from what the answers promise.

    Args:
        residual: Sum of outcome less answer, in standard errors; above 0 more came than was expected.
        lost: Log-loss a row that answers brought to these outcomes (slope and intercept) would have saved, less what
            fitting two numbers saves by chance; >= 0. A model that is right loses nothing, too high or too low does.
        evidence: Likelihood ratio of that, chi-squared with two degrees of freedom if the answers are right.
        spread: How much more than independent outcomes stretches differ, >= 1; both tests are widened by it.
    """

    residual: float
    lost: float
    evidence: float
    spread: float

    def is_broken(self, alpha: float) -> bool:
        """Whether answers brought to the outcomes save more than they do with this chance where answers are right."""
        return bool(np.exp(-self.evidence / 2) < alpha)

    def is_off(self, alpha: float) -> bool:
        """Whether the residual is farther from 0 than it is with this chance where answers are right."""
        return abs(self.residual) > NormalDist().inv_cdf(1 - alpha / 2)


@dataclass(frozen=True, kw_only=True)
class Span:
    """Some newest rows beside those before them.

    Args:
        now: One row of each thing.
        past: One row of each thing and stretch before.
        blocks: Stretch of each past row, 0 for the newest.
        promise: Outcomes of `now` against its own answers.
        words: Which rows they are, where they are not the newest window.
    """

    now: Matured
    past: Matured
    blocks: NDArray[np.int64]
    promise: Promise
    words: str = ""


def span_of(
    newest: Matured, before: Matured, start: np.datetime64, length: timedelta, *, seed: int, together: int = 1
) -> Span:
    """A span whose past consists of stretches; `together` of them are as long as it is."""
    now, past = newest.one_each(seed=seed), one_each_per_stretch(before, start, length, seed=seed)
    blocks = stretches_of(past.as_of, start, length)
    return Span(now=now, past=past, blocks=blocks, promise=promised(now, past, blocks, together=together))


def longer_span(matured: Matured, start: np.datetime64, length: timedelta, *, seed: int) -> Span | None:
    """The newest quarter, the newest window in it; None where that window is as long, or before it is too little."""
    together = int(QUARTER / length)
    if together < 2:
        return None
    begin = start - np.timedelta64((together - 1) * length, "us")
    newest, before = (matured.rows(chosen) for chosen in (matured.as_of > begin, matured.as_of <= begin))
    if too_few(newest) is not None or too_few(before) is not None:
        return None
    span = span_of(newest, before, begin, length, seed=seed, together=together)
    return replace(span, words=f"Over the newest {together * length.days} days of mature labels: ")


def promised(now: Matured, past: Matured, blocks: NDArray[np.int64], *, together: int = 1) -> Promise:
    """Outcomes of a window against its own answers; it is as long as `together` stretches of the past."""
    from training.calibration import fit_calibration, logit

    p = np.clip(now.probability, 1e-6, 1 - 1e-6)
    spread, rows = max(_spread(past, blocks), _spread(past, blocks, together=together)), len(p)
    residual = float((now.label - p).sum()) / np.sqrt(spread * float((p * (1 - p)).sum()))
    brought = fit_calibration("platt", logit(p), now.label).apply(logit(p))
    saved = float((log_loss_rows(now.label, p) - log_loss_rows(now.label, brought)).sum())
    return Promise(
        residual=float(residual),
        lost=max(0.0, saved - spread) / rows,
        evidence=max(0.0, 2 * saved / spread),
        spread=spread,
    )


def _spread(past: Matured, blocks: NDArray[np.int64], *, together: int = 1) -> float:
    """Variance of the standardised residuals of so many stretches in a row around their own mean, at least 1."""
    numbers = np.arange(int(blocks.max(initial=-1)) + 1)
    variance, residual = (
        np.array([each[blocks == number].sum() for number in numbers])
        for each in (past.probability * (1 - past.probability), past.label - past.probability)
    )
    ones = np.ones(together)
    if len(numbers) < together:
        return 1.0
    variance, residual = np.convolve(variance, ones, "valid"), np.convolve(residual, ones, "valid")
    enough = variance > 1
    scores = residual[enough] / np.sqrt(variance[enough])
    return max(1.0, float(np.var(scores, ddof=1))) if len(scores) >= _FEWEST_STRETCHES else 1.0
