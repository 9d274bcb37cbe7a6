"""Versions of deals at many moments: the same as asking for each moment alone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from training.forecast.history import PipelineHistory
from training.forecast.states import deal_frame
from warehouse.views import memory_tables

START = datetime(2025, 1, 1, tzinfo=UTC)
MOMENTS = [START + timedelta(days=day) for day in (5, 10, 15, 20)]


def version(deal: str, day: int, *, known: int | None = None, **more: Any) -> dict[str, Any]:
    """A version of a deal that happened on a day and was known some days later."""
    happened = START + timedelta(days=day)
    row: dict[str, Any] = {
        "opportunity_id": deal,
        "opened_at": START,
        "status": "open",
        "stage": "Proposal",
        "rep_id": "R-1",
        "amount_usd": 100.0,
        "close_date": date(2025, 3, 1),
        "is_deleted": False,
        "event_timestamp": happened,
        "created_timestamp": happened + timedelta(days=known or 0),
    }
    return row | more


def history_of(*versions: dict[str, Any]) -> PipelineHistory:
    money = {
        "transaction_id": "T-1",
        "account_id": "A-1",
        "kind": "booking",
        "amount_usd": 1.0,
        "rep_id": "R-1",
        "event_timestamp": START,
        "created_timestamp": START,
    }
    rep = {"rep_id": "R-1", "event_timestamp": START, "created_timestamp": START}
    tables = {"opportunities": list(versions), "transactions": [money], "reps": [rep]}
    return PipelineHistory(memory_tables({name: pa.Table.from_pylist(rows) for name, rows in tables.items()}))


def open_at(history: PipelineHistory, moment: datetime) -> dict[str, tuple[str, float]]:
    rows = history.open_deals(moment)
    return {deal: (stage, amount) for deal, stage, amount in rows[["opportunity_id", "stage", "amount_usd"]].values}


def test_a_version_lasts_until_a_later_one_is_known() -> None:
    history = history_of(
        version("D-2", 2),
        version("D-1", 3),
        version("D-1", 8, known=4, stage="Negotiation"),
        version("D-2", 16, status="won"),
    )
    assert [open_at(history, moment) for moment in MOMENTS] == [
        {"D-1": ("Proposal", 100.0), "D-2": ("Proposal", 100.0)},
        {"D-1": ("Proposal", 100.0), "D-2": ("Proposal", 100.0)},
        {"D-1": ("Negotiation", 100.0), "D-2": ("Proposal", 100.0)},
        {"D-1": ("Negotiation", 100.0)},
    ]


def test_a_version_that_lasts_over_several_moments_is_one_place_and_one_that_reaches_none_has_no_place() -> None:
    history = history_of(version("D-1", 1), version("D-1", 6, stage="Lead"), version("D-1", 8, stage="Negotiation"))
    places = history.open_places(MOMENTS)
    assert [place.tolist() for place in places] == [[0], [2], [2], [2]]
    assert history.states(np.concatenate(places))["stage"].tolist() == ["Proposal", *["Negotiation"] * 3]


def test_what_was_asked_before_is_not_read_again() -> None:
    history = history_of(version("D-1", 1), version("D-1", 12, amount_usd=200.0))
    first = open_at(history, MOMENTS[0])
    places = history.open_places([MOMENTS[2], MOMENTS[0]])
    assert first == {"D-1": ("Proposal", 100.0)}
    assert [history.states(place)["amount_usd"].tolist() for place in places] == [[200.0], [100.0]]
    assert [history.states(place)["amount_usd"].tolist() for place in places] == [[200.0], [100.0]]


def test_a_version_told_late_does_not_outlast_one_that_follows_it() -> None:
    # The second happened before the third and was told after it: by then a later one was known.
    history = history_of(
        version("D-1", 1), version("D-1", 3, known=9, stage="Lead"), version("D-1", 4, stage="Negotiation")
    )
    assert history.versions.until[:2].tolist() == [history.versions.since[2]] * 2
    assert [open_at(history, moment)["D-1"][0] for moment in MOMENTS] == ["Negotiation"] * 4


def test_moments_at_which_nothing_was_open_have_no_rows() -> None:
    history = history_of(version("D-1", 1, status="won"))
    assert history.open_deals(MOMENTS[0]).empty
    assert history.versions.texts["status"].equals("open").tolist() == [False]


def test_of_versions_recorded_at_one_moment_the_same_one_counts_as_for_a_single_moment() -> None:
    history = history_of(
        version("D-1", 1, amount_usd=5.0), version("D-1", 1, amount_usd=9.0), version("D-1", 1, status="lost")
    )
    for moment in MOMENTS:
        known = history.deals(moment)
        assert (
            history.open_deals(moment)["opportunity_id"].tolist()
            == known.loc[known["status"] == "open", "opportunity_id"].tolist()
        )


@st.composite
def histories(draw: st.DrawFn) -> list[dict[str, Any]]:
    count = draw(st.integers(1, 8))
    return [
        version(
            draw(st.sampled_from(["D-1", "D-2", "D-3"])),
            draw(st.integers(0, 20)),
            known=draw(st.integers(0, 6)),
            status=draw(st.sampled_from(["open", "open", "open", "won", "lost"])),
            stage=draw(st.sampled_from(["Proposal", "Negotiation"])),
            amount_usd=float(draw(st.integers(1, 3))),
            is_deleted=draw(st.sampled_from([False, False, False, True])),
        )
        for _ in range(count)
    ]


@given(versions=histories())
@settings(max_examples=20, deadline=None)
def test_many_moments_at_once_say_what_each_says_alone(versions: list[dict[str, Any]]) -> None:
    together = history_of(*versions)
    together.states(np.concatenate(together.open_places(MOMENTS)))
    alone = history_of(*versions)
    for moment in MOMENTS:
        known = alone.deals(moment)
        expected = known[known["status"] == "open"].reset_index(drop=True)
        pd.testing.assert_frame_equal(together.open_deals(moment), expected, check_exact=True)


def test_equal_texts_are_one_object_and_missing_ones_none() -> None:
    table = pa.table({"stage": ["a", None, "a"], "close_date": pa.array([date(2025, 1, 2), None, None])})
    frame = deal_frame(table)
    assert frame["stage"].tolist() == ["a", None, "a"]
    assert frame["stage"][0] is frame["stage"][2]
    assert frame["close_date"][0] == pd.Timestamp("2025-01-02")
    assert frame["close_date"].isna().tolist() == [False, True, True]


def test_deals_are_numbered_in_the_order_of_their_ids_and_missing_texts_are_none() -> None:
    versions = history_of(version("b", 1, rep_id=None), version("a", 2), version("c", 3), version("a", 1)).versions
    assert versions.ids.tolist() == ["a", "b", "c"]
    assert versions.deal.tolist() == [0, 0, 1, 2]
    assert versions.texts["rep_id"].at(np.arange(4)).tolist() == ["R-1", "R-1", None, "R-1"]


def test_fates_are_what_the_versions_known_then_say() -> None:
    history = history_of(
        version("D-1", 1),
        version("D-1", 4, known=3, status="won", rep_id="R-2"),
        version("D-2", 2, status="lost"),
        version("D-2", 3, status="open"),
        version("D-3", 2, status="won"),
        version("D-3", 9, is_deleted=True),
    )
    early, late = history.fates(START + timedelta(days=5)), history.fates(START + timedelta(days=10))
    assert early["status"].tolist() == ["open", "open", "won"]
    assert early["decided_at"].isna().tolist() == [True, True, False]
    assert late["status"].tolist() == ["won", "open", None]
    assert late["rep_id"].tolist() == ["R-2", "R-1", None]
    assert history.outcomes(START + timedelta(days=10))["decided_at"].to_dict() == {
        "D-1": pd.Timestamp(START + timedelta(days=4))
    }
    assert late["since"].tolist() == [pd.Timestamp(START + timedelta(days=day)) for day in (1, 2, 2)]
