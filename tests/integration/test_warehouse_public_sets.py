"""The public sets through their mappings: the counts their descriptions give, and nothing the future knows."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from warehouse.ingest import IngestReport, ingest
from warehouse.sources import load_source
from warehouse.store import Warehouse

Loaded = tuple[Warehouse, IngestReport]
FOLDERS = {"maven": "maven_crm", "xedu": "xedu_leads", "bank": "bank_additional"}


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
            loaded[name] = (warehouse, ingest(load_source(name), shared_data / FOLDERS.get(name, name), warehouse))
        assert all(count.read == count.loaded + count.known + count.quarantined for count in loaded[name][1].values())
        return loaded[name]

    return load_once


def rows(warehouse: Warehouse, query: str) -> Iterator[tuple[Any, ...]]:
    return iter(warehouse.duckdb().execute(query).fetchall())


def test_olist_has_its_leads_and_wins_and_one_win_before_first_contact(load: Callable[[str], Loaded]) -> None:
    warehouse, counts = load("olist")
    count = counts["leads"]
    assert (count.read, count.loaded, count.known, count.quarantined) == (8842, 8841, 0, 1)
    assert count.reasons == {"won before the first contact": 1}
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


def records(path: Path, *, separator: str = ",") -> list[dict[str, str]]:
    """Rows of a CSV file, read without the product."""
    opener: Any = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=separator))


def told(report: IngestReport, topic: str) -> list[str]:
    return [remark.text for remark in report.remarks if remark.topic == topic]


def test_a_second_win_before_first_contact_is_an_artefact_of_a_fixed_offset(shared_data: Path) -> None:
    import duckdb

    ((in_utc, by_fixed_hours, in_sao_paulo),) = (
        duckdb.connect()
        .execute(
            """SELECT count(*) FILTER (won < contact), count(*) FILTER (won - INTERVAL 3 HOUR < contact),
                 count(*) FILTER (timezone('America/Sao_Paulo', timezone('UTC', won)) < contact)
               FROM (SELECT w.won_date::TIMESTAMP AS won, l.first_contact_date::TIMESTAMP AS contact
                 FROM read_csv($wins) w JOIN read_csv($leads) l USING (mql_id))""",
            {
                "wins": str(shared_data / "olist" / "olist_closed_deals_dataset.csv"),
                "leads": str(shared_data / "olist" / "olist_marketing_qualified_leads_dataset.csv"),
            },
        )
        .fetchall()
    )
    assert (in_utc, by_fixed_hours, in_sao_paulo) == (1, 2, 1)


def test_marketstar_leads_convert_when_their_opportunity_is_made(
    load: Callable[[str], Loaded], shared_data: Path
) -> None:
    warehouse, report = load("marketstar")
    leads = records(shared_data / "marketstar" / "Leads.csv.gz")
    deals = records(shared_data / "marketstar" / "Opportunities.csv")
    converted = [lead for lead in leads if lead["ConvertedOpportunityId"]]
    assert report["leads"].read == report["leads"].loaded == len(leads) + len(converted) == 44_094
    assert report["opportunities"].read == 2 * len(deals) == 2_122
    assert dict(rows(warehouse, "SELECT status, count(*) FROM leads GROUP BY 1")) == {"new": 43_033, "converted": 1_061}
    ((owners, backlog),) = rows(
        warehouse,
        """SELECT count(rep_id), count(*) FILTER (status = 'new' AND event_timestamp < TIMESTAMPTZ '2021-02-01')
           FROM leads""",
    )
    assert (owners, backlog) == (0, 10_129)


def test_marketstar_money_is_read_and_what_breaks_the_contract_is_told(load: Callable[[str], Loaded]) -> None:
    warehouse, report = load("marketstar")
    assert report["quotas"].reasons == {"amount_usd is missing": 1}
    assert report["opportunities"].reasons == {"amount_usd is below 0": 8}
    assert list(rows(warehouse, "SELECT quota_id, amount_usd, period_end::VARCHAR FROM quotas ORDER BY 1 LIMIT 2")) == [
        ("2021-Q2", 200_000.0, "2021-06-30"),
        ("2021-Q3", 300_000.0, "2021-09-30"),
    ]
    assert dict(rows(warehouse, "SELECT status, count(*) FROM opportunities GROUP BY 1")) == {
        "open": 1_057,
        "won": 694,
        "lost": 363,
    }
    assert any("Stage, DisqualifiedReason, ConvertedOpportunityId" in text for text in told(report, "outcome"))
    assert "Quotas.csv: column_6 dropped, holding text, although it has no name" in told(report, "columns")


def test_maven_joins_its_product_and_keeps_the_answer_for_the_closing(load: Callable[[str], Loaded]) -> None:
    warehouse, report = load("maven")
    assert {table: count.read for table, count in report.items()} == {
        "accounts": 85,
        "reps": 35,
        "products": 7,
        "opportunities": 8_800 + 6_711,
    }
    assert report["opportunities"].reasons == {"no engage date (a deal in prospecting has no known beginning)": 500}
    assert told(report, "reference") == ["pipeline.product: 'GTXPro' (1480 rows) joined to 'GTX Pro'"]
    assert list(
        rows(
            warehouse,
            """SELECT status, count(*), count(account_id), count(amount_usd), min(amount_usd)
               FROM opportunities GROUP BY 1 ORDER BY 1""",
        )
    ) == [("lost", 2_473, 2_473, 0, None), ("open", 8_300, 0, 0, None), ("won", 4_238, 4_238, 4_238, 38.0)]
    ((odd,),) = rows(warehouse, "SELECT count(*) FROM accounts WHERE industry = 'technolgy' OR country = 'Philipines'")
    assert odd == 0


def test_xedu_keeps_nine_columns_for_the_outcome_and_drops_what_says_nothing(
    load: Callable[[str], Loaded], shared_data: Path
) -> None:
    warehouse, report = load("xedu")
    source = records(shared_data / "xedu_leads" / "Leads.csv.gz")
    assert report["leads"].read == report["leads"].loaded == 2 * len(source) == 18_480
    assert "Leads.csv.gz: column_38 dropped, empty" in told(report, "columns")
    mapping = load_source("xedu").mapping
    constant = {name for name in source[0] if name and len({row[name] for row in source}) == 1}
    assert constant == mapping.files["leads"].unused.keys()
    late = mapping.files["leads"].outcome_columns - {"converted"}
    assert len(late) == 9
    filled = " + ".join(f"count(custom_{name})" for name in late)
    assert dict(rows(warehouse, f"SELECT status, {filled} > 0 FROM leads GROUP BY status")) == {
        "new": False,
        "converted": True,
        "disqualified": True,
    }
    ((selects,),) = rows(warehouse, "SELECT count(*) FROM leads WHERE 'Select' IN (custom_city, custom_specialization)")
    assert selects == 0
    in_order = rows(warehouse, "SELECT lead_id FROM leads WHERE status = 'new' ORDER BY event_timestamp")
    assert [lead for (lead,) in in_order] == sorted(row["Lead Number"] for row in source)


def test_bank_calls_fall_on_the_weekdays_and_months_of_the_file_in_its_order(
    load: Callable[[str], Loaded], shared_data: Path
) -> None:
    warehouse, report = load("bank")
    source = records(shared_data / "bank_additional" / "bank-additional-full.csv.gz", separator=";")
    assert report["leads"].read == report["leads"].loaded == 2 * len(source) == 82_376
    days = list(
        rows(
            warehouse,
            """SELECT strftime(event_timestamp, '%b'), strftime(event_timestamp, '%a'), event_timestamp::DATE::VARCHAR
               FROM leads WHERE status = 'new' ORDER BY split_part(lead_id, ' ', 2)::INTEGER""",
        )
    )
    assert [(month.lower(), day.lower()) for month, day, _ in days] == [(r["month"], r["day_of_week"]) for r in source]
    dates = [day for *_, day in days]
    assert dates == sorted(dates)
    assert (dates[0], dates[-1]) == ("2008-05-05", "2010-11-26")
    ((answers, early, never),) = rows(
        warehouse,
        """SELECT count(*) FILTER (status = 'converted'), count(custom_duration_seconds) FILTER (status = 'new'),
             count(*) FILTER (status = 'new' AND custom_pdays IS NULL) FROM leads""",
    )
    assert (answers, early) == (4_640, 0)
    assert never == sum(row["pdays"] == "999" for row in source)


def test_cdnow_keeps_every_order_those_of_nothing_too(load: Callable[[str], Loaded], shared_data: Path) -> None:
    warehouse, report = load("cdnow")
    with gzip.open(shared_data / "cdnow" / "CDNOW_master.txt.gz", "rt") as file:
        orders = [line.split() for line in file][1:]
    assert report["transactions"].read == report["transactions"].loaded == len(orders) == 69_659
    assert report["accounts"].loaded == len({order[0] for order in orders}) == 23_570
    ((money, free, cds),) = rows(
        warehouse,
        """SELECT round(sum(amount_usd), 2), count(*) FILTER (amount_usd = 0), sum(custom_number_of_cds)
           FROM transactions""",
    )
    assert (money, free) == (round(sum(float(order[3]) for order in orders), 2), 80)
    assert cds == sum(int(order[2]) for order in orders)


def test_stallion_has_its_series_and_knows_a_month_when_it_ends(load: Callable[[str], Loaded]) -> None:
    warehouse, report = load("stallion")
    assert report["series_values"].read == report["series_values"].loaded == 350 * 60
    assert list(
        rows(
            warehouse,
            """SELECT count(DISTINCT series_id), min(period_start)::VARCHAR, max(created_timestamp)::VARCHAR,
                 count(*) FILTER (custom_price_actual < 0 OR custom_price_regular < 0) FROM series_values""",
        )
    ) == [(350, "2013-01-01", "2018-01-01 00:00:00+00", 1)]


@pytest.mark.parametrize(
    "name", ["olist", "marketstar", "maven", "xedu", "bpic2012", "bank", "cdnow", "tourism", "stallion"]
)
def test_a_public_set_loaded_again_is_not_read_and_changes_nothing(
    name: str, load: Callable[[str], Loaded], shared_data: Path
) -> None:
    warehouse, report = load(name)
    before = warehouse.versions()
    again = ingest(load_source(name), shared_data / FOLDERS.get(name, name), warehouse)
    assert again.parts_read == ()
    assert warehouse.versions() == before
    for table, count in again.items():
        assert (count.read, count.loaded, count.quarantined) == (report[table].read, 0, report[table].quarantined)
        assert count.known == report[table].loaded + report[table].known
