"""Splits by moment: what could have been known then trains, what came after tests.

A split at a moment M: the test rows have as_of >= M and labels known at the cut; the past rows have as_of + horizon <=
    M and labels as known at M. The horizon between them is purged. The past is cut again, by time, into rows that
    train, rows that stop and steer the tuning, and the newest, which calibrate. Rows of an entity that also appears in
    a later slice of the past are left out of the earlier ones (a deal has many rows with one outcome; a model that has
    seen it looks too sure on the others). Between past and
test no entity needs to be left out: the past labels are windows that ended before M.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from common.errors import TooLittleDataError

Times = NDArray[np.datetime64]
Rows = NDArray[np.int64]

TEST_SHARE = 0.2
# Shares of the past.
TUNE_SHARE = 0.15
CALIBRATE_SHARE = 0.2

MIN_TRAIN_OUTCOMES = 40
MIN_TEST_OUTCOMES = 20


@dataclass(frozen=True)
class PastSlices:
    """Row numbers of the past, each slice later than the one before.

    Args:
        train: Trees are fitted on these.
        tune: These stop the fit and steer the study.
        refit: The winner is fitted on these once more: everything before `calibrate` but for its entities.
        calibrate: The calibration is chosen and fitted on these; oldest first.
    """

    train: Rows
    tune: Rows
    refit: Rows
    calibrate: Rows


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


def slice_past(as_of: Times, entity: NDArray[np.object_] | NDArray[np.str_], past: Rows) -> PastSlices:
    """Cut the past into train, tune and calibrate, by time, no entity in two of them.

    Args:
        as_of: Times of all rows.
        entity: Lead or deal of each row.
        past: Row numbers of the past.
    """
    ordered = past[np.argsort(as_of[past], kind="stable")]
    times = as_of[ordered]
    count = len(ordered)
    tune_from = times[int(count * (1.0 - TUNE_SHARE - CALIBRATE_SHARE))]
    calibrate_from = times[int(count * (1.0 - CALIBRATE_SHARE))]
    calibrate = ordered[times >= calibrate_from]
    refit = ordered[times < calibrate_from]
    refit = refit[~np.isin(entity[refit], entity[calibrate])]
    tune = ordered[(times >= tune_from) & (times < calibrate_from)]
    train = ordered[times < tune_from]
    tune = tune[~np.isin(entity[tune], entity[calibrate])]
    train = train[~np.isin(entity[train], np.concatenate([entity[tune], entity[calibrate]]))]
    return PastSlices(train, tune, refit, calibrate)


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
