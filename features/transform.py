"""Running a view's maths on a spine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from common.errors import ContractError
from features.specs import ViewSpec

if TYPE_CHECKING:
    import ibis.expr.types as ir


def compute(view: ViewSpec, moments: pa.Table, tables: Mapping[str, ir.Table]) -> pa.Table:
    """The view's rows for some moments.

    Args:
        view: The view.
        moments: Columns join key (not null) and as_of, without duplicates.
        tables: The canonical tables, as Ibis tables on one connection.

    Returns:
        Columns of `view.schema`: the moment is the row's event_timestamp, and its created_timestamp too, since a
        feature uses only what was known by then.

    Raises:
        ContractError: if the maths lost or doubled a row.
    """
    import ibis

    spine = ibis.memtable(moments.select([view.join_key, "as_of"]))
    rows = view.transformation(spine, tables).to_pyarrow()
    if rows.num_rows != moments.num_rows:
        raise ContractError(
            f"View {view.name} gave another number of rows than it was asked for",
            expected=str(moments.num_rows),
            got=str(rows.num_rows),
        )
    rows = rows.append_column("event_timestamp", rows["as_of"]).append_column("created_timestamp", rows["as_of"])
    return rows.select(view.schema.names).cast(view.schema)
