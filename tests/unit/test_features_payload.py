"""Payloads: what is understood, and how each mistake is named."""

from __future__ import annotations

from typing import Any

import pytest
from features_world import day

from common.errors import InputError
from features.payload import payload_tables

LEAD = {"lead_id": "L1", "lead_created_at": "2025-01-01T00:00:00Z"}
DEAL = {"opened_at": "2025-01-01", "stage": "propose"}


def _lead(**columns: Any) -> dict[str, Any]:
    return {"lead": {**LEAD, **columns}}


def test_a_lead_and_its_events_become_canonical_rows() -> None:
    payload = {
        "lead": {**LEAD, "employee_count": 12, "industry": None},
        "events": [{"kind": "page_view", "event_timestamp": "2025-01-02T01:00:00+01:00"}],
        "activities": [{"kind": "call", "event_timestamp": "2025-01-03", "direction": "inbound"}],
    }
    name, tables = payload_tables(payload, join_key="lead_id", at=day(5))
    (lead,), (event,) = tables["leads"].to_pylist(), tables["lead_events"].to_pylist()
    assert name == "L1"
    assert (lead["status"], lead["employee_count"], lead["industry"]) == ("new", 12, None)
    assert lead["event_timestamp"] == lead["created_timestamp"] == day(0)
    assert (event["lead_id"], event["event_timestamp"]) == ("L1", day(1))
    (activity,) = tables["activities"].to_pylist()
    assert (activity["lead_id"], activity["opportunity_id"], activity["event_timestamp"]) == ("L1", None, day(2))


def test_a_deal_may_come_as_its_versions() -> None:
    versions = [DEAL, {**DEAL, "stage": "commit", "event_timestamp": "2025-01-03", "close_date": "2025-02-01"}]
    name, tables = payload_tables({"deal": versions}, join_key="opportunity_id", at=day(5))
    assert name == "payload"
    assert tables["opportunities"]["stage"].to_pylist() == ["propose", "commit"]
    assert tables["opportunities"]["event_timestamp"].to_pylist() == [day(0), day(2)]


@pytest.mark.parametrize(
    ("payload", "field", "message"),
    [
        ({}, "lead", "has no 'lead'"),
        ({"lead": []}, "lead", "empty list"),
        ({"lead": 3}, "lead", "not a list of records"),
        ({"lead": [3]}, "lead[0]", "not a record"),
        ({**_lead(), "tasks": []}, "tasks", "no field 'tasks'"),
        (_lead(shoe_size=3), "lead.shoe_size", "no field 'lead.shoe_size'"),
        ({"lead": {"lead_id": "L1"}}, "lead.lead_created_at", "missing"),
        (_lead(lead_created_at="yesterday"), "lead.lead_created_at", "not a day or time"),
        (_lead(lead_created_at="2025-01-01T00:00:00"), "lead.lead_created_at", "no time zone"),
        (_lead(lead_created_at=5), "lead.lead_created_at", "wrong type"),
        (_lead(employee_count=1.5), "lead.employee_count", "wrong type"),
        (_lead(employee_count=True), "lead.employee_count", "wrong type"),
        (_lead(employee_count=-1), "lead.employee_count", "out of range"),
        (_lead(industry=7), "lead.industry", "wrong type"),
        (_lead(status="asleep"), "lead.status", "unknown value"),
        (_lead(status="converted"), "lead.status", "only an open one"),
        (_lead(lead_created_at="2025-02-01"), "lead.lead_created_at", "after the moment of scoring"),
        ({**_lead(), "events": {}}, "events", "not a list"),
        ({**_lead(), "events": [{"kind": "page_view"}]}, "events[0].event_timestamp", "missing"),
        ({**_lead(), "events": [{"event_timestamp": "2025-01-01"}]}, "events[0].kind", "missing"),
        ({**_lead(), "events": [{"kind": "nap", "event_timestamp": "2025-01-01"}]}, "events[0].kind", "unknown value"),
        (
            {**_lead(), "events": [{"kind": "page_view", "event_timestamp": "2025-01-07"}]},
            "events[0].event_timestamp",
            "after the moment of scoring",
        ),
        (
            {**_lead(), "events": [{"kind": "social", "event_timestamp": "2025-01-02", "lead_id": "L2"}]},
            "events[0].lead_id",
            "names another one",
        ),
    ],
)
def test_a_mistake_is_named_with_its_field(payload: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        payload_tables(payload, join_key="lead_id", at=day(5))
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"amount_usd": float("nan")}, "wrong type"),
        ({"crm_probability": 1.2}, "out of range"),
        ({"close_date": "soon"}, "wrong type"),
        ({"is_deleted": "no"}, "wrong type"),
        ({"status": "won"}, "only an open one"),
    ],
)
def test_a_wrong_deal_is_named_with_its_field(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        payload_tables({"deal": {**DEAL, **columns}}, join_key="opportunity_id", at=day(5))
    assert caught.value.field == f"deal.{next(iter(columns))}"


def test_only_leads_and_deals_come_as_payloads() -> None:
    with pytest.raises(InputError, match="series_id cannot be scored from a payload"):
        payload_tables({}, join_key="series_id", at=day(5))
