"""Reading online: the order of features, ages, TTLs, foreign keys, and one round trip per level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from online_stores import hour, rows_of, view_of

from features.materializing import replace_rows
from features.online_reader import OnlineAnswer, OnlineReader, StoredRow, read_answer
from features.online_store_sqlite import SqliteRows
from features.specs import ViewSpec

LEAD = view_of()
REP = replace(view_of("rep_view", wins="int"), join_key="rep_id", ttl_days=3, unseen=lambda key: ("?", "everyone"))
SHORT = replace(view_of("short_view", clicks="int"), ttl_days=2)
VIEWS = (LEAD, REP, SHORT)
LEADS = {
    "a": {"score": 1.0, "visits": 2, "is_big": True, "channel": "web", "rep_of_lead": "R1"},
    "b": {"score": None, "visits": 0, "is_big": False, "channel": None, "rep_of_lead": None},
    "c": {"score": 3.0, "visits": 1, "is_big": None, "channel": "ads", "rep_of_lead": "newcomer"},
}


@pytest.fixture
def store(tmp_path: Path) -> SqliteRows:
    store = SqliteRows(tmp_path / "online.db", project="one")
    replace_rows(store, LEAD, rows_of(LEAD, 24, LEADS), at=hour(24))
    replace_rows(store, SHORT, rows_of(SHORT, 12, {"a": {"clicks": 5}}), at=hour(12))
    replace_rows(store, REP, rows_of(REP, 0, {"R1": {"wins": 4}, "everyone": {"wins": 1}}), at=hour(0))
    return store


class Counting(OnlineReader):
    """Counts round trips."""

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.trips = 0

    def read_all(self, asked: Sequence[tuple[ViewSpec, Sequence[str]]]) -> list[dict[str, StoredRow]]:
        self.trips += any(keys for _, keys in asked)
        return super().read_all(asked)


def ask(reader: OnlineReader, ids: list[str], at: float) -> OnlineAnswer:
    own = reader.read_all([(view, ids) for view in VIEWS if view.join_key == "lead_id"])
    return read_answer(VIEWS, ids, at=hour(at), join_key="lead_id", own=own, read_all=reader.read_all)


def test_features_come_in_the_order_of_the_views_and_one_value_per_id(store: SqliteRows) -> None:
    answer = ask(OnlineReader(store), ["b", "nobody", "a"], 24)
    assert list(answer.values) == ["score", "visits", "is_big", "channel", "wins", "clicks"]
    assert answer.values["visits"] == [0, None, 2]
    assert answer.values["wins"] == [None, None, 4]
    assert answer.found == (True, False, True)


def test_each_view_tells_how_old_its_values_are(store: SqliteRows) -> None:
    answer = ask(OnlineReader(store), ["a", "b"], 25)
    assert answer.view_timestamps == {
        "lead_view": (hour(24), hour(24)),
        "short_view": (hour(12), None),
        "rep_view": (hour(0), None),
    }
    assert answer.feature_timestamps == (hour(0), hour(24))


def test_an_expired_value_is_missing_and_its_age_is_told(store: SqliteRows) -> None:
    alive = ask(OnlineReader(store), ["a"], 36)
    assert alive.expired == ((),)
    late = ask(OnlineReader(store), ["a"], 48.01)
    assert late.values["visits"] == [None]
    assert late.values["clicks"] == [5]
    assert set(late.expired[0]) == {"score", "visits", "is_big", "channel", "wins"}
    assert late.view_timestamps["lead_view"] == (hour(24),)
    assert "clicks" in ask(OnlineReader(store), ["a"], 61).expired[0]


def test_a_value_of_the_future_is_not_visible(store: SqliteRows) -> None:
    answer = ask(OnlineReader(store), ["a"], 23)
    assert answer.found == (False,)
    assert answer.values["visits"] == [None]
    assert answer.view_timestamps["lead_view"] == (None,)


def test_a_key_nobody_has_seen_falls_back_in_the_views_order(store: SqliteRows) -> None:
    assert ask(OnlineReader(store), ["c"], 24).values["wins"] == [1]
    replace_rows(
        store, REP, rows_of(REP, 1, {"R1": {"wins": 4}, "everyone": {"wins": 1}, "?": {"wins": 2}}), at=hour(1)
    )
    assert ask(OnlineReader(store), ["c", "a"], 24).values["wins"] == [2, 4]


def test_a_level_is_one_round_trip_and_strangers_cost_one_more(store: SqliteRows) -> None:
    for ids, trips in ((["a"], 2), (["a", "c"], 3), (["b"], 1), ([], 0)):
        reader = Counting(store)
        ask(reader, ids, 24)
        assert reader.trips == trips, ids
