"""The fast lane answers as the framework does; a score is given again only while nothing it rests on has changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving_stand_ins import Client, Stand, stand, write_bundle

from serving.answers import DealProbabilities, DealProbability, LeadScore, LeadScores
from serving.boundary import Boundary, RealPath
from serving.routes import paths_of

CHANGING = ("scored_at", "valid_until", "request_id", "is_cached")


@pytest.fixture
def served(tmp_path: Path) -> Stand:
    return stand(tmp_path)


def unchanging(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in CHANGING}


def without_fast_lane(served: Stand) -> Client:
    """The same application, whose boundary knows no engine."""
    app = served.app
    return Client(Boundary(RealPath(app), paths=paths_of(app)))


@pytest.mark.parametrize(
    "path", ["leads/a", "leads/b", "leads/c", "deals/a", "deals/nobody", "leads/%20", "leads/a%2Fb"]
)
def test_fast_lane_answers_as_the_framework_does(served: Stand, path: str) -> None:
    quick = served.client.post(f"/api/v1/{path}/score", headers={"x-request-id": "r-1"})
    slow = without_fast_lane(served).post(f"/api/v1/{path}/score", headers={"x-request-id": "r-1"})
    assert quick.status_code == slow.status_code
    assert unchanging(quick.json()) == unchanging(slow.json())
    same = ("content-type", "x-request-id")
    assert [quick.headers[name] for name in same] == [slow.headers[name] for name in same]


@pytest.mark.parametrize(
    ("path", "kind"),
    [("leads/a/score", LeadScore), ("leads/c/score", LeadScore), ("deals/b/score", DealProbability)],
)
def test_what_is_served_is_what_is_documented(served: Stand, path: str, kind: type[Any]) -> None:
    response = served.client.post(f"/api/v1/{path}")
    told = kind.model_validate_json(response.content)
    assert told.model_dump(mode="json", by_alias=True, exclude_unset=True) == response.json()


@pytest.mark.parametrize(
    ("path", "kind"), [("leads/scores/batch", LeadScores), ("deals/probabilities/batch", DealProbabilities)]
)
def test_a_batch_is_what_is_documented_and_says_what_single_scores_say(
    served: Stand, path: str, kind: type[Any]
) -> None:
    response = served.client.post(f"/api/v1/{path}", json={"ids": ["b", "nobody", "a", "b"]})
    told = kind.model_validate_json(response.content)
    answer = response.json()
    assert told.model_dump(mode="json", by_alias=True, exclude_unset=True) == answer
    assert answer["not_found"] == ["nobody"]
    rows = answer["scores" if "scores" in answer else "probabilities"]
    thing = path.split("/")[0]
    for row, identifier in zip(rows, ("b", "a"), strict=True):
        alone = served.client.post(f"/api/v1/{thing}/{identifier}/score").json()
        assert unchanging(row) == unchanging(alone)


def test_nothing_changed_gives_the_same_score_again_and_says_so(served: Stand) -> None:
    first, second = (served.client.post("/api/v1/leads/a/score").json() for _ in range(2))
    assert (first["is_cached"], second["is_cached"]) == (False, True)
    assert first["scored_at"] == second["scored_at"]
    assert first["request_id"] != second["request_id"]
    assert served.features.reads == 1


def test_changed_features_are_scored_anew(served: Stand) -> None:
    before = served.client.post("/api/v1/leads/a/score").json()
    served.features.rows["a"] = (-2.0, 0.1)
    after = served.client.post("/api/v1/leads/a/score").json()
    assert after["is_cached"] is False
    assert after["conversion_probability"] < before["conversion_probability"]


def test_another_version_of_the_model_scores_anew(served: Stand, tmp_path: Path) -> None:
    served.client.post("/api/v1/leads/a/score")
    served.registry.aliases["toy-lead"] = ("2", write_bundle(tmp_path / "2", version="2", slope=-1.0))
    served.engine.refresh()
    after = served.client.post("/api/v1/leads/a/score").json()
    assert (after["is_cached"], after["model_version"]) == (False, "2")


def test_a_score_past_its_validity_is_made_anew(served: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    served.client.post("/api/v1/leads/a/score")

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(UTC) + timedelta(days=2)

    monkeypatch.setattr("serving.by_id.datetime", Later)
    assert served.client.post("/api/v1/leads/a/score").json()["is_cached"] is False


def test_the_store_away_is_said_even_of_a_score_made_before(served: Stand) -> None:
    served.client.post("/api/v1/leads/a/score")
    served.features.is_away = True
    answer = served.client.post("/api/v1/leads/a/score").json()
    assert (answer["is_cached"], answer["features"]["is_last_known"]) == (False, True)


def test_a_row_that_expires_later_ends_the_score(served: Stand) -> None:
    served.client.post("/api/v1/leads/a/score")
    store = served.engine.store
    entry = store.cache.get(("champion", "lead", "a"))
    assert entry is not None
    now = entry.mark.at

    def holds(until: datetime | None, at: datetime) -> bool:
        from dataclasses import replace

        kept = replace(entry, mark=replace(entry.mark, until=until))
        return kept.holds(maker=entry.maker, now=at, wall=datetime.now(UTC), is_unchanged=lambda _mark: True)

    assert holds(None, now + timedelta(days=900))
    assert holds(now + timedelta(days=7), now + timedelta(days=7))
    assert not holds(now + timedelta(days=7), now + timedelta(days=7, microseconds=1))
    assert not holds(None, now - timedelta(microseconds=1))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), min_size=2, max_size=6))
def test_cached_or_not_the_answer_is_the_same(served: Stand, values: list[tuple[float, float]]) -> None:
    for value in values:
        served.features.rows["p"] = value
        answers = [served.client.post("/api/v1/leads/p/score").json() for _ in range(2)]
        assert answers[1]["is_cached"]
        served.engine.store.cache.clear()
        fresh = served.client.post("/api/v1/leads/p/score").json()
        assert unchanging(answers[0]) == unchanging(answers[1]) == unchanging(fresh)
