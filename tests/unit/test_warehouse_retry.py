"""Quarantined rows try again: through a mended mapping, against the contract, alone or within all files of a view."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from common.errors import ContractError, InputError, NotFoundError
from warehouse.ingest import ingest
from warehouse.retry import retry_quarantine
from warehouse.sources import Source, read_mapping
from warehouse.store import Warehouse

HEADER = "Deal;Opened;State;Amount\n"
COLUMNS: dict[str, Any] = {
    "deal": {"type": "string", "header": "Deal"},
    "opened": {"type": "timestamp", "header": "Opened"},
    "state": {"type": "string", "header": "State"},
    "amount": {"type": "float", "header": "Amount"},
}
ENTRY: dict[str, Any] = {
    "table": "opportunities",
    "from": "deals",
    "event_timestamp": "opened",
    "created_timestamp": "opened",
    "columns": {
        "opportunity_id": "deal",
        "opened_at": "opened",
        "status": "state",
        "stage": "state",
        "amount_usd": "amount",
    },
    "extension": {"own": {"type": "string", "about": "The amount as text.", "value": "amount::VARCHAR"}},
}


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path / "warehouse")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir()
    return path


def source(tmp_path: Path, *, columns: dict[str, Any] | None = None, entry: dict[str, Any] | None = None) -> Source:
    file = {"path": "deals.csv", "format": "csv", "separator": ";", "columns": COLUMNS | (columns or {})}
    about = {"name": "mine", "about": "Deals.", "files": {"deals": file}}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(about | {"tables": [ENTRY | (entry or {})]}))
    return read_mapping(path)


def through_a_view(tmp_path: Path, *, columns: dict[str, Any] | None = None) -> Source:
    path = tmp_path / "viewed.yaml"
    deals = {"path": "deals.csv", "format": "csv", "separator": ";", "columns": COLUMNS | (columns or {})}
    names = {"path": "names.csv", "format": "csv", "columns": {"word": "string", "canonical": "string"}}
    view = "SELECT d.*, n.canonical FROM deals d JOIN names n ON n.word = d.state"
    entry = ENTRY | {"from": "named", "columns": ENTRY["columns"] | {"status": "canonical"}}
    about = {"name": "mine", "about": "Deals.", "files": {"deals": deals, "names": names}, "views": {"named": view}}
    path.write_text(yaml.safe_dump(about | {"tables": [entry]}))
    return read_mapping(path)


def stored(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    with warehouse.duckdb() as connection:
        return connection.execute(
            "SELECT opportunity_id, status, amount_usd, custom_own FROM opportunities ORDER BY 1"
        ).fetchall()


def test_a_row_that_could_not_be_read_comes_in_through_the_mended_mapping(
    tmp_path: Path, folder: Path, warehouse: Warehouse
) -> None:
    (folder / "deals.csv").write_text(HEADER + "a;2024-01-02;open;1.5\nb;2024-01-03;open;$2,500\nc;2024-01-04;open;?\n")
    ingest(source(tmp_path), folder, warehouse)
    assert [row[0] for row in stored(warehouse)] == ["a"]

    mended = source(tmp_path, columns={"amount": COLUMNS["amount"] | {"number": "money", "thousands": ","}})
    report = retry_quarantine(warehouse, mended)

    assert (report.tried, report.released, report.kept) == (2, 1, 1)
    assert report.reasons == {"Amount cannot be read as float": 1}
    assert stored(warehouse) == [("a", "open", 1.5, "1.5"), ("b", "open", 2500.0, "2500.0")]
    assert warehouse.quarantine.rows().num_rows == 1
    assert warehouse.quarantine.rows(include_released=True).num_rows == 2
    assert retry_quarantine(warehouse, mended).tried == 1


def test_a_row_that_still_fails_stays_with_its_new_reason(tmp_path: Path, folder: Path, warehouse: Warehouse) -> None:
    (folder / "deals.csv").write_text(HEADER + "a;2024-01-02;open;1\nb;2024-01-03;open;-7 EUR\n")
    ingest(source(tmp_path), folder, warehouse)
    (before,) = warehouse.quarantine.rows().to_pylist()

    report = retry_quarantine(warehouse, source(tmp_path, columns={"amount": COLUMNS["amount"] | {"number": "money"}}))

    (after,) = warehouse.quarantine.rows().to_pylist()
    assert report.reasons == {"amount_usd is below 0": 1}
    assert (after["id"], after["row"], after["reason"]) == (before["id"], before["row"], "amount_usd is below 0")


def test_a_row_that_broke_its_contract_is_let_go_once_a_mended_one_has_come_in(
    tmp_path: Path, folder: Path, warehouse: Warehouse
) -> None:
    (folder / "deals.csv").write_text(HEADER + "a;2024-01-02;open;1\nb;2024-01-03;gewonnen;2\n")
    ingest(source(tmp_path), folder, warehouse)
    still = retry_quarantine(warehouse, source(tmp_path))
    assert (still.tried, still.kept, still.reasons) == (1, 1, {"status is not one of open, won, lost": 1})

    mended = source(tmp_path, columns={"state": COLUMNS["state"] | {"values": {"gewonnen": "won"}}})
    ingest(mended, folder, warehouse)
    report = retry_quarantine(warehouse, mended)

    assert (report.tried, report.released, report.superseded, report.kept) == (1, 0, 1, 0)
    assert stored(warehouse) == [("a", "open", 1.0, "1.0"), ("b", "won", 2.0, "2.0")]
    assert warehouse.quarantine.rows().num_rows == 0


def test_a_row_that_the_mapping_now_leaves_out_is_let_go(tmp_path: Path, folder: Path, warehouse: Warehouse) -> None:
    (folder / "deals.csv").write_text(HEADER + "a;2024-01-02;open;1\ntest;2024-01-03;open;none\n")
    ingest(source(tmp_path), folder, warehouse)
    report = retry_quarantine(warehouse, source(tmp_path, entry={"where": "deal <> 'test'"}))
    assert (report.tried, report.left_out, report.kept) == (1, 1, 0)
    assert [row[0] for row in stored(warehouse)] == ["a"]


def test_a_line_that_was_no_row_stays(tmp_path: Path, folder: Path, warehouse: Warehouse) -> None:
    (folder / "deals.csv").write_text(HEADER + "a;2024-01-02;open;1\nb;2024-01-03\n")
    ingest(source(tmp_path), folder, warehouse)
    report = retry_quarantine(warehouse, source(tmp_path))
    assert (report.tried, report.kept, report.need_data) == (1, 1, 0)
    assert next(iter(report.reasons)).startswith("line cannot be read")


def test_only_the_rows_asked_for_are_tried(tmp_path: Path, folder: Path, warehouse: Warehouse) -> None:
    (folder / "deals.csv").write_text(HEADER + "a;2024-01-02;open;1\nb;2024-01-03;open;$2\nc;2024-01-03;open;$3\n")
    ingest(source(tmp_path), folder, warehouse)
    mended = source(tmp_path, columns={"amount": COLUMNS["amount"] | {"number": "money"}})
    chosen = next(row["id"] for row in warehouse.quarantine.rows().to_pylist() if '"b"' in row["row"])

    assert retry_quarantine(warehouse, mended, table="leads").tried == 0
    assert retry_quarantine(warehouse, mended, ids=[chosen]).released == 1
    assert [row[0] for row in stored(warehouse)] == ["a", "b"]


def test_rows_of_a_view_need_the_folder_of_all_its_files(tmp_path: Path, folder: Path, warehouse: Warehouse) -> None:
    (folder / "deals.csv").write_text(HEADER + "a;2024-01-02;auf;1\nb;2024-01-03;zu;$2\n")
    (folder / "names.csv").write_text("word,canonical\nauf,open\nzu,won\n")
    ingest(through_a_view(tmp_path), folder, warehouse)
    mended = through_a_view(tmp_path, columns={"amount": COLUMNS["amount"] | {"number": "money"}})

    alone = retry_quarantine(warehouse, mended)
    assert (alone.tried, alone.kept, alone.need_data) == (1, 1, 1)

    report = retry_quarantine(warehouse, mended, data=folder)
    assert (report.released, report.kept) == (1, 0)
    assert stored(warehouse) == [("a", "open", 1.0, "1.0"), ("b", "won", 2.0, "2.0")]


def test_a_row_of_a_view_that_the_folder_does_not_hold_is_not_let_go(
    tmp_path: Path, folder: Path, warehouse: Warehouse
) -> None:
    (folder / "deals.csv").write_text(HEADER + "a;2024-01-02;auf;1\nb;2024-01-03;zu;$2\n")
    (folder / "names.csv").write_text("word,canonical\nauf,open\nzu,won\n")
    ingest(through_a_view(tmp_path), folder, warehouse)
    (folder / "deals.csv").write_text(HEADER + "a;2024-01-02;auf;1\n")
    report = retry_quarantine(warehouse, through_a_view(tmp_path), data=folder)
    assert report.reasons == {"the row is not in the files that were given for the retry": 1}


def test_errors_name_the_id_the_table_and_the_folder(tmp_path: Path, warehouse: Warehouse) -> None:
    with pytest.raises(NotFoundError, match="holds no row xyz of source 'mine'"):
        retry_quarantine(warehouse, source(tmp_path), ids=["xyz"])
    with pytest.raises(ContractError, match="There is no table 'deals'"):
        retry_quarantine(warehouse, source(tmp_path), table="deals")
    with pytest.raises(InputError, match="There is no folder"):
        retry_quarantine(warehouse, source(tmp_path), data=tmp_path / "nowhere")
