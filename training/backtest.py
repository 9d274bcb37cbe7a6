"""What the recipe would have done before: several cut-offs in the past, the winner's parameters fitted anew at each.

At a cut-off only rows whose label was known then train, categories and calibration included; the rows from it up to the
next cut-off are answered, and judged with the labels known at the end of the past. The test period is never touched.
The parameters themselves were chosen on this past, so the windows flatter a little; the test period does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from training.calibration import choose_calibration
from training.encoding import encode_columns
from training.evaluation import evaluate
from training.fit_rows import cross_fitted, fit_rows, is_first_row
from training.frame import Frame, Partition, fit_entries
from training.naive import naive_answers
from training.results import Metric
from training.side_by_side import side_by_side
from training.splits import MIN_TEST_OUTCOMES, MIN_TRAIN_OUTCOMES, instant, moment_of
from training.winner import Winner

Vector = NDArray[np.float64]

N_WINDOWS = 3
# The older half of the past is the least that a window is fitted on.
_FIRST_CUTOFF = 0.5
# A window sees a random part of the rows beyond these: it says whether quality holds, not what the last row adds.
_MOST_ROWS = 20_000
_FOLDS = 2


@dataclass(frozen=True, kw_only=True)
class BacktestWindow:
    """One cut-off.

    Args:
        cutoff: Labels known at this moment train; UTC.
        end: The rows before this moment are answered; UTC.
        past_rows: Rows that trained.
        rows: Rows that were answered.
        calibration: Method that was chosen at the cut-off.
        metrics: Figures on the answered rows, with intervals.
        baselines: The same of the naive answers, by baseline.
    """

    cutoff: datetime
    end: datetime
    past_rows: int
    rows: int
    calibration: str
    metrics: Mapping[str, Metric]
    baselines: Mapping[str, Mapping[str, Metric]]


def backtest(
    frame: Frame, partition: Partition, winner: Winner, *, n_windows: int = N_WINDOWS, threads: int, seed: int
) -> tuple[BacktestWindow, ...]:
    """Fit and judge the winner at several cut-offs of the past.

    Args:
        frame: The frame.
        partition: Its past is cut up; its test rows stay out.
        winner: What to fit.
        n_windows: Cut-offs, each with as many rows to answer.
        threads: Threads of a fit.
        seed: Seed of every draw.

    Returns:
        Windows in the order of time; those with too few outcomes to fit or to judge are left out.
    """
    ordered = partition.past[np.argsort(frame.as_of[partition.past], kind="stable")]
    shares = np.linspace(_FIRST_CUTOFF, 1.0, n_windows + 1)
    moments = [_moment(frame, ordered, share) for share in shares[:-1]] + [partition.moment]
    label = np.full(frame.rows, np.nan)
    label[partition.past] = partition.past_label
    jobs = [
        partial(_window, frame, label, winner, cutoff=cutoff, end=end, seed=seed) for cutoff, end in pairwise(moments)
    ]
    return tuple(window for window in side_by_side(jobs, threads=threads) if window is not None)


def _moment(frame: Frame, ordered: NDArray[np.int64], share: float) -> datetime:
    return moment_of(frame.as_of[ordered[min(int(len(ordered) * share), len(ordered) - 1)]])


def _window(
    frame: Frame, label: Vector, winner: Winner, threads: int, *, cutoff: datetime, end: datetime, seed: int
) -> BacktestWindow | None:
    known = frame.label_at(cutoff)
    # Only rows of the partition's past: a row left out of it is left out here.
    usable = ~np.isnan(known) & ~np.isnan(label)
    past = np.flatnonzero(usable & (frame.as_of < instant(cutoff)))
    later = np.flatnonzero(~np.isnan(label) & (frame.as_of >= instant(cutoff)) & (frame.as_of < instant(end)))
    if _fewest(known[past]) < MIN_TRAIN_OUTCOMES or _fewest(label[later]) < MIN_TEST_OUTCOMES:
        return None
    is_first = np.zeros(frame.rows, dtype=bool)
    is_first[past] = is_first_row(frame.entity[past], frame.as_of[past])
    past = _part(past, seed=seed)
    past = past[np.argsort(frame.as_of[past], kind="stable")]
    entries = fit_entries(frame, past, known[past])
    matrix, later_matrix = (
        encode_columns({entry.name: frame.columns[entry.name][rows] for entry in entries}, entries)
        for rows in (past, later)
    )
    data = fit_rows(matrix, known[past], entries, when=frame.as_of[past], is_first=is_first[past])
    margin = cross_fitted(winner, data, entity=frame.entity[past], folds=_FOLDS, threads=threads, seed=seed)
    calibration, _ = choose_calibration(margin, known[past])
    model = winner.fit(data, threads=threads, seed=seed)
    answers = {
        "ours": calibration.apply(model.margin(later_matrix, threads=threads)),
        **naive_answers(entries, matrix, known[past], later_matrix, seed=seed),
    }
    figures = {
        name: evaluate(label[later], answer, entity=frame.entity[later], seed=seed) for name, answer in answers.items()
    }
    return BacktestWindow(
        cutoff=cutoff,
        end=end,
        past_rows=len(past),
        rows=len(later),
        calibration=calibration.method,
        metrics=figures.pop("ours"),
        baselines=figures,
    )


def _part(rows: NDArray[np.int64], *, seed: int) -> NDArray[np.int64]:
    if len(rows) <= _MOST_ROWS:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, _MOST_ROWS, replace=False))


def _fewest(label: Vector) -> float:
    return float(min(label.sum(), (1.0 - label).sum())) if len(label) else 0.0
