"""Learning from outcomes that a first pair of models tells on: making the pair, and whether it surely pays."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from training.calibration import sigmoid
from training.deals.continuation import continued
from training.deals.crossing import cross_fitted, levelled
from training.deals.hazards import Futures
from training.deals.pieces import Piece, Snapshots
from training.splits import MIN_TEST_OUTCOMES, MIN_TRAIN_OUTCOMES
from training.trees import shifted_loss_rows
from training.winner import Winner

Vector = NDArray[np.float64]
logger = logging.getLogger(__name__)

# The newest snapshots judge whether to learn from outcomes told on; it has to be better by so many standard errors.
_JUDGED_SHARE, _SURE = 0.3, 2.0
# Rows of ends that teach before they do: when a deal ends is not the question then.
_CLOSING_ROWS = 20_000


def told_on(
    snapshots: Snapshots,
    winners: Mapping[str, Winner],
    pieces: Mapping[str, Piece],
    *,
    threads: int,
    seed: int,
) -> Snapshots:
    """The snapshots with the outcomes that a first, cross-fitted pair of models tells on.

    Args:
        snapshots: What is learned from.
        winners: What is fitted, by part.
        pieces: The snapshots' rows by part, with what came.
        threads: Threads of all fits together.
        seed: Seed of every draw.
    """
    first = {
        name: levelled(
            pieces[name],
            cross_fitted(winner, pieces[name], snapshots.matrix, snapshots.entity, threads=threads, seed=seed),
        ).probability
        for name, winner in winners.items()
    }
    outcomes = continued(
        snapshots.outcomes,
        as_of=snapshots.as_of,
        entity=snapshots.entity,
        futures=Futures(hazard=first["closing"], share=first["winning"]),
        seed=seed,
    )
    return replace(snapshots, outcomes=outcomes)


def is_better_told_on(snapshots: Snapshots, winners: Mapping[str, Winner], *, threads: int, seed: int) -> bool:
    """Whether a model that learns from outcomes told on surely foretold better who won in the newest part of the past.

    Everything before a moment, as it was known then, teaches both kinds; what came of later snapshots judges, deal by
    deal. Who wins decides, not when a deal ends: on bpic2012 the ends were foretold better and the wins were not. So
    the first model of ends learns from fewer rows here; with fewer deals the answer was left to luck.

    Args:
        snapshots: What would be learned from.
        winners: What is fitted, by part.
        threads: Threads of all fits together.
        seed: Seed of every draw.
    """
    times = snapshots.as_of.astype("datetime64[us]")
    moment = np.sort(times)[int(len(times) * (1.0 - _JUDGED_SHARE))]
    then = snapshots.take(np.flatnonzero(times < moment)).known_at(moment)
    newer = snapshots.take(np.flatnonzero(times >= moment))
    counts = [min(part.deals(0.0), part.deals(1.0)) for part in (then, newer)]
    if counts[0] < MIN_TRAIN_OUTCOMES or counts[1] < MIN_TEST_OUTCOMES:
        return False
    plain = then.pieces(seed=seed, closing_rows=_CLOSING_ROWS)
    told = told_on(then, winners, plain, threads=threads, seed=seed).pieces(seed=seed, closing_rows=_CLOSING_ROWS)
    judged = newer.pieces(seed=seed, closing_rows=_CLOSING_ROWS)["winning"]
    lessons = [pieces["winning"] for pieces in (plain, told)]
    losses = [_later_losses(winners["winning"], each, judged, threads=threads, seed=seed) for each in lessons]
    gain = losses[0] - losses[1]
    deal = np.unique(newer.entity[judged.periods.row].astype(str), return_inverse=True)[1]
    spread = np.bincount(deal, gain - gain.mean())
    error = float(np.sqrt((spread**2).sum())) / len(gain)
    logger.info("outcomes told on take %.4f (error %.4f) off the later log-loss of winning", gain.mean(), error)
    return bool(gain.mean() > _SURE * error)


def _later_losses(winner: Winner, lessons: Piece, judged: Piece, *, threads: int, seed: int) -> Vector:
    """Log-loss of each later row after the best shift of all."""
    model = winner.fit(lessons.data, threads=threads, seed=seed)
    said = sigmoid(model.margin(judged.data.matrix, threads=threads))
    return np.asarray(shifted_loss_rows(judged.data.label, said))
