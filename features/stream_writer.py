"""Writing freshly computed rows of a view to the online store."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from features.online_store_layout import layout_of, to_microseconds
from features.specs import ViewSpec

if TYPE_CHECKING:
    import pyarrow as pa

    from features.online_store_rows import RowStore


def put_online(store: RowStore, view: ViewSpec, rows: pa.Table) -> int:
    """Write computed rows of a view, each in the place of its key's older one; returns how many came.

    Args:
        store: The online store's rows.
        view: The view.
        rows: Columns of `view.schema`; a row that is older than the stored one changes nothing.
    """
    layout, written = layout_of(view), to_microseconds(datetime.now(UTC))
    for batch in rows.combine_chunks().to_batches():
        packed = layout.pack_batch(batch, join_key=view.join_key, written=written)
        store.put(view.name, layout, packed, only_changed=False)
    return int(rows.num_rows)
