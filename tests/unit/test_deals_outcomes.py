"""How deals ended: the closing that stands, as known at a moment."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest
from features_world import connect, day, deal, moments

from training.deals.outcomes import Outcomes, ends_at, outcomes_at


class History:
    """A warehouse that holds a few versions of deals."""

    def __init__(self, *rows: dict) -> None:
        self.rows = rows

    def duckdb(self) -> object:
        return connect({"opportunities": self.rows})


def asked(history: History, *spine: tuple[str, float], cut: float) -> Outcomes:
    return outcomes_at(moments("opportunity_id", *spine), history, cut=day(cut))  # type: ignore[arg-type]


def test_a_won_deal_ended_when_it_was_won() -> None:
    history = History(deal("D-1", 0), deal("D-1", 10, status="won", amount_usd=500.0))
    found = asked(history, ("D-1", 4), cut=100)
    assert found.days.tolist() == [6.0]
    assert found.won.tolist() == [1.0]
    assert found.final_usd.tolist() == [500.0]


def test_what_happens_or_is_recorded_after_the_cut_does_not_exist() -> None:
    history = History(deal("D-1", 0), deal("D-1", 10, known=15, status="won"))
    assert np.isnan(asked(history, ("D-1", 4), cut=9).days).all()
    assert np.isnan(asked(history, ("D-1", 4), cut=14).days).all()
    assert asked(history, ("D-1", 4), cut=15).days.tolist() == [6.0]


def test_a_reopened_deal_has_not_ended() -> None:
    history = History(deal("D-1", 0), deal("D-1", 10, status="lost"), deal("D-1", 20, status="open"))
    assert np.isnan(asked(history, ("D-1", 4), cut=100).won).all()
    assert asked(history, ("D-1", 4), cut=15).won.tolist() == [0.0]


def test_the_last_closing_stands() -> None:
    history = History(
        deal("D-1", 0), deal("D-1", 10, status="lost"), deal("D-1", 20), deal("D-1", 30, status="won", amount_usd=7.0)
    )
    found = asked(history, ("D-1", 4), ("D-1", 25), cut=100)
    assert found.days.tolist() == [26.0, 5.0]
    assert found.won.tolist() == [1.0, 1.0]


def test_a_correction_after_the_closing_does_not_move_it() -> None:
    history = History(
        deal("D-1", 0), deal("D-1", 10, status="won", amount_usd=5.0), deal("D-1", 40, status="won", amount_usd=6.0)
    )
    found = asked(history, ("D-1", 4), cut=100)
    assert found.days.tolist() == [6.0]
    assert found.final_usd.tolist() == [6.0]


def test_a_deal_closed_on_the_day_it_was_opened_has_ended_before_any_later_snapshot() -> None:
    history = History(deal("D-1", 0), deal("D-1", 0.25, status="won"))
    found = asked(history, ("D-1", 0), ("D-1", 1), cut=100)
    assert found.days.tolist() == [0.25, -0.75]
    assert found.is_decided.tolist() == [False, True]


def test_a_deleted_deal_is_watched_until_its_deletion() -> None:
    history = History(deal("D-1", 0), deal("D-1", 12, is_deleted=True))
    found = asked(history, ("D-1", 4), cut=100)
    assert np.isnan(found.days).all()
    assert found.watched_days.tolist() == [8.0]


def test_deals_are_watched_until_the_cut_less_the_time_that_recording_takes() -> None:
    history = History(deal("D-1", 0), deal("D-1", 10, known=13, status="won"), deal("D-2", 0))
    found = asked(history, ("D-2", 4), cut=100)
    assert found.recording_days == pytest.approx(3.0)
    assert found.watched_days.tolist() == pytest.approx([93.0])


def test_a_moved_pipeline_is_no_end() -> None:
    history = History(deal("D-1", 0, pipeline="a"), deal("D-1", 10, pipeline="b", stage="first"))
    assert np.isnan(asked(history, ("D-1", 4), cut=100).days).all()


def test_without_any_deal_nothing_is_known() -> None:
    found = asked(History(), ("D-1", 4), cut=100)
    assert np.isnan(found.won).all()
    assert found.recording_days == 0.0


def test_ends_by_deal_say_won_or_lost_and_leave_out_the_rest() -> None:
    history = History(
        deal("D-1", 0, status="won"), deal("D-2", 0, status="lost"), deal("D-3", 0), deal("D-4", 0, is_deleted=True)
    )
    cut: datetime = day(50)
    assert ends_at(history, cut=cut) == {"D-1": True, "D-2": False}  # type: ignore[arg-type]


def test_an_empty_spine_has_empty_outcomes() -> None:
    empty = pa.table({"opportunity_id": pa.array([], pa.string()), "as_of": pa.array([], pa.timestamp("us", tz="UTC"))})
    assert len(outcomes_at(empty, History(deal("D-1", 0)), cut=day(5)).days) == 0  # type: ignore[arg-type]
