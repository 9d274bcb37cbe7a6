"""Properties: nothing that happens later, or is recorded later, changes a feature; neither does the order of rows."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from features_world import Rows, connect, day, deal, lead, moments, row
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.catalogue import VIEWS
from features.transform import compute
from warehouse.contracts import ACTIVITY_KINDS, LEAD_EVENT_KINDS

AS_OF = 60.0
ASKED = {
    "lead_id": ("L1", "L2"),
    "opportunity_id": ("D1", "D2"),
    "rep_id": ("R1", "R2"),
    "segment_id": ("web|a", "ads|"),
    "series_id": ("company", "team:T1", "rep:R1"),
}
TABLES = ("leads", "lead_events", "opportunities", "activities", "transactions", "reps")

days = st.integers(0, 240).map(lambda quarter: quarter / 4)
delays = st.sampled_from([0, 0, 0.25, 3, 40])
reps = st.sampled_from(["R1", "R2", None])


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, dict[str, Any]]]:
    """Rows of all tables at any time: before, at and after the moment asked about."""
    rows: list[tuple[str, dict[str, Any]]] = []
    for place in range(draw(st.integers(4, 16))):
        table = draw(st.sampled_from(TABLES))
        happened = draw(st.sampled_from([0, 20, 60])) + draw(days)
        rows.append((table, _row(draw, table, place, happened - 60, happened - 60 + draw(delays))))
    return rows


def _row(draw: st.DrawFn, table: str, place: int, happened: float, known: float) -> dict[str, Any]:
    if table == "leads":
        status = draw(st.sampled_from(["new", "working", "converted", "disqualified"]))
        source, page = draw(st.sampled_from([("web", "a"), ("ads", None)]))
        columns = {"status": status, "source": source, "landing_page": page, "rep_id": draw(reps)}
        return lead(draw(st.sampled_from(["L1", "L2", "L3"])), happened, known, **columns, lead_created_at=day(-20))
    if table == "opportunities":
        columns = {
            "status": draw(st.sampled_from(["open", "open", "won", "lost"])),
            "stage": draw(st.sampled_from(["qualify", "propose"])),
            "rep_id": draw(reps),
            "amount_usd": draw(st.sampled_from([100.0, 250.0, None])),
            "close_date": day(draw(st.integers(50, 90))).date(),
        }
        return deal(draw(st.sampled_from(["D1", "D2"])), happened, known, **columns)
    if table == "lead_events":
        columns = {"event_id": str(place), "lead_id": draw(st.sampled_from(["L1", "L2"]))}
        return row(happened, known, **columns, kind=draw(st.sampled_from(LEAD_EVENT_KINDS)), duration_seconds=0.1)
    if table == "activities":
        columns = {"activity_id": str(place), "opportunity_id": "D1", "kind": draw(st.sampled_from(ACTIVITY_KINDS))}
        return row(happened, known, **columns, direction=draw(st.sampled_from(["inbound", "outbound", None])))
    if table == "transactions":
        return row(happened, known, transaction_id=str(place), rep_id=draw(reps), amount_usd=draw(st.floats(-9, 99)))
    return row(happened, known, rep_id=draw(st.sampled_from(["R1", "R2"])), team=draw(st.sampled_from(["T1", "T2"])))


def _all_features(rows: list[tuple[str, dict[str, Any]]]) -> dict[str, pa.Table]:
    tables: dict[str, Rows] = {table: [each for name, each in rows if name == table] for table in TABLES}
    with connect(tables) as connection:
        return {
            view.name: compute(
                view, moments(view.join_key, *((key, AS_OF) for key in ASKED[view.join_key])), connection
            ).sort_by(view.join_key)
            for view in VIEWS.values()
        }


def _is_visible(each: dict[str, Any]) -> bool:
    return max(each["event_timestamp"], each["created_timestamp"]) <= day(AS_OF)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories())
def test_what_happens_or_is_recorded_later_changes_no_feature(rows: list[tuple[str, dict[str, Any]]]) -> None:
    assert _all_features(rows) == _all_features([(table, each) for table, each in rows if _is_visible(each)])


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows: list[tuple[str, dict[str, Any]]], shuffler: Any) -> None:
    shuffled = list(rows)
    shuffler.shuffle(shuffled)
    assert _all_features(rows) == _all_features(shuffled)
