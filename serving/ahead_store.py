"""Scores made before anybody asked, in a file that all answering processes read.

One process writes (`serving.ahead_runner`); the others open the file to read, find an id in some microseconds, and take
the score only if it still holds. What the file says is never trusted: each score names its maker and a digest of the
features it rests on, so a score that is out of date is one that nobody gives out.
"""

from __future__ import annotations

import sqlite3
import struct
import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from common.workspace import Workspace
from features.online_store_layout import to_microseconds
from serving.champions import Champion
from serving.score_cache import Kept, Key
from serving.scored import Scored, to_json
from serving.stored_features import Mark

_WAIT_SECONDS = 0.05
"""A reader does not wait: to make the score takes two milliseconds."""
_WRITER_WAIT_SECONDS = 10.0
_FORMAT = 1
_CODEC = "lz4_raw"
"""Half the bytes in two microseconds; zlib takes twelve times as long for a third fewer."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SIZES = struct.Struct(">III")
_BROKEN = (ValueError, KeyError, TypeError, OSError, struct.error)
"""What unpacking bytes that nobody packed may raise."""
_FIND = "SELECT maker, version, body FROM scores WHERE key = ?"


def ahead_file(workspace: Workspace) -> Path:
    """Where a workspace's scores made ahead lie."""
    return workspace.root / "serving" / f"scores-ahead-{_FORMAT}.db"


class AheadReader:
    """Reads scores made ahead; safe to use from any thread.

    Args:
        file: The file; it may come later, or never.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._threads = threading.local()

    def get(self, key: Key, champion: Champion) -> Kept | None:
        """The score made ahead for a key, whether it still holds or not; None where there is none to be had.

        Args:
            key: Alias, task and id.
            champion: Stands in the score for the model that made it, if that is the same.
        """
        try:
            connection = self._connection()
            if connection is None:
                return None
            found = connection.execute(
                "SELECT maker, version, body FROM scores WHERE key = ?", [_joined(key)]
            ).fetchone()
        except sqlite3.Error:
            # Whatever ails the file, the score can be made.
            self._threads.connection = None
            return None
        try:
            return None if found is None else _unpacked(key, champion, *found)
        except _BROKEN:
            return None

    def _connection(self) -> sqlite3.Connection | None:
        known: sqlite3.Connection | None = getattr(self._threads, "connection", None)
        if known is None and self._file.is_file():
            known = self._threads.connection = sqlite3.connect(
                f"{self._file.resolve().as_uri()}?mode=ro", uri=True, timeout=_WAIT_SECONDS, isolation_level=None
            )
        return known


@dataclass(frozen=True, slots=True)
class Made:
    """A score to be written.

    Args:
        key: Alias, task and id.
        kept: The score.
    """

    key: Key
    kept: Kept


class AheadWriter:
    """Writes scores made ahead. What another process wrote before is forgotten: another code may have made it.

    Args:
        file: The file; it and its folder are made where absent, and made anew where broken.

    Raises:
        OSError: if it cannot be made.
        sqlite3.Error: the same.
    """

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = _opened(file)
        except sqlite3.DatabaseError:
            for each in (file, *(file.with_name(file.name + ending) for ending in ("-wal", "-shm"))):
                each.unlink(missing_ok=True)
            self._connection = _opened(file)

    def put(self, made: Iterable[Made]) -> None:
        """Write scores, all or none."""
        rows = [(_joined(one.key), one.kept.maker, one.kept.mark.version[0], _packed(one.kept)) for one in made]
        with self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?)", rows)

    def confirm(self, versions: Mapping[Key, str | None]) -> None:
        """Note that these scores hold as of a later version of the store."""
        rows = [(version, _joined(key)) for key, version in versions.items()]
        with self._connection:
            self._connection.executemany("UPDATE scores SET version = ? WHERE key = ?", rows)

    def remove(self, keys: Collection[Key]) -> None:
        """Forget scores."""
        with self._connection:
            self._connection.executemany("DELETE FROM scores WHERE key = ?", [[_joined(key)] for key in keys])

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


def _opened(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=_WRITER_WAIT_SECONDS, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    # A power cut may lose it: it is made again.
    connection.execute("PRAGMA synchronous = OFF")
    with connection:
        connection.execute(
            """CREATE TABLE IF NOT EXISTS scores
            (key TEXT PRIMARY KEY, maker TEXT NOT NULL, version TEXT, body BLOB NOT NULL)"""
        )
        connection.execute("DELETE FROM scores")
    return connection


def _joined(key: Key) -> str:
    return "/".join(key)


def _packed(kept: Kept) -> bytes:
    scored, mark = kept.scored, kept.mark
    about = to_json(
        {
            "owner": scored.owner,
            "probability": scored.probability,
            "views": scored.views,
            "oldest_at": _microseconds(scored.oldest_at),
            "expired": scored.expired,
            "scored_at": _microseconds(scored.scored_at),
            "valid_until": _microseconds(scored.valid_until),
            "asked": [(view, [key.decode() for key in keys]) for view, keys in mark.asked],
            "seen": mark.seen.hex(),
            "at": _microseconds(mark.at),
            "until": _microseconds(mark.until),
        }
    )
    parts = (about, scored.fixed, scored.logged)
    packed: bytes = pa.compress(b"".join(parts), codec=_CODEC, asbytes=True)
    return _SIZES.pack(*map(len, parts)) + packed


def _unpacked(key: Key, champion: Champion, maker: str, version: str | None, body: bytes) -> Kept:
    sizes = _SIZES.unpack_from(body)
    plain: bytes = pa.decompress(memoryview(body)[_SIZES.size :], sum(sizes), codec=_CODEC, asbytes=True)
    fixed_end = sizes[0] + sizes[1]
    about: dict[str, Any] = orjson.loads(plain[: sizes[0]])
    scored = Scored(
        task=key[1],
        identifier=key[2],
        owner=about["owner"],
        champion=champion,
        probability=about["probability"],
        views=tuple(about["views"]),
        oldest_at=_moment(about["oldest_at"]),
        expired=tuple(about["expired"]),
        scored_at=_EPOCH + timedelta(microseconds=about["scored_at"]),
        valid_until=_EPOCH + timedelta(microseconds=about["valid_until"]),
        fixed=plain[sizes[0] : fixed_end],
        logged=plain[fixed_end:],
    )
    mark = Mark(
        asked=tuple([(view, tuple([each.encode() for each in keys])) for view, keys in about["asked"]]),
        seen=bytes.fromhex(about["seen"]),
        at=_EPOCH + timedelta(microseconds=about["at"]),
        until=_moment(about["until"]),
        version=[version],
    )
    return Kept(scored, mark, maker)


def _microseconds(moment: datetime | None) -> int | None:
    return None if moment is None else to_microseconds(moment)


def _moment(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)
