"""The contracts' documentation: complete, made from the contracts, and current."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from warehouse.contract_pages import contract_index, contract_page, unit_of, write_contract_pages
from warehouse.contracts import CONTRACTS, LEADS, OPPORTUNITIES, Column, Contract

PAGES = Path(__file__).resolve().parents[2] / "docs" / "contracts"


def test_the_pages_in_docs_are_current(tmp_path: Path) -> None:
    made = {path.name: path.read_text(encoding="utf-8") for path in write_contract_pages(tmp_path)}
    kept = {path.name: path.read_text(encoding="utf-8") for path in PAGES.glob("*.md")}
    assert kept == made, "run: python -m warehouse.contract_pages docs/contracts"


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=lambda contract: contract.table)
def test_a_page_names_every_column_and_its_meaning(contract: Contract) -> None:
    page = contract_page(contract)
    for column in contract.columns:
        assert f"| `{column.name}`" in page
        assert column.about in page


def test_a_page_says_key_range_values_and_when_a_column_is_known() -> None:
    page = contract_page(OPPORTUNITIES)
    assert "- Key: `opportunity_id`" in page
    assert "| `crm_probability` | number | probability |  | 0 to 1 |" in page
    assert "| `status` | text |  | yes | `open`, `won`, `lost` |" in page
    assert "| `lost_reason` | text |  |  |  | **at the outcome only** |" in page
    assert "- Personal data: `company_name`, `title`, `email`." in contract_page(LEADS)


def test_custom_columns_and_awkward_words_keep_the_table_whole() -> None:
    odd = Column(name="custom_size_usd", dtype="float", about="Small | medium\nlarge.", maximum=5)
    page = contract_page(replace(LEADS, columns=(*LEADS.columns, odd)))
    assert "| `custom_size_usd` | number | US dollars |  | 5 or less |" in page
    assert "Small \\| medium large." in page


def test_units_come_from_names_and_types() -> None:
    units = {column.name: unit_of(column) for column in CONTRACTS["activities"].columns}
    assert (units["duration_minutes"], units["participant_count"], units["kind"]) == ("minutes", "count", "")


def test_the_index_explains_both_times_once_and_links_every_table() -> None:
    index = contract_index(CONTRACTS.values())
    assert index.count("when it could first be known") == 1
    assert all(f"({table}.md)" in index for table in CONTRACTS)


def test_pages_of_tables_that_no_longer_exist_go_and_other_files_stay(tmp_path: Path) -> None:
    write_contract_pages(tmp_path)
    (tmp_path / "notes.md").write_text("mine", encoding="utf-8")
    write_contract_pages(tmp_path, contracts=[LEADS])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "leads.md", "notes.md"]
