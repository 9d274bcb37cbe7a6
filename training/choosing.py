"""Which of a study's trials are taken: the plainest that is not surely worse than the best.

The least of many losses is least partly by luck, and the more trials there are, the more of it is: fifty trials on the
simulated leads chose parameters that were better on the slices and worse on later rows than the ones to begin with. So
the rule of one standard error decides (Breiman, Friedman, Olshen and Stone 1984), on paired differences between
stretches of time. A kind's tuned parameters are taken where they beat those it began with by more than the luckiest of
as many would that are no better (the greatest of n standard normals is about sqrt(2 log n)); trees are taken before the
regression, which adds up feature by feature, where they beat it by one standard error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.search import KINDS, Candidate, Kind

PLAINEST: Kind = "linear"


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A trial that ended.

    Args:
        candidate: What was tried, with its log-loss.
        blocks: The log-loss as a sum over stretches of time, the same ones for every trial, shape (n_stretches,).
        is_first: Whether its parameters are those that its kind begins with.
    """

    candidate: Candidate
    blocks: NDArray[np.float64]
    is_first: bool = False


def choose_candidates(tried: Sequence[Tried]) -> tuple[Candidate, ...]:
    """The chosen trial of each kind that has one; the winner first, the others by their log-loss.

    Args:
        tried: Trials that ended, at least one.
    """
    of_kinds = [_of_kind([each for each in tried if each.candidate.kind == kind]) for kind in KINDS]
    ranked = sorted((each for each in of_kinds if each is not None), key=lambda each: each.candidate.log_loss)
    plain = next((each for each in ranked if each.candidate.kind == PLAINEST), None)
    if plain is not None and not is_surely_worse(plain, ranked[0]):
        ranked = [plain, *(each for each in ranked if each is not plain)]
    return tuple(each.candidate for each in ranked)


def _of_kind(tried: Sequence[Tried]) -> Tried | None:
    if not tried:
        return None
    best = min(tried, key=lambda each: each.candidate.log_loss)
    first = next((each for each in tried if each.is_first), None)
    luckiest = float(np.sqrt(2.0 * np.log(max(1, len(tried) - 1))))
    return first if first is not None and not is_surely_worse(first, best, errors=max(1.0, luckiest)) else best


def is_surely_worse(one: Tried, best: Tried, *, errors: float = 1.0) -> bool:
    """Whether a trial's log-loss is more than so many standard errors above the best one's.

    Stretches of time are the units: rows of one week, and of one lead, are not independent.
    """
    difference = one.blocks - best.blocks
    count = len(difference)
    if count < 2:
        return bool(difference.sum() > 0.0)
    return bool(difference.sum() > errors * np.sqrt(count * difference.var(ddof=1)))
