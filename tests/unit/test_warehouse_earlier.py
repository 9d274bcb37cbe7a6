"""The warehouse as it was: equal to what it held then, whatever came since, and said when it cannot be had."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from common.errors import ContractError, NotFoundError
from warehouse.earlier import warehouse_at
from warehouse.store import Warehouse

T0 = datetime(2025, 1, 1, tzinfo=UTC)


def leads(first: int, count: int) -> pa.Table:
    moments = [T0 + timedelta(days=first + index) for index in range(count)]
    return pa.table(
        {
            "lead_id": [f"L{first + index}" for index in range(count)],
            "lead_created_at": pa.array(moments, pa.timestamp("us", tz="UTC")),
            "status": ["new"] * count,
            "event_timestamp": pa.array(moments, pa.timestamp("us", tz="UTC")),
            "created_timestamp": pa.array(moments, pa.timestamp("us", tz="UTC")),
        }
    )


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    found = Warehouse(tmp_path / "warehouse")
    found.append("leads", leads(0, 3), origin="first")
    return found


def test_an_earlier_version_is_what_it_held_then(warehouse: Warehouse, tmp_path: Path) -> None:
    versions, before, cut = warehouse.versions(), warehouse.fingerprint(), warehouse.cut()
    warehouse.append("leads", leads(3, 2), origin="second")
    warehouse.append("accounts", _accounts(), origin="second")
    earlier = warehouse_at(warehouse, versions, folder=tmp_path / "earlier")
    assert (earlier.fingerprint(), earlier.versions(), earlier.cut()) == (before, versions, cut)
    assert earlier.tables() == ("leads",)
    with earlier.duckdb() as connection:
        assert connection.execute("SELECT count(*) FROM leads").fetchall() == [(3,)]
    assert warehouse.row_count("leads") == 5


def _accounts() -> pa.Table:
    moment = pa.array([T0], pa.timestamp("us", tz="UTC"))
    return pa.table({"account_id": ["A1"], "event_timestamp": moment, "created_timestamp": moment})


def test_a_version_that_never_was_is_not_found(warehouse: Warehouse, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="has no version 99 of table 'leads'"):
        warehouse_at(warehouse, {"leads": 99}, folder=tmp_path / "earlier")
    with pytest.raises(NotFoundError, match="has no version 0 of table 'reps'"):
        warehouse_at(warehouse, {"reps": 0}, folder=tmp_path / "earlier")


def test_a_version_whose_files_are_gone_says_so(warehouse: Warehouse, tmp_path: Path) -> None:
    versions = warehouse.versions()
    next((tmp_path / "warehouse" / "leads").glob("**/*.parquet")).unlink()
    with pytest.raises(ContractError, match=r"1 of its files are gone.*forgetting a person"):
        warehouse_at(warehouse, versions, folder=tmp_path / "earlier")
