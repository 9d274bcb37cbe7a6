"""The stream: what is taken, that nothing is lost or counted twice, and that its features are the batch's."""

from __future__ import annotations

import json
import random
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from common.settings import OnlineStoreSettings, Settings
from common.workspace import Workspace
from features.definitions import served_views
from features.online_keys import keys_to_materialize
from features.online_store_rows import open_rows
from features.repository import FeatureRepository
from features.spines import open_deal_spine, open_lead_spine
from features.sql_book import SqlBook
from features.stream_clock import StreamClock
from features.stream_door import EventDoor, open_door
from features.stream_inbox import inbox_folder
from features.stream_queue import SqliteQueue, StreamEvent
from features.stream_state import is_own
from features.streaming import StreamUpdater
from features.transform import compute
from warehouse.ingest import ingest
from warehouse.simulator import SimulationConfig, simulate
from warehouse.sources import load_source
from warehouse.store import Warehouse

BOOK = SqlBook(None)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small simulated warehouse with its features registered; tests work on copies."""
    home = tmp_path_factory.mktemp("stream_world")
    workspace = Workspace("simulated", home)
    simulate(SimulationConfig(years=1, reps=8, leads=300, deals=120), landing=workspace.landing, truth=workspace.truth)
    warehouse = Warehouse(workspace.warehouse)
    ingest(load_source("simulated"), workspace.landing, warehouse)
    FeatureRepository(workspace, warehouse, OnlineStoreSettings(kind="sqlite")).apply()
    return home


class Stream:
    """A copy of the world, and a worker on it."""

    def __init__(self, world: Path, home: Path) -> None:
        self.home = home
        if not home.exists():
            shutil.copytree(world, home)
        self.settings = Settings(home=home)
        self.workspace = Workspace("simulated", home)
        self.warehouse = Warehouse(self.workspace.warehouse)
        self.repository = FeatureRepository(self.workspace, self.warehouse, OnlineStoreSettings(kind="sqlite"))
        self.door = open_door(self.settings, self.workspace)
        self.worker = StreamUpdater(self.repository, self.settings, door=self.door)

    def events(self, count: int, *, seed: int = 1) -> list[dict[str, Any]]:
        """Events of open leads and deals after the cut, and new versions of some of them."""
        rng, cut = random.Random(seed), self.warehouse.cut()  # noqa: S311 - a test
        leads = open_lead_spine(self.warehouse, cut)["lead_id"].to_pylist()
        deals = open_deal_spine(self.warehouse, cut)["opportunity_id"].to_pylist()
        events = []
        for number in range(count):
            times = self.times(cut, number, late=rng.random() < 0.2)
            if number % 3:
                row = {"event_id": f"S{seed}-{number}", "lead_id": rng.choice(leads), "kind": "pricing_view", **times}
                events.append({"table": "lead_events", "row": row})
            else:
                row = {"activity_id": f"S{seed}-{number}", "opportunity_id": rng.choice(deals), "kind": "call", **times}
                events.append({"table": "activities", "row": {**row, "direction": "inbound"}})
        return events

    @staticmethod
    def times(cut: datetime, number: int, *, late: bool) -> dict[str, str]:
        known = cut + timedelta(minutes=number + 1)
        happened = known - timedelta(days=3) if late else known
        return {"event_timestamp": happened.isoformat(), "created_timestamp": known.isoformat()}

    def version(self, table: str, key: str, identifier: str, **changes: Any) -> dict[str, Any]:
        """A new version of a thing: its newest with changes."""
        with self.warehouse.duckdb() as connection:
            row = (
                connection.sql(
                    f"SELECT * FROM {table} WHERE {key} = ? ORDER BY event_timestamp DESC", params=[identifier]
                )
                .to_arrow_table()
                .to_pylist()[0]
            )
        row = {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()}
        return {"table": table, "row": {**row, **changes}}

    def check_against_batch(self) -> int:
        """Every row that the stream put online at now equals the batch's; returns how many there were."""
        now = StreamClock(self.workspace).now()
        assert now is not None
        store = open_rows(self.workspace, self.repository.online_store)
        seen = 0
        views = served_views(self.warehouse.tables())
        reader = self.repository._reader()
        with self.warehouse.duckdb() as connection:
            for name, moments in keys_to_materialize(self.warehouse, views, now).items():
                view = next(each for each in views if each.name == name)
                stored = reader.read(view, moments[view.join_key].to_pylist())
                batch = {row[view.join_key]: row for row in compute(view, moments, connection).to_pylist()}
                fresh = {key: row for key, row in stored.items() if row.as_of == now}
                assert is_own(view, BOOK) or len(fresh) == moments.num_rows
                for key, row in fresh.items():
                    expected = {feature.name: batch[key][feature.name] for feature in view.features}
                    found = {feature.name: row.values.get(feature.name) for feature in view.features}
                    assert found == pytest.approx(expected, abs=1e-9, nan_ok=True)
                    seen += 1
        store.close()
        return seen


@pytest.fixture
def stream(world: Path, tmp_path: Path) -> Stream:
    return Stream(world, tmp_path / "home")


def test_features_after_events_out_of_order_late_and_twice_are_those_of_the_batch(stream: Stream) -> None:
    events = stream.events(60)
    shuffled = [*events, *events[::4]]
    random.Random(3).shuffle(shuffled)  # noqa: S311 - a test
    before = stream.warehouse.row_count("lead_events") + stream.warehouse.row_count("activities")
    for start in range(0, len(shuffled), 20):
        assert stream.door.take(shuffled[start : start + 20]).refused == ()
        stream.worker.step()
    # The newest moment again, so that every touched entity is computed at it.
    newest = max(events, key=lambda event: event["row"]["created_timestamp"])["row"]["created_timestamp"]
    touch = [
        {"table": event["table"], "row": {**event["row"], "event_timestamp": newest, "created_timestamp": newest}}
        for event in events
    ]
    for number, event in enumerate(touch):
        key = "event_id" if event["table"] == "lead_events" else "activity_id"
        event["row"][key] = f"T{number}"
    stream.door.take(touch)
    assert stream.worker.drain() == 60
    after = stream.warehouse.row_count("lead_events") + stream.warehouse.row_count("activities")
    assert after - before == 120
    assert stream.door.queue.depth() == 0
    assert stream.check_against_batch() > 20


def test_new_versions_change_the_thing_and_decided_things_are_not_put_online(stream: Stream) -> None:
    cut = stream.warehouse.cut()
    lead, other = open_lead_spine(stream.warehouse, cut)["lead_id"].to_pylist()[:2]
    at = (cut + timedelta(hours=1)).isoformat()
    changed = stream.version("leads", "lead_id", lead, industry="space", event_timestamp=at, created_timestamp=at)
    decided = stream.version("leads", "lead_id", other, status="disqualified", event_timestamp=at, created_timestamp=at)
    assert stream.door.take([changed, decided]).refused == ()
    stream.worker.drain()
    answer = stream.repository.online("lead_score_v1", [lead, other], at=cut + timedelta(hours=1))
    assert answer.found == (True, False)
    assert answer.values["industry"][0] == "space"
    assert stream.check_against_batch() > 5


def test_worker_killed_before_its_commit_loses_and_doubles_nothing(world: Path, stream: Stream) -> None:
    events = stream.events(30)
    before = stream.warehouse.row_count("lead_events")
    stream.door.take(events)
    assert stream.worker.step() == 30
    assert stream.door.queue.depth() == 30
    successor = Stream(world, stream.home)
    assert successor.worker.drain() == 30
    assert successor.door.queue.depth() == 0
    assert successor.warehouse.row_count("lead_events") - before == 20
    # It died after the commit but before the acknowledgement: the queue gives the events again.
    successor.door.take(events)
    Stream(world, stream.home).worker.drain()
    assert successor.warehouse.row_count("lead_events") - before == 20


def test_rows_that_another_writer_adds_meanwhile_are_seen(stream: Stream) -> None:
    import pyarrow as pa

    from warehouse.contracts import CONTRACTS

    cut = stream.warehouse.cut()
    lead = open_lead_spine(stream.warehouse, cut)["lead_id"].to_pylist()[0]
    first, second = ((cut + timedelta(minutes=minute)) for minute in (1, 2))
    row = {"lead_id": lead, "kind": "demo_request"}

    def push(name: str, moment: datetime) -> None:
        event = {**row, "event_id": name, "event_timestamp": moment.isoformat()}
        stream.door.take([{"table": "lead_events", "row": event}])

    push("mine-1", first)
    stream.worker.drain()
    theirs = {**row, "event_id": "theirs", "event_timestamp": first, "created_timestamp": first}
    schema = CONTRACTS["lead_events"].arrow_schema
    stream.warehouse.append("lead_events", pa.Table.from_pylist([theirs], schema=schema), origin="file")
    push("mine-2", second)
    stream.worker.drain()
    push("mine-3", second + timedelta(minutes=1))
    stream.worker.drain()
    assert stream.check_against_batch() > 0


def test_refused_events_are_named_and_the_others_taken(stream: Stream) -> None:
    good = stream.events(1)[0]
    bad: list[Any] = [
        "no object",
        {"table": "accounts", "row": {}},
        {"table": "lead_events", "row": {"kind": "page_view", "event_timestamp": "2025-01-01"}},
        {"table": "lead_events", "row": {"lead_id": "L", "kind": "nap", "event_timestamp": "2025-01-01"}},
        {"table": "lead_events", "row": {"lead_id": "L", "kind": "social"}},
        {"table": "lead_events", "row": {"lead_id": "L", "kind": "social", "event_timestamp": "2999-01-01"}},
    ]
    taken = stream.door.take([*bad, good])
    assert taken.accepted == 1
    assert [(each.index, each.field) for each in taken.refused] == [
        (0, None),
        (1, "table"),
        (2, "row.lead_id"),
        (3, "row.kind"),
        (4, "row.event_timestamp"),
        (5, "row.event_timestamp"),
    ]


def test_files_in_the_inbox_are_events_and_bad_lines_are_kept_with_their_reason(stream: Stream) -> None:
    folder = inbox_folder(stream.workspace)
    folder.mkdir()
    lines = [json.dumps(event) for event in stream.events(6)]
    (folder / "monday.jsonl").write_text("\n".join([*lines, "{broken", ""]))
    assert stream.worker.drain() == 6
    assert not list(folder.glob("*.jsonl"))
    assert (folder / "done" / "monday.jsonl").exists()
    refused = json.loads((folder / "refused" / "monday.jsonl").read_text())
    assert refused["line"] == "{broken"


def test_an_event_without_times_of_knowledge_counts_once_however_often_it_is_delivered(tmp_path: Path) -> None:
    queue = SqliteQueue(tmp_path / "queue.db")
    door = EventDoor(queue, clock="wall")
    event = {"table": "lead_events", "row": {"lead_id": "L", "kind": "social", "event_timestamp": "2025-01-01"}}
    assert (door.take([event]).known, door.take([event, event]).known) == (0, 2)
    (held,) = queue.read(0, 10)
    assert datetime.fromisoformat(held.row["created_timestamp"]).year > 2025


def test_what_was_read_is_given_again_until_it_is_acknowledged(tmp_path: Path) -> None:
    queue = SqliteQueue(tmp_path / "queue.db")
    assert (queue.read(0, 5), queue.depth()) == ([], 0)
    queue.push([StreamEvent("leads", {"lead_id": str(number)}) for number in range(4)])
    first = queue.read(0, 3)
    again = SqliteQueue(tmp_path / "queue.db")
    assert again.read(0, 3) == first
    again.acknowledge(first[-1].position)
    assert [event.row["lead_id"] for event in again.read(0, 9)] == ["3"]
    assert again.depth() == 1
