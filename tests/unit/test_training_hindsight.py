"""Hindsight: what a thing did in (as_of, as_of + horizon], as it was known at a cut, and nothing of its outcome."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from training.hindsight import hindsight_of
from training.labels import LEAD_CONVERTED
from warehouse.contracts import UTC_MICROSECONDS

HORIZON_DAYS = 5
END = datetime(2025, 1, 31, tzinfo=UTC)
Happened = tuple[str, str, datetime, datetime]


def day(number: int, hour: int = 0) -> datetime:
    return datetime(2025, 1, number, hour, tzinfo=UTC)


class Traces:
    """The one thing hindsight asks of a warehouse: its tables on a DuckDB connection."""

    def __init__(self, **tables: list[Happened]) -> None:
        self.tables = tables

    def duckdb(self) -> Any:
        connection = duckdb.connect()
        connection.execute("SET TimeZone = 'UTC'")
        for table, column in (("lead_events", "kind"), ("activities", "direction"), ("leads", "status")):
            rows = self.tables.get(table, [])
            ids, kinds, events, created = ([row[at] for row in rows] for at in range(4))
            columns = {
                "lead_id": pa.array(ids, pa.string()),
                column: pa.array(kinds, pa.string()),
                "event_timestamp": pa.array(events, UTC_MICROSECONDS),
                "created_timestamp": pa.array(created, UTC_MICROSECONDS),
            }
            connection.register("given", pa.table(columns))
            connection.execute(f"CREATE TABLE {table} AS SELECT * FROM given")
        return connection


def found(traces: Traces, *rows: tuple[str, datetime], cut: datetime = END) -> list[list[float]]:
    ids, moments = (list(part) for part in zip(*rows, strict=True))
    spine = pa.table({"lead_id": ids, "as_of": pa.array(moments, UTC_MICROSECONDS)})
    return hindsight_of(
        spine,
        traces,
        outcome=LEAD_CONVERTED,
        horizon_days=HORIZON_DAYS,
        cut=cut,  # type: ignore[arg-type]
    ).tolist()


def page(lead: str, when: datetime, *, known: datetime | None = None, kind: str = "page_view") -> Happened:
    return lead, kind, when, known or when


def test_what_came_after_as_of_counts_up_to_the_horizon_and_each_row_keeps_its_place() -> None:
    traces = Traces(lead_events=[page("a", day(1)), page("a", day(2)), page("a", day(6)), page("b", day(3))])
    rows = ("b", day(1)), ("a", day(1)), ("a", datetime(2024, 12, 31, tzinfo=UTC)), ("c", day(1))
    assert found(traces, *rows) == [[1.0], [2.0], [2.0], [0.0]]


def test_kinds_and_tables_have_columns_of_their_own_in_the_order_of_their_names() -> None:
    traces = Traces(
        lead_events=[page("a", day(2), kind="webinar"), page("a", day(3), kind="demo_request")],
        activities=[page("a", day(2), kind="outbound"), page("a", day(4), kind="outbound")],
        leads=[page("a", day(2), kind="working"), page("a", day(3), kind="qualified")],
    )
    assert found(traces, ("a", day(1))) == [[1.0, 1.0, 2.0, 1.0, 1.0]]


def test_what_was_recorded_after_the_cut_is_not_known() -> None:
    traces = Traces(lead_events=[page("a", day(2)), page("a", day(3), known=day(20))])
    assert found(traces, ("a", day(1)), cut=day(19)) == [[1.0]]
    assert found(traces, ("a", day(1)), cut=day(20)) == [[2.0]]


def test_the_outcome_itself_takes_no_part() -> None:
    traces = Traces(lead_events=[page("a", day(2))], leads=[page("a", day(3), kind="converted")])
    assert found(traces, ("a", day(1))) == [[1.0]]


def test_statuses_alone_are_no_hindsight() -> None:
    traces = Traces(leads=[page("a", day(3), kind="disqualified")])
    assert found(traces, ("a", day(1)), ("b", day(1))) == [[], []]


@pytest.mark.parametrize("zone", [timedelta(hours=9), timedelta(hours=-8)])
def test_the_cut_is_a_moment_whatever_its_time_zone(zone: timedelta) -> None:
    traces = Traces(lead_events=[page("a", day(2), known=day(10))])
    assert found(traces, ("a", day(1)), cut=day(10).astimezone(timezone(zone))) == [[1.0]]
    assert np.array(found(traces, ("a", day(1)), cut=day(9, 23).astimezone(timezone(zone)))).size == 0
