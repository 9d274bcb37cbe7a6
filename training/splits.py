"""Splits by moment: what could have been known then trains, what came after tests.

A split at a moment M: the test rows have as_of >= M and labels known at the cut; the past rows have as_of + horizon <=
M and labels as known at M. The horizon between them is purged. Between past and test no entity needs to be left out:
the past labels are windows that ended before M.

Within the past, rolling origins steer the study: each of three newer slices judges what was fitted on all rows before
it. Rows of a slice's entities are left out of what is fitted for it (a deal has many rows with one outcome, and a model
that has seen it looks too sure on the others). The final model is fitted on the whole past; the calibration sees
predictions that were cross-fitted by entity.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from common.errors import TooLittleDataError

Times = NDArray[np.datetime64]
Rows = NDArray[np.int64]
Entities = NDArray[np.object_] | NDArray[np.str_]

TEST_SHARE = 0.2
# Shares of the past: each slice that judges, how many there are at most, one alone where outcomes are few.
SLICE_SHARE, SLICES = 0.15, 3
TUNE_SHARE = 0.25
NEWEST_SHARE = 0.4
# Outcomes of each kind that a slice must hold, and that what is fitted for it must hold.
MIN_SLICE_OUTCOMES, MIN_FIT_OUTCOMES = 25, 40

MIN_TRAIN_OUTCOMES = 40
MIN_TEST_OUTCOMES = 20


@dataclass(frozen=True)
class Slice:
    """Row numbers of one origin.

    Args:
        train: What is fitted on: rows before the origin.
        judge: Rows from the origin on, up to the next; no entity of theirs is in `train`.
    """

    train: Rows
    judge: Rows


@dataclass(frozen=True)
class PastSlices:
    """Row numbers of the past.

    Args:
        origins: Slices that steer the study, the newest first; at least one.
        newest: The newest share of the past, oldest first; what a score is compared with.
        ordered: The whole past, oldest first.
    """

    origins: tuple[Slice, ...]
    newest: Rows
    ordered: Rows


def moment_of(value: np.datetime64) -> datetime:
    """A datetime64 (UTC) as an aware datetime."""
    naive: datetime = value.astype("datetime64[us]").item()
    return naive.replace(tzinfo=UTC)


def instant(value: datetime) -> np.datetime64:
    """An aware datetime as datetime64[us] in UTC."""
    return np.datetime64(value.astimezone(UTC).replace(tzinfo=None), "us")


def choose_test_start(as_of: Times, usable: NDArray[np.bool_], *, share: float = TEST_SHARE) -> datetime:
    """The day from which on the newest `share` of the rows with a label lie.

    Args:
        as_of: Times of all rows.
        usable: Rows with a label at the cut.
        share: Share of the usable rows that shall test.

    Raises:
        TooLittleDataError: if no row has a label.
    """
    if not usable.any():
        raise TooLittleDataError(
            "No row has a label yet",
            next_step="wait until the horizon of the first rows has passed, or load more history",
        )
    times = np.sort(as_of[usable])
    start = times[min(int(len(times) * (1.0 - share)), len(times) - 1)]
    return moment_of(start.astype("datetime64[D]"))


def slice_past(as_of: Times, entity: Entities, past: Rows, *, label: NDArray[np.float64] | None = None) -> PastSlices:
    """Cut the past by rolling origins into what the study fits on and what judges it, no entity in both.

    Args:
        as_of: Times of all rows.
        entity: Lead or deal of each row.
        past: Row numbers of the past.
        label: Outcomes of the past rows, in the order of `past`; origins with too few of them are left out. Where none
            has enough, the newest quarter judges alone.
    """
    order = np.argsort(as_of[past], kind="stable")
    ordered = past[order]
    outcome = None if label is None else label[order]
    times = as_of[ordered]
    # Numbers instead of names: isin on objects compares every pair.
    code = np.unique(entity.astype(str), return_inverse=True)[1]

    def cut(begin: float, end: float) -> tuple[Slice, bool]:
        first = times[min(int(len(ordered) * begin), len(ordered) - 1)]
        last = times[int(len(ordered) * end)] if end < 1.0 else None
        judged = (times >= first) if last is None else (times >= first) & (times < last)
        fitted = (times < first) & ~np.isin(code[ordered], code[ordered[judged]])
        enough = outcome is None or (
            _fewest(outcome[judged]) >= MIN_SLICE_OUTCOMES and _fewest(outcome[fitted]) >= MIN_FIT_OUTCOMES
        )
        return Slice(ordered[fitted], ordered[judged]), bool(enough)

    ends = [1.0 - SLICE_SHARE * number for number in range(SLICES)]
    found = [piece for piece, enough in (cut(end - SLICE_SHARE, end) for end in ends) if enough]
    origins = tuple(found) or (cut(1.0 - TUNE_SHARE, 1.0)[0],)
    return PastSlices(origins, ordered[int(len(ordered) * (1.0 - NEWEST_SHARE)) :], ordered)


def _fewest(label: NDArray[np.float64]) -> float:
    """Outcomes of the rarer kind."""
    return float(min(label.sum(), (1.0 - label).sum()))


def entity_folds(entity: Entities, *, folds: int, seed: int) -> Rows:
    """A fold for each row, the same for all rows of an entity.

    Args:
        entity: Lead or deal of each row.
        folds: How many.
        seed: Seed of the draw.
    """
    names, position = np.unique(entity.astype(str), return_inverse=True)
    drawn = np.random.default_rng(seed).permutation(len(names)) % folds
    return np.asarray(drawn[position])


def require_outcomes(label: NDArray[np.float64], *, what: str, needed: int) -> None:
    """Raise unless there are `needed` rows of each outcome.

    Raises:
        TooLittleDataError: naming how many are needed and how many there are.
    """
    positives, negatives = int((label == 1).sum()), int((label == 0).sum())
    if min(positives, negatives) >= needed:
        return
    raise TooLittleDataError(
        f"Too few outcomes {what}",
        expected=f"at least {needed} rows with the outcome and {needed} without",
        got=f"{positives} with and {negatives} without",
        next_step="load a longer history, or wait until more outcomes are known",
    )
