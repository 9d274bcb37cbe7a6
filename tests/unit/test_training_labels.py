"""Labels: an outcome within (as_of, as_of + horizon], as it was known at a cut, and never before it is mature."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from common.errors import ContractError
from training.labels import LEAD_CONVERTED, label_spine
from warehouse.contracts import UTC_MICROSECONDS


def day(number: int, hour: int = 0) -> datetime:
    return datetime(2025, 1, number, hour, tzinfo=UTC)


class LeadHistory:
    """The one thing labels ask of a warehouse: its tables on a DuckDB connection."""

    def __init__(self, *versions: tuple[str, str, datetime, datetime]) -> None:
        self.versions = versions

    def duckdb(self) -> Any:
        ids, statuses, events, created = (list(part) for part in zip(*self.versions, strict=True))
        leads = pa.table(
            {
                "lead_id": ids,
                "status": statuses,
                "event_timestamp": pa.array(events, UTC_MICROSECONDS),
                "created_timestamp": pa.array(created, UTC_MICROSECONDS),
            }
        )
        connection = duckdb.connect()
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("lead_rows", leads)
        connection.execute("CREATE TABLE leads AS SELECT * FROM lead_rows")
        return connection


def spine(*rows: tuple[str, datetime]) -> pa.Table:
    ids, moments = (list(part) for part in zip(*rows, strict=True))
    return pa.table({"lead_id": ids, "as_of": pa.array(moments, UTC_MICROSECONDS)})


def labels(history: LeadHistory, rows: pa.Table, cut: datetime, **options: Any) -> list[float]:
    found = label_spine(rows, history, outcome=LEAD_CONVERTED, horizon_days=5, cut=cut, **options)  # type: ignore[arg-type]
    return [float(value) for value in found.value]


CONVERTED_ON_6 = LeadHistory(("a", "new", day(1), day(1)), ("a", "converted", day(6), day(6)))


def test_an_outcome_at_the_end_of_the_horizon_counts_and_one_just_after_does_not() -> None:
    rows = spine(("a", day(1)), ("a", datetime(2024, 12, 31, 23, 59, tzinfo=UTC)))
    assert labels(CONVERTED_ON_6, rows, day(31)) == [1.0, 0.0]


def test_a_known_positive_is_not_used_before_its_horizon_has_passed() -> None:
    rows = spine(("a", day(2)))
    assert np.isnan(labels(CONVERTED_ON_6, rows, day(6, 23))).all()
    assert labels(CONVERTED_ON_6, rows, day(7)) == [1.0]


def test_an_outcome_recorded_after_the_cut_does_not_exist_yet() -> None:
    late = LeadHistory(("a", "new", day(1), day(1)), ("a", "converted", day(3), day(20)))
    assert labels(late, spine(("a", day(1))), day(19)) == [0.0]
    assert labels(late, spine(("a", day(1))), day(20)) == [1.0]


def test_rows_after_an_outcome_that_was_recorded_later_are_dropped() -> None:
    late = LeadHistory(("a", "new", day(1), day(1)), ("a", "converted", day(3), day(20)))
    assert np.isnan(labels(late, spine(("a", day(3)), ("a", day(8))), day(31))).all()


def test_a_corrected_outcome_counts_as_corrected() -> None:
    corrected = LeadHistory(
        ("a", "new", day(1), day(1)), ("a", "converted", day(3), day(3)), ("a", "working", day(3), day(10))
    )
    assert labels(corrected, spine(("a", day(1))), day(9)) == [1.0]
    assert labels(corrected, spine(("a", day(1))), day(10)) == [0.0]


def test_a_lead_without_any_outcome_is_negative_once_mature_and_keeps_its_place() -> None:
    history = LeadHistory(("a", "converted", day(3), day(3)), ("b", "new", day(1), day(1)))
    assert labels(history, spine(("b", day(1)), ("a", day(1)), ("b", day(2))), day(31)) == [0.0, 1.0, 0.0]


def test_settlement_uses_decided_things_before_the_horizon_and_leaves_open_ones_unknown() -> None:
    history = LeadHistory(
        ("a", "converted", day(2), day(2)), ("b", "disqualified", day(2), day(2)), ("c", "new", day(1), day(1))
    )
    rows = spine(("a", day(1)), ("b", day(1)), ("c", day(1)))
    settled = labels(history, rows, day(3), settle_days=2)
    assert settled[:2] == [1.0, 0.0]
    assert np.isnan(settled[2])


def test_a_spine_without_the_key_is_refused_by_name() -> None:
    with pytest.raises(ContractError, match="no column 'lead_id'"):
        labels(CONVERTED_ON_6, pa.table({"as_of": pa.array([day(1)], UTC_MICROSECONDS)}), day(31))
