"""Which row of a history was seen last by a moment: a binary search over rows sorted by key and time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
_MOST_BITS = 63
"""Bits of a number that keep their order as int64."""


class LastSeen(NamedTuple):
    """What was seen last.

    Args:
        order: Numbers of the stored rows by code and time, shape (n_stored,).
        last: Position in `order` of the last row seen by each moment, shape (n_asked,); -1 where there is none.
        tied: How many rows right before it share its code and time, shape (n_asked,).
    """

    order: Numbers
    last: Numbers
    tied: Numbers


def last_seen(stored_code: Numbers, seen: Numbers, *, code: Numbers, moment: Numbers) -> LastSeen:
    """For each (code, moment) the stored row of that code with the newest `seen` that is not after the moment.

    Args:
        stored_code: Code of each stored row's key, from 0, shape (n_stored,).
        seen: When it could be seen, microseconds, shape (n_stored,).
        code: Codes asked for, shape (n_asked,); sorted ones are found several times as fast.
        moment: Moments asked for, microseconds, shape (n_asked,).
    """
    if len(seen) == 0 or len(code) == 0:
        none = np.full(len(code), -1, dtype=np.int64)
        return LastSeen(np.arange(len(seen)), none, np.zeros(len(code), dtype=np.int64))
    time, asked_time, n_times = _short_times(seen, moment, n_codes=int(max(stored_code.max(), code.max())) + 1)
    key = stored_code * n_times + time
    order = np.argsort(key)
    key = key[order]
    last = np.searchsorted(key, code * n_times + asked_time, side="right") - 1
    # What is last may belong to a smaller code: nothing of the code asked for was seen by then.
    is_own = (last >= 0) & (asked_time >= 0)
    is_own &= key[last] >= code * n_times
    tied = np.zeros(len(code), dtype=np.int64)
    is_tied = is_own & (last > 0) & (key[last] == key[np.maximum(last, 1) - 1])
    tied[is_tied] = last[is_tied] - np.searchsorted(key, key[last[is_tied]], side="left")
    return LastSeen(order, np.where(is_own, last, -1), tied)


def _short_times(seen: Numbers, moment: Numbers, *, n_codes: int) -> tuple[Numbers, Numbers, int]:
    """Times as numbers from 0 that leave room for the codes; -1 for moments before all."""
    begin, end = int(seen.min()), int(seen.max())
    n_times = end - begin + 1
    if n_codes * n_times < 1 << _MOST_BITS:
        return seen - begin, np.clip(moment, begin - 1, end) - begin, n_times
    distinct, rank = np.unique(seen, return_inverse=True)
    return rank, np.searchsorted(distinct, moment, side="right") - 1, len(distinct)


def spread(counts: Numbers) -> Numbers:
    """0, 1, … below each count, one count after the other: `spread([2, 1, 3])` is `[0, 1, 0, 0, 1, 2]`."""
    ends = np.cumsum(counts)
    counted: Numbers = np.arange(int(counts.sum()), dtype=np.int64) - np.repeat(ends - counts, counts)
    return counted


def numbers_of(column: pa.ChunkedArray) -> Numbers:
    """A column of whole numbers or times (in their own unit) without missing values, as int64."""
    found: Numbers = column.cast(pa.int64()).to_numpy()
    return found
