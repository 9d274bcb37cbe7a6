"""Packed rows in Redis: one hash per project and view, written by scripts that run whole or not at all."""

from __future__ import annotations

import json
import struct
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from common.errors import InputError
from features.online_store_layout import BODY, Layout, PackedRows
from features.online_store_rows import STATE_KEY, Found, ViewState, not_materialized

_SCRIPT_ROWS = 500
"""Rows per script: Redis answers nobody else meanwhile, so each takes a few milliseconds at most."""
_PIPELINE_SCRIPTS = 20
_SCAN_COUNT = 2_000
_FIRST_ENTITY = b"="
_PUT = f"""
local hash, sizes, keys, rows, only_changed = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1'
local newest = -math.huge
local state = redis.call('HGET', hash, '{STATE_KEY.decode()}')
if state then
  local started, confirmed = struct.unpack('>i8i8', state)
  newest = math.max(started, confirmed)
end
local key_from, row_from, written = 1, 1, 0
for place = 1, #sizes, 8 do
  local key_size, row_size = struct.unpack('<I4I4', sizes, place)
  local key = string.sub(keys, key_from, key_from + key_size - 1)
  local row = string.sub(rows, row_from, row_from + row_size - 1)
  key_from, row_from = key_from + key_size, row_from + row_size
  local as_of, created = struct.unpack('>i8i8', row, 3)
  local old = redis.call('HGET', hash, key)
  local wins = true
  if old then
    local old_as_of, old_created = struct.unpack('>i8i8', old, 3)
    local alone = string.byte(old, 2) == 1
    wins = (as_of > old_as_of or (as_of == old_as_of and created >= old_created))
      and (as_of >= newest or alone)
      and (not only_changed or alone or string.sub(old, {BODY + 1}) ~= string.sub(row, {BODY + 1}))
  end
  if wins then
    if as_of < newest then row = string.sub(row, 1, 1) .. '\\1' .. string.sub(row, 3) end
    redis.call('HSET', hash, key, row)
    written = written + 1
  end
end
return written
"""
_REMOVE = """
local removed = 0
for place = 2, #ARGV do
  local row = redis.call('HGET', KEYS[1], ARGV[place])
  if row and struct.unpack('>i8', row, 3) <= tonumber(ARGV[1]) then
    removed = removed + redis.call('HDEL', KEYS[1], ARGV[place])
  end
end
return removed
"""


class RedisRows:
    """`RowStore` in a Redis server; a view's hash is named by its whole project and view, so projects never meet.

    Args:
        address: `host:port,option=value,...`, as Feast writes it; options are those of `redis.Redis`.
        project: Only rows of this project are seen.
        is_patient: Whether to wait for a server that is away, as a materialization does; a request has no time for it.
    """

    def __init__(self, address: str, *, project: str, is_patient: bool = True) -> None:
        self.project = project
        self._options = _parse(address)
        self._is_patient = is_patient
        self._opened: Any = None

    def prepare(self, view: str) -> None:
        """Record that the view is there, though without a row."""
        self._client().hsetnx(self._hash(view), STATE_KEY, ViewState().to_bytes())

    def drop(self, view: str) -> None:
        """Forget the view; its memory is given back in the background."""
        self._client().unlink(self._hash(view), self._layouts(view))

    def read(self, asked: Sequence[tuple[str, Sequence[bytes]]]) -> list[Found]:
        """Rows of several (view, keys) in one round trip; a view's rows and state are of one instant."""
        with self._client().pipeline(transaction=False) as pipeline:
            for view, keys in asked:
                pipeline.hmget(self._hash(view), [STATE_KEY, *keys])
            answers = pipeline.execute()
        found: list[Found] = []
        for (view, keys), (state, *rows) in zip(asked, answers, strict=True):
            if state is None:
                raise not_materialized(view)
            stored = {key: row for key, row in zip(keys, rows, strict=True) if row is not None}
            found.append(Found(ViewState.from_bytes(state), stored))
        return found

    def version(self) -> str | None:
        """A server does not tell whether anything was written: nothing here equals anything."""
        return None

    def layout(self, view: str, identifier: bytes) -> Layout:
        """A layout that rows of the view were packed by."""
        stored = self._client().hget(self._layouts(view), identifier)
        if stored is None:
            raise not_materialized(view)
        return Layout.from_json(stored)

    def put(self, view: str, layout: Layout, packed: PackedRows, *, only_changed: bool) -> int:
        """Store rows unless a newer one is there; each row appears whole, some hundreds at one instant."""
        client = self._client()
        self.prepare(view)
        client.hset(self._layouts(view), layout.id, layout.to_json())
        script = client.script_load(_PUT)
        written = 0
        flag = b"1" if only_changed else b"0"
        calls = list(_script_arguments(packed))
        for start in range(0, len(calls), _PIPELINE_SCRIPTS):
            with client.pipeline(transaction=False) as pipeline:
                for sizes, keys, rows in calls[start : start + _PIPELINE_SCRIPTS]:
                    pipeline.evalsha(script, 1, self._hash(view), sizes, keys, rows, flag)
                written += sum(pipeline.execute())
        return written

    def count(self, view: str) -> int:
        """Number of entities the view holds."""
        with self._client().pipeline(transaction=False) as pipeline:
            pipeline.hlen(self._hash(view)).hexists(self._hash(view), STATE_KEY)
            held, reserved = pipeline.execute()
        return int(held) - int(reserved)

    def strays(self, view: str, keys: Collection[bytes]) -> list[bytes]:
        """Keys the view holds that are not in `keys`."""
        known = set(keys)
        held = (key for key, _ in self._client().hscan_iter(self._hash(view), count=_SCAN_COUNT))
        return list({key for key in held if key >= _FIRST_ENTITY and key not in known})

    def remove(self, view: str, keys: Sequence[bytes], *, as_of: int) -> int:
        """Delete rows that are not newer than `as_of`."""
        script = self._client().register_script(_REMOVE)
        parts = [keys[start : start + _SCRIPT_ROWS] for start in range(0, len(keys), _SCRIPT_ROWS)]
        return sum(int(script(keys=[self._hash(view)], args=[as_of, *part])) for part in parts)

    def state(self, view: str) -> ViewState:
        """How far the view has been materialized."""
        return ViewState.from_bytes(self._client().hget(self._hash(view), STATE_KEY))

    def mark(self, view: str, state: ViewState) -> None:
        """Record how far the view has been materialized."""
        self._client().hset(self._hash(view), STATE_KEY, state.to_bytes())

    def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _client(self) -> Any:
        """A client that threads share: it hands each call a connection of its own."""
        if self._opened is None:
            import redis

            self._opened = redis.Redis(**(self._options if self._is_patient else _impatient() | self._options))
        return self._opened

    def _hash(self, view: str) -> bytes:
        # Braces: a cluster keeps the view on one node, as its scripts need.
        return f"salience:{{{self.project}/{view}}}".encode()

    def _layouts(self, view: str) -> bytes:
        return self._hash(view) + b":layouts"


def _impatient() -> dict[str, Any]:
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    # Tried once more, for a connection that the server closed meanwhile.
    return {"socket_timeout": 1.0, "socket_connect_timeout": 0.5, "retry": Retry(NoBackoff(), 1)}


def _script_arguments(packed: PackedRows) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Sizes, keys and rows of some hundred rows each, in three strings: arguments one by one would cost more time."""
    for start in range(0, len(packed.rows), _SCRIPT_ROWS):
        keys, rows = packed.keys[start : start + _SCRIPT_ROWS], packed.rows[start : start + _SCRIPT_ROWS]
        sizes = [size for key, row in zip(keys, rows, strict=True) for size in (len(key), len(row))]
        yield struct.pack(f"<{len(sizes)}I", *sizes), b"".join(keys), b"".join(rows)


def _parse(address: str) -> dict[str, Any]:
    """`host:port,option=value,...` as arguments of `redis.Redis`."""
    places = [part for part in address.split(",") if "=" not in part]
    if len(places) != 1:
        raise InputError(
            f"The Redis address '{address}' names {len(places)} servers",
            expected="one server: host:port, then options such as db=0,ssl=true,password=...",
            field="online_store.redis_address",
        )
    host, _, port = places[0].partition(":")
    if not port.isdigit():
        raise InputError(
            f"The Redis address '{address}' has no port",
            expected="host:port, such as localhost:6379",
            field="online_store.redis_address",
        )
    options: dict[str, Any] = {"host": host, "port": int(port)}
    for part in address.split(","):
        name, separator, value = part.partition("=")
        if separator:
            options[name] = _option(value)
    return options


def _option(value: str) -> Any:
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value
