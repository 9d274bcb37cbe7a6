"""The OpenAPI page is complete: every field described, every error told, every key named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from serving_stand_ins import VALUE, Stand, stand

from serving.open_things import OpenThings
from serving.rights import right_of

LEAD = {"lead_created_at": "2025-01-01T00:00:00Z"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Stand:
    return stand(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="module")
def page(served: Stand) -> dict[str, Any]:
    described: dict[str, Any] = served.client.get("/openapi.json").json()
    return described


def operations(page: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in page["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def test_the_documents_paths_are_there(page: dict[str, Any]) -> None:
    assert {(method, path) for method, path, _ in operations(page)} >= {
        ("POST", "/api/v1/leads/{lead_id}/score"),
        ("GET", "/api/v1/leads/scores/batch"),
        ("POST", "/api/v1/leads/scores/batch"),
        ("PUT", "/api/v1/leads/{lead_id}/qualify"),
        ("GET", "/api/v1/leads/{lead_id}/explain"),
        ("POST", "/api/v1/deals/{deal_id}/score"),
        ("GET", "/api/v1/deals/probabilities/batch"),
        ("PUT", "/api/v1/deals/{deal_id}/override"),
        ("GET", "/api/v1/deals/at-risk"),
        ("POST", "/api/v1/forecasts/revenue/generate"),
        ("GET", "/api/v1/forecasts/{forecast_id}"),
        ("PUT", "/api/v1/forecasts/{forecast_id}/adjust"),
        ("POST", "/api/v1/jobs"),
        ("GET", "/api/v1/models"),
        ("GET", "/health"),
        ("GET", "/ready"),
    }


def test_every_operation_says_what_it_does_and_what_can_go_wrong(page: dict[str, Any]) -> None:
    for method, path, operation in operations(page):
        named = f"{method} {path}"
        assert operation["summary"], named
        assert operation["description"], named
        assert {"401", "403", "429", "500", "503"} <= set(operation["responses"]) or path == "/ready", named
        assert "security" in operation, named
        for status, response in operation["responses"].items():
            assert response["description"], f"{named} {status}"
            if int(status) >= 400:
                assert "application/problem+json" in response["content"], f"{named} {status}"
        for parameter in operation.get("parameters", []):
            is_id = parameter["in"] == "path"
            assert is_id or parameter.get("description"), f"{named} {parameter['name']}"


def test_every_field_is_described(page: dict[str, Any]) -> None:
    bare = [
        f"{name}.{field}"
        for name, schema in page["components"]["schemas"].items()
        for field, said in schema.get("properties", {}).items()
        if not said.get("description")
    ]
    assert bare == []


def test_every_schema_is_one(page: dict[str, Any]) -> None:
    for schema in page["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    text = str(page)
    assert "HTTPValidationError" not in text


def validator(page: dict[str, Any], name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": page["components"]})


@pytest.mark.parametrize(
    ("method", "path", "body", "schema"),
    [
        ("POST", "/api/v1/leads/a/score", None, "LeadScore"),
        ("POST", "/api/v1/leads/new/score", {"lead": LEAD}, "LeadScore"),
        ("GET", "/api/v1/leads/a/explain", None, "LeadScore"),
        ("POST", "/api/v1/leads/scores/batch", {"ids": ["a", "x"]}, "LeadScores"),
        ("PUT", "/api/v1/leads/a/qualify", None, "Qualification"),
        ("POST", "/api/v1/deals/a/score", None, "DealProbability"),
        ("GET", "/api/v1/deals/probabilities/batch?ids=a&ids=b", None, "DealProbabilities"),
        ("GET", "/api/v1/deals/at-risk", None, "DealsAtRisk"),
        ("POST", "/api/v1/forecasts/revenue/generate", {"level": "company", "period": "2025Q2"}, "ForecastAnswer"),
        ("GET", f"/api/v1/forecasts/{VALUE['forecast_id']}", None, "ForecastAnswer"),
        ("GET", "/api/v1/forecasts/20250331T000000Z-0123456789", None, "ForecastSummary"),
        ("GET", "/api/v1/models", None, "Models"),
        ("GET", "/health", None, "Health"),
        ("GET", "/ready", None, "Ready"),
        ("POST", "/api/v1/leads/nobody/score", None, "Problem"),
        ("POST", "/api/v1/leads/a/score", {"lead": {}}, "Problem"),
        ("GET", "/nowhere", None, "Problem"),
    ],
)
def test_answers_are_as_described(
    served: Stand, page: dict[str, Any], method: str, path: str, body: Any, schema: str
) -> None:
    response = served.client.request(method, path, **({} if body is None else {"json": body}))
    validator(page, schema).validate(response.json())


def test_examples_are_accepted(served: Stand, page: dict[str, Any]) -> None:
    for name in ("Ids", "QualifyLead", "OverrideDeal", "AdjustForecast", "ForecastQuestion"):
        properties = page["components"]["schemas"][name]["properties"]
        example = {
            field: (said.get("examples") or [None])[0] for field, said in properties.items() if said.get("examples")
        }
        assert example, name
        validator(page, name).validate(example)


def test_every_path_has_a_right_of_its_own(page: dict[str, Any]) -> None:
    assert {right_of(method, path) for method, path, _ in operations(page)} >= {"score", "override", "jobs", "events"}


def test_deals_at_risk_come_with_the_greatest_first(tmp_path: Path) -> None:
    from serving_stand_ins import Features

    served = stand(tmp_path)
    served.engine.open_things = OpenThings(lambda _at: {"deal": ["a", "b", "c"]})
    served.engine.open_things.refresh(served.engine.moment.now())
    amounts = {"a": 1_000.0, "b": 900.0, "c": None}
    online = Features.online

    def with_amounts(self: Features, service: str, ids: Any, *, at: Any) -> Any:
        answer = online(self, service, ids, at=at)
        answer.values["amount_usd"] = [amounts[each] for each in ids]
        answer.values["days_to_close_date"] = [30.0 for _ in ids]
        return answer

    Features.online = with_amounts  # type: ignore[method-assign]
    try:
        found = served.client.get("/api/v1/deals/at-risk?within_days=60").json()
        none_due = served.client.get("/api/v1/deals/at-risk?within_days=20").json()
    finally:
        Features.online = online  # type: ignore[method-assign]
    assert [deal["opportunity_id"] for deal in found["deals"]] == ["b", "a", "c"]
    for deal in found["deals"][:2]:
        lost = amounts[deal["opportunity_id"]] * (1 - deal["win_probability"])  # type: ignore[operator]
        assert deal["value_at_risk_usd"] == pytest.approx(lost, abs=0.01)
    assert found["value_at_risk_usd"] == pytest.approx(sum(deal["value_at_risk_usd"] or 0 for deal in found["deals"]))
    assert (found["open_deals"], none_due["deals"], none_due["open_deals"]) == (3, [], 3)
