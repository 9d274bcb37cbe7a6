"""States of deals at many moments: each version of a deal is read once, however many month starts it lasts over.

A forecast of 50,000 open deals learns from 25 month starts, which is more than a million states. Here they are places
in a table of versions that stays in Arrow's memory: rows become Python objects only where they are needed.
"""

from __future__ import annotations

from collections.abc import Sequence
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
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class States:
    """Versions of deals that were open at some moment.

    Args:
        table: `DEAL_COLUMNS` of each version.
        since: When each became the newest known, microseconds since 1970.
        until: When it no longer was.
    """

    table: pa.Table
    since: NDArray[np.int64]
    until: NDArray[np.int64]

    def places(self, at: datetime) -> Places:
        """Places of the rows that were the newest known at a moment, one per open deal, by opportunity_id."""
        moment = pd.Timestamp(at).value // 1000
        found = np.flatnonzero((self.since <= moment) & (moment < self.until))
        return found[np.argsort(self.deal[found], kind="stable")]

    def rows(self, places: Places, columns: Sequence[str] = DEAL_COLUMNS) -> pd.DataFrame:
        """Rows at some places, dates as plain days."""
        return deal_frame(self.table.select(list(columns)).take(places))

    def followed_by(self, more: States) -> States:
        """These rows and, after them, others."""
        import pyarrow as pa

        return States(
            table=pa.concat_tables([self.table, more.table]),
            since=np.concatenate([self.since, more.since]),
            until=np.concatenate([self.until, more.until]),
        )

    @property
    def deal(self) -> Places:
        """Number of each row's deal: its place among `ids`."""
        return self._numbered[0]

    @property
    def ids(self) -> NDArray[np.object_]:
        """Ids of the deals, sorted."""
        return self._numbered[1]

    @cached_property
    def _numbered(self) -> tuple[Places, NDArray[np.object_]]:
        import pyarrow.compute as pc

        coded = self.table["opportunity_id"].combine_chunks().dictionary_encode()
        order = pc.sort_indices(coded.dictionary)
        rank = np.empty(len(order), dtype=np.int64)
        rank[order.to_numpy()] = np.arange(len(order))
        return rank[coded.indices.to_numpy()], np.array(coded.dictionary.take(order).to_pylist(), dtype=object)


def has_ties(deals: Any) -> bool:
    """Whether two versions of a deal share both their times; only then all that they say puts them in order."""
    from warehouse.contracts import TIME_COLUMNS

    told = deals.group_by("opportunity_id", *TIME_COLUMNS).agg(_count=deals.count())
    return int(told._count.max().execute() or 0) > 1


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


def read_states(deals: Any, moments: Sequence[datetime]) -> States:
    """The versions of deals that were the newest known, and open, at any of the moments.

    A version is the newest known from when it is known itself until any later one is.

    Args:
        deals: The canonical table `opportunities` as an Ibis table, without ties.
        moments: At least one.
    """
    import ibis

    from common.clock import utc
    from warehouse.contracts import TIME_COLUMNS

    # What puts versions in order is narrow; what they say is joined to the few that are asked for.
    narrow = deals.select("opportunity_id", *TIME_COLUMNS, "status", "is_deleted")
    known = narrow.mutate(_from=ibis.greatest(narrow.event_timestamp, narrow.created_timestamp))
    window = ibis.window(group_by="opportunity_id", order_by=list(TIME_COLUMNS), following=(1, None))
    spans = known.mutate(_until=known._from.min().over(window))
    spans = spans.filter(spans.status == "open", ~spans.is_deleted.fill_null(False))
    # The first moment that a version reaches: if it is over by then it is over at all of them, or was never asked for.
    times = [utc(moment) for moment in sorted(set(moments))]
    reached = ibis.cases(*((spans._from <= time, time) for time in times))
    spans = spans.filter(reached.notnull(), spans._until.isnull() | (spans._until > reached))
    spans = spans.select("opportunity_id", *TIME_COLUMNS, "_from", "_until")
    told = deals.select(*dict.fromkeys([*DEAL_COLUMNS, *TIME_COLUMNS]))
    found = told.inner_join(spans, ["opportunity_id", *TIME_COLUMNS]).select("_from", "_until", *DEAL_COLUMNS)
    table = found.to_pyarrow()
    return States(table=table.select(list(DEAL_COLUMNS)), since=_times(table["_from"]), until=_times(table["_until"]))


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
    coded = column.combine_chunks().dictionary_encode()
    texts = np.array([*coded.dictionary.to_pylist(), None], dtype=object)[:-1]
    return coded.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False).astype(np.int64), texts


def _times(column: Any) -> NDArray[np.int64]:
    import pyarrow as pa

    numbers = column.combine_chunks().cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    return np.asarray(numbers.fill_null(_NEVER).to_numpy(zero_copy_only=False), dtype=np.int64)
