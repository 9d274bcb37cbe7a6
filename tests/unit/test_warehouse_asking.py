"""The warehouse asked as of a day: what was known then, and nothing but the table's own rows."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quality_world import at, row, warehouse_of

from common.errors import ContractError, InputError
from warehouse.asking import ask_as_of, moment_of, save_as_of
from warehouse.contracts import TERRITORIES, Column
from warehouse.quality import assess_quality
from warehouse.store import Warehouse


@pytest.fixture(scope="module")
def deals(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    return warehouse_of(
        tmp_path_factory.mktemp("deals"),
        opportunities=[
            row("opportunities", "D-1", stage="Demo"),
            row("opportunities", "D-1", day=5, known=8, stage="Proposal"),
            row("opportunities", "D-2", stage="it's", amount_usd=None),
            row("opportunities", "D-3", day=1, is_deleted=True),
        ],
    )


def stages(warehouse: Warehouse, moment: datetime, **asked: Any) -> dict[str, str]:
    rows = ask_as_of(warehouse, "opportunities", moment, **asked).rows
    return dict(zip(rows.column("opportunity_id").to_pylist(), rows.column("stage").to_pylist(), strict=True))


def test_a_day_means_its_end_in_utc_and_a_time_means_itself() -> None:
    assert moment_of("2025-03-31") == datetime(2025, 3, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    assert moment_of("2025-03-31T12:00:00+02:00") == datetime(2025, 3, 31, 10, tzinfo=UTC)
    for text in ("yesterday", "2025-03-31T12:00"):
        with pytest.raises(InputError):
            moment_of(text)


def test_a_correction_shows_from_when_it_was_known(deals: Warehouse) -> None:
    assert stages(deals, at(6)) == {"D-1": "Demo", "D-2": "it's"}
    assert stages(deals, at(8)) == {"D-1": "Proposal", "D-2": "it's"}
    assert stages(deals, at(-1)) == {}


def test_conditions_columns_and_limit_are_kept_and_the_total_counts_all(deals: Warehouse) -> None:
    assert stages(deals, at(8), where="stage = 'Proposal' AND amount_usd > 99") == {"D-1": "Proposal"}
    assert stages(deals, at(8), where="STAGE = 'it''s' -- a comment") == {"D-2": "it's"}
    answer = ask_as_of(deals, "opportunities", at(8), columns=["stage", "opportunity_id"], limit=1)
    assert (answer.rows.column_names, answer.rows.num_rows, answer.total) == (["stage", "opportunity_id"], 1, 2)
    assert ask_as_of(deals, "opportunities", at(8), limit=0).total == 2


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("stagee = 'Demo'", "has no column 'stagee'.*stage, pipeline"),
        ('stage = "Demo"', "has no column 'Demo'.*text in single quotes"),
        ("amount_usd > 'much'", "cannot be evaluated.*much"),
        ("cast(stage AS int) = 1", "cannot be evaluated"),
        ("sum(amount_usd) > 1", "cannot be evaluated"),
        ("stage = 'a'; DROP TABLE leads", "is not one condition"),
        ("1 = 1) UNION (SELECT 1", "is not one condition"),
        ("", "is not one condition"),
        ("stage, status", "is not one condition"),
        ("stage IN (SELECT stage FROM opportunities)", "asks for more than the row itself"),
        ("EXISTS (FROM read_text('/etc/hostname'))", "asks for more than the row itself"),
        ("stage = $1", "asks for more than the row itself"),
        ("row_number() OVER () = 1", "asks for more than the row itself"),
        ("read_text('/etc/hostname') IS NULL", "cannot be evaluated"),
    ],
)
def test_a_condition_is_one_expression_on_the_tables_columns(deals: Warehouse, where: str, said: str) -> None:
    with pytest.raises(InputError, match=f"(?s){said}"):
        ask_as_of(deals, "opportunities", at(8), where=where)


def test_what_does_not_exist_is_named_with_what_does(deals: Warehouse) -> None:
    with pytest.raises(ContractError, match="no table 'deals'"):
        ask_as_of(deals, "deals", at(8))
    with pytest.raises(InputError, match=r"no column 'amount'.*amount_usd"):
        ask_as_of(deals, "opportunities", at(8), columns=["amount"])
    with pytest.raises(InputError, match="No column"):
        ask_as_of(deals, "opportunities", at(8), columns=[])
    with pytest.raises(InputError, match="limit is negative"):
        ask_as_of(deals, "opportunities", at(8), limit=-1)
    with pytest.raises(InputError, match="no time zone"):
        ask_as_of(deals, "opportunities", datetime(2025, 3, 31))


def test_a_sources_own_fields_can_be_asked_and_assessed(tmp_path: Path) -> None:
    own = Column(name="custom_floor", dtype="int", about="Floor of the office.")
    schema = pa.schema([*TERRITORIES.arrow_schema, pa.field("custom_floor", pa.int64())])
    rows = pa.Table.from_pylist(
        [row("territories", f"T-{floor}", custom_floor=floor or None) for floor in range(4)], schema=schema
    )
    warehouse = Warehouse(tmp_path)
    warehouse.append("territories", rows, origin="test", extension=[own])
    answer = ask_as_of(warehouse, "territories", at(1), where="custom_floor >= 2", columns=["custom_floor"])
    assert answer.rows.to_pydict() == {"custom_floor": [2, 3]}
    fills = {column.name: column.fill for column in assess_quality(warehouse, as_of=at(1)).tables[0].columns}
    assert fills["custom_floor"] == 0.75


def test_an_empty_warehouse_answers_with_no_rows_and_the_columns(tmp_path: Path) -> None:
    answer = ask_as_of(Warehouse(tmp_path / "none"), "leads", at(0), where="status = 'new'")
    assert (answer.total, answer.rows.num_rows) == (0, 0)
    assert "lead_created_at" in answer.rows.column_names


def test_the_answer_is_written_whole_as_csv_or_parquet(deals: Warehouse, tmp_path: Path) -> None:
    columns = ["opportunity_id", "stage", "amount_usd", "event_timestamp"]
    assert save_as_of(deals, "opportunities", at(8), tmp_path / "out" / "deals.csv", columns=columns) == 2
    assert (tmp_path / "out" / "deals.csv").read_text(encoding="utf-8") == (
        "opportunity_id,stage,amount_usd,event_timestamp\n"
        "D-1,Proposal,100.0,2025-01-11T09:00:00+00:00\nD-2,it's,,2025-01-06T09:00:00+00:00\n"
    )
    assert save_as_of(deals, "opportunities", at(8), tmp_path / "deals.parquet", limit=1) == 1
    assert pq.read_table(tmp_path / "deals.parquet").equals(ask_as_of(deals, "opportunities", at(8), limit=1).rows)


def test_a_failed_answer_leaves_the_file_as_it_was(deals: Warehouse, tmp_path: Path) -> None:
    path = tmp_path / "deals.csv"
    path.write_text("before", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be evaluated"):
        save_as_of(deals, "opportunities", at(8), path, where="cast(stage AS int) = 1")
    assert [(each.name, each.read_text(encoding="utf-8")) for each in tmp_path.iterdir()] == [("deals.csv", "before")]
    with pytest.raises(InputError, match=r"\.csv or \.parquet"):
        save_as_of(deals, "opportunities", at(8), tmp_path / "deals.xlsx")


DAYS = st.integers(min_value=0, max_value=6)
ROWS = st.lists(
    st.tuples(st.sampled_from("ab"), DAYS, DAYS, st.sampled_from(["Demo", "Proposal"]), st.booleans()), max_size=6
)


@settings(max_examples=12, deadline=None)
@given(rows=ROWS, moment=DAYS)
def test_the_answer_is_blind_to_all_rows_created_after_its_moment(
    rows: list[tuple[str, int, int, str, bool]], moment: int
) -> None:
    made = [
        row("opportunities", key, day=day, known=known, stage=stage, is_deleted=deleted)
        for key, day, known, stage, deleted in rows
    ]
    known_then = [each for each in made if each["created_timestamp"] <= at(moment)]
    with tempfile.TemporaryDirectory() as folder:
        answers = []
        for name, kept in (("all", made), ("then", known_then)):
            warehouse = warehouse_of(Path(folder) / name, **({"opportunities": kept} if kept else {}))
            answers.append(ask_as_of(warehouse, "opportunities", at(moment)).rows.to_pylist())
    assert answers[0] == answers[1]
