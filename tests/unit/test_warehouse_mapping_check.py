"""The dry run of a mapping: counts and reasons, the first rows as they would land, and what is seldom meant."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.errors import SourceError
from warehouse.mapping_check import CheckReport, check_mapping
from warehouse.sources import read_mapping

MAPPING: dict[str, Any] = {
    "name": "mine",
    "about": "Deals.",
    "files": {
        "deals": {
            "path": "deals*.csv",
            "format": "csv",
            "columns": {
                "deal": "string",
                "opened": "timestamp",
                "state": "string",
                "amount": "float",
                "closes": "date",
                "seen": "timestamp",
            },
        },
        "people": {"path": "people.csv", "format": "csv", "optional": True, "columns": {"person": "string"}},
    },
    "tables": [
        {
            "table": "opportunities",
            "from": "deals",
            "event_timestamp": "opened",
            "created_timestamp": "coalesce(seen, opened)",
            "columns": {
                "opportunity_id": "deal",
                "opened_at": "opened",
                "status": "state",
                "stage": "state",
                "amount_usd": "amount",
                "close_date": "closes",
                "competitor": "NULL::VARCHAR",
            },
            "extension": {"size": {"type": "string", "about": "Size.", "value": "CASE WHEN amount > 5 THEN 'big' END"}},
        },
        {
            "table": "reps",
            "from": "people",
            "event_timestamp": "TIMESTAMPTZ '2024-01-01 00:00:00+00'",
            "created_timestamp": "TIMESTAMPTZ '2024-01-01 00:00:00+00'",
            "columns": {"rep_id": "person"},
        },
    ],
}
HEADER = "deal,opened,state,amount,closes,seen,colour\n"


def check(tmp_path: Path, **files: str) -> CheckReport:
    folder = tmp_path / "data"
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text)
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(MAPPING))
    return check_mapping(read_mapping(path), folder)


def test_rows_are_counted_with_their_reasons_and_shown_as_they_would_land(tmp_path: Path) -> None:
    report = check(
        tmp_path,
        deals=HEADER
        + "a,2024-01-02,open,10,2024-05-01,,red\nb,2024-01-03,offen,1,,,\n"
        + "c,2024-01-04,zu,x,,,\nd,2024-01-05,offen,1,,,\n",
    )
    (table,) = report.tables
    assert (table.table, table.relations, table.read, table.good, table.bad) == ("opportunities", ("deals",), 4, 1, 3)
    assert table.reasons == {"status is not one of open, won, lost": 2, "amount cannot be read as float": 1}
    assert table.unmatched == {"status": {"offen": 2}}
    (row,) = table.first_rows.to_pylist()
    assert row == {
        "opportunity_id": "a",
        "opened_at": datetime(2024, 1, 2, tzinfo=UTC),
        "status": "open",
        "stage": "open",
        "amount_usd": 10.0,
        "close_date": date(2024, 5, 1),
        "competitor": None,
        "custom_size": "big",
        "event_timestamp": datetime(2024, 1, 2, tzinfo=UTC),
        "created_timestamp": datetime(2024, 1, 2, tzinfo=UTC),
    }
    assert "lead_id" in table.lacking
    assert report.is_usable
    assert report.warnings == ("No file feeds reps: their optional files are not there.",)
    assert any("not read by the mapping: colour" in remark.text for remark in report.remarks)
    assert not (tmp_path / "warehouse").exists()


def test_equal_times_empty_columns_early_knowledge_and_the_future_are_warned_of(tmp_path: Path) -> None:
    report = check(
        tmp_path,
        deals=HEADER + "a,2024-01-02,open,1,,2024-01-01,\nb,2024-01-02,won,2,,2999-01-01,\n",
        people="person\nana\nben\n",
    )
    deals, people = report.tables
    assert deals.warnings == (
        "close_date, competitor, custom_size are filled in no row.",
        "All 2 rows have the same event_timestamp: 2024-01-02T00:00:00+00:00.",
        "1 rows are known (created_timestamp) before they happened (event_timestamp): "
        "right for plans, wrong for what was recorded afterwards.",
        "1 rows lie in the future: check the order of day and month, and the time zone.",
    )
    assert len(people.warnings) == 2
    assert report.warnings == ()


def test_a_mapping_whose_rows_all_break_is_not_usable(tmp_path: Path) -> None:
    report = check(tmp_path, deals=HEADER + "a,2024-01-02,offen,1,,,\n")
    assert not report.is_usable
    assert report.warnings[-1] == "Loading would be refused: every row of opportunities breaks its contract."
    assert report.tables[0].first_rows.num_rows == 0


def test_missing_columns_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="lacks amount, closes, seen, state"):
        check(tmp_path, deals="deal,opened\na,2024-01-02\n")
