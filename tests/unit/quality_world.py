"""A tiny warehouse for the quality tests: rows by hand, defaults that break nothing."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from warehouse.contracts import CONTRACTS
from warehouse.quality import Finding, QualityReport
from warehouse.store import Warehouse

START = datetime(2025, 1, 6, 9, tzinfo=UTC)
NOW = datetime(2025, 6, 2, tzinfo=UTC)


def at(day: float) -> datetime:
    return START + timedelta(days=day)


_DEFAULTS: dict[str, dict[str, Any]] = {
    "accounts": {"name": "Alder Labs", "industry": "Media", "employee_count": 10, "country": "US"},
    "contacts": {"name": "Vera Valdorin", "email": "vera@alder.example", "title": "VP"},
    "leads": {"status": "new", "lead_created_at": at(0), "company_name": "Alder", "email": "a@alder.example"},
    "opportunities": {
        "status": "open",
        "stage": "Proposal",
        "opened_at": at(0),
        "amount_usd": 100.0,
        "close_date": date(2025, 3, 1),
    },
    "lead_events": {"kind": "page_view"},
    "activities": {"kind": "call"},
    "transactions": {"amount_usd": 100.0},
    "territories": {"name": "North", "region": "EMEA"},
}


def row(table: str, key: str, *, day: float = 0, known: float | None = None, **more: Any) -> dict[str, Any]:
    """One row: happened on `day` after the start, known on day `known` or at once."""
    values = _DEFAULTS.get(table, {}) | more
    times = {"event_timestamp": at(day), "created_timestamp": at(day if known is None else known)}
    return {CONTRACTS[table].key: key, **values, **times}


def warehouse_of(folder: Path, **tables: list[dict[str, Any]]) -> Warehouse:
    """A warehouse with these rows; a row may break its contract and goes to quarantine then."""
    warehouse = Warehouse(folder)
    for table, rows in tables.items():
        schema = CONTRACTS[table].arrow_schema
        names = [name for name in schema.names if any(name in each for each in rows)]
        offered = pa.table(
            {name: pa.array([each.get(name) for each in rows], schema.field(name).type) for name in names}
        )
        warehouse.append(table, offered, origin="test")
    return warehouse


def findings(report: QualityReport, check: str) -> list[Finding]:
    return [finding for finding in report.findings if finding.check == check]


def only(report: QualityReport, check: str) -> Finding:
    (finding,) = findings(report, check)
    return finding
