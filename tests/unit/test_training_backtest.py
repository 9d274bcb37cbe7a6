"""The backtest: windows in order, labels known at each cut-off only, the test period never touched."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from classifier_frame import HORIZON_DAYS, classifier_frame

from training.backtest import BacktestWindow, backtest
from training.frame import Frame, Partition, split_at
from training.search import Candidate
from training.splits import instant
from training.winner import Winner

MOMENT = datetime(2024, 11, 1, tzinfo=UTC)
LINEAR = Candidate(
    kind="linear",
    params={"ridge_rows": 1.0, "lasso_rows": 0.5, "segments": 2, "steady": True, "memory": 0.0},
    rounds=0,
    log_loss=0.5,
)


def split(frame: Frame) -> Partition:
    return split_at(frame, moment=MOMENT, by_entity=False)


def windows(frame: Frame) -> tuple[BacktestWindow, ...]:
    return backtest(frame, split(frame), Winner(parts=(LINEAR,)), n_windows=3, threads=1, seed=7)


@pytest.fixture(scope="module")
def found() -> tuple[BacktestWindow, ...]:
    return windows(classifier_frame())


def test_windows_follow_one_another_and_end_where_the_test_begins(found: tuple[BacktestWindow, ...]) -> None:
    assert len(found) == 3
    assert all(a.end == b.cutoff for a, b in pairwise(found))
    assert found[-1].end == MOMENT


def test_each_window_is_judged_beside_its_baselines(found: tuple[BacktestWindow, ...]) -> None:
    for window in found:
        assert {"const", "logistic_regression"} <= set(window.baselines)
        assert window.metrics["log_loss"].value < window.baselines["const"]["log_loss"].value
        assert window.metrics["auc"].low is not None


def test_only_labels_that_were_known_at_the_cutoff_train(found: tuple[BacktestWindow, ...]) -> None:
    frame = classifier_frame()
    for window in found:
        known = frame.as_of + np.timedelta64(HORIZON_DAYS, "D") <= instant(window.cutoff)
        assert window.past_rows == known.sum()


def test_nothing_of_the_test_period_changes_a_figure(found: tuple[BacktestWindow, ...]) -> None:
    frame = classifier_frame()
    test = frame.as_of >= instant(MOMENT)
    columns = {name: values.copy() for name, values in frame.columns.items()}
    columns["visits"][test] = 99.0
    columns["source"][test] = "never seen"

    def label_at(moment: datetime) -> np.ndarray:
        label = frame.label_at(moment)
        return np.where(test & ~np.isnan(label), 1.0 - label, label)

    assert windows(replace(frame, columns=columns, label_at=label_at)) == found


def test_what_becomes_known_after_a_cutoff_does_not_change_its_model(found: tuple[BacktestWindow, ...]) -> None:
    frame = classifier_frame()
    first = found[0]
    unknown = frame.as_of + np.timedelta64(HORIZON_DAYS, "D") > instant(first.cutoff)
    before = unknown & (frame.as_of < instant(first.cutoff))

    def label_at(moment: datetime) -> np.ndarray:
        label = frame.label_at(moment)
        return np.where(before & ~np.isnan(label), 1.0 - label, label)

    assert windows(replace(frame, label_at=label_at))[0].metrics == first.metrics


def test_windows_with_too_few_outcomes_are_left_out() -> None:
    frame = classifier_frame(rate=-5.5)
    assert windows(frame) == ()


def test_a_window_needs_no_more_than_the_past() -> None:
    frame = classifier_frame()
    early = split_at(frame, moment=MOMENT - timedelta(days=250), by_entity=False)
    assert isinstance(backtest(frame, early, Winner(parts=(LINEAR,)), threads=1, seed=7), tuple)
