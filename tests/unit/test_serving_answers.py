"""What the services answer when all is well, and when features are old."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from serving_stand_ins import FEATURES, NOW, VALUE, Stand, stand

from training.scorer import Scorer


@pytest.fixture
def served(tmp_path: Path) -> Stand:
    return stand(tmp_path)


def direct(served: Stand, task: str, **values: float | None) -> float:
    """The probability that the Scorer gives for feature values, asked without the service."""
    _, bundle = served.registry.aliases[f"toy-{task}"]
    scorer = Scorer.load(bundle)
    return float(scorer.probability(scorer.encode({name: [value] for name, value in values.items()}))[0])


def test_score_by_id_is_the_scorers_own(served: Stand) -> None:
    answer = served.client.post("/api/v1/leads/a/score").json()
    expected = direct(served, "lead", count_pricing_view_30d=2.0, employee_count=0.1)
    assert answer["lead_id"] == "a"
    assert answer["conversion_probability"] == pytest.approx(expected, abs=1e-6)
    assert answer["grade"] == "hot"
    assert answer["intent_score"] == pytest.approx(100.0)
    assert answer["behavioral_score"] is None
    assert answer["scoring_factors"]["for"][0]["feature"] == "count_pricing_view_30d"


def test_score_by_payload_is_the_scorers_own(served: Stand) -> None:
    event = {"kind": "pricing_view", "event_timestamp": "2025-03-01T00:00:00Z"}
    lead = {"lead_created_at": "2025-01-01T00:00:00Z", "employee_count": 3}
    answer = served.client.post("/api/v1/leads/new/score", json={"lead": lead, "events": [event, event]}).json()
    expected = direct(served, "lead", count_pricing_view_30d=2.0, employee_count=3.0)
    assert answer["lead_id"] == "new"
    assert answer["conversion_probability"] == pytest.approx(expected, abs=1e-6)
    assert answer["features"]["age_seconds"] == 0.0


def test_empty_object_scores_the_stored_lead(served: Stand) -> None:
    by_id = served.client.post("/api/v1/leads/a/score").json()
    by_empty = served.client.post("/api/v1/leads/a/score", json={}).json()
    assert by_empty["conversion_probability"] == by_id["conversion_probability"]


def test_deal_is_scored_by_id_and_by_payload(served: Stand) -> None:
    by_id = served.client.post("/api/v1/deals/b/score").json()
    assert by_id["win_probability"] == pytest.approx(
        direct(served, "deal", count_pricing_view_30d=-2.0, employee_count=0.3), abs=1e-6
    )
    assert by_id["risk_score"] == pytest.approx(100 * (1 - by_id["win_probability"]), abs=0.01)
    deal = {"opened_at": "2025-01-01T00:00:00Z", "stage": "Proposal"}
    by_payload = served.client.post("/api/v1/deals/new/score", json={"deal": deal}).json()
    assert by_payload["opportunity_id"] == "new"


def test_every_answer_says_by_what_when_and_how_fresh(served: Stand) -> None:
    response = served.client.post("/api/v1/leads/a/score", headers={"x-request-id": "r-1"})
    answer = response.json()
    assert (answer["model_name"], answer["model_version"], answer["alias"]) == ("toy-lead", "1", "champion")
    assert answer["request_id"] == response.headers["x-request-id"] == "r-1"
    # scored_at is the wall's clock, as_of the history's.
    scored_at = datetime.fromisoformat(answer["scored_at"])
    assert abs(datetime.now(UTC) - scored_at) < timedelta(minutes=1)
    assert datetime.fromisoformat(answer["as_of"]) == NOW
    assert datetime.fromisoformat(answer["valid_until"]) == scored_at + timedelta(hours=24)
    assert answer["features"]["age_seconds"] == 6 * 3600
    assert datetime.fromisoformat(answer["features"]["oldest_at"]) == NOW - timedelta(hours=6)


def test_expired_features_are_scored_as_missing_and_flagged(served: Stand) -> None:
    answer = served.client.post("/api/v1/leads/c/score").json()
    assert answer["features"]["expired"] == [FEATURES[0]]
    expected = direct(served, "lead", count_pricing_view_30d=None, employee_count=0.2)
    assert answer["conversion_probability"] == pytest.approx(expected, abs=1e-6)


def test_store_away_answers_from_the_last_known_features_with_a_flag(served: Stand) -> None:
    before = served.client.post("/api/v1/leads/a/score").json()
    served.features.is_away = True
    after = served.client.post("/api/v1/leads/a/score").json()
    assert before["features"]["is_last_known"] is False
    assert after["features"]["is_last_known"] is True
    assert after["conversion_probability"] == before["conversion_probability"]


def test_batch_keeps_the_order_and_lists_what_is_not_known(served: Stand) -> None:
    answer = served.client.post("/api/v1/leads/scores/batch", json={"ids": ["b", "x", "a", "b"]}).json()
    assert [score["lead_id"] for score in answer["scores"]] == ["b", "a"]
    assert answer["not_found"] == ["x"]
    single = served.client.post("/api/v1/leads/a/score").json()
    assert answer["scores"][1]["conversion_probability"] == single["conversion_probability"]


def test_batch_by_get_is_the_same(served: Stand) -> None:
    leads = served.client.get("/api/v1/leads/scores/batch?ids=a&ids=b").json()
    assert [score["lead_id"] for score in leads["scores"]] == ["a", "b"]
    deals = served.client.get("/api/v1/deals/probabilities/batch?ids=b").json()
    assert [score["opportunity_id"] for score in deals["probabilities"]] == ["b"]


def test_forecast_is_answered_and_found_again_by_its_id(served: Stand) -> None:
    question = {"level": "company", "period": "2025Q2"}
    made = served.client.post("/api/v1/forecasts/revenue/generate", json=question).json()
    assert made["expected"] == 100.0
    assert made["intervals"]["80"] == {"lower": 50.0, "upper": 150.0}
    assert made["age_seconds"] == 0.0
    again = served.client.get(f"/api/v1/forecasts/{made['forecast_id']}").json()
    moving = {"scored_at", "valid_until", "request_id"}
    assert {k: v for k, v in again.items() if k not in moving} == {k: v for k, v in made.items() if k not in moving}
    whole = served.client.get("/api/v1/forecasts/20250331T000000Z-0123456789").json()
    assert [total["expected"] for total in whole["totals"]] == [VALUE["expected"]]


def test_payload_newer_than_the_data_puts_its_clock_forward(served: Stand) -> None:
    lead = {"lead_created_at": "2025-06-01T00:00:00+02:00"}
    answer = served.client.post("/api/v1/leads/new/score", json={"lead": lead}).json()
    assert datetime.fromisoformat(answer["as_of"]) == datetime(2025, 5, 31, 22, tzinfo=UTC)


def test_health_is_well_with_everything_in_place(served: Stand) -> None:
    answer = served.client.get("/health").json()
    assert answer["status"] == "healthy"
    assert all(check["ok"] for check in answer["checks"])
    names = [check["name"] for check in answer["checks"]]
    assert names == [
        "model:lead",
        "model:deal",
        "model:forecast",
        "registry",
        "clock",
        "features:lead",
        "features:deal",
        "forecasts",
    ]


def _health(served: Stand) -> tuple[int, dict[str, Any]]:
    response = served.client.get("/health")
    body = response.json()
    return response.status_code, {check["name"]: check for check in body["checks"] if not check["ok"]}


def test_health_is_false_when_a_model_is_missing(tmp_path: Path) -> None:
    status, broken = _health(stand(tmp_path, champions=["lead", "forecast"]))
    assert status == 503
    assert list(broken) == ["model:deal"]
    assert broken["model:deal"]["next_step"] == "run: salience train deal"


def test_health_is_false_when_the_store_is_away(served: Stand) -> None:
    served.features.is_away = True
    status, broken = _health(served)
    assert (status, list(broken)) == (503, ["features:lead", "features:deal"])


@pytest.mark.parametrize(
    ("sample", "is_well", "words"),
    [
        ("a", True, "6.0 hours old"),
        (None, True, "no lead is open"),
        ("c", False, "have expired"),
        ("unknown", False, "is not in the feature store"),
    ],
)
def test_health_looks_at_the_features_of_something_open(
    tmp_path: Path, sample: str | None, is_well: bool, words: str
) -> None:
    served = stand(tmp_path, sample=sample)
    response = served.client.get("/health")
    assert response.status_code == (200 if is_well else 503)
    check = next(check for check in response.json()["checks"] if check["name"] == "features:lead")
    assert check["ok"] is is_well
    assert words in check["detail"]


def test_health_is_false_when_there_is_no_forecast(served: Stand) -> None:
    served.forecasts.is_empty = True
    status, broken = _health(served)
    assert (status, list(broken)) == (503, ["forecasts"])


def test_health_is_false_when_nobody_follows_the_registry(served: Stand) -> None:
    served.engine.followed_at = datetime.now(UTC) - timedelta(minutes=5)
    status, broken = _health(served)
    assert (status, list(broken)) == (503, ["registry"])


def test_ready_means_every_model_is_loaded(tmp_path: Path) -> None:
    served = stand(tmp_path, champions=["lead", "deal"])
    assert served.client.get("/ready").status_code == 503
    served.registry.aliases["toy-forecast"] = ("1", tmp_path)
    served.engine.refresh()
    assert served.client.get("/ready").json()["status"] == "ready"


def test_models_say_their_quality_and_their_trouble(tmp_path: Path) -> None:
    served = stand(tmp_path, champions=["lead"])
    models = {model["task"]: model for model in served.client.get("/api/v1/models").json()["models"]}
    assert models["lead"]["metrics"] == {"auc": 0.7}
    assert models["deal"]["version"] is None
    assert models["deal"]["problem"] == "toy-deal has no champion"


def test_documentation_page_needs_no_other_machine(served: Stand) -> None:
    page = served.client.get("/").text
    assert "/static_content/swagger-ui-bundle.js" in page
    assert "http://" not in page
    assert "https://" not in page
    spec = served.client.get("/openapi.json").json()
    score = spec["paths"]["/api/v1/leads/{lead_id}/score"]["post"]
    assert score["parameters"][0]["name"] == "lead_id"
    assert "404" in score["responses"]
    assert "employee_count" in spec["components"]["schemas"]["LeadRow"]["properties"]
    assert "disqualified_reason" not in spec["components"]["schemas"]["LeadRow"]["properties"]


def test_a_store_that_hangs_is_left_alone_for_a_moment(served: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    served.client.post("/api/v1/leads/a/score")
    now, reads = [100.0], list[float]()
    monkeypatch.setattr("serving.engine.time.monotonic", lambda: now[0])

    def hanging(_service: str, _ids: Any, *, at: datetime) -> Any:
        reads.append(now[0])
        now[0] += 0.5
        raise TimeoutError

    served.engine.store.cache.clear()
    monkeypatch.setattr(served.features, "read", hanging)
    for _ in range(3):
        answer = served.client.post("/api/v1/leads/a/score").json()
        assert answer["features"]["is_last_known"] is True
    assert served.client.post("/api/v1/leads/b/score").status_code == 503
    assert len(reads) == 1
    now[0] += 1.5
    served.client.post("/api/v1/leads/a/score")
    assert len(reads) == 2
