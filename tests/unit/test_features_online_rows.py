"""What both online stores promise: the newest row stays, only changes are written, projects never meet."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from online_stores import Opener, content, hour, open_store, redis_server, rows_of, view_of

from common.errors import InputError, UnavailableError
from features.materializing import Changes, replace_rows
from features.online_reader import OnlineReader
from features.online_store_redis import RedisRows
from features.online_store_rows import RowStore
from features.stream_writer import put_online

__all__ = ["open_store", "redis_server"]

VIEW = view_of()
SCORE = view_of("scores", score="float")


def score(value: float) -> dict[str, Any]:
    return {"score": value}


def test_every_kind_of_value_comes_back(open_store: Opener) -> None:
    store = open_store("one")
    full = {"score": -0.5, "visits": 2**40, "is_big": True, "channel": "é", "rep_of_lead": "R1"}
    empty = dict.fromkeys(full)
    replace_rows(store, VIEW, rows_of(VIEW, 1, {"a": full, "": full, "\x00b": empty}), at=hour(1))
    assert content(store, VIEW) == {"": (hour(1), full), "\x00b": (hour(1), empty), "a": (hour(1), full)}
    assert OnlineReader(store).read(VIEW, ["nobody", "a", "a"]).keys() == {"a"}


def test_only_what_changed_is_written_and_the_rest_counts_as_known_now(open_store: Opener) -> None:
    store = open_store("one")
    first = {key: score(place) for place, key in enumerate("abcde")}
    assert replace_rows(store, SCORE, rows_of(SCORE, 1, first), at=hour(1)) == Changes(5, 0, 0)
    assert replace_rows(store, SCORE, rows_of(SCORE, 1, first), at=hour(1)) == Changes(0, 5, 0)
    second = {**{key: first[key] for key in "abc"}, "d": score(9.0), "f": score(7.0)}
    assert replace_rows(store, SCORE, rows_of(SCORE, 2, second), at=hour(2)) == Changes(2, 3, 1)
    assert content(store, SCORE) == {key: (hour(2), values) for key, values in second.items()}


def test_progress_and_chunks_do_not_change_the_result(open_store: Opener) -> None:
    store, told = open_store("one"), []
    rows = rows_of(SCORE, 1, {f"k{n}": score(n) for n in range(10)})
    tell: Callable[[str, int, int], None] = lambda *each: told.append(each)  # noqa: E731
    assert replace_rows(store, SCORE, rows, at=hour(1), chunk_rows=4, progress=tell).written == 10
    assert told == [("scores", 4, 10), ("scores", 8, 10), ("scores", 10, 10)]
    assert len(content(store, SCORE)) == 10


def test_an_older_row_never_replaces_a_newer_one(open_store: Opener) -> None:
    store = open_store("one")
    put_online(store, SCORE, rows_of(SCORE, 5, {"a": score(5)}))
    put_online(store, SCORE, rows_of(SCORE, 4, {"a": score(4)}))
    assert content(store, SCORE) == {"a": (hour(5), score(5))}
    put_online(store, SCORE, rows_of(SCORE, 5, {"a": score(5.5)}))  # the same moment, computed again
    assert content(store, SCORE) == {"a": (hour(5), score(5.5))}


def test_of_one_moment_the_row_that_became_known_later_stays(open_store: Opener) -> None:
    store = open_store("one")
    known_late = rows_of(SCORE, 5, {"a": score(2)})
    created = known_late.schema.get_field_index("created_timestamp")
    known_late = known_late.set_column(created, "created_timestamp", rows_of(SCORE, 9, {"a": {}})["event_timestamp"])
    put_online(store, SCORE, known_late)
    put_online(store, SCORE, rows_of(SCORE, 5, {"a": score(1)}))
    assert content(store, SCORE) == {"a": (hour(5), score(2))}


def test_a_row_that_was_left_as_it_was_is_newer_than_one_computed_in_between(open_store: Opener) -> None:
    store = open_store("one")
    for at in (1, 6):
        replace_rows(store, SCORE, rows_of(SCORE, at, {"a": score(1)}), at=hour(at))
    put_online(store, SCORE, rows_of(SCORE, 3, {"a": score(3)}))
    assert content(store, SCORE) == {"a": (hour(6), score(1))}


def test_a_late_row_of_an_unknown_entity_keeps_its_own_moment(open_store: Opener) -> None:
    store = open_store("one")
    replace_rows(store, SCORE, rows_of(SCORE, 6, {"a": score(1)}), at=hour(6))
    for at in (3, 4, 2):
        put_online(store, SCORE, rows_of(SCORE, at, {"late": score(at)}))
    assert content(store, SCORE)["late"] == (hour(4), score(4))
    replace_rows(store, SCORE, rows_of(SCORE, 7, {"late": score(4)}), at=hour(7))
    assert content(store, SCORE) == {"late": (hour(7), score(4))}


def test_what_was_written_since_outlives_a_materialization(open_store: Opener) -> None:
    store = open_store("one")
    put_online(store, SCORE, rows_of(SCORE, 9, {"fresh": score(9), "closed": score(8)}))
    changes = replace_rows(store, SCORE, rows_of(SCORE, 6, {"fresh": score(6), "a": score(1)}), at=hour(6))
    assert changes == Changes(written=1, unchanged=1, removed=0)
    assert content(store, SCORE) == {
        "a": (hour(6), score(1)),
        "closed": (hour(9), score(8)),
        "fresh": (hour(9), score(9)),
    }


def test_an_earlier_moment_is_refused_with_what_to_do(open_store: Opener) -> None:
    store = open_store("one")
    replace_rows(store, SCORE, rows_of(SCORE, 6, {"a": score(1)}), at=hour(6))
    with pytest.raises(InputError, match=r"holds scores as of 2025-01-01T06.*later than 2025-01-01T05.*empty_online"):
        replace_rows(store, SCORE, rows_of(SCORE, 5, {"a": score(2)}), at=hour(5))
    store.drop("scores")
    assert replace_rows(store, SCORE, rows_of(SCORE, 5, {"a": score(2)}), at=hour(5)).written == 1


def test_two_projects_in_one_place_never_meet(open_store: Opener) -> None:
    names = ("prod", "preprod", "prod/scores", "pre")
    stores = {name: open_store(name) for name in names}
    for place, name in enumerate(names):
        replace_rows(stores[name], SCORE, rows_of(SCORE, 1, {name: score(place)}), at=hour(1))
    stores["prod"].drop("scores")
    for place, name in enumerate(names[1:], start=1):
        assert content(stores[name], SCORE) == {name: (hour(1), score(place))}
    with pytest.raises(UnavailableError, match="View scores is not in the online store"):
        OnlineReader(stores["prod"]).read(SCORE, ["prod"])


def test_a_changed_feature_list_reads_old_rows_and_rewrites_them_once(open_store: Opener) -> None:
    store = open_store("one")
    replace_rows(store, SCORE, rows_of(SCORE, 1, {"a": score(1), "b": score(2)}), at=hour(1))
    grown = view_of("scores", visits="int", score="float")
    assert content(store, grown) == {
        "a": (hour(1), {"visits": None, "score": 1.0}),
        "b": (hour(1), {"visits": None, "score": 2.0}),
    }
    put_online(store, grown, rows_of(grown, 2, {"a": {"visits": 3, "score": 1.0}}))
    assert content(store, SCORE) == {"a": (hour(2), score(1)), "b": (hour(1), score(2))}
    rows = rows_of(grown, 3, {key: {"visits": 3, "score": 1.0} for key in "ab"})
    assert replace_rows(store, grown, rows, at=hour(3)) == Changes(written=1, unchanged=1, removed=0)
    assert replace_rows(store, grown, rows_of(grown, 4, {}), at=hour(4)).removed == 2


def test_more_ids_than_one_statement_takes_are_answered(open_store: Opener) -> None:
    store = open_store("one")
    rows = {f"k{n}": score(n) for n in range(1_300)}
    replace_rows(store, SCORE, rows_of(SCORE, 1, rows), at=hour(1))
    found = OnlineReader(store).read(SCORE, [*reversed(rows), "nobody"])
    assert {key: row.values for key, row in found.items()} == rows


def test_readers_meet_whole_rows_of_an_old_or_a_new_content_while_it_is_written(open_store: Opener) -> None:
    wide = view_of("wide", **{f"f{n}": "float" for n in range(30)}, word="category")
    store, stop, broken, reads = open_store("one"), threading.Event(), [], [0]
    keys = [f"k{n}" for n in range(40)]

    def contents(at: int) -> dict[str, dict[str, Any]]:
        same = {**{f"f{n}": float(at) for n in range(30)}, "word": "x" * at}
        return dict.fromkeys(keys, same)

    def watch() -> None:
        reader, newest = OnlineReader(store), hour(0)
        while not stop.is_set():
            for row in reader.read(wide, keys).values():
                told = {row.values["f0"], *(row.values[f"f{n}"] for n in range(30)), float(len(row.values["word"]))}
                if len(told) != 1 or row.as_of != hour(int(row.values["f0"])):
                    broken.append(row)
            at_first = reader.read(wide, keys[:1])["k0"].as_of
            if at_first < newest:
                broken.append(at_first)
            newest, reads[0] = at_first, reads[0] + 1

    replace_rows(store, wide, rows_of(wide, 1, contents(1)), at=hour(1))
    threads = [threading.Thread(target=watch) for _ in range(3)]
    for thread in threads:
        thread.start()
    for at in range(2, 30):
        replace_rows(store, wide, rows_of(wide, at, contents(at)), at=hour(at), chunk_rows=7)
    stop.set()
    for thread in threads:
        thread.join()
    assert broken == []
    assert reads[0] > 0


def test_writers_at_the_same_time_lose_nothing(open_store: Opener) -> None:
    stores = [open_store("one") for _ in range(4)]

    def write(place: int) -> None:
        for at in range(1, 15):
            keys = {f"own{place}": score(at), "shared": score(at)}
            put_online(stores[place], SCORE, rows_of(SCORE, at, keys))

    threads = [threading.Thread(target=write, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = {key: (hour(14), score(14)) for key in ("own0", "own1", "own2", "own3", "shared")}
    assert content(stores[0], SCORE) == expected


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["materialize", "write"]),
        st.integers(1, 6),
        st.dictionaries(st.sampled_from("abc"), st.integers(0, 2).map(float), max_size=3),
    ),
    max_size=8,
)


def model(steps: list[tuple[str, int, dict[str, float]]]) -> dict[str, tuple[int, float]]:
    """The store as plain Python: the newest knowledge of each key stays, and a state of all is newer than its past."""
    held: dict[str, tuple[int, float]] = {}
    vouched = 0
    for kind, at, values in steps:
        if kind == "materialize" and at < vouched:
            continue
        for key, value in values.items():
            if key not in held or held[key][0] <= at:
                held[key] = (at, value)
        if kind == "materialize":
            held = {key: row for key, row in held.items() if key in values or row[0] > at}
            vouched = at
    return held


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_any_order_of_writes_ends_as_the_plain_model_says(
    open_store: Opener, steps: list[tuple[str, int, dict[str, float]]]
) -> None:
    store = open_store("one")
    store.drop("scores")
    store.prepare("scores")
    for kind, at, values in steps:
        rows = rows_of(SCORE, at, {key: score(value) for key, value in values.items()})
        if kind == "write":
            put_online(store, SCORE, rows)
            continue
        try:
            replace_rows(store, SCORE, rows, at=hour(at), chunk_rows=2)
        except InputError:
            assert any(kind == "materialize" and other > at for kind, other, _ in steps)
    held = {key: (moment, values["score"]) for key, (moment, values) in content(store, SCORE).items()}
    assert held == {key: (hour(at), value) for key, (at, value) in model(steps).items()}


class Dying:
    """A store that dies after some calls, as a killed process would: what was done stays."""

    def __init__(self, store: RowStore, calls: int) -> None:
        self._store, self._left = store, calls

    def __getattr__(self, name: str) -> Any:
        if name in {"put", "mark", "remove", "prepare"}:
            self._left -= 1
            if self._left < 0:
                raise KeyboardInterrupt
        return getattr(self._store, name)


@pytest.mark.parametrize("calls", range(9))
def test_a_materialization_that_died_anywhere_ends_as_an_undisturbed_one(open_store: Opener, calls: int) -> None:
    before = {f"k{n}": score(n) for n in range(20)}
    after = {f"k{n}": score(n if n % 3 else -n) for n in range(5, 25)}
    stores = [open_store("killed"), open_store("calm")]
    for store in stores:
        replace_rows(store, SCORE, rows_of(SCORE, 1, before), at=hour(1))
    dying: Any = Dying(stores[0], calls)
    rows = rows_of(SCORE, 2, after)
    try:
        replace_rows(dying, SCORE, rows, at=hour(2), chunk_rows=4)
    except KeyboardInterrupt:
        for key, (as_of, values) in content(stores[0], SCORE).items():
            assert (as_of, values) in [(hour(1), before.get(key)), (hour(2), after.get(key))]
        replace_rows(stores[0], SCORE, rows, at=hour(2), chunk_rows=4)
    replace_rows(stores[1], SCORE, rows, at=hour(2))
    assert content(stores[0], SCORE) == content(stores[1], SCORE)
    assert content(stores[0], SCORE) == {key: (hour(2), values) for key, values in after.items()}


def test_a_store_that_was_never_written_says_what_to_do(open_store: Opener) -> None:
    with pytest.raises(UnavailableError, match="salience features"):
        OnlineReader(open_store("one")).read(SCORE, ["a"])


@pytest.mark.parametrize(("address", "message"), [("a:1,b:2", "names 2 servers"), ("localhost", "has no port")])
def test_an_unusable_redis_address_is_named(address: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        RedisRows(address, project="one")


def test_a_row_left_as_it_was_keeps_the_moment_it_was_computed_for_itself(open_store: Opener) -> None:
    store = open_store("one")
    for at in (1, 2):
        replace_rows(store, SCORE, rows_of(SCORE, at, {"a": score(1)}), at=hour(at))
    store.mark("scores", replace(store.state("scores"), confirmed=-(2**62)))
    assert content(store, SCORE) == {"a": (hour(1), score(1))}
