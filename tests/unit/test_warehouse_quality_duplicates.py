"""Duplicate candidates: what is one thing is found, what only looks alike is not, and nothing personal is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from quality_world import NOW, findings, row, warehouse_of

from warehouse.quality import assess_quality
from warehouse.quality.documents import report_document
from warehouse.quality.results import DuplicateSearch


def search(folder: Path, table: str, rows: list[dict[str, Any]]) -> DuplicateSearch:
    (found,) = assess_quality(warehouse_of(folder, **{table: rows}), as_of=NOW).duplicates
    return found


@pytest.mark.parametrize(
    ("one", "other", "is_candidate"),
    [
        ({"name": "Élan Médical S.A."}, {"name": "elan medical"}, True),
        ({"name": "Quarrywave Industries"}, {"name": "Quarrywave Industreis"}, True),
        ({"name": "Quarrywave Industries"}, {"name": "Harborwave Industries"}, False),
        ({"name": "Quarrywave", "country": "US"}, {"name": "Quarrywave", "country": "DE"}, False),
        ({"name": None}, {"name": None}, False),
        ({"name": "..."}, {"name": "..."}, False),
        ({"name": "株式会社ミドリ"}, {"name": "株式会社ミドリ"}, True),
    ],
)
def test_accounts_are_compared_by_plain_name_and_country(
    tmp_path: Path, one: dict[str, Any], other: dict[str, Any], is_candidate: bool
) -> None:
    found = search(tmp_path, "accounts", [row("accounts", "A-1", **one), row("accounts", "A-2", **other)])
    assert found.pairs == int(is_candidate)


@pytest.mark.parametrize(
    ("one", "other", "is_candidate"),
    [
        ({"email": "Vera.V@x.example "}, {"email": "vera.v+crm@X.example"}, True),
        ({"email": "vera.valdorin@x.example"}, {"email": "vera.valdorim@x.example", "name": "Vera Valdorim"}, True),
        ({"email": "vera.valdorin@x.example"}, {"email": "udo.quist@x.example", "name": "Udo Quist"}, False),
        ({"email": None, "name": None}, {"email": None, "name": None}, False),
    ],
)
def test_contacts_are_compared_by_address_and_name(
    tmp_path: Path, one: dict[str, Any], other: dict[str, Any], is_candidate: bool
) -> None:
    found = search(tmp_path, "contacts", [row("contacts", "K-1", **one), row("contacts", "K-2", **other)])
    assert found.pairs == int(is_candidate)


def test_two_leads_of_one_company_are_not_one_lead(tmp_path: Path) -> None:
    rows = [row("leads", f"L-{name}", email=f"{name}@alder.example") for name in ("anna", "bert", "anna.b")]
    assert search(tmp_path, "leads", rows).pairs == 0


def test_versions_of_one_thing_are_no_duplicates_of_each_other(tmp_path: Path) -> None:
    assert search(tmp_path, "leads", [row("leads", "L-1"), row("leads", "L-1", day=1, status="working")]).searched == 1


def test_a_block_too_large_to_compare_is_left_out_and_said(tmp_path: Path) -> None:
    rows = [row("leads", f"L-{number:03}", email="info@shared.example") for number in range(101)]
    report = assess_quality(warehouse_of(tmp_path, leads=rows), as_of=NOW)
    (found,) = report.duplicates
    # The whole address is one block, domain and first letters another.
    assert (found.pairs, found.capped_blocks, found.capped_things) == (0, 2, 202)
    assert len(findings(report, "duplicates.capped")) == 1


def test_all_pairs_are_counted_and_only_the_first_fifty_listed(tmp_path: Path) -> None:
    rows = [row("leads", f"L-{number:03}", email="info@shared.example") for number in range(12)]
    found = search(tmp_path, "leads", rows)
    assert (found.pairs, found.things, len(found.top)) == (66, 12, 50)
    assert found.top[0].first == "L-000"
    assert found.top[0].why == "same e-mail address, same company"


def test_the_report_names_records_by_id_only(tmp_path: Path) -> None:
    people = [row("contacts", f"K-{number}", name="Vera Valdorin", email="vera@alder.example") for number in (1, 2)]
    report = assess_quality(warehouse_of(tmp_path, contacts=people), as_of=NOW)
    text = str(report_document(report))
    assert "K-1" in text
    assert "Vera" not in text
    assert "vera@" not in text
