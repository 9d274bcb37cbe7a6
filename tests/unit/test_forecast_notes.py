from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from training.forecast.drift import Level, track_counts
from training.forecast.flow import Flow
from training.forecast.notes import has_changed, notes_of
from training.forecast.train_pipeline import _month_ends


def level(last: float) -> Level:
    return track_counts(np.r_[np.full(20, 200.0), np.full(4, 200.0 * last)], np.full(24, 200.0))


def flow(*, lose: float = 1.0) -> Flow:
    return Flow(
        stages=("Demo",), moves=np.array([[0.5, 0.25, 0.25]]), entry=np.ones(1), advance=level(1.0), lose=level(lose)
    )


def notes(*, lose: float = 1.0, created: float = 1.0, **changed: object) -> tuple[str, ...]:
    options: dict[str, object] = {
        "months": 24,
        "outcomes": 500,
        "least_outcomes": 40,
        "has_seasons": True,
        "asks_model": False,
    }
    return notes_of(flow(lose=lose), level(1.0), level(created), **{**options, **changed})


def test_in_steady_times_with_enough_history_there_is_nothing_to_say() -> None:
    assert notes() == ()
    assert not has_changed(flow(), level(1.0), level(1.0))


def test_more_losses_are_told_with_how_many_and_that_the_range_is_wider() -> None:
    (note,) = notes(lose=1.4)
    assert "losses run 3" in note or "losses run 4" in note
    assert "higher than the last two years taught; the forecast follows, and the range is wider" in note
    assert has_changed(flow(lose=1.4), level(1.0), level(1.0))


def test_where_the_deal_model_speaks_the_note_says_that_its_chances_stay() -> None:
    (note,) = notes(lose=1.4, asks_model=True)
    assert "the deal model speaks for the open deals, and its chances are not changed by this" in note


def test_fewer_deals_created_are_told() -> None:
    (note,) = notes(created=0.7)
    assert "fewer deals are created than half a year ago" in note


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"outcomes": 25}, "Only 25 deals are decided (40 are needed for a model of deals)"),
        ({"has_seasons": False, "months": 14}, "There are 14 months to learn from, less than two seasons"),
    ],
)
def test_short_history_is_told_with_what_follows_from_it(changed: dict[str, object], expected: str) -> None:
    (note,) = notes(**changed)
    assert expected in note
    assert "the range is wider" in note or "range is wider for it" in note


def test_the_deal_models_months_end_with_the_calendars() -> None:
    days = _month_ends(datetime(2026, 1, 22, 12, tzinfo=UTC))
    assert days[:3] == pytest.approx([0.0, 9.5, 37.5])
    assert (np.diff(days) > 0).all()
