"""Scores made ahead: the same as those made when asked for, given out only while they hold, and kept up by sweeps."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from serving_stand_ins import Features, Stand, stand, write_bundle

from common.errors import UnavailableError
from serving.ahead import Ahead
from serving.ahead_store import AheadReader, AheadWriter, Made
from serving.engine import Engine
from serving.makers import Makers
from serving.score_cache import Kept
from training.trend import WeekAgo

CHANGING = ("scored_at", "valid_until", "request_id", "is_cached")


@pytest.fixture
def served(tmp_path: Path) -> Stand:
    """A service that keeps nothing in memory and reads what was made ahead."""
    made = stand(tmp_path)
    made.engine.store.cache._most = 0
    made.engine.store._ahead = AheadReader(tmp_path / "ahead.db")
    return made


@pytest.fixture
def ahead(served: Stand, tmp_path: Path) -> Iterator[Ahead]:
    """What scores ahead: an engine of its own on the same store and registry, as in a process of its own."""
    beside = stand(tmp_path / "beside")
    for slot in beside.engine.slots.values():
        slot._registry = served.registry
        slot.current = None
    beside.engine.store.features = beside.engine.store.features = served.features
    beside.engine._reopen = lambda: None  # type: ignore[method-assign]
    beside.engine.refresh()
    writer = AheadWriter(tmp_path / "ahead.db")
    yield Ahead(beside.engine, writer, most=100)
    writer.close()


def sweep(ahead: Ahead) -> int:
    ahead._engine.refresh()
    return ahead.sweep(threading.Event())


def ask(served: Stand, identifier: str, things: str = "leads") -> dict[str, Any]:
    answer: dict[str, Any] = served.client.post(f"/api/v1/{things}/{identifier}/score").json()
    return answer


def unchanging(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in CHANGING}


@pytest.mark.parametrize("things", ["leads", "deals"])
def test_what_was_made_ahead_is_what_would_be_computed(served: Stand, ahead: Ahead, things: str) -> None:
    computed = {each: ask(served, each, things) for each in "abc"}
    assert not any(answer["is_cached"] for answer in computed.values())
    assert sweep(ahead) == 6
    reads = served.features.reads
    for each, before in computed.items():
        again = ask(served, each, things)
        assert again["is_cached"]
        assert unchanging(again) == unchanging(before)
    assert served.features.reads == reads
    assert served.engine.store.ahead_hits == 3


def test_the_log_keeps_of_it_what_it_keeps_of_a_computed_one(served: Stand, ahead: Ahead) -> None:
    sweep(ahead)
    champion = served.engine.slots["lead"].require()
    made = served.engine.store._ahead.get(("champion", "lead", "c"), champion)  # type: ignore[union-attr]
    served.engine.store._ahead = None
    computed = served.engine.score_one("lead", "c", request_id="r").scored
    assert made is not None
    assert made.scored.logged == computed.logged
    moments = {"scored_at": computed.scored_at, "valid_until": computed.valid_until, "fixed": computed.fixed}
    assert replace(made.scored, **moments) == computed


def test_changed_features_are_computed_when_asked_for_and_made_again_by_the_next_sweep(
    served: Stand, ahead: Ahead
) -> None:
    sweep(ahead)
    served.features.rows["a"] = (-2.0, 0.1)
    assert ask(served, "a")["is_cached"] is False
    assert ask(served, "b")["is_cached"] is True
    assert sweep(ahead) == 2
    assert ask(served, "a")["is_cached"] is True


def test_a_sweep_after_nothing_was_written_does_nothing(
    served: Stand, ahead: Ahead, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep(ahead)
    monkeypatch.setattr(Features, "ids", lambda *_: pytest.fail("looked at the ids"))
    assert sweep(ahead) == 0


def test_what_others_wrote_is_confirmed_without_a_score(served: Stand, ahead: Ahead) -> None:
    sweep(ahead)
    served.features.rows["d"] = (1.0, 1.0)
    assert sweep(ahead) == 2
    kept = served.engine.store._ahead.get(("champion", "lead", "a"), served.engine.slots["lead"].require())  # type: ignore[union-attr]
    assert kept is not None
    assert kept.mark.version == [served.features.version()]


def test_what_is_gone_from_the_store_is_gone_from_the_file(served: Stand, ahead: Ahead, tmp_path: Path) -> None:
    sweep(ahead)
    del served.features.rows["b"]
    sweep(ahead)
    with sqlite3.connect(tmp_path / "ahead.db") as connection:
        keys = [key for (key,) in connection.execute("SELECT key FROM scores ORDER BY key")]
    assert keys == ["champion/deal/a", "champion/deal/c", "champion/lead/a", "champion/lead/c"]


def test_scores_are_renewed_before_their_time_is_over(
    served: Stand, ahead: Ahead, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep(ahead)
    valid = served.engine.slots["lead"].require().scorer_or_raise().manifest.valid_for_hours

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(UTC) + timedelta(hours=valid, minutes=-5)

    monkeypatch.setattr("serving.ahead.datetime", Later)
    ahead._looked_at = -1e9
    assert sweep(ahead) == 6


def test_a_clock_that_was_put_back_leaves_no_scores_of_the_future(
    served: Stand, ahead: Ahead, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ahead(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(UTC) + timedelta(hours=1)

    with monkeypatch.context() as jumped:
        jumped.setattr("serving.ahead.datetime", Ahead)
        sweep(ahead)
    assert ask(served, "a")["is_cached"] is False
    ahead._looked_at = -1e9
    assert sweep(ahead) == 6
    assert ask(served, "a")["is_cached"] is True


def test_another_version_is_taken_up_and_the_old_one_s_scores_are_not_given_out(
    served: Stand, ahead: Ahead, tmp_path: Path
) -> None:
    sweep(ahead)
    served.registry.aliases["toy-lead"] = ("2", write_bundle(tmp_path / "2", version="2", slope=-1.0))
    served.engine.refresh()
    answer = ask(served, "a")
    assert (answer["is_cached"], answer["model_version"]) == (False, "2")
    assert sweep(ahead) == 3
    answer = ask(served, "a")
    assert (answer["is_cached"], answer["model_version"]) == (True, "2")


def test_other_grades_or_another_batch_make_other_scores(served: Stand) -> None:
    champion, makers = served.engine.slots["lead"].require(), Makers()
    scorer, names = champion.scorer_or_raise(), []
    batch = [WeekAgo({"a": 1.0}, datetime(2025, 3, 24, tzinfo=UTC), "1")]
    for change in (
        lambda: None,
        lambda: scorer.use_thresholds({"cold": 0.0, "hot": 0.5}),
        lambda: setattr(scorer, "week_ago", lambda: batch[0]),
        lambda: batch.__setitem__(0, replace(batch[0], points={"a": 2.0})),
    ):
        change()
        # A model that is known is looked at again by `refresh` alone, unless its batch is another.
        makers = makers if names[1:] else Makers()
        makers.refresh([champion])
        names.append(makers.of(champion))
        assert makers.of(champion) == Makers().of(champion)
    assert len(set(names)) == 4


def test_while_the_store_is_away_the_last_score_is_given_and_said_to_be_so(served: Stand, ahead: Ahead) -> None:
    sweep(ahead)
    served.features.is_away = True
    answer = ask(served, "a")
    assert (answer["is_cached"], answer["features"]["is_last_known"]) == (True, True)
    assert served.client.post("/api/v1/leads/nobody/score").status_code == 503
    with pytest.raises(UnavailableError):
        sweep(ahead)
    served.features.is_away = False
    assert ask(served, "a")["features"]["is_last_known"] is False


@pytest.mark.parametrize("content", [None, b"", b"no database at all, and long enough to be looked at" * 100])
def test_without_a_file_or_with_a_broken_one_scores_are_computed(
    served: Stand, tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "ahead.db").write_bytes(content)
    assert ask(served, "a")["is_cached"] is False
    writer = AheadWriter(tmp_path / "ahead.db")
    _write_one(served, writer)
    assert ask(served, "a")["is_cached"] is True
    writer.close()


@pytest.mark.parametrize("body", [b"", b"short", bytes(200), b"\xff" * 300])
def test_a_score_whose_bytes_are_broken_is_computed(served: Stand, ahead: Ahead, tmp_path: Path, body: bytes) -> None:
    sweep(ahead)
    with sqlite3.connect(tmp_path / "ahead.db") as connection:
        connection.execute("UPDATE scores SET body = ? WHERE key = 'champion/lead/a'", [body])
    assert ask(served, "a")["is_cached"] is False
    assert ask(served, "b")["is_cached"] is True


def test_a_new_writer_forgets_what_another_code_may_have_made(served: Stand, ahead: Ahead, tmp_path: Path) -> None:
    sweep(ahead)
    AheadWriter(tmp_path / "ahead.db").close()
    assert ask(served, "a")["is_cached"] is False


def test_no_more_is_made_than_is_wanted(served: Stand, ahead: Ahead) -> None:
    ahead._most = 2
    assert sweep(ahead) == 4


def test_what_fails_is_said_once_and_tried_again(
    served: Stand, ahead: Ahead, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.ahead.PAUSE_SECONDS", 0.01)
    served.features.is_away = True
    stop = threading.Event()
    thread = threading.Thread(target=ahead.run, args=(stop,))
    thread.start()
    until = threading.Event()
    until.wait(0.3)
    served.features.is_away = False
    for _ in range(100):
        if ask(served, "a")["is_cached"]:
            break
        until.wait(0.05)
    else:
        pytest.fail("nothing was made after the store came back")
    stop.set()
    thread.join(10)
    assert sum("No scores can be made ahead" in record.message for record in caplog.records) == 1


def _write_one(served: Stand, writer: AheadWriter) -> None:
    engine: Engine = served.engine
    champion = engine.slots["lead"].require()
    answered = engine.score_one("lead", "a", request_id="r")
    mark = served.features.read("lead_score_v1", ["a"], at=engine.moment.now()).mark_of(0)
    assert mark is not None
    writer.put([Made(("champion", "lead", "a"), Kept(answered.scored, mark, engine.store.makers.of(champion)))])


def test_a_batch_gives_what_was_made_ahead_and_computes_the_rest_in_the_order_asked(
    served: Stand, ahead: Ahead
) -> None:
    sweep(ahead)
    alone = {each: unchanging(ask(served, each)) for each in "abc"}
    served.features.rows["b"] = (5.0, 5.0)
    asked = {"ids": ["c", "nobody", "b", "a"]}
    answer = served.client.post("/api/v1/leads/scores/batch", json=asked).json()
    assert [(row["lead_id"], row["is_cached"]) for row in answer["scores"]] == [("c", True), ("b", False), ("a", True)]
    assert answer["not_found"] == ["nobody"]
    for row in answer["scores"]:
        assert (unchanging(row) == alone[row["lead_id"]]) is (row["lead_id"] != "b")
    served.features.is_away = True
    away = served.client.post("/api/v1/leads/scores/batch", json={"ids": ["a", "c"]}).json()
    assert [row["features"]["is_last_known"] for row in away["scores"]] == [True, True]
    assert served.client.post("/api/v1/leads/scores/batch", json=asked).status_code == 503
