"""Spines against hand-made expectations."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest
from features_world import Rows, arrow, day, deal, lead, row

from common.errors import InputError
from features.spines import (
    deal_history_spine,
    lead_history_spine,
    open_deal_spine,
    open_lead_spine,
    series_history_spine,
)
from warehouse.store import Warehouse


def _warehouse(folder: Path, **tables: Rows) -> Warehouse:
    warehouse = Warehouse(folder)
    for name, rows in tables.items():
        loaded = warehouse.append(name, arrow(name, rows), origin="test")
        assert loaded.quarantined == 0, loaded.reasons
    return warehouse


def _pairs(spine: pa.Table) -> list[tuple[str, datetime]]:
    return list(zip(spine[0].to_pylist(), spine["as_of"].to_pylist(), strict=True))


@pytest.fixture
def leads(tmp_path: Path) -> Warehouse:
    rows = [
        # converted on day 5, which became known on day 8
        lead("A", 0, source="web", landing_page="home", rep_id="R1"),
        lead("A", 2, lead_created_at=day(0), source="web", landing_page="home", rep_id="R2", status="working"),
        lead("A", 5, 8, lead_created_at=day(0), status="converted"),
        # recorded four days late, never decided
        lead("B", 0, 4, source="ads"),
        # deleted on day 2
        lead("C", 1),
        lead("C", 2, lead_created_at=day(1), is_deleted=True),
    ]
    return _warehouse(tmp_path, leads=rows)


def test_a_lead_is_scored_when_known_and_again_while_known_to_be_open(leads: Warehouse) -> None:
    spine = lead_history_spine(leads, mode="lifecycle", until=day(20))
    assert _pairs(spine) == [
        ("A", day(0)),
        ("A", day(1)),
        ("C", day(1)),
        ("A", day(3)),
        ("B", day(4)),
        ("A", day(7)),  # had converted, but nobody knew
        ("B", day(7)),
        ("B", day(14)),
    ]


def test_the_spine_carries_the_keys_known_at_each_moment(leads: Warehouse) -> None:
    rows = lead_history_spine(leads, mode="lifecycle", until=day(3)).to_pylist()
    of_a = [(each["rep_id"], each["segment_id"]) for each in rows if each["lead_id"] == "A"]
    assert of_a == [("R1", "web|home"), ("R1", "web|home"), ("R2", "web|home")]
    assert next(each["segment_id"] for each in rows if each["lead_id"] == "C") == "|"


def test_creation_mode_scores_each_lead_once(leads: Warehouse) -> None:
    spine = lead_history_spine(leads, mode="creation", until=day(20))
    assert _pairs(spine) == [("A", day(0)), ("C", day(1)), ("B", day(4))]


def test_until_is_inclusive(leads: Warehouse) -> None:
    assert _pairs(lead_history_spine(leads, mode="creation", until=day(1))) == [("A", day(0)), ("C", day(1))]


def test_open_leads_are_those_known_to_be_open(leads: Warehouse) -> None:
    assert _pairs(open_lead_spine(leads, day(7))) == [("A", day(7)), ("B", day(7))]
    assert _pairs(open_lead_spine(leads, day(8))) == [("B", day(8))]


@pytest.fixture
def deals(tmp_path: Path) -> Warehouse:
    # 2025-01-01 is a Wednesday: Mondays are days 5, 12, 19, 26.
    rows = [
        deal("A", 0, stage="qualify", rep_id="R1"),
        deal("A", 3, stage="qualify", rep_id="R2"),
        deal("A", 6, 7, stage="propose", rep_id="R2"),
        deal("A", 13, stage="propose", status="won", rep_id="R2"),
        # an older version that is recorded after a newer one enters no stage
        deal("B", 4, opened_at=day(4), stage="propose"),
        deal("B", 4.5, 9, opened_at=day(4), stage="qualify"),
        deal("B", 6, opened_at=day(4), stage="commit"),
    ]
    return _warehouse(tmp_path, opportunities=rows)


def test_deals_are_scored_on_stage_entry(deals: Warehouse) -> None:
    spine = deal_history_spine(deals, mode="stage_entries", until=day(20))
    assert _pairs(spine) == [("A", day(0)), ("B", day(4)), ("B", day(6)), ("A", day(7))]
    assert spine["rep_id"].to_pylist() == ["R1", None, None, "R2"]


def test_deals_are_scored_weekly_too_while_known_to_be_open(deals: Warehouse) -> None:
    spine = deal_history_spine(deals, mode="weekly", until=day(19))
    assert _pairs(spine) == [
        ("A", day(0)),
        ("B", day(4)),
        ("A", day(5)),
        ("B", day(5)),
        ("B", day(6)),
        ("A", day(7)),
        ("A", day(12)),
        ("B", day(12)),
        ("B", day(19)),
    ]


def test_open_deals(deals: Warehouse) -> None:
    nobody = {"account_id": None, "competitor_id": None}
    rows = open_deal_spine(deals, day(12)).to_pylist()
    assert [{name: each[name] for name in ("opportunity_id", "as_of", "rep_id")} for each in rows] == [
        {"opportunity_id": "A", "as_of": day(12), "rep_id": "R2"},
        {"opportunity_id": "B", "as_of": day(12), "rep_id": None},
    ]
    assert all(each.items() >= nobody.items() for each in rows)
    assert [each["stage_id"] for each in rows] == ["|propose", "|commit"]


def test_a_version_recorded_later_moves_no_earlier_row(tmp_path: Path, deals: Warehouse) -> None:
    before = deal_history_spine(deals, mode="weekly", until=day(12))
    late = [deal("A", 1, 12.5, stage="commit", rep_id="R9"), deal("B", 5, 13, opened_at=day(4), status="lost")]
    deals.append("opportunities", arrow("opportunities", late), origin="late")
    assert deal_history_spine(deals, mode="weekly", until=day(12)) == before


def test_an_empty_warehouse_has_empty_spines(tmp_path: Path) -> None:
    empty = Warehouse(tmp_path / "nothing")
    assert lead_history_spine(empty, mode="lifecycle", until=day(1)).num_rows == 0
    assert deal_history_spine(empty, mode="weekly", until=day(1)).num_rows == 0
    assert series_history_spine(empty, until=day(1)).num_rows == 0


def test_a_moment_needs_a_time_zone(deals: Warehouse) -> None:
    with pytest.raises(InputError, match="has no time zone"):
        open_deal_spine(deals, datetime(2025, 1, 1))


def test_series_are_asked_at_the_months_after_their_first_booking(tmp_path: Path) -> None:
    warehouse = _warehouse(
        tmp_path,
        reps=[row(0, rep_id="R1", team="T1", region="N")],
        transactions=[row(10, transaction_id="1", rep_id="R1", amount_usd=5.0)],
    )
    spine = series_history_spine(warehouse, until=day(60))
    levels = ["company", "region:N", "rep:R1", "team:T1"]
    assert _pairs(spine) == [*((level, day(31)) for level in levels), *((level, day(59)) for level in levels)]
