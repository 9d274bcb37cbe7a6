"""One score, whichever way it is asked for: by id, by payload, in a batch, as a job, and on the path of training."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import SmallWorld
from test_serving_service import START_SECONDS, known_events, known_versions, open_ids, trained_path

from serving.client import Client
from serving.run import running_service

THINGS = {
    "lead": ("lead_id", "leads", {"events": "lead_events", "activities": "activities"}, "conversion_probability"),
    "deal": ("opportunity_id", "opportunities", {"activities": "activities"}, "win_probability"),
}


@pytest.mark.slow
@pytest.mark.parametrize("task", ["lead", "deal"])
def test_a_thousand_have_one_score_on_every_path(small_world: SmallWorld, tmp_path: Path, task: str) -> None:
    key, table, happenings, probability = THINGS[task]
    ids = open_ids(small_world, task)[:1_000]
    trained = {name: round(value, 6) for name, value in trained_path(small_world, task, ids).items()}
    file, target = tmp_path / "ids.csv", tmp_path / "scores.parquet"
    file.write_text("\n".join([key, *ids]) + "\n")
    # Nothing is kept in memory: an answer is computed, or was made ahead.
    serving = small_world.settings.serving.model_copy(update={"cached_scores": 0})
    settings = small_world.settings.model_copy(update={"serving": serving})
    with (
        running_service(settings, small_world.workspace, timeout_s=START_SECONDS, is_ready="/ready") as url,
        Client(url, timeout_s=60) as client,
    ):
        score_one = client.score_lead if task == "lead" else client.score_deal
        score_many = client.score_leads if task == "lead" else client.score_deals
        told = {identifier: score_one(identifier) for identifier in ids}
        by_id = {identifier: getattr(score, probability) for identifier, score in told.items()}
        in_batch = {getattr(row, key): getattr(row, probability) for row in score_many(ids)}  # type: ignore[attr-defined]
        client.score_file(file, target, task=task)  # type: ignore[arg-type]
        by_payload = {}
        for identifier in ids:
            thing, *earlier = known_versions(small_world, table, key, identifier)
            described: dict[str, Any] = {task: thing, "versions": earlier}
            for name, events_table in happenings.items():
                described[name] = known_events(small_world, events_table, key, identifier)
            by_payload[identifier] = getattr(score_one(identifier, described=described), probability)
        ahead = {identifier: score_one(identifier) for identifier in ids}
    import pyarrow.parquet as pq

    rows = pq.read_table(target, columns=[key, probability]).to_pylist()
    as_job = {row[key]: row[probability] for row in rows}
    assert by_id == in_batch == as_job == trained == by_payload
    assert all(score.is_cached for score in ahead.values())
    assert {identifier: getattr(score, probability) for identifier, score in ahead.items()} == by_id
    assert len(set(by_id.values())) > 10
    if task == "deal":  # dates ahead are counted from the moment of the features, not from the wall's
        assert min(score.close_date_latest for score in told.values()) >= small_world.now.date()  # type: ignore[attr-defined]
        earliest = min(score.close_date_earliest for score in told.values())  # type: ignore[attr-defined]
        assert earliest < small_world.now.date() + timedelta(days=90)
