"""Writing computed features to the online store: straight from Arrow, in chunks, only what changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from common.clock import utc
from common.errors import InputError
from features.online_store_layout import entity_keys, layout_of, to_microseconds

if TYPE_CHECKING:
    import pyarrow as pa

    from features.online_store_rows import RowStore
    from features.specs import ViewSpec

CHUNK_ROWS = 20_000
"""Rows per transaction: what a killed process loses at most, and for how long others wait to write."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Changes:
    """What a materialization did to a view.

    Args:
        written: Rows that were new or whose values changed.
        unchanged: Rows that the store held already; they count as known at the new moment.
        removed: Rows of entities that are not open any more.
    """

    written: int
    unchanged: int
    removed: int


def replace_rows(
    store: RowStore,
    view: ViewSpec,
    rows: pa.Table,
    *,
    at: datetime,
    chunk_rows: int = CHUNK_ROWS,
    progress: Progress | None = None,
) -> Changes:
    """Make the store hold exactly `rows` of the view, as of `at`, and what was written since.

    Only rows whose values differ are written, and what the store holds beside them is removed. Killed at any
    moment, it leaves every row as it was or as it should be; run again, it does what is left. Readers go on
    meanwhile, and meet old or new rows.

    Args:
        store: The online store, from `features.online_store_rows.open_rows`.
        view: The view.
        rows: Columns of `view.schema`, of everything that is open at `at`.
        at: The moment, aware.
        chunk_rows: Rows per transaction.
        progress: Told the view, rows done, rows in all.

    Raises:
        InputError: if the store holds the view as of a later moment: an older row never replaces a newer one.
        ContractError: if a column is absent or a row has no key.
    """
    moment = to_microseconds(utc(at))
    state = store.state(view.name)
    if state.newest > moment:
        newest = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=state.newest)
        raise InputError(
            f"The online store holds {view.name} as of {newest.isoformat()}, which is later than {at.isoformat()}",
            next_step="materialize as of a later moment; or empty the online store first, with `empty_online()`",
        )
    store.mark(view.name, replace(state, started=moment))
    written = 0
    for done, count in _put_changed(store, view, rows, chunk_rows):
        written += count
        if progress is not None:
            progress(view.name, done, rows.num_rows)
    removed = _remove_others(store, view, rows, moment, chunk_rows)
    # Only now is every row that was left as it is known to be true at `at`.
    store.mark(view.name, replace(state, started=moment, confirmed=moment))
    return Changes(written=written, unchanged=rows.num_rows - written, removed=removed)


def _put_changed(store: RowStore, view: ViewSpec, rows: pa.Table, chunk_rows: int) -> Iterator[tuple[int, int]]:
    """Rows done and rows written, chunk by chunk."""
    layout, done = layout_of(view), 0
    now = to_microseconds(datetime.now(UTC))
    for batch in rows.combine_chunks().to_batches(max_chunksize=chunk_rows):
        packed = layout.pack_batch(batch, join_key=view.join_key, written=now)
        written = store.put(view.name, layout, packed, only_changed=True)
        done += batch.num_rows
        yield done, written


def _remove_others(store: RowStore, view: ViewSpec, rows: pa.Table, moment: int, chunk_rows: int) -> int:
    keys = entity_keys(rows[view.join_key])
    if store.count(view.name) == len(keys):
        return 0
    strays = store.strays(view.name, keys)
    parts = [strays[start : start + chunk_rows] for start in range(0, len(strays), chunk_rows)]
    return sum(store.remove(view.name, part, as_of=moment) for part in parts)
