"""What both online stores do: keep packed rows by view and key, the newest, and vouch for those that did not change.

A row's own as_of is when it was computed. A complete materialization at T compares every row and rewrites only those
whose values changed; then it records T as the view's `confirmed` moment. A row that is still there is therefore true
as of the later of the two, unless it is flagged `ALONE`: written afterwards as of an earlier moment, which nobody
vouches for. An older row never takes a newer one's place, where newer means this later moment.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from common.errors import UnavailableError
from features.online_store_layout import ALONE, HEADER, Layout, PackedRows, layout_id

if TYPE_CHECKING:
    from common.settings import OnlineStoreSettings
    from common.workspace import Workspace

STATE_KEY = b"!state"
LAYOUT_KEY = b"!layout:"
"""Reserved keys, beside those of entities, which begin with `=` (one text key) or `~` (anything else)."""
_STATE = struct.Struct(">qq")
NEVER = -(2**62)


@dataclass(frozen=True)
class ViewState:
    """How far a view has been materialized, in microseconds since 1970.

    Args:
        started: Moment of the newest complete materialization that began.
        confirmed: Moment of the newest that ended.
    """

    started: int = NEVER
    confirmed: int = NEVER

    @classmethod
    def from_bytes(cls, stored: bytes | None) -> ViewState:
        """The state as stored; nothing stored means never."""
        return cls() if stored is None else cls(*_STATE.unpack(stored))

    def to_bytes(self) -> bytes:
        """The state as it is stored."""
        return _STATE.pack(self.started, self.confirmed)

    @property
    def newest(self) -> int:
        """Rows that are older than this cannot replace a row that is there."""
        return max(self.started, self.confirmed)

    def as_of(self, row: bytes) -> int:
        """The moment as of which a stored row is true."""
        _, flags, as_of, _, _ = HEADER.unpack_from(row)
        return int(as_of) if flags & ALONE else max(int(as_of), self.confirmed)


@dataclass(frozen=True)
class Found:
    """What one read of a view found: rows by key, and the view's state at the same instant."""

    state: ViewState
    rows: Mapping[bytes, bytes]


class RowStore(Protocol):
    """Packed rows of one project; rows of other projects in the same place are out of reach."""

    def prepare(self, view: str) -> None:
        """Make room for a view; what it holds stays."""

    def drop(self, view: str) -> None:
        """Forget a view and all its rows."""

    def read(self, asked: Sequence[tuple[str, Sequence[bytes]]]) -> list[Found]:
        """Rows of several (view, keys) at once, in one round trip where there is a network.

        Raises:
            UnavailableError: if the store or a view is not there.
        """
        ...

    def version(self) -> str | None:
        """Something that stays equal, for every process, while nothing is written; None where that cannot be told."""

    def layout(self, view: str, identifier: bytes) -> Layout:
        """A layout that rows of the view were packed by.

        Raises:
            UnavailableError: if the store does not know it.
        """
        ...

    def put(self, view: str, layout: Layout, packed: PackedRows, *, only_changed: bool) -> int:
        """Store rows, all or none of them, unless a newer one is there; gives back how many were written.

        Args:
            view: Name of the view.
            layout: What the rows were packed by.
            packed: The rows.
            only_changed: Leave a row as it is if its values are equal: for a complete materialization, which
                vouches for it in the end.
        """
        ...

    def count(self, view: str) -> int:
        """Number of entities the view holds."""
        ...

    def strays(self, view: str, keys: Collection[bytes]) -> list[bytes]:
        """Keys the view holds that are not in `keys`."""
        ...

    def remove(self, view: str, keys: Sequence[bytes], *, as_of: int) -> int:
        """Delete rows that are not newer than `as_of`; gives back how many."""
        ...

    def state(self, view: str) -> ViewState:
        """How far the view has been materialized."""
        ...

    def mark(self, view: str, state: ViewState) -> None:
        """Record how far the view has been materialized."""

    def close(self) -> None:
        """Let go of connections."""


class LayoutBook:
    """Layouts by the ids in rows; each is asked for once."""

    def __init__(self, rows: RowStore) -> None:
        self._rows = rows
        self._known: dict[tuple[str, bytes], Layout] = {}

    def layout(self, view: str, row: bytes) -> Layout:
        """What the row was packed by."""
        identifier = layout_id(row)
        known = self._known.get((view, identifier))
        if known is None:
            known = self._known[(view, identifier)] = self._rows.layout(view, identifier)
        return known


def open_rows(workspace: Workspace, online_store: OnlineStoreSettings, *, is_patient: bool = True) -> RowStore:
    """The rows of a workspace's online store, without Feast: its import costs a second that reading can do without.

    Args:
        workspace: Whose.
        online_store: Which kind of store, and where.
        is_patient: Whether to wait for a server that is away.
    """
    from features.definitions import online_database, project_of

    project = project_of(workspace)
    if online_store.kind == "redis":
        from features.online_store_redis import RedisRows

        return RedisRows(online_store.redis_address, project=project, is_patient=is_patient)
    from features.online_store_sqlite import SqliteRows

    return SqliteRows(online_database(workspace), project=project)


def not_materialized(view: str) -> UnavailableError:
    """The error for a view that the online store does not hold."""
    return UnavailableError(
        f"View {view} is not in the online store",
        next_step="run: salience features build, then salience features materialize",
    )
