"""The packed row: all values of one entity and view in one string of bytes, quick to write by the million and to read.

A row is a header and a body. The header holds the format, flags, three times (as_of, created, written: microseconds
since 1970, big-endian) and ends where the body starts. The body holds the layout's id, one bit per value that says
whether it is missing, the numbers in place, and the texts at the end with their lengths in place. A layout (names and
kinds, in order) is stored once beside the rows, so that a row written before the feature list changed still reads.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from common.errors import ContractError, UnavailableError, shorten

if TYPE_CHECKING:
    import pyarrow as pa

    from features.specs import ViewSpec

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
FORMAT = 1
ALONE = 1
"""Flag of a row that a later complete materialization did not vouch for: its own as_of is all that is known of it."""
HEADER = struct.Struct(">BBqqq")
BODY = HEADER.size
"""Where the body starts: rows with equal bodies hold equal values."""
_WRITTEN = BODY - 8
"""Where the header says when the row was written, its last part."""
KEY_PREFIX = b"="
"""How the stored key of an entity with one join key of text begins."""
_ID_BYTES = 8
_TIMES = ("event_timestamp", "created_timestamp")
_CODES = {"float": "d", "single": "f", "int": "q", "short": "i", "bool": "?", "text": "I", "bytes": "I", "proto": "I"}
"""Kind of a value to its code in place; kinds of any length keep their length there."""
_ARROW_KINDS = {
    "double": "float",
    "float": "single",
    "int64": "int",
    "int32": "short",
    "bool": "bool",
    "string": "text",
    "large_string": "text",
    "binary": "bytes",
}
_LAYOUTS: dict[int, tuple[ViewSpec, Layout]] = {}
"""By identity: to hash a view, with all its texts, takes longer than to read a row."""
_MOST_LAYOUTS = 1_000


@dataclass(frozen=True)
class PackedRows:
    """Rows ready to be stored.

    Args:
        keys: The entities' keys as stored.
        as_of: Microseconds since 1970, one per row.
        created: The same, of when the row became known; decides between rows of one as_of.
        rows: The packed rows.
    """

    keys: list[bytes]
    as_of: list[int]
    created: list[int]
    rows: list[bytes]


@dataclass(frozen=True)
class Layout:
    """Names and kinds of a row's values, in order.

    Args:
        names: Names of the values.
        kinds: `float, single, int, short, bool, text, bytes`, or `proto` for a serialized Feast value.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]

    @classmethod
    def from_json(cls, text: str | bytes) -> Layout:
        """The layout that `to_json` described."""
        fields = json.loads(text)["fields"]
        return cls(tuple(name for name, _ in fields), tuple(kind for _, kind in fields))

    def to_json(self) -> str:
        """The layout as it is stored beside the rows."""
        return json.dumps({"format": FORMAT, "fields": list(zip(self.names, self.kinds, strict=True))})

    @cached_property
    def id(self) -> bytes:
        """Eight bytes that name the layout in each row."""
        return hashlib.sha256(self.to_json().encode()).digest()[:_ID_BYTES]

    def pack(self, values: Mapping[str, Any], *, as_of: int, created: int, written: int) -> bytes:
        """One row of values by name; what is absent, None or NaN is missing."""
        given = [_present(values.get(name)) for name in self.names]
        tails: list[bytes] = []
        places: list[Any] = []
        for kind, value in zip(self.kinds, given, strict=True):
            if _CODES[kind] == "I":
                tail = b"" if value is None else value.encode() if kind == "text" else bytes(value)
                tails.append(tail)
                places.append(len(tail))
            else:
                places.append(0 if value is None else value)
        missing = sum(1 << place for place, value in enumerate(given) if value is None)
        nulls = missing.to_bytes(self._null_bytes, "little")
        header = HEADER.pack(FORMAT, 0, as_of, created, written)
        return b"".join([header, self.id, nulls, self._numbers.pack(*places), *tails])

    def pack_batch(self, batch: pa.RecordBatch, *, join_key: str, written: int) -> PackedRows:
        """All rows of a batch at once; byte for byte what `pack` makes of each.

        Args:
            batch: Columns join key (text), the layout's names, event_timestamp, created_timestamp.
            join_key: Name of the key's column.
            written: Microseconds since 1970.

        Raises:
            ContractError: if a column is absent or a row has no key.
        """
        import numpy as np
        import pyarrow as pa

        absent = [name for name in (join_key, *_TIMES, *self.names) if name not in batch.schema.names]
        if absent or batch.column(join_key).null_count:
            raise ContractError(
                "Rows for the online store need a key and every column",
                expected=f"columns {', '.join((join_key, *self.names, *_TIMES))}",
                got=f"no {shorten(absent)}" if absent else f"{batch.column(join_key).null_count} rows without a key",
            )
        times = [_microseconds(batch.column(name)) for name in _TIMES]
        table = np.zeros(batch.num_rows, dtype=self._dtype)
        table["format"], table["layout"], table["written"] = FORMAT, np.frombuffer(self.id, "u1"), written
        table["as_of"], table["created"] = times
        missing = np.zeros((batch.num_rows, len(self.names)), dtype=bool)
        tails = [self._place(table, missing, place, batch.column(name)) for place, name in enumerate(self.names)]
        if self.names:
            table["nulls"] = np.packbits(missing, axis=1, bitorder="little")
        fixed = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(self._dtype.itemsize), batch.num_rows, [None, pa.py_buffer(table)]
        ).cast(pa.binary())
        keys = entity_keys(batch.column(join_key))
        return PackedRows(keys, times[0].tolist(), times[1].tolist(), _joined([fixed, *filter(None, tails)]))

    def unpack(self, row: bytes) -> dict[str, Any]:
        """The values by name; None where missing."""
        start = BODY + _ID_BYTES
        values = list(self._numbers.unpack_from(row, start + self._null_bytes))
        tail = start + self._null_bytes + self._numbers.size
        for place in self._tailed:
            end = tail + values[place]
            values[place] = row[tail:end].decode() if self.kinds[place] == "text" else row[tail:end]
            tail = end
        missing = int.from_bytes(row[start : start + self._null_bytes], "little")
        while missing:
            lowest = missing & -missing
            values[lowest.bit_length() - 1] = None
            missing ^= lowest
        return dict(zip(self.names, values, strict=True))

    def _place(self, table: Any, missing: Any, place: int, column: pa.Array) -> pa.Array | None:
        """Put one column into the table in place; gives back what belongs at the rows' end, if anything."""
        import pyarrow as pa
        import pyarrow.compute as pc

        kind = self.kinds[place]
        if kind == "proto":
            raise ContractError(
                f"Column {self.names[place]} of type {column.type} has to be written by Feast's own path"
            )
        missing[:, place] = column.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
        if _CODES[kind] != "I":
            table[f"f{place}"] = pc.fill_null(column, False if kind == "bool" else 0).to_numpy(zero_copy_only=False)
            table[f"f{place}"][missing[:, place]] = 0
            return None
        tail = pc.fill_null(column.cast(pa.string()) if kind == "text" else column, "" if kind == "text" else b"")
        table[f"f{place}"] = pc.binary_length(tail).to_numpy()
        return tail.cast(pa.binary())

    @cached_property
    def _null_bytes(self) -> int:
        return (len(self.names) + 7) // 8

    @cached_property
    def _numbers(self) -> struct.Struct:
        return struct.Struct("<" + "".join(_CODES[kind] for kind in self.kinds))

    @cached_property
    def _tailed(self) -> tuple[int, ...]:
        return tuple(place for place, kind in enumerate(self.kinds) if _CODES[kind] == "I")

    @cached_property
    def _dtype(self) -> Any:
        import numpy as np

        codes = {"d": "<f8", "f": "<f4", "q": "<i8", "i": "<i4", "?": "?", "I": "<u4"}
        fields: list[Any] = [
            ("format", "u1"),
            ("flags", "u1"),
            ("as_of", ">i8"),
            ("created", ">i8"),
            ("written", ">i8"),
        ]
        fields += [("layout", "u1", (_ID_BYTES,)), ("nulls", "u1", (self._null_bytes,))]
        fields += [(f"f{place}", codes[_CODES[kind]]) for place, kind in enumerate(self.kinds)]
        return np.dtype(fields)


def layout_of(view: ViewSpec) -> Layout:
    """The layout of a view's rows: its features, then its foreign keys."""
    known = _LAYOUTS.get(id(view))
    if known is None or known[0] is not view:
        if len(_LAYOUTS) >= _MOST_LAYOUTS:
            _LAYOUTS.clear()
        columns = [field for field in view.schema if field.name not in {view.join_key, *_TIMES}]
        kinds = tuple(_ARROW_KINDS[str(field.type)] for field in columns)
        known = _LAYOUTS[id(view)] = (view, Layout(tuple(field.name for field in columns), kinds))
    return known[1]


def entity_key(value: str) -> bytes:
    """The stored key of an entity with one join key of text."""
    return KEY_PREFIX + value.encode()


def entity_keys(values: pa.Array | pa.ChunkedArray) -> list[bytes]:
    """`entity_key` of a column."""
    return [KEY_PREFIX + value.encode() for value in values.to_pylist()]


def layout_id(row: bytes) -> bytes:
    """Which layout the row was packed by.

    Raises:
        UnavailableError: if the row was written by another version of the product.
    """
    if row[0] != FORMAT:
        raise UnavailableError(
            f"The online store holds rows of format {row[0]}, which this version cannot read",
            expected=f"format {FORMAT}",
            next_step="run: salience features materialize",
        )
    return row[BODY : BODY + _ID_BYTES]


def said(row: bytes) -> tuple[bytes, bytes]:
    """What a packed row says: all of it but the time when it was written, in two parts."""
    return row[:_WRITTEN], row[BODY:]


def flagged_alone(row: bytes) -> bytes:
    """The row with the flag `ALONE`."""
    return row[:1] + bytes([row[1] | ALONE]) + row[2:]


def aligned(values: dict[str, Any], stored: Layout, wanted: Layout) -> dict[str, Any]:
    """Values read by `stored`, as `wanted` names them: new ones and those that changed their kind are missing."""
    if stored.id == wanted.id:
        return values
    kinds = dict(zip(stored.names, stored.kinds, strict=True))
    fitted: dict[str, Any] = {}
    for name, kind in zip(wanted.names, wanted.kinds, strict=True):
        value, before = values.get(name), kinds.get(name)
        if value is not None and (before, kind) == ("int", "float"):
            value = float(value)
        fitted[name] = value if before == kind or (before, kind) == ("int", "float") else None
    return fitted


def to_microseconds(moment: datetime) -> int:
    """Microseconds since 1970; a time without a zone is taken as UTC, as Feast does."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return (aware - _EPOCH) // _MICROSECOND


def _present(value: Any) -> Any:
    return None if value is None or value != value else value


def _microseconds(column: pa.Array) -> Any:
    import pyarrow as pa

    return column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy(zero_copy_only=False)


def _joined(parts: Sequence[pa.Array]) -> list[bytes]:
    import pyarrow.compute as pc

    whole = parts[0] if len(parts) == 1 else pc.binary_join_element_wise(*parts, b"")
    rows: list[bytes] = whole.to_pylist()
    return rows
