"""The public sets through their mappings: the counts their descriptions give, and nothing the future knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from warehouse.ingest import ingest
from warehouse.sources import load_source
from warehouse.store import LoadCount, Warehouse

Loaded = tuple[Warehouse, dict[str, LoadCount]]


@pytest.fixture(scope="module")
def loaded() -> dict[str, Loaded]:
    """Sets loaded so far: each is loaded once for all tests."""
    return {}


@pytest.fixture
def load(
    loaded: dict[str, Loaded], shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Loaded]:
    def load_once(name: str) -> Loaded:
        if name not in loaded:
            warehouse = Warehouse(tmp_path_factory.mktemp(name))
            loaded[name] = (warehouse, ingest(load_source(name), shared_data / name, warehouse))
        assert all(count.read == count.loaded + count.known + count.quarantined for count in loaded[name][1].values())
        return loaded[name]

    return load_once


def rows(warehouse: Warehouse, query: str) -> Iterator[tuple[Any, ...]]:
    return iter(warehouse.duckdb().execute(query).fetchall())


def test_olist_has_its_leads_and_wins_and_one_win_before_first_contact(load: Callable[[str], Loaded]) -> None:
    warehouse, counts = load("olist")
    assert counts["leads"] == LoadCount(8842, 8841, 0, 1, {"won before the first contact": 1})
    assert dict(rows(warehouse, "SELECT status, count(*) FROM leads GROUP BY status")) == {
        "new": 8000,
        "converted": 841,
    }
    ((leaked,),) = rows(
        warehouse,
        """SELECT count(*) FROM leads WHERE coalesce(industry, company_name, rep_id, region, account_id, opportunity_id,
           title, email, country, employee_count::VARCHAR) IS NOT NULL""",
    )
    assert leaked == 0
    assert warehouse.cut().isoformat() == "2018-11-14T18:04:19+00:00"


def test_bpic2012_has_its_funnel_and_work(load: Callable[[str], Loaded]) -> None:
    warehouse, counts = load("bpic2012")
    funnel = {
        (stage, status): number
        for stage, status, number in rows(warehouse, "SELECT stage, status, count(*) FROM opportunities GROUP BY ALL")
    }
    assert funnel == {
        ("submitted", "open"): 13_087,
        ("preaccepted", "open"): 7_367,
        ("accepted", "open"): 5_113,
        ("offer_sent", "open"): 5_015,
        ("sent_back", "open"): 3_254,
        ("activated", "won"): 2_246,
        ("declined", "lost"): 7_635,
        ("cancelled", "lost"): 2_807,
    }
    assert {table: count.loaded for table, count in counts.items()} == {
        "opportunities": 46_524,
        "activities": 74_755,
        "reps": 67,
    }
    ((late,),) = rows(
        warehouse, "SELECT count(*) FROM opportunities WHERE event_timestamp < opened_at OR rep_id = '112'"
    )
    assert late == 0


def test_bpic2012_work_is_known_only_when_it_is_completed(load: Callable[[str], Loaded]) -> None:
    warehouse, _ = load("bpic2012")
    ((wrong,),) = rows(
        warehouse,
        """SELECT count(*) FROM activities WHERE duration_minutes IS NOT NULL
           AND abs(epoch(created_timestamp - event_timestamp) / 60 - duration_minutes) > 1e-6""",
    )
    assert wrong == 0
    # The first case's first two named work items, read off the log by hand.
    first = list(
        rows(
            warehouse,
            """SELECT kind, rep_id, strftime(created_timestamp, '%Y-%m-%d %H:%M:%S'), round(duration_minutes, 3)
               FROM activities WHERE opportunity_id = '173688' AND kind <> 'email'
               ORDER BY created_timestamp LIMIT 2""",
        )
    )
    assert first == [("call", "10913", "2011-10-08 14:32:00", 5.053), ("call", "11049", "2011-10-10 09:33:05", 0.722)]


def test_tourism_has_its_series_and_knows_a_quarter_when_it_ends(load: Callable[[str], Loaded]) -> None:
    warehouse, counts = load("tourism")
    assert counts["series_values"].loaded == 304 * 80
    assert list(
        rows(
            warehouse,
            """SELECT count(DISTINCT series_id), count(DISTINCT level_1), count(DISTINCT level_2),
               count(DISTINCT level_3), min(period_start)::VARCHAR, max(created_timestamp)::VARCHAR
               FROM series_values""",
        )
    ) == [(304, 8, 76, 4, "1998-01-01", "2018-01-01 00:00:00+00")]
