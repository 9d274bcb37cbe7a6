"""The ready mappings of three CRMs' own exports, on small made-up exports of their true shape."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest

from warehouse.ingest import ingest
from warehouse.sources import load_source
from warehouse.store import LoadCount, Warehouse

EXPORTS = Path(__file__).resolve().parents[2] / "examples" / "exports"
ACME, GLOBEX = "001A00000000001AAA", "001A00000000002AAA"
ANA, BEN = "005A00000000001AAA", "005A00000000002AAA"


def loaded(crm: str, folder: Path, warehouse: Warehouse) -> dict[str, LoadCount]:
    report = dict(ingest(load_source(f"{crm}-export"), folder, warehouse))
    for table, count in report.items():
        assert count.read == count.loaded + count.known + count.quarantined, table
    return report


def rows(warehouse: Warehouse, table: str, columns: str, order: str) -> list[tuple[Any, ...]]:
    times = "strftime(event_timestamp, '%m-%d %H:%M')"
    query = f"SELECT {times}, {columns} FROM {table} ORDER BY {order}, event_timestamp"
    with warehouse.duckdb() as connection:
        return connection.execute(query).fetchall()


def counts(report: dict[str, LoadCount]) -> dict[str, tuple[int, int, int]]:
    return {table: (count.read, count.loaded, count.quarantined) for table, count in report.items()}


@pytest.fixture(scope="module")
def salesforce(tmp_path_factory: pytest.TempPathFactory) -> tuple[Warehouse, dict[str, LoadCount]]:
    warehouse = Warehouse(tmp_path_factory.mktemp("salesforce"))
    return warehouse, loaded("salesforce", EXPORTS / "salesforce", warehouse)


@pytest.fixture(scope="module")
def hubspot(tmp_path_factory: pytest.TempPathFactory) -> tuple[Warehouse, dict[str, LoadCount]]:
    warehouse = Warehouse(tmp_path_factory.mktemp("hubspot"))
    return warehouse, loaded("hubspot", EXPORTS / "hubspot", warehouse)


@pytest.fixture(scope="module")
def dynamics(tmp_path_factory: pytest.TempPathFactory) -> tuple[Warehouse, dict[str, LoadCount]]:
    warehouse = Warehouse(tmp_path_factory.mktemp("dynamics"))
    return warehouse, loaded("dynamics", EXPORTS / "dynamics", warehouse)


def test_each_row_of_a_salesforce_export_is_loaded_or_quarantined_with_its_reason(
    salesforce: tuple[Warehouse, dict[str, LoadCount]],
) -> None:
    _, report = salesforce
    assert counts(report) == {
        "opportunities": (12, 11, 1),
        "leads": (8, 7, 1),
        "accounts": (3, 3, 0),
        "contacts": (1, 1, 0),
        "reps": (6, 6, 0),
        "products": (1, 1, 0),
        "campaigns": (1, 1, 0),
        "activities": (3, 3, 0),
    }
    assert report["opportunities"].reasons == {"Amount cannot be read as float": 1}
    assert report["leads"].reasons == {
        "status is not one of new, working, qualified, converted, disqualified": 1  # Parked
    }


def test_salesforce_history_becomes_the_true_versions_of_a_deal(
    salesforce: tuple[Warehouse, dict[str, LoadCount]],
) -> None:
    warehouse, _ = salesforce
    columns = "status, stage, amount_usd, crm_probability, close_date::VARCHAR, rep_id, deal_type, is_deleted"
    found = rows(warehouse, "opportunities", f"opportunity_id[15], {columns}", "opportunity_id")
    assert [row[0:1] + row[2:] for row in found if row[1] == "1"] == [
        ("02-05 09:00", "open", "Prospecting", 40000.0, 0.1, "2024-03-31", ANA, None, False),
        ("03-01 15:20", "open", "Proposal/Price Quote", 45000.0, 0.75, "2024-04-30", ANA, None, False),
        ("04-02 08:00", "open", "Proposal/Price Quote", 45000.0, 0.75, "2024-04-30", BEN, None, False),
        ("04-29 17:10", "won", "Closed Won", 48000.0, 1.0, "2024-04-30", BEN, None, False),
        ("05-02 08:00", "won", "Closed Won", 48000.0, 1.0, "2024-04-30", BEN, "New Business", False),
    ]
    assert [row[0:1] + row[2:4] + row[-1:] for row in found if row[1] == "4"] == [
        ("02-13 10:00", "open", "(not recorded)", False),
        ("02-14 10:00", "open", "Prospecting", True),
    ]


def test_salesforce_leads_convert_at_the_moment_of_their_history(
    salesforce: tuple[Warehouse, dict[str, LoadCount]],
) -> None:
    warehouse, _ = salesforce
    found = rows(warehouse, "leads", "lead_id[15], status, source, title, rep_id, opportunity_id", "lead_id")
    assert found[:3] == [
        ("01-15 08:12", "1", "new", "Web", None, None, None),
        ("01-18 10:00", "1", "working", "Web", None, None, None),
        ("02-05 09:00", "1", "converted", "Web", "Head of IT", ANA, "006A00000000001AAA"),
    ]
    assert [row[:3] for row in found[3:]] == [
        ("01-20 03:00", "2", "new"),
        ("03-11 09:00", "2", "disqualified"),
        ("05-10 14:00", "3", "new"),
        ("05-13 10:00", "3", "working"),
    ]


def test_only_what_was_done_by_the_export_is_an_activity(salesforce: tuple[Warehouse, dict[str, LoadCount]]) -> None:
    warehouse, _ = salesforce
    columns = "kind, opportunity_id IS NOT NULL, lead_id IS NOT NULL, direction, duration_minutes"
    assert rows(warehouse, "activities", columns, "event_timestamp") == [
        ("01-18 10:00", "call", False, True, "outbound", 10.0),
        ("02-20 13:00", "demo", True, False, None, 45.0),
        ("03-01 15:30", "email", True, False, None, None),
    ]


def test_without_salesforce_history_a_deal_has_only_what_its_dates_tell(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    shutil.copy(EXPORTS / "salesforce" / "Opportunity.csv", folder)
    warehouse = Warehouse(tmp_path / "warehouse")
    loaded("salesforce", folder, warehouse)
    found = rows(warehouse, "opportunities", "opportunity_id[15], status, stage, amount_usd, rep_id", "opportunity_id")
    assert [row for row in found if row[1] in {"1", "2"}] == [
        ("02-05 09:00", "1", "open", "(not recorded)", None, None),
        ("05-01 00:00", "1", "won", "Closed Won", None, None),
        ("05-02 08:00", "1", "won", "Closed Won", 48000.0, BEN),
        ("02-12 10:30", "2", "open", "(not recorded)", None, None),
        ("03-20 16:45", "2", "lost", "Closed Lost", 12500.0, ANA),
    ]


def test_a_later_salesforce_export_loads_only_what_is_new(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        shutil.copy(EXPORTS / "salesforce" / "Opportunity.csv", folder)
    deals = second / "Opportunity.csv"
    changed = deals.read_text().replace('"Negotiation/Review","52000.0"', '"Negotiation/Review","55000.0"')
    deals.write_text(changed.replace("2024-05-20T12:00:00.000Z", "2024-05-27T12:00:00.000Z"))
    warehouse = Warehouse(tmp_path / "warehouse")
    loaded("salesforce", first, warehouse)
    again = loaded("salesforce", second, warehouse)["opportunities"]
    assert (again.loaded, again.known, again.quarantined) == (1, again.read - 2, 1)


def test_each_row_of_a_hubspot_export_is_loaded_or_quarantined_with_its_reason(
    hubspot: tuple[Warehouse, dict[str, LoadCount]],
) -> None:
    _, report = hubspot
    assert counts(report) == {
        "opportunities": (13, 12, 1),
        "leads": (11, 10, 1),
        "contacts": (4, 4, 0),
        "accounts": (3, 3, 0),
        "reps": (2, 2, 0),
        "activities": (2, 2, 0),
    }
    assert report["opportunities"].reasons == {"Amount cannot be read as float": 1}


def test_hubspot_deals_get_a_version_for_each_stage_they_entered(
    hubspot: tuple[Warehouse, dict[str, LoadCount]],
) -> None:
    warehouse, _ = hubspot
    columns = "opportunity_id, status, stage, amount_usd, rep_id, lost_reason"
    assert rows(warehouse, "opportunities", columns, "opportunity_id") == [
        ("02-05 09:00", "18001", "open", "Appointment Scheduled", None, None, None),
        ("02-20 11:15", "18001", "open", "Qualified To Buy", None, None, None),
        ("03-04 10:00", "18001", "open", "Presentation Scheduled", None, None, None),
        ("04-01 14:20", "18001", "open", "Contract Sent", None, None, None),
        ("04-12 16:30", "18001", "won", "Closed Won", None, None, None),
        ("04-15 08:05", "18001", "won", "Closed Won", 24000.0, "Ana Diaz", None),
        ("03-01 10:00", "18002", "open", "(not recorded)", None, None, None),
        ("03-28 12:00", "18002", "lost", "Closed Lost", None, None, None),
        ("04-02 09:00", "18002", "lost", "Closed Lost", 8500.5, "Ben Okafor", "Price"),
        ("05-06 12:00", "18003", "open", "Appointment Scheduled", None, None, None),
        ("05-20 12:00", "18003", "open", "Contract Sent", None, None, None),
        ("05-30 12:00", "18003", "open", "Contract Sent", None, "Ana Diaz", None),
    ]


def test_hubspot_contacts_are_leads_that_follow_their_lifecycle_dates(
    hubspot: tuple[Warehouse, dict[str, LoadCount]],
) -> None:
    warehouse, _ = hubspot
    assert rows(warehouse, "leads", "lead_id, status, source, rep_id, opportunity_id", "lead_id")[:7] == [
        ("01-15 08:12", "501", "new", "Organic Search", None, None),
        ("01-20 10:00", "501", "qualified", "Organic Search", None, None),
        ("02-05 09:00", "501", "converted", "Organic Search", None, None),
        ("04-12 16:30", "501", "converted", "Organic Search", None, None),
        ("04-15 08:05", "501", "converted", "Organic Search", "Ana Diaz", "18001"),
        ("01-20 03:00", "502", "new", "Offline Sources", None, None),
        ("03-11 09:00", "502", "disqualified", "Offline Sources", "Ben Okafor", None),
    ]


def test_dynamics_workbooks_and_csv_files_are_one_source(dynamics: tuple[Warehouse, dict[str, LoadCount]]) -> None:
    warehouse, report = dynamics
    assert counts(report) == {
        "opportunities": (8, 7, 1),
        "leads": (6, 6, 0),
        "accounts": (3, 3, 0),
        "contacts": (1, 1, 0),
        "reps": (6, 6, 0),
        "activities": (2, 2, 0),
    }
    assert report["opportunities"].reasons == {"Est. Revenue cannot be read as float": 1}
    columns = "opportunity_id[36], status, stage, amount_usd, account_id[36], rep_id[36], lost_reason"
    assert rows(warehouse, "opportunities", columns, "opportunity_id") == [
        ("02-05 09:00", "1", "open", "(not recorded)", None, None, None, None),
        ("04-13 00:00", "1", "won", "won", None, None, None, None),
        ("04-15 08:05", "1", "won", "Close", 25500.0, "1", "1", None),
        ("03-01 10:00", "2", "open", "(not recorded)", None, None, None, None),
        ("03-28 12:00", "2", "lost", "Develop", 8500.5, "2", "2", "Out-Sold"),
        ("05-06 12:00", "3", "open", "(not recorded)", None, None, None, None),
        ("05-30 12:00", "3", "open", "Propose", 52000.0, "1", "1", None),
    ]
    assert [row[1:] for row in rows(warehouse, "leads", "lead_id[36], status", "lead_id")] == [
        ("1", "new"),
        ("1", "converted"),
        ("2", "new"),
        ("2", "disqualified"),
        ("3", "new"),
        ("3", "working"),
    ]


def write_dataverse(path: Path, name: str, filled: dict[str, list[str]]) -> None:
    """A Dataverse file with all the columns that the mapping names, of which some are filled."""
    columns = load_source("dynamics-export").mapping.files[name].columns
    headers = [column.header or alias for alias, column in columns.items()]
    number = len(next(iter(filled.values())))
    with path.open("w", newline="") as file:
        lines = [[filled.get(header, [""] * number)[row] for header in headers] for row in range(number)]
        csv.writer(file).writerows([headers, *lines])


def test_dynamics_codes_and_ids_of_dataverse_files_are_understood(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    write_dataverse(
        folder / "opportunity.csv",
        "opportunity_csv",
        {
            "opportunityid": ["D1", "D2"],
            "createdon": ["2024-02-05T09:00:00Z", "2024-03-01T10:00:00Z"],
            "modifiedon": ["2024-04-15T08:05:00Z", "2024-03-05T10:00:00Z"],
            "statecode": ["1", "0"],
            "stepname": ["4-Close", "1-Qualify"],
            "actualclosedate": ["2024-04-12", ""],
            "originatingleadid": ["L1", ""],
        },
    )
    write_dataverse(
        folder / "lead.csv",
        "lead_csv",
        {
            "leadid": ["L1", "L2"],
            "createdon": ["2024-01-15T08:12:00Z", "2024-01-20T03:00:00Z"],
            "modifiedon": ["2024-03-05T09:00:00Z", "2024-01-21T03:00:00Z"],
            "statecode": ["1", "0"],
            "statuscode": ["3", "2"],
        },
    )
    warehouse = Warehouse(tmp_path / "warehouse")
    loaded("dynamics", folder, warehouse)
    assert rows(warehouse, "opportunities", "opportunity_id, status, stage, lead_id", "opportunity_id") == [
        ("02-05 09:00", "d1", "open", "(not recorded)", "l1"),
        ("04-13 00:00", "d1", "won", "won", "l1"),
        ("04-15 08:05", "d1", "won", "Close", "l1"),
        ("03-01 10:00", "d2", "open", "(not recorded)", None),
        ("03-05 10:00", "d2", "open", "Qualify", None),
    ]
    assert rows(warehouse, "leads", "lead_id, status, opportunity_id", "lead_id") == [
        ("01-15 08:12", "l1", "new", None),
        ("02-05 09:00", "l1", "converted", "d1"),
        ("03-05 09:00", "l1", "converted", "d1"),
        ("01-20 03:00", "l2", "new", None),
        ("01-21 03:00", "l2", "working", None),
    ]


@pytest.mark.parametrize("crm", ["salesforce", "hubspot", "dynamics"])
def test_the_three_crms_feed_all_models(crm: str) -> None:
    source = load_source(f"{crm}-export")
    assert source.tasks == ("lead", "deal", "forecast")
    assert source.lead is not None
    assert (source.lead.horizon_days, source.lead.spine) == (90, "lifecycle")
    assert source.deal is not None
    assert (source.deal.horizon_days, source.deal.spine) == (180, "weekly")
