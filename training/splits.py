"""Splits by moment: what could have been known then trains, what came after tests.

A split at a moment M: the test rows have as_of >= M and labels known at the cut; the past rows have as_of + horizon <=
M and labels as known at M. The horizon between them is purged. Between past and test no entity needs to be left out:
the past labels are windows that ended before M.

Within the past, the newest quarter steers the study; rows of its entities are left out of the older part (a deal has
many rows with one outcome, and a model that has seen it looks too sure on the others). The final trees are fitted on
the whole past; the calibration sees predictions that were cross-fitted by entity.
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
# Shares of the past.
TUNE_SHARE = 0.25
NEWEST_SHARE = 0.4

MIN_TRAIN_OUTCOMES = 40
MIN_TEST_OUTCOMES = 20


@dataclass(frozen=True)
class PastSlices:
    """Row numbers of the past.

    Args:
        train: The study fits on these.
        tune: Later ones, which stop the fits and steer the study; no entity of theirs is in `train`.
        newest: The newest share of the past, oldest first; the calibration is chosen and fitted on these.
    """

    train: Rows
    tune: Rows
    newest: Rows


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


def slice_past(as_of: Times, entity: Entities, past: Rows) -> PastSlices:
    """Cut the past by time into what the study fits on and what judges it, no entity in both.

    Args:
        as_of: Times of all rows.
        entity: Lead or deal of each row.
        past: Row numbers of the past.
    """
    ordered = past[np.argsort(as_of[past], kind="stable")]
    times = as_of[ordered]
    tune_from = times[int(len(ordered) * (1.0 - TUNE_SHARE))]
    tune, train = ordered[times >= tune_from], ordered[times < tune_from]
    # Numbers instead of names: isin on objects compares every pair.
    code = np.unique(entity.astype(str), return_inverse=True)[1]
    train = train[~np.isin(code[train], code[tune])]
    return PastSlices(train, tune, ordered[int(len(ordered) * (1.0 - NEWEST_SHARE)) :])


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
