"""Contracts: what enters, what goes to quarantine, and why."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import ContractError
from warehouse import checks
from warehouse.checks import check_rows
from warehouse.contracts import ACTIVITIES, CONTRACTS, LEADS, OPPORTUNITIES

MOMENT = datetime(2025, 1, 6, 9, tzinfo=UTC)
DEAL: dict[str, Any] = {
    "opportunity_id": "d1",
    "opened_at": MOMENT,
    "status": "open",
    "stage": "Proposal",
    "amount_usd": 100.0,
    "event_timestamp": MOMENT,
    "created_timestamp": MOMENT,
}


def reasons_of(**changed: Any) -> dict[str, int]:
    return check_rows(pa.Table.from_pylist([DEAL | changed]), OPPORTUNITIES).reasons


def test_a_row_that_keeps_the_contract_enters_with_its_types() -> None:
    checked = check_rows(pa.Table.from_pylist([DEAL]), OPPORTUNITIES)
    assert checked.reasons == {}
    assert checked.good.schema == OPPORTUNITIES.arrow_schema
    assert checked.good.column("amount_usd").to_pylist() == [100.0]
    assert checked.good.column("competitor").to_pylist() == [None]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"opportunity_id": None}, "opportunity_id is missing"),
        ({"opportunity_id": ""}, "opportunity_id is missing"),
        ({"event_timestamp": None}, "event_timestamp is missing"),
        ({"created_timestamp": None}, "created_timestamp is missing"),
        ({"status": "maybe"}, "status is not one of open, won, lost"),
        ({"amount_usd": -1.0}, "amount_usd is below 0"),
        ({"amount_usd": float("inf")}, "amount_usd is not finite"),
        ({"amount_usd": "a lot"}, "amount_usd is not a number"),
        ({"crm_probability": 1.5}, "crm_probability is above 1"),
        ({"close_date": "soon"}, "close_date is not a date"),
        ({"opened_at": "yesterday"}, "opened_at is not a time"),
        ({"is_deleted": "perhaps"}, "is_deleted is not true or false"),
        ({"stage": None, "amount_usd": -5.0}, "stage is missing; amount_usd is below 0"),
    ],
)
def test_a_row_that_breaks_the_contract_is_named_with_its_reason(changed: dict[str, Any], reason: str) -> None:
    assert reasons_of(**changed) == {reason: 1}


@pytest.mark.parametrize("missing", [{"amount_usd": None}, {"amount_usd": float("nan")}, {"competitor": ""}])
def test_missing_values_of_optional_columns_are_null_not_broken(missing: dict[str, Any]) -> None:
    checked = check_rows(pa.Table.from_pylist([DEAL | missing]), OPPORTUNITIES)
    assert checked.reasons == {}
    assert [checked.good.column(name).to_pylist() for name in missing] == [[None]]


def test_a_fraction_is_no_whole_number_and_is_not_rounded() -> None:
    call = {"activity_id": "x", "kind": "call", "event_timestamp": MOMENT, "created_timestamp": MOMENT}
    rows = pa.Table.from_pylist([call | {"participant_count": 3.0}, call | {"participant_count": 3.7}])
    checked = check_rows(rows, ACTIVITIES)
    assert checked.reasons == {"participant_count is not a whole number": 1}
    assert checked.good.column("participant_count").to_pylist() == [3]


def test_text_is_read_as_the_type_of_its_column() -> None:
    text = {name: value.isoformat() if isinstance(value, datetime) else str(value) for name, value in DEAL.items()}
    good = check_rows(pa.Table.from_pylist([text | {"close_date": "2025-03-31"}]), OPPORTUNITIES).good.to_pylist()[0]
    assert good["event_timestamp"] == MOMENT
    assert good["amount_usd"] == 100.0
    assert good["close_date"].isoformat() == "2025-03-31"


def test_good_rows_stay_and_broken_ones_keep_what_was_offered() -> None:
    rows = pa.Table.from_pylist(
        [DEAL, DEAL | {"opportunity_id": "d2", "amount_usd": -3.0}, DEAL | {"opportunity_id": "d3"}]
    )
    checked = check_rows(rows, OPPORTUNITIES)
    assert checked.good.column("opportunity_id").to_pylist() == ["d1", "d3"]
    (broken,) = checked.bad.to_pylist()
    assert broken["reason"] == "amount_usd is below 0"
    assert json.loads(broken["row"])["opportunity_id"] == "d2"
    assert json.loads(broken["row"])["amount_usd"] == -3.0


def test_a_reason_that_comes_with_a_row_sends_it_to_quarantine() -> None:
    rows = pa.Table.from_pylist(
        [DEAL | {"quarantine_reason": "won before it was opened"}, DEAL | {"quarantine_reason": None}]
    )
    checked = check_rows(rows, OPPORTUNITIES)
    assert checked.reasons == {"won before it was opened": 1}
    assert checked.good.num_rows == 1
    assert "quarantine_reason" not in json.loads(checked.bad.column("row").to_pylist()[0])


def test_an_unknown_column_is_refused_by_name() -> None:
    with pytest.raises(ContractError, match=r"opportunities has no column 'amount_eur'.*amount_usd"):
        check_rows(pa.Table.from_pylist([DEAL | {"amount_eur": 1.0}]), OPPORTUNITIES)


def test_times_without_time_zone_are_refused() -> None:
    naive = pa.Table.from_pylist([DEAL | {"event_timestamp": MOMENT.replace(tzinfo=None)}])
    with pytest.raises(ContractError, match="times of event_timestamp in opportunities have no time zone"):
        check_rows(naive, OPPORTUNITIES)


@pytest.mark.parametrize("table", CONTRACTS)
def test_every_contract_can_be_checked_without_rows(table: str) -> None:
    checked = check_rows(CONTRACTS[table].arrow_schema.empty_table(), CONTRACTS[table])
    assert (checked.good.num_rows, checked.bad.num_rows) == (0, 0)


def test_many_broken_rows_add_up() -> None:
    statuses = ["new", "odd", "working", None] * 250
    rows = pa.table(
        {
            "lead_id": [f"l{i}" for i in range(1000)],
            "lead_created_at": [MOMENT] * 1000,
            "status": statuses,
            "event_timestamp": [MOMENT] * 1000,
            "created_timestamp": [MOMENT] * 1000,
        }
    )
    checked = check_rows(rows, LEADS)
    assert checked.good.num_rows == 500
    assert checked.reasons == {
        "status is missing": 250,
        "status is not one of new, working, qualified, converted, disqualified": 250,
    }


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "opportunity_id": st.sampled_from(["d1", "", None]),
                "status": st.sampled_from(["open", "won", "maybe", None]),
                "amount_usd": st.sampled_from([0.0, -1.0, 5.0, float("inf"), float("-inf"), float("nan"), None]),
                "crm_probability": st.sampled_from(["0", "1", "1.01", "-0.1", "half", "", None]),
                "close_date": st.sampled_from(["2025-03-31", "soon", "", None]),
                "created_timestamp": st.sampled_from([MOMENT, None]),
            }
        ),
        min_size=1,
        max_size=8,
    )
)
def test_the_screen_passes_no_row_that_pandera_refuses(
    monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, Any]]
) -> None:
    schema = pa.schema(
        {name: pa.string() for name in ("opportunity_id", "status", "stage", "crm_probability", "close_date")}
        | {"amount_usd": pa.float64()}
        | {name: pa.timestamp("us", tz="UTC") for name in ("opened_at", "event_timestamp", "created_timestamp")}
    )
    table = pa.Table.from_pylist([DEAL | row for row in rows], schema=schema)
    screened = check_rows(table, OPPORTUNITIES)
    with monkeypatch.context() as patch:
        patch.setattr(checks, "suspect_sql", lambda contract, cast: "true")
        judged = check_rows(table, OPPORTUNITIES)
    assert screened.reasons == judged.reasons
    assert screened.good.equals(judged.good)
    assert screened.bad.equals(judged.bad)
