from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from training.forecast.notes import notes_of
from training.forecast.train_pipeline import _month_ends
from training.forecast.turn import Seen, Turn

LOSSES = Seen("losses", 1.27, 3.1)


def notes(turn: Turn = Turn(), **changed: object) -> tuple[str, ...]:  # noqa: B008 - it is frozen
    options: dict[str, object] = {
        "months": 24,
        "outcomes": 500,
        "least_outcomes": 40,
        "has_seasons": True,
        "asks_model": False,
    }
    return notes_of(turn, **{**options, **changed})


def test_in_steady_times_with_enough_history_there_is_nothing_to_say() -> None:
    assert notes() == ()
    assert notes(Turn(chance=0.2, months=2, seen=(LOSSES,))) == ()


def test_a_change_is_told_with_what_differs_how_sure_it_is_and_that_the_range_is_wider() -> None:
    leads, moves = Seen("new leads", 0.83, -4.2), Seen("moves to a later stage", 0.93, -1.1)
    (note,) = notes(Turn(chance=0.004, months=2, seen=(moves, LOSSES, leads)))
    assert "in the last 2 months there were 17% fewer new leads, 27% more losses than" in note
    assert "moves" not in note
    assert "would be seen in 0.40% of forecasts" in note
    assert "The forecast follows, and the range is wider" in note


def test_what_differs_is_told_too_where_nothing_stands_out_by_itself() -> None:
    (note,) = notes(Turn(chance=0.03, months=1, seen=(Seen("new deals", 0.8, -1.9), Seen("losses", 1.2, 1.9))))
    assert "in the last month there were 20% fewer new deals, 20% more losses" in note


def test_a_chance_next_to_none_is_not_told_as_nought() -> None:
    (note,) = notes(Turn(chance=1e-7, months=3, seen=(LOSSES,)))
    assert "in less than 0.01% of forecasts" in note


def test_where_the_deal_model_speaks_the_note_says_that_its_chances_stay() -> None:
    (note,) = notes(Turn(chance=0.001, months=2, seen=(LOSSES,)), asks_model=True)
    assert "The deal model speaks for the open deals, and its chances are not changed by this" in note


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
