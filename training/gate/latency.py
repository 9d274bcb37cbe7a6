"""How long a bundle takes to answer about one row, as a service would ask it: encoded, scored, explained.

Two models are timed in turns, row by row, so that both meet the same disturbances. A machine that does other work makes
any answer slower and none faster, so each row is asked about several times and its quickest answer counts.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from training.scorer import Scorer

_ROUNDS = 5
_ROWS = 40
_WARM_UP = 3
_MOST_SECONDS = 1.0
_P99 = 0.99


@dataclass(frozen=True)
class Latency:
    """Milliseconds for one row: the median, and what 99 of 100 answers need at most."""

    median_ms: float
    p99_ms: float


def time_answers(scorers: Sequence[Scorer], columns: Mapping[str, Sequence[Any]], *, seed: int) -> tuple[Latency, ...]:
    """Time each scorer on the same rows.

    Args:
        scorers: The bundles, on one thread.
        columns: Feature columns of the rows to ask about.
        seed: Seed of the rows' draw.

    Returns:
        The latency of each, in their order.
    """
    count = len(next(iter(columns.values())))
    chosen = np.random.default_rng(seed).choice(count, min(_ROWS, count), replace=False)
    questions = [
        [{name: [columns[name][row]] for name in scorer.manifest.feature_names} for scorer in scorers] for row in chosen
    ]
    for asked in questions[:_WARM_UP]:
        _ask(scorers, asked)
    rounds = [_round(scorers, questions) for _ in range(_ROUNDS)]
    asked_rows = min(len(taken) for taken in rounds)
    quickest = np.min([taken[:asked_rows] for taken in rounds], axis=0)
    return tuple(
        Latency(median_ms=float(np.median(times)), p99_ms=float(np.quantile(times, _P99))) for times in quickest.T
    )


def _round(scorers: Sequence[Scorer], questions: Sequence[list[dict[str, Any]]]) -> list[list[float]]:
    """Milliseconds of each scorer's answer to the questions, or to as many as a second allows."""
    started = time.perf_counter()
    taken: list[list[float]] = []
    for asked in questions:
        taken.append(_ask(scorers, asked))
        if time.perf_counter() - started > _MOST_SECONDS:
            break
    return taken


def _ask(scorers: Sequence[Scorer], asked: Sequence[dict[str, Any]]) -> list[float]:
    """Milliseconds of each scorer's answer to one question."""
    at = datetime.now(UTC)
    taken = []
    for scorer, columns in zip(scorers, asked, strict=True):
        started = time.perf_counter()
        scorer.record(columns, ids=["row"], at=at)
        taken.append(1_000.0 * (time.perf_counter() - started))
    return taken
