"""Forgetting a person: no trace in any file, nothing else changed, no way back in."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common.errors import InputError, NotFoundError
from warehouse import delta_tables, forgetting
from warehouse.contracts import Column
from warehouse.forgetting import ErasureError, export_person, forget
from warehouse.search import find_traces
from warehouse.store import Warehouse

MOMENT = datetime(2025, 1, 6, 9, tzinfo=UTC)
NOTE = Column(name="custom_note", dtype="string", about="A note.")
PERSON = ("jo@example.org", "Jo Müller", "L-000017", "K-000031")


def rows(*given: dict[str, Any]) -> pa.Table:
    names = list(dict.fromkeys(name for row in given for name in row))
    times = {"event_timestamp": MOMENT, "created_timestamp": MOMENT}
    return pa.Table.from_pylist([{name: row.get(name) for name in names} | times | row for row in given])


def lead(lead_id: str, email: str, **more: Any) -> dict[str, Any]:
    start = {"lead_id": lead_id, "email": email, "lead_created_at": MOMENT, "status": "new", "source": "webinar"}
    return (
        start
        | {
            "title": "CFO",
            "company_name": "Müller & Co" if "jo" in email.lower() else "Ek AB",
            "custom_note": f"rang {email}",
        }
        | more
    )


DELIVERIES: dict[str, pa.Table] = {
    "leads": rows(
        lead("L-000017", "Jo@Example.org "),
        lead("L-000017", "jo@example.org", status="converted", event_timestamp=MOMENT + timedelta(days=3)),
        lead("L-000018", "ann@example.org", custom_note="a friend of jo@example.org, she says"),
    ),
    "contacts": rows(
        {"contact_id": "K-000031", "account_id": "A-1", "name": "Jo Müller", "email": "jo@example.org"},
        {"contact_id": "K-000032", "account_id": "A-1", "name": "Ann Ek", "email": "ann@example.org"},
    ),
    "lead_events": rows(
        {"event_id": "L-000017/1", "lead_id": "L-000017", "kind": "page_view", "subject": "pricing for Jo Müller"},
        {"event_id": "L-000018/1", "lead_id": "L-000018", "kind": "page_view", "subject": "pricing"},
    ),
    "activities": rows(
        {"activity_id": "V-1", "kind": "call", "contact_id": "K-000031", "outcome": "Jo Müller agreed"},
        {"activity_id": "V-2", "kind": "call", "contact_id": "K-000032", "outcome": "agreed"},
    ),
    "opportunities": rows(
        {
            "opportunity_id": "D-1",
            "lead_id": "L-000017",
            "opened_at": MOMENT,
            "status": "won",
            "stage": "Closing",
            "amount_usd": 900.0,
        }
    ),
}


def deliver(warehouse: Warehouse) -> None:
    for table, offered in DELIVERIES.items():
        warehouse.append(table, offered, origin="crm", extension=[NOTE] if table == "leads" else ())
    broken = lead("L-000017", "jo@example.org", status="odd"), lead("L-000099", "eve@example.org", status="odd")
    warehouse.append("leads", rows(*broken), origin="crm")


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    made = Warehouse(tmp_path / "warehouse")
    deliver(made)
    return made


def counted(warehouse: Warehouse, query: str) -> list[tuple[Any, ...]]:
    with warehouse.duckdb() as connection:
        return connection.execute(query).fetchall()


def test_no_file_holds_anything_of_a_forgotten_person(warehouse: Warehouse) -> None:
    assert len(find_traces(warehouse.root, PERSON).traces) >= 5
    proof = forget(warehouse, " JO@example.org")
    assert find_traces(warehouse.root, (*PERSON, "Müller & Co")).traces == ()
    assert proof.rows == {"contacts": 1, "leads": 3, "opportunities": 1, "lead_events": 1, "activities": 1}
    assert proof.quarantined == 1
    assert proof.traces == 0
    assert proof.files_searched > 10
    assert "jo" not in proof.as_json().lower().replace(proof.person_digest, "")


def test_a_forgotten_persons_older_files_and_those_of_killed_writers_are_gone(warehouse: Warehouse) -> None:
    orphan = warehouse.root / "leads" / "part-killed.zstd.parquet"
    pq.write_table(DELIVERIES["leads"], orphan)
    forget(warehouse, "jo@example.org")
    from deltalake import DeltaTable

    assert not orphan.exists()
    for table in warehouse.tables():
        on_disk = {path.name for path in (warehouse.root / table).glob("*.parquet")}
        assert on_disk == {Path(uri).name for uri in DeltaTable(warehouse.root / table).file_uris()}


def test_counts_rates_and_sums_stay_and_so_do_other_people(warehouse: Warehouse) -> None:
    questions = (
        "SELECT source, status, count(*), count(DISTINCT lead_id) FROM leads GROUP BY ALL ORDER BY ALL",
        "SELECT status, sum(amount_usd), count(lead_id) FROM opportunities GROUP BY ALL ORDER BY ALL",
        "SELECT kind, count(DISTINCT lead_id) FROM lead_events GROUP BY ALL",
        "SELECT count(*) FROM leads l JOIN lead_events e USING (lead_id)",
        "SELECT * EXCLUDE custom_note FROM leads WHERE lead_id = 'L-000018'",
        "SELECT * FROM contacts WHERE contact_id = 'K-000032'",
        "SELECT * FROM activities WHERE activity_id = 'V-2'",
    )
    before = [counted(warehouse, question) for question in questions]
    forget(warehouse, "jo@example.org")
    assert [counted(warehouse, question) for question in questions] == before
    assert [json.loads(row)["email"] for row in warehouse.quarantine.rows().column("row").to_pylist()] == [
        "eve@example.org"
    ]


def test_a_source_that_still_delivers_a_forgotten_person_does_not_bring_them_back(warehouse: Warehouse) -> None:
    forget(warehouse, "jo@example.org")
    print_before = warehouse.fingerprint()
    deliver(warehouse)
    assert warehouse.fingerprint() == print_before
    later = rows(lead("L-000500", "jo@example.org", event_timestamp=MOMENT + timedelta(days=9)))
    assert warehouse.append("leads", later, origin="crm", extension=[NOTE]).loaded == 1
    assert find_traces(warehouse.root, (*PERSON, "L-000500")).traces == ()


def test_the_fingerprint_after_forgetting_is_that_of_the_rows(warehouse: Warehouse, tmp_path: Path) -> None:
    forget(warehouse, "jo@example.org")
    copy = Warehouse(tmp_path / "copy")
    with warehouse.duckdb() as connection:
        for table in warehouse.tables():
            held = connection.sql(f"SELECT * FROM {table}").to_arrow_table()
            copy.append(table, held, origin="copy", extension=[NOTE] if table == "leads" else ())
    assert copy.fingerprint() == warehouse.fingerprint()


@pytest.mark.parametrize("step", range(3))
def test_a_killed_erasure_is_finished_by_the_same_command(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    replace, calls = delta_tables.AppendOnlyTable.replace_files, iter(range(100))

    def killed(self: Any, *args: Any, **keywords: Any) -> None:
        if next(calls) == step:
            raise KeyboardInterrupt
        replace(self, *args, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(delta_tables.AppendOnlyTable, "replace_files", killed)
        with pytest.raises(KeyboardInterrupt):
            forget(warehouse, "jo@example.org")
    assert forget(warehouse, "jo@example.org").traces == 0
    assert find_traces(warehouse.root, PERSON).traces == ()


def test_forgetting_twice_is_harmless(warehouse: Warehouse) -> None:
    forget(warehouse, "jo@example.org")
    before = warehouse.fingerprint()
    assert forget(warehouse, "jo@example.org").rows == {}
    assert warehouse.fingerprint() == before


def test_something_that_is_left_is_no_proof(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "_clear_quarantine", lambda quarantine, erasures: 0)
    with pytest.raises(ErasureError, match=r"1 files still hold something of the person: _quarantine"):
        forget(warehouse, "jo@example.org")


def test_an_unknown_address_and_no_address_are_refused_and_nothing_is_written(warehouse: Warehouse) -> None:
    before = sorted(warehouse.root.rglob("*"))
    with pytest.raises(NotFoundError, match=r"Nothing is held about who@example\.org"):
        forget(warehouse, "who@example.org")
    with pytest.raises(InputError, match="'jo' is no e-mail address"):
        forget(warehouse, "jo")
    assert sorted(warehouse.root.rglob("*")) == before


def test_an_export_holds_every_row_about_a_person_and_none_about_others(warehouse: Warehouse) -> None:
    held = export_person(warehouse, "jo@example.org")
    assert {table: found.num_rows for table, found in held.items()} == {
        "contacts": 1,
        "leads": 3,
        "opportunities": 1,
        "lead_events": 1,
        "activities": 1,
        "quarantine": 1,
    }
    assert held["activities"].column("activity_id").to_pylist() == ["V-1"]
    assert held["contacts"].column("name").to_pylist() == ["Jo Müller"]
