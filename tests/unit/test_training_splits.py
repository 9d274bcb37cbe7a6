"""Splits by moment: purged between past and test, no entity in two slices of the past."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import TooLittleDataError
from training.frame import Frame, moment_of_share, split_at, split_published
from training.splits import choose_test_start, entity_folds, require_outcomes, slice_past

START = np.datetime64("2025-01-01", "us")
CUT = datetime(2025, 4, 11, tzinfo=UTC)
HORIZON = 10


def days(*numbers: float) -> np.ndarray:
    return START + (np.array(numbers) * 86_400_000_000).astype("timedelta64[us]")


def frame_of(as_of: np.ndarray, entity: list[str]) -> Frame:
    def label_at(moment: datetime) -> np.ndarray:
        mature = as_of + np.timedelta64(HORIZON, "D") <= np.datetime64(moment.replace(tzinfo=None), "us")
        return np.where(mature, np.arange(len(as_of)) % 2, np.nan).astype(float)

    return Frame(
        entity=np.array(entity, dtype=object),
        as_of=as_of,
        columns={},
        specs=(),
        horizon_days=HORIZON,
        cut=CUT,
        label_at=label_at,
    )


def test_labels_of_past_rows_were_known_at_the_moment_and_test_rows_come_after_it() -> None:
    frame = frame_of(days(*range(100)), [f"e{i}" for i in range(100)])
    split = split_at(frame, moment=datetime(2025, 3, 2, tzinfo=UTC), by_entity=False)  # day 60
    assert split.past.tolist() == list(range(51))  # day 50 + 10 = day 60
    assert split.test.tolist() == list(range(60, 91))  # day 90 + 10 = the cut, day 100


def test_by_entity_no_thing_is_on_both_sides() -> None:
    frame = frame_of(days(0, 1, 20, 40, 5, 21), ["old", "old", "new", "new", "old", "old"])
    split = split_at(frame, moment=datetime(2025, 1, 16, tzinfo=UTC), by_entity=True)  # day 15
    assert set(frame.entity[split.past]) == {"old"}
    assert set(frame.entity[split.test]) == {"new"}


def test_the_published_split_trains_on_every_older_row_with_todays_labels() -> None:
    frame = frame_of(days(*range(100)), [f"e{i}" for i in range(100)])
    split = split_published(frame, test_from=datetime(2025, 3, 2, tzinfo=UTC))
    assert split.past.tolist() == list(range(60))


def test_the_newest_share_of_entities_begins_at_their_first_row() -> None:
    frame = frame_of(days(0, 90, 10, 20, 30), ["a", "a", "b", "c", "d"])
    assert moment_of_share(frame, share=0.25) == datetime(2025, 1, 31, tzinfo=UTC)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 25)), min_size=20, max_size=120))
def test_what_judges_the_study_is_later_and_shares_no_entity(rows: list[tuple[int, int]]) -> None:
    as_of, entity = days(*(row[0] for row in rows)), np.array([f"e{row[1]}" for row in rows], dtype=object)
    slices = slice_past(as_of, entity, np.arange(len(rows)))
    for piece in slices.origins:
        if len(piece.train) and len(piece.judge):
            assert as_of[piece.train].max() < as_of[piece.judge].min()
        assert not set(entity[piece.train]) & set(entity[piece.judge])
    judged = np.concatenate([piece.judge for piece in slices.origins])
    assert len(set(judged.tolist())) == len(judged)
    assert as_of[slices.origins[0].judge].max() == as_of.max()
    assert as_of[slices.newest].min() >= np.sort(as_of)[int(len(rows) * 0.6)]
    assert (np.diff(as_of[slices.newest]) >= np.timedelta64(0)).all()


def test_origins_with_too_few_outcomes_are_left_out_and_the_newest_quarter_judges_alone_at_worst() -> None:
    as_of, entity = days(*range(1_000)), np.array([f"e{i}" for i in range(1_000)], dtype=object)
    rows = np.arange(1_000)
    often, late = rows % 2, (rows >= 700) * (rows % 2)
    assert len(slice_past(as_of, entity, rows, label=often.astype(float)).origins) == 3
    newest = slice_past(as_of, entity, rows, label=late.astype(float)).origins
    assert [(piece.judge.min(), piece.judge.max()) for piece in newest] == [(850, 999)]
    alone = slice_past(as_of, entity, rows, label=np.zeros(1_000)).origins
    assert [(piece.judge.min(), piece.judge.max()) for piece in alone] == [(750, 999)]


def test_rows_of_an_entity_share_their_fold_and_folds_are_of_like_size() -> None:
    entity = np.array([f"e{i % 30}" for i in range(300)], dtype=object)
    fold = entity_folds(entity, folds=3, seed=1)
    assert all(len(set(fold[entity == name])) == 1 for name in set(entity))
    assert np.bincount(fold).tolist() == [100, 100, 100]


def test_a_fifth_of_the_labelled_rows_tests_unless_told_otherwise() -> None:
    usable = np.array([True] * 50 + [False] * 50)
    assert choose_test_start(days(*range(100)), usable) == datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=40)


def test_too_few_outcomes_says_how_many_are_needed_and_there() -> None:
    with pytest.raises(TooLittleDataError, match=r"at least 40 rows with the outcome and 40 without.*3 with and 97"):
        require_outcomes(np.array([1.0] * 3 + [0.0] * 97), what="to train on", needed=40)


def test_a_frame_without_any_label_is_refused() -> None:
    with pytest.raises(TooLittleDataError, match="No row has a label yet"):
        choose_test_start(days(0, 1), np.array([False, False]))
