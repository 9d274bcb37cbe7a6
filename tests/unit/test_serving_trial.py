"""A challenger on trial gets its share of the ids, always the same ones, and never more than it is to have."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving_stand_ins import Stand, stand, write_bundle

from common.logged_predictions import segments
from common.workspace import Workspace
from serving.champions import ChampionSlot
from serving.prediction_log import PredictionLog
from serving.trial import Mode, Trial


def on_trial(tmp_path: Path, mode: Mode, share: float) -> Stand:
    served = stand(tmp_path, tasks=["lead"], champions=["lead"])
    served.registry.challengers["toy-lead"] = ("2", write_bundle(tmp_path / "2", version="2", slope=-1.0))
    slot = ChampionSlot("lead", name="toy-lead", registry=served.registry, alias="challenger")
    served.engine.trial = Trial(mode, share=share, slots={"lead": slot})
    served.engine.log = PredictionLog(Workspace("toy", tmp_path / "home"))
    served.engine.refresh()
    return served


def logged(served: Stand, tmp_path: Path) -> list[tuple[str, str, str, str]]:
    log = served.engine.log
    assert isinstance(log, PredictionLog)
    log.roll(everything=True)
    rows = [
        row for path in segments(Workspace("toy", tmp_path / "home"), "lead") for row in pq.read_table(path).to_pylist()
    ]
    return sorted((row["request_id"], row["alias"], row["model_version"], row["kind"]) for row in rows)


@given(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_the_share_is_kept_and_an_id_is_in_it_for_good(share: float) -> None:
    trial = Trial("answer", share=share)
    ids = [f"L-{number:06d}" for number in range(4_000)]
    inside = [trial.has("lead", identifier) for identifier in ids]
    assert inside == [Trial("shadow", share=share).has("lead", identifier) for identifier in ids]
    assert abs(sum(inside) / len(ids) - share) < 0.03


def test_who_is_in_a_small_share_is_in_a_larger_one() -> None:
    ids = [f"L-{number:06d}" for number in range(2_000)]
    small, large = (Trial("answer", share=share) for share in (0.1, 0.3))
    assert all(large.has("lead", identifier) for identifier in ids if small.has("lead", identifier))


def test_the_challenger_answers_for_its_share_and_says_so(tmp_path: Path) -> None:
    served = on_trial(tmp_path, "answer", 1.0)
    answer = served.client.post("/api/v1/leads/a/score").json()
    assert (answer["alias"], answer["model_version"]) == ("challenger", "2")
    assert answer["conversion_probability"] < 0.5
    batch = served.client.post("/api/v1/leads/scores/batch", json={"ids": ["a"]}).json()
    assert batch["scores"][0]["alias"] == "champion"
    models = served.client.get("/api/v1/models").json()["models"]
    assert [(model["alias"], model["version"], model["trial"]) for model in models] == [
        ("champion", "1", None),
        ("challenger", "2", "answer, 100% of the ids"),
    ]


def test_in_the_shadow_the_champion_answers_and_both_are_logged(tmp_path: Path) -> None:
    served = on_trial(tmp_path, "shadow", 1.0)
    answer = served.client.post("/api/v1/leads/a/score", headers={"x-request-id": "r-1"}).json()
    assert (answer["alias"], answer["model_version"]) == ("champion", "1")
    served.engine.trial.work_off()
    assert logged(served, tmp_path) == [("r-1", "challenger", "2", "shadow"), ("r-1", "champion", "1", "id")]


@pytest.mark.parametrize(("mode", "share"), [("off", 1.0), ("answer", 0.0), ("shadow", 0.0)])
def test_without_a_share_nothing_is_scored_by_the_challenger(tmp_path: Path, mode: Mode, share: float) -> None:
    served = on_trial(tmp_path, mode, share)
    assert served.client.post("/api/v1/leads/a/score").json()["alias"] == "champion"
    served.engine.trial.work_off()
    assert [row[1] for row in logged(served, tmp_path)] == ["champion"]


def test_a_challenger_that_cannot_be_loaded_leaves_all_to_the_champion(tmp_path: Path) -> None:
    served = on_trial(tmp_path, "answer", 1.0)
    served.registry.challengers["toy-lead"] = ("3", tmp_path / "nowhere")
    served.engine.trial.slots["lead"].current = None
    served.engine.refresh()
    assert served.client.post("/api/v1/leads/a/score").json()["alias"] == "champion"
    assert served.client.get("/health").status_code == 503 or served.client.get("/ready").status_code == 200
    problem = served.client.get("/api/v1/models").json()["models"][1]["problem"]
    assert "nowhere" in problem


def test_a_challenger_that_became_the_champion_is_no_trial_any_more(tmp_path: Path) -> None:
    served = on_trial(tmp_path, "answer", 1.0)
    served.registry.aliases["toy-lead"] = served.registry.challengers["toy-lead"]
    served.engine.refresh()
    answer = served.client.post("/api/v1/leads/a/score").json()
    assert (answer["alias"], answer["model_version"]) == ("champion", "2")


def test_the_thread_ends_with_what_waits_scored(tmp_path: Path) -> None:
    served = on_trial(tmp_path, "shadow", 1.0)
    served.engine.trial.start()
    for number in range(5):
        served.client.post("/api/v1/leads/a/score", headers={"x-request-id": f"r-{number}"})
    served.engine.trial.stop()
    assert len([row for row in logged(served, tmp_path) if row[3] == "shadow"]) == 5
