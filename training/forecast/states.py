"""What versions of deals say, read from the warehouse for the versions that are needed and as rows of a frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.forecast.versions import Places, Versions

if TYPE_CHECKING:
    import pyarrow as pa

DEAL_COLUMNS = (
    "opportunity_id",
    "status",
    "stage",
    "rep_id",
    "amount_usd",
    "close_date",
    "forecast_category",
    "opened_at",
    "crm_probability",
    "next_step_date",
    "competitor",
    "product_id",
    "source",
    "deal_type",
)


class States:
    """What versions say: each is read once, and none that nobody asks for.

    Rows stay in Arrow's memory; they become Python objects only where they are needed.

    Args:
        deals: The canonical table `opportunities` as an Ibis table, without ties.
        versions: Its versions.
    """

    def __init__(self, deals: Any, versions: Versions) -> None:
        self._deals, self._versions = deals, versions
        self._table: pa.Table | None = None
        self._row = np.full(len(versions.deal), -1, dtype=np.int32)

    def rows(self, places: Places) -> pd.DataFrame:
        """`DEAL_COLUMNS` of the versions at some places, dates as plain days."""
        self._read(places)
        if self._table is None:
            return deal_frame(self._deals.select(*DEAL_COLUMNS).limit(0).to_pyarrow())
        return deal_frame(self._table.take(self._row[places]))

    def _read(self, places: Places) -> None:
        import ibis
        import pyarrow as pa

        missing = np.unique(places[self._row[places] < 0])
        if not len(missing):
            return
        asked = ibis.memtable(self._versions.keys(missing))
        names = [name for name in asked.columns if name != "_place"]
        told = self._deals.select(*dict.fromkeys([*DEAL_COLUMNS, *names]))
        found = told.inner_join(asked, names).select("_place", *DEAL_COLUMNS).to_pyarrow()
        before = 0 if self._table is None else self._table.num_rows
        self._row[found["_place"].to_numpy()] = before + np.arange(len(found), dtype=np.int32)
        found = found.drop_columns(["_place"])
        self._table = found if self._table is None else pa.concat_tables([self._table, found])


def without_ties(deals: Any) -> Any:
    """Of versions that share both their times the one that is last in the warehouse's order: the others never count."""
    import ibis

    from warehouse.as_known import version_number
    from warehouse.contracts import CONTRACTS, TIME_COLUMNS

    ranked = deals.mutate(_rank=version_number(deals, CONTRACTS["opportunities"]))
    same = ibis.window(group_by=["opportunity_id", *TIME_COLUMNS])
    return (
        ranked.mutate(_last=ranked._rank.max().over(same)).filter(lambda t: t._rank == t._last).drop("_rank", "_last")
    )


def deal_frame(table: pa.Table) -> pd.DataFrame:
    """Rows as a frame: each text is one object however often it stands there; dates as plain days."""
    import pyarrow as pa

    columns: dict[str, Any] = {}
    for name in table.column_names:
        column = table[name]
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            codes, texts = _coded(column)
            columns[name] = np.append(texts, np.array([None], dtype=object))[codes]
        elif pa.types.is_date(column.type):
            columns[name] = column.cast(pa.timestamp("s")).to_pandas()
        else:
            columns[name] = column.to_pandas()
    return pd.DataFrame(columns)


def _coded(column: Any) -> tuple[Places, NDArray[np.object_]]:
    """Numbers of texts, the number of texts for a missing one; and the texts."""
    coded = column.dictionary_encode().combine_chunks()
    texts = np.array([*coded.dictionary.to_pylist(), None], dtype=object)[:-1]
    return coded.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False).astype(np.int64), texts
