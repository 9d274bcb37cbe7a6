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
    "account_id": ("A1", "A2"),
    "stage_id": ("sales|qualify", "|propose"),
    "competitor_id": ("Acme",),
}
TABLES = ("leads", "lead_events", "opportunities", "activities", "transactions", "reps")
TABLES += ("accounts", "contacts", "products")

days = st.integers(0, 240).map(lambda quarter: quarter / 4)
delays = st.sampled_from([0, 0, 0.25, 3, 40])
reps = st.sampled_from(["R1", "R2", None])


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, dict[str, Any]]]:
    """Rows of all tables at any time: before, at and after the moment asked about."""
    rows: list[tuple[str, dict[str, Any]]] = []
    for place in range(draw(st.integers(4, 20))):
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
            "pipeline": draw(st.sampled_from(["sales", None])),
            "account_id": draw(st.sampled_from(["A1", "A2", None])),
            "competitor": draw(st.sampled_from(["Acme", None])),
            "product_id": "P1",
            "forecast_category": draw(st.sampled_from(["commit", "pipeline", None])),
        }
        return deal(draw(st.sampled_from(["D1", "D2"])), happened, known, **columns)
    if table == "lead_events":
        # The same event may come again, corrected.
        columns = {"event_id": str(place // 2), "lead_id": draw(st.sampled_from(["L1", "L2"]))}
        return row(happened, known, **columns, kind=draw(st.sampled_from(LEAD_EVENT_KINDS)), duration_seconds=0.1)
    if table == "activities":
        columns = {"activity_id": str(place), "opportunity_id": "D1", "kind": draw(st.sampled_from(ACTIVITY_KINDS))}
        columns |= {"direction": draw(st.sampled_from(["inbound", "outbound", None])), "contact_id": "C1"}
        return row(happened, known, **columns)
    if table == "transactions":
        columns = {"transaction_id": str(place // 2), "rep_id": draw(reps), "account_id": "A1"}
        return row(happened, known, **columns, amount_usd=draw(st.floats(-9, 99)))
    if table == "accounts":
        return row(happened, known, account_id="A1", industry=draw(st.sampled_from(["retail", "banking"])))
    if table == "contacts":
        return row(happened, known, contact_id="C1", title=draw(st.sampled_from(["CEO", "Clerk", None])))
    if table == "products":
        return row(happened, known, product_id="P1", list_price_usd=draw(st.sampled_from([100.0, 200.0])))
    return row(happened, known, rep_id=draw(st.sampled_from(["R1", "R2"])), team=draw(st.sampled_from(["T1", "T2"])))


def _by_table(rows: list[tuple[str, dict[str, Any]]]) -> dict[str, Rows]:
    return {table: [each for name, each in rows if name == table] for table in TABLES}


def _all_features(rows: list[tuple[str, dict[str, Any]]]) -> dict[str, pa.Table]:
    with connect(_by_table(rows)) as connection:
        return {
            view.name: compute(
                view, moments(view.join_key, *((key, AS_OF) for key in ASKED[view.join_key])), connection
            ).sort_by(view.join_key)
            for view in VIEWS.values()
        }


def _is_visible(each: dict[str, Any]) -> bool:
    return max(each["event_timestamp"], each["created_timestamp"]) <= day(AS_OF)


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories())
def test_what_happens_or_is_recorded_later_changes_no_feature(rows: list[tuple[str, dict[str, Any]]]) -> None:
    assert _all_features(rows) == _all_features([(table, each) for table, each in rows if _is_visible(each)])


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows: list[tuple[str, dict[str, Any]]], shuffler: Any) -> None:
    shuffled = list(rows)
    shuffler.shuffle(shuffled)
    assert _all_features(rows) == _all_features(shuffled)


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories())
def test_views_of_own_rows_do_not_see_other_entities(rows: list[tuple[str, dict[str, Any]]]) -> None:
    views = [view for view in VIEWS.values() if view.own_rows_only]
    assert {view.join_key for view in views} == {"lead_id", "opportunity_id"}
    for view in views:
        mine = ASKED[view.join_key][0]
        asked = moments(view.join_key, (mine, AS_OF))
        own = [(table, each) for table, each in rows if each.get(view.join_key) == mine]
        with connect(_by_table(rows)) as all_rows, connect(_by_table(own)) as own_rows:
            assert compute(view, asked, all_rows) == compute(view, asked, own_rows), view.name
