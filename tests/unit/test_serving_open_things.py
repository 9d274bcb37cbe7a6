"""What is open is looked for in the background, when the clock has moved; the first look is waited for."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from common.errors import UnavailableError
from serving.open_things import OpenThings

NOW = datetime(2025, 3, 31, tzinfo=UTC)


class Finder:
    """Finds one deal named after the moment; waits for `may_end` and fails on demand."""

    def __init__(self) -> None:
        self.asked: list[datetime] = []
        self.may_end = threading.Event()
        self.may_end.set()
        self.is_away = False

    def __call__(self, at: datetime) -> Mapping[str, Sequence[str]]:
        self.asked.append(at)
        self.may_end.wait(10)
        if self.is_away:
            raise UnavailableError("The warehouse is away")
        return {"deal": [f"D-{at:%H%M}"]}


def settled(things: OpenThings) -> OpenThings:
    """After the look that is on its way."""
    if things._thread is not None:
        things._thread.join(10)
    return things


def test_the_first_look_is_waited_for() -> None:
    finder = Finder()
    finder.may_end.clear()
    things = OpenThings(finder)
    things.refresh(NOW)
    threading.Timer(0.05, finder.may_end.set).start()
    assert things.ids("deal") == ["D-0000"]
    assert things.ids("lead") is None


def test_nothing_is_known_and_nobody_waits_before_a_look_was_asked_for() -> None:
    assert OpenThings(Finder()).ids("deal") is None


def test_it_looks_again_only_when_the_clock_has_moved_by_more_than_an_hour() -> None:
    finder = Finder()
    things = OpenThings(finder)
    for minutes in (0, 30, 60, 61, 90, -90):
        things.refresh(NOW + timedelta(minutes=minutes))
        settled(things)
    assert [round((at - NOW).total_seconds() / 60) for at in finder.asked] == [0, 61, -90]


def test_what_was_found_stands_while_another_look_lasts_and_when_it_fails() -> None:
    finder = Finder()
    things = OpenThings(finder, again_seconds=0.0)
    things.refresh(NOW)
    settled(things)
    finder.may_end.clear()
    finder.is_away = True
    things.refresh(NOW + timedelta(hours=2))
    things.refresh(NOW + timedelta(hours=3))
    assert len(finder.asked) == 2
    assert things.ids("deal") == ["D-0000"]
    finder.may_end.set()
    assert settled(things).ids("deal") == ["D-0000"]
    finder.is_away = False
    things.refresh(NOW + timedelta(hours=3))
    assert settled(things).ids("deal") == ["D-0300"]


def test_a_first_look_that_fails_tells_nothing_and_is_repeated() -> None:
    finder = Finder()
    finder.is_away = True
    things = OpenThings(finder, again_seconds=0.0)
    things.refresh(NOW)
    assert settled(things).ids("deal") is None
    finder.is_away = False
    things.refresh(NOW)
    assert settled(things).ids("deal") == ["D-0000"]


def test_a_look_that_failed_is_not_repeated_at_once() -> None:
    finder = Finder()
    finder.is_away = True
    things = OpenThings(finder)
    for _ in range(3):
        things.refresh(NOW)
        settled(things)
    assert len(finder.asked) == 1
