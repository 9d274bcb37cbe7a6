"""The stream: events from the queue become rows of the warehouse and fresh features online, by the same maths.

A micro-batch is checked, added to what is held of the entities it touches, and the features of these are computed at
*now* and put online at once. Every few seconds the rows go to Delta in one commit per table, and only then are they
acknowledged: a worker that is killed reads them again, and since both the warehouse and the online store know a row by
its content and its moment, nothing is lost and nothing counted twice.

Views that compare with others (of reps, segments, accounts) rest on every row there is. They are computed anew for all
their keys, beside the stream, after commits that changed their tables.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from common.clock import utc
from common.errors import NotFoundError, SalienceError
from common.locks import exclusive
from common.settings import Settings
from features.online_store_rows import open_rows
from features.stream_clock import StreamClock
from features.stream_door import STREAMED, EventDoor, open_door, worker_lock
from features.stream_inbox import take_inbox
from features.stream_queue import EventQueue, QueuedEvent
from features.stream_state import EntityState, Snapshot, is_own, own_states, snapshot_of
from features.stream_writer import put_online
from warehouse.checks import check_rows
from warehouse.contracts import UTC_MICROSECONDS, Contract
from warehouse.erasures import Erasures
from warehouse.present import present

if TYPE_CHECKING:
    from features.repository import FeatureRepository

BATCH_EVENTS = 10_000
"""At most so many events at once; a worker that keeps up takes what came while it worked on those before.

Half a second of a micro-batch is the same however few its events are, so one that has fallen behind catches up.
"""
PAUSE_SECONDS = 0.1
COMMIT_SECONDS = 2.0
COMMIT_EVENTS = 20_000
REFRESH_SECONDS = 15.0
"""At least so long between two computations of the views that rest on all rows."""
_RETRY_SECONDS = 5.0
_LAGS_KEPT = 100_000

_Thing = TypeVar("_Thing")
_Answer = TypeVar("_Answer")

logger = logging.getLogger(__name__)


@dataclass
class StreamFigures:
    """What a worker has done so far.

    Args:
        events: Events worked on.
        rows_online: Rows of views written to the online store.
        quarantined: Events that broke their contract.
        commits: Times that rows went to the warehouse.
        lag_seconds: Of the newest events, from being pushed to being in the online features.
    """

    events: int = 0
    rows_online: int = 0
    quarantined: int = 0
    commits: int = 0
    lag_seconds: deque[float] = field(default_factory=lambda: deque(maxlen=_LAGS_KEPT))


class StreamUpdater:
    """The worker of one workspace. Only one runs at a time; `run` sees to that.

    Args:
        repository: Its warehouse takes the rows, its online store the features.
        settings: What now means.
        door: The queue to read; default the workspace's own.
    """

    def __init__(self, repository: FeatureRepository, settings: Settings, *, door: EventDoor | None = None) -> None:
        self.repository = repository
        self.warehouse = repository.warehouse
        self.figures = StreamFigures()
        self._settings = settings
        self._door = door or open_door(settings, repository.workspace)
        self._clock = StreamClock(repository.workspace)
        self._online = open_rows(repository.workspace, repository.online_store)
        self._states: tuple[EntityState, ...] = ()
        self._snapshots: dict[str, Snapshot] = {}
        self._now: datetime | None = None
        self._position = 0
        self._waiting: dict[str, list[pa.Table]] = {}
        self._waiting_events = 0
        self._committed_at = time.monotonic()
        self._stale = True
        self._refreshed_at = 0.0

    @property
    def queue(self) -> EventQueue:
        """Where events come from."""
        return self._door.queue

    def run(self, stop: threading.Event, *, say: Callable[[str], None] | None = None) -> None:
        """Work until `stop` is set; wait while another worker has the workspace or something needed is away.

        Args:
            stop: Ends the work after the micro-batch in hand, which is committed.
            say: Told what hinders, once for each reason.
        """
        told = ""
        while not stop.is_set():
            try:
                with exclusive(worker_lock(self.repository.workspace), what="stream", wait_seconds=0):
                    self._work_until(stop)
            except Exception as error:  # the edge of a thread: it must neither die nor be silent
                if not isinstance(error, SalienceError | OSError):
                    logger.exception("the stream met a defect and begins again")
                if say is not None and str(error) != told:
                    say(str(error))
                told = str(error)
                logger.info("the stream waits: %s", error)
                self._forget()
                stop.wait(_RETRY_SECONDS)

    def drain(self) -> int:
        """Work on everything that waits, commit it and bring all views up to date; returns the events worked on."""
        done = 0
        take_inbox(self.repository.workspace, self._door)
        while worked := self.step():
            done += worked
        self.commit()
        self.refresh()
        return done

    def step(self) -> int:
        """Work on the next micro-batch; returns its events, 0 if none waits."""
        batch = self.queue.read(self._position, BATCH_EVENTS)
        if not batch:
            return 0
        self._open()
        rows = self._rows(batch)
        now = self._moment(rows.values())
        for state, computed in zip(self._states, self._computed(rows, now), strict=True):
            for view in state.views if computed else ():
                self.figures.rows_online += put_online(self._online, view, computed[view.name])
        self._position = batch[-1].position
        self._waiting_events += len(batch)
        self.figures.events += len(batch)
        done = datetime.now(UTC).timestamp()
        self.figures.lag_seconds.extend(done - event.received_at for event in batch)
        return len(batch)

    def commit(self) -> None:
        """Put what waits into the warehouse, then acknowledge it."""
        self._committed_at = time.monotonic()
        if not self._waiting_events:
            return
        loaded: dict[str, int] = {}
        for table, parts in self._waiting.items():
            count = self.warehouse.append(table, pa.concat_tables(parts), origin="stream")
            loaded[table] = count.loaded
            self.figures.quarantined += count.quarantined
        self.queue.acknowledge(self._position)
        self.figures.commits += 1
        self._waiting, self._waiting_events = {}, 0
        self._stale = self._stale or any(loaded.values())
        self._follow(loaded)

    def refresh(self, *, threads: int | None = None) -> None:
        """Compute the views that rest on all rows for all their keys, at now, and put them online.

        Args:
            threads: Threads that it may take; default all.
        """
        from features.online_keys import keys_to_materialize
        from features.transform import compute

        if not self._stale or self._now is None:
            return
        self._stale = False
        started, book = time.monotonic(), self.repository.sql_book
        views = [view for view in self.repository.served_views() if not is_own(view, book)]
        with self.warehouse.duckdb() as connection:
            if threads is not None:
                connection.execute(f"SET threads = {threads}")
            for name, moments in keys_to_materialize(self.warehouse, views, self._now).items():
                view = next(each for each in views if each.name == name)
                self.figures.rows_online += put_online(
                    self._online, view, compute(view, moments, connection, sql=book.sql(view))
                )
        # A large world is refreshed less often: the stream itself comes first.
        self._refreshed_at = time.monotonic() + 4 * (time.monotonic() - started)

    def _work_until(self, stop: threading.Event) -> None:
        refreshing: threading.Thread | None = None
        self._open()
        while not stop.is_set():
            take_inbox(self.repository.workspace, self._door)
            worked = self.step()
            due = time.monotonic() - self._committed_at >= COMMIT_SECONDS
            if self._waiting_events >= COMMIT_EVENTS or (self._waiting_events and due):
                self.commit()
            is_due = self._stale and time.monotonic() - self._refreshed_at >= REFRESH_SECONDS
            if is_due and (refreshing is None or not refreshing.is_alive()):
                refreshing = threading.Thread(target=self._refresh_aside, name="refresh", daemon=True)
                refreshing.start()
            if worked < BATCH_EVENTS:
                stop.wait(PAUSE_SECONDS)
        self.commit()
        if refreshing is not None:
            refreshing.join()

    def _refresh_aside(self) -> None:
        try:
            self.refresh(threads=1)  # the other cores are the stream's
        except (SalienceError, OSError) as error:
            self._stale, self._refreshed_at = True, time.monotonic()
            logger.warning("views of reps and segments were not refreshed: %s", error)

    def _open(self) -> None:
        """Open the tables and read what is open, once."""
        if self._states:
            return
        self.repository.require_applied()
        self._snapshots = {table: snapshot_of(self.warehouse, table) for table in STREAMED}
        self._states = own_states(self.warehouse, self._snapshots, book=self.repository.sql_book)
        for state in self._states:
            state.prepare()
            state.admit_open()
        self._now = self._begin()

    def _begin(self) -> datetime:
        try:
            begin = present(self._settings, self.warehouse)
        except NotFoundError:
            begin = datetime(1970, 1, 1, tzinfo=UTC)  # an empty warehouse's time begins with its first event
        return begin if self._now is None else max(begin, self._now)

    def _rows(self, batch: Sequence[QueuedEvent]) -> dict[str, pa.Table]:
        """The batch's rows by table that keep their contracts; all of them wait for the next commit."""
        erasures = Erasures.of(self.warehouse.root)
        by_table: dict[str, list[dict[str, Any]]] = {}
        for event in batch:
            by_table.setdefault(event.table, []).append(event.row)
        contracts = {table: self.warehouse.contract(table) for table in STREAMED if table in by_table}
        offered = {table: table_of(contract, by_table[table]) for table, contract in contracts.items()}

        def kept(table: str) -> pa.Table:
            return erasures.anonymise(check_rows(offered[table], contracts[table]).good, contracts[table])

        good = dict(zip(offered, side_by_side(kept, offered), strict=True))
        for table, rows in offered.items():
            self._waiting.setdefault(table, []).append(rows)
        return good

    def _moment(self, tables: Iterable[pa.Table]) -> datetime:
        """Now, told to the services before any row of it can be read."""
        if self._settings.as_of is not None:
            return utc(self._settings.as_of)
        if self._settings.clock == "wall":
            self._now = datetime.now(UTC)
            return self._now
        newest = [pc.max(table["created_timestamp"]).as_py() for table in tables if table.num_rows]
        self._now = max([self._now or self._begin(), *map(utc, newest)])
        self._clock.tell(self._now)
        return self._now

    def _computed(self, rows: Mapping[str, pa.Table], now: datetime) -> list[dict[str, pa.Table]]:
        """For each state, the features of the open entities that the rows are about, once these are added to them."""

        def computed(state: EntityState) -> dict[str, pa.Table]:
            touched = state.touched(rows)
            if touched.num_rows == 0:
                return {}
            state.admit(touched)
            for table, added in rows.items():
                state.add(table, added)
            moments = touched.append_column("as_of", pa.array([now] * touched.num_rows, UTC_MICROSECONDS))
            return state.features(moments, open_only=True)

        return side_by_side(computed, self._states)

    def _follow(self, loaded: Mapping[str, int]) -> None:
        """Read the tables' new versions; if somebody else wrote too, what is held is read anew."""
        before = self._snapshots
        self._snapshots = {table: snapshot_of(self.warehouse, table) for table in STREAMED}
        if any(found.rows != before[table].rows + loaded.get(table, 0) for table, found in self._snapshots.items()):
            self._forget()
            return
        for state in self._states:
            state.follow(self._snapshots)

    def _forget(self) -> None:
        """Let go of everything that is not in the warehouse yet; the queue gives it again."""
        for state in self._states:
            state.close()
        self._states, self._position = (), 0
        self._waiting, self._waiting_events = {}, 0


def side_by_side(work: Callable[[_Thing], _Answer], things: Iterable[_Thing]) -> list[_Answer]:
    """The work's answers for some things, each in a thread of its own; an error is raised when all have ended.

    Most of a small micro-batch is DuckDB's planning, which takes one core.
    """
    waiting = list(things)
    if not waiting:
        return []
    with ThreadPoolExecutor(len(waiting)) as pool:
        return list(pool.map(work, waiting))


def table_of(contract: Contract, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Queued rows as Arrow, times read from their text."""
    schema = contract.arrow_schema
    columns = {}
    for name in schema.names:
        kind = schema.field(name).type
        values = [row.get(name) for row in rows]
        is_time = pa.types.is_temporal(kind)
        columns[name] = pa.array(values, pa.string()).cast(kind) if is_time else pa.array(values, kind)
    return pa.table(columns)
