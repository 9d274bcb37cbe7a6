"""Which rows are compared, and which features are not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pyarrow as pa
import pytest

from common.errors import InputError
from features.spines import LEAD_SPINE
from monitoring.windows import choose_windows, history_spine, rows_within, split_features
from training.manifest import FeatureEntry

AT = datetime(2025, 3, 31, tzinfo=UTC)


def spine(*, leads_a_day: int, days: int = 400) -> pa.Table:
    """Every lead is scored once, `leads_a_day` on each of the days before `AT`."""
    rows = [
        {"lead_id": f"L{day}-{i}", "as_of": AT - timedelta(days=day), "rep_id": None, "segment_id": None}
        for day in range(days)
        for i in range(leads_a_day)
    ]
    return pa.Table.from_pylist(rows, schema=LEAD_SPINE)


@pytest.mark.parametrize(("leads_a_day", "length"), [(20, 28), (8, 56), (4, 91), (2, 182), (1, 182)])
def test_windows_are_the_shortest_that_hold_enough_leads(leads_a_day: int, length: int) -> None:
    learned_until = AT - timedelta(days=190)
    current, reference = choose_windows(
        spine(leads_a_day=leads_a_day), key="lead_id", at=AT, learned_until=learned_until
    )
    assert current == (AT - timedelta(days=length), AT)
    assert reference == (learned_until - timedelta(days=length), learned_until)


def test_the_reference_ends_where_the_current_window_begins_if_the_model_learned_from_newer_rows() -> None:
    current, reference = choose_windows(spine(leads_a_day=20), key="lead_id", at=AT, learned_until=AT)
    assert reference[1] == current[0]
    assert reference[1] - reference[0] == current[1] - current[0]


def test_a_row_at_the_border_belongs_to_the_earlier_window_alone() -> None:
    moments = [AT - timedelta(days=1), AT, AT + timedelta(microseconds=1)]
    table = pa.table({"as_of": pa.array(moments, type=LEAD_SPINE.field("as_of").type)})
    assert rows_within(table, (AT - timedelta(days=1), AT))["as_of"].to_pylist() == [AT]


def test_features_shared_by_many_rows_and_the_calendar_are_not_compared() -> None:
    def entry(name: str, group: str, unit: str) -> FeatureEntry:
        return FeatureEntry(name=name, dtype="float", group=group, about="", unit=unit, phrase="{value}")

    compared, left_out = split_features(
        [
            entry("lead_age_days", "time", "days"),
            entry("created_month", "time", "month, 1 to 12"),
            entry("win_rate_rep_365d", "rep", "share"),
            entry("conversion_rate_source_90d", "segment", "share"),
            entry("count_page_view_7d", "engagement", "events"),
        ]
    )
    assert [feature.name for feature in compared] == ["lead_age_days", "count_page_view_7d"]
    assert left_out == {
        "created_month": "moves with the calendar",
        "win_rate_rep_365d": "one value for all rows of a rep at a moment",
        "conversion_rate_source_90d": "one value for all rows of a segment at a moment",
    }


def test_a_task_the_source_does_not_feed_is_refused_with_those_it_does() -> None:
    source = SimpleNamespace(name="olist", lead=SimpleNamespace(spine="creation"), deal=None, tasks=("lead",))
    with pytest.raises(InputError, match=r"'olist' has no drift report for 'deal'.*one of lead"):
        history_spine(None, source, task="deal", until=AT)
