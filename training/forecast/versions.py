"""All versions of deals by their times and the little that tells them apart; the rest is read where it is needed.

Which versions were the newest known at a moment follows from their times. These, and a few short columns, are read once
and put in order as numbers; a forecast of 50,000 open deals that learns from 40,000 of a million past states then reads
what these say, and no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

Places = NDArray[np.int64]
_NEVER = np.iinfo(np.int64).max
_TOLD = ("status", "stage", "rep_id")
_THREADS = 2


@dataclass(frozen=True)
class Texts:
    """A column of texts as numbers.

    Args:
        code: Number of each row's text; -1 for none.
        names: The texts.
    """

    code: NDArray[np.int32]
    names: NDArray[np.object_]

    def at(self, places: Places) -> NDArray[np.object_]:
        """The texts at some places, None for none, and at places below 0."""
        code = np.where(places < 0, np.int32(-1), self.code[places])
        return np.append(self.names, np.array([None], dtype=object))[code]

    def equals(self, name: str) -> NDArray[np.bool_]:
        """Where a text stands."""
        found = np.flatnonzero(self.names == name)
        return np.equal(self.code, found[0] if len(found) else -2)


@dataclass(frozen=True, kw_only=True)
class Versions:
    """Versions of deals, by deal and within it by their order.

    Args:
        sorted_ids: Ids of the deals, sorted.
        deal: Number of each version's deal: its place among the ids.
        event: When each happened, microseconds since 1970.
        created: When it could be known.
        texts: `status`, `stage` and `rep_id`.
        is_deleted: Whether it says that the deal is deleted.
    """

    sorted_ids: pa.Array
    deal: Places
    event: Places
    created: Places
    texts: dict[str, Texts]
    is_deleted: NDArray[np.bool_]

    @cached_property
    def ids(self) -> NDArray[np.object_]:
        """Ids of the deals, sorted."""
        return np.array(self.sorted_ids.to_pylist(), dtype=object)

    @cached_property
    def has_ties(self) -> bool:
        """Whether two versions of a deal share both their times; only then all that they say puts them in order."""
        same = (np.diff(self.deal) == 0) & (np.diff(self.event) == 0) & (np.diff(self.created) == 0)
        return bool(same.any())

    @cached_property
    def since(self) -> Places:
        """When each version was known: it had happened and could be known."""
        return np.maximum(self.event, self.created)

    @cached_property
    def until(self) -> Places:
        """When any later version of the deal is known; never, for the last."""
        found = np.full(len(self.deal), _NEVER)
        is_same = self.deal[1:] == self.deal[:-1]
        found[:-1][is_same] = self.since[1:][is_same]
        # A version told late may follow one that was known before it: the earliest of all later ones counts.
        late = np.flatnonzero(is_same & (self.since[1:] < self.since[:-1]))
        if len(late):
            has_late = np.zeros(len(self.sorted_ids), dtype=bool)
            has_late[self.deal[late]] = True
            touched = np.flatnonzero(has_late[self.deal])[::-1]
            earliest = pd.Series(found[touched]).groupby(self.deal[touched]).cummin()
            found[touched] = earliest.to_numpy()
        return found

    @cached_property
    def _starts(self) -> Places:
        """Place of each deal's first version."""
        return np.flatnonzero(np.r_[True, self.deal[1:] != self.deal[:-1]])

    @cached_property
    def _open(self) -> Places:
        """Versions that say the deal is open."""
        return np.flatnonzero(self.texts["status"].equals("open") & ~self.is_deleted)

    def open_at(self, moments: Sequence[datetime]) -> list[Places]:
        """Places of the versions that were the newest known at each moment, one per open deal, by opportunity_id."""
        order = sorted(set(moments))
        times = np.array([microseconds(moment) for moment in order], dtype=np.int64)
        first = np.searchsorted(times, self.since[self._open], side="left")
        last = np.searchsorted(times, self.until[self._open], side="left")
        reaches = np.flatnonzero(first < last)
        place, first, last = self._open[reaches], first[reaches], last[reaches]
        found = {moment: place[(first <= number) & (number < last)] for number, moment in enumerate(order)}
        return [found[moment] for moment in moments]

    def fates(self, at: datetime) -> pd.DataFrame:
        """Of every deal known at a moment, by opportunity_id; see `history.PipelineHistory.fates`."""
        is_known = self.since <= microseconds(at)
        since = self._least(self.since, is_known)
        met = np.flatnonzero(since != _NEVER)
        newest = np.maximum.reduceat(np.where(is_known, np.arange(len(is_known)), -1), self._starts)[met]
        is_here = ~self.is_deleted[newest]
        # What is deleted says nothing.
        told = {name: self.texts[name].at(np.where(is_here, newest, -1)) for name in ("status", "rep_id")}
        decided = np.full(len(met), _NEVER)
        for name in ("won", "lost"):
            first = self._least(self.event, is_known & self.texts["status"].equals(name))[met]
            decided = np.where(told["status"] == name, first, decided)
        return pd.DataFrame(
            {
                "number": met,
                "since": _as_times(since[met]),
                **told,
                "decided_at": _as_times(decided),
            },
            index=pd.Index(self.ids[met], name="opportunity_id"),
        )

    def _least(self, times: Places, chosen: NDArray[np.bool_]) -> Places:
        """The earliest of the chosen times of each deal; never, where none is."""
        return np.asarray(np.minimum.reduceat(np.where(chosen, times, _NEVER), self._starts), dtype=np.int64)

    def keys(self, places: Places) -> pa.Table:
        """What names the versions at some places in the warehouse, and the place (`_place`)."""
        import pyarrow as pa

        times = {
            name: pa.array(values[places]).cast(pa.timestamp("us", tz="UTC"))
            for name, values in (("event_timestamp", self.event), ("created_timestamp", self.created))
        }
        names = self.sorted_ids.take(pa.array(self.deal[places]))
        return pa.table({"opportunity_id": names, **times, "_place": places})


def read_versions(deals: Any) -> Versions:
    """The times of all versions.

    Args:
        deals: The canonical table `opportunities` as an Ibis table.
    """
    from warehouse.contracts import TIME_COLUMNS

    table = deals.select("opportunity_id", *TIME_COLUMNS, *_TOLD, "is_deleted").to_pyarrow()
    # Arrow lets go of Python's lock while it numbers texts: the ids beside all others.
    with ThreadPoolExecutor(max_workers=_THREADS) as pool:
        numbered = pool.submit(_ids, table["opportunity_id"])
        texts = dict(zip(_TOLD, pool.map(_texts, (table[name] for name in _TOLD)), strict=True))
        event, created = (_times(table[name]) for name in TIME_COLUMNS)
        sorted_ids, deal = numbered.result()
        order = np.lexsort((created, event, deal))
        is_deleted = table["is_deleted"].combine_chunks().fill_null(False).to_numpy(zero_copy_only=False)
        # NumPy lets go of it here: to put millions of rows in another order is to wait for memory.
        told = (event, created, is_deleted, *(column.code for column in texts.values()))
        event, created, is_deleted, *codes = pool.map(lambda values: values.take(order), told)
    return Versions(
        sorted_ids=sorted_ids,
        deal=np.repeat(np.arange(len(sorted_ids)), np.bincount(deal, minlength=len(sorted_ids))),
        event=event,
        created=created,
        texts={name: Texts(code=code, names=texts[name].names) for name, code in zip(_TOLD, codes, strict=True)},
        is_deleted=is_deleted,
    )


def microseconds(moment: datetime) -> int:
    """A moment as microseconds since 1970."""
    return int(pd.Timestamp(moment).value // 1000)


def _ids(column: Any) -> tuple[pa.Array, Places]:
    """The sorted ids, and the number of each row's among them."""
    import pyarrow.compute as pc

    coded = column.dictionary_encode().combine_chunks()
    by_name = pc.sort_indices(coded.dictionary)
    rank = np.empty(len(by_name), dtype=np.int64)
    rank[by_name.to_numpy()] = np.arange(len(by_name))
    return coded.dictionary.take(by_name), rank[coded.indices.to_numpy()]


def _texts(column: Any) -> Texts:
    coded = column.dictionary_encode().combine_chunks()
    code = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
    return Texts(code=code, names=np.array([*coded.dictionary.to_pylist(), None], dtype=object)[:-1])


def _times(column: Any) -> Places:
    import pyarrow as pa

    numbers = column.combine_chunks().cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    return np.asarray(numbers.to_numpy(zero_copy_only=False), dtype=np.int64)


def _as_times(numbers: Places) -> pd.Series[Any]:
    # Numbers that stand for never are pandas' "not a time".
    plain = np.where(numbers == _NEVER, np.iinfo(np.int64).min, numbers).view("datetime64[us]")
    return pd.DatetimeIndex(plain, tz="UTC")  # type: ignore[return-value]
