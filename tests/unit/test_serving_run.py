"""Ports, clocks and the settings that a serving process reads."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from serving_stand_ins import NOW, Answer, Clock

from common.errors import InputError, UnavailableError
from common.settings import Settings
from common.workspace import Workspace
from serving.last_known import LastKnown
from serving.moment import Moment
from serving.ports import bind, listening_on
from serving.run import environment, serve
from serving.stored_features import Reading


def test_port_in_use_is_left_alone_and_another_is_said() -> None:
    with bind("127.0.0.1", 20_000 + datetime.now(UTC).microsecond % 20_000) as first:
        taken = first.getsockname()[1]
        with bind("127.0.0.1", taken) as second:
            found = listening_on(second, taken)
            assert found.port > taken
            assert found.message == f"Port {taken} is in use; listening on http://127.0.0.1:{found.port}"


def test_free_port_is_taken_as_asked() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        free = probe.getsockname()[1]
    with bind("127.0.0.1", free) as listener:
        found = listening_on(listener, free)
        assert found.port == free
        assert found.message == f"Listening on http://127.0.0.1:{free}"


def test_no_free_port_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with bind("127.0.0.1", 41_000) as first:
        taken = first.getsockname()[1]
        monkeypatch.setattr("serving.ports._PORTS_TRIED", 1)
        with pytest.raises(UnavailableError, match=f"No port from {taken} to {taken} is free"):
            bind("127.0.0.1", taken)


def test_address_of_another_machine_is_said() -> None:
    with pytest.raises(InputError, match=r"Cannot listen on 192\.0\.2\.1"):
        bind("192.0.2.1", 3000)


def test_unknown_service_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="one of lead, deal, forecast, sales"):
        serve(Settings(), Workspace("toy", tmp_path), service="leads")


def test_another_process_reads_the_same_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(
        home=tmp_path / "home",
        mlruns=tmp_path / "runs",
        as_of=NOW,
        serving={"port": 3111},
        clock="wall",
        log_level="ERROR",
    )
    workspace = Workspace("toy", settings.home)
    for name, value in environment(settings, workspace).items():
        monkeypatch.setenv(name, value)
    read = Settings()
    assert read == settings.model_copy(update={"workspace": "toy"})
    assert Workspace.of(read).root == workspace.root


def test_now_is_what_the_warehouse_knows() -> None:
    moment = Moment(Settings(), Clock())
    moment.refresh()
    assert moment.now() == NOW


def test_now_follows_the_warehouse_when_a_table_changes() -> None:
    class Growing(Clock):
        version = 1

        def versions(self) -> dict[str, int]:
            return {"leads": self.version}

        def cut(self) -> datetime:
            return NOW + timedelta(days=self.version)

    warehouse = Growing()
    moment = Moment(Settings(), warehouse)
    moment.refresh()
    assert moment.now() == NOW + timedelta(days=1)
    warehouse.version = 2
    moment.refresh()
    assert moment.now() == NOW + timedelta(days=2)


def test_now_can_be_fixed_or_the_walls() -> None:
    fixed = Moment(Settings(as_of=NOW - timedelta(days=5)), Clock())
    fixed.refresh()
    assert fixed.now() == NOW - timedelta(days=5)
    assert fixed.now_with(NOW) == NOW - timedelta(days=5)
    wall = Moment(Settings(clock="wall"), Clock())
    wall.refresh()
    assert abs(datetime.now(UTC) - wall.now()) < timedelta(seconds=10)


def test_payload_cannot_put_the_clock_past_the_walls() -> None:
    moment = Moment(Settings(), Clock())
    moment.refresh()
    assert moment.now_with(NOW - timedelta(days=1)) == NOW
    assert moment.now_with(NOW + timedelta(days=1)) == NOW + timedelta(days=1)
    assert moment.now_with(datetime(2999, 1, 1, tzinfo=UTC)) < datetime.now(UTC) + timedelta(seconds=10)


def one(identifier: str, value: float, *, is_found: bool = True) -> Reading:
    answer: Any = Answer((identifier,), (is_found,), {"x": [value]}, (NOW,), ((),))
    return Reading(answer, ("ada",))


def test_last_known_features_are_those_of_the_newest_answer_and_of_found_ids() -> None:
    known = LastKnown(max_rows=2)
    known.remember("s", one("a", 1.0))
    known.remember("s", one("a", 2.0))
    known.remember("s", one("x", 0.0, is_found=False))
    found = known.recall("s", ["a"])
    assert found is not None
    assert found.answer.values == {"x": [2.0]}
    assert found.owners == ("ada",)
    assert known.recall("s", ["x"]) is None
    assert known.recall("other", ["a"]) is None
    assert known.recall("s", ["a", "b"]) is None
    known.remember("s", one("b", 3.0))
    known.remember("s", one("c", 4.0))
    assert known.recall("s", ["a"]) is None
    both = known.recall("s", ["c", "b"])
    assert both is not None
    assert both.answer.values == {"x": [4.0, 3.0]}
