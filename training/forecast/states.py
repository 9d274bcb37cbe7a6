"""States of open deals at many moments: each version of a deal is read once, however many month starts it lasts over.

A forecast of 50,000 open deals learns from 25 month starts, which is more than a million states. Here they are places
in a table of versions: texts become Python objects once, and rows are taken only where they are needed.
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
        rows: `DEAL_COLUMNS` of each version, sorted by opportunity_id, dates as plain days.
        since: When each became the newest known, microseconds since 1970.
        until: When it no longer was.
    """

    rows: pd.DataFrame
    since: NDArray[np.int64]
    until: NDArray[np.int64]

    def places(self, at: datetime) -> Places:
        """Places of the rows that were the newest known at a moment, one per open deal, by opportunity_id."""
        moment = _microseconds(at)
        return np.flatnonzero((self.since <= moment) & (moment < self.until))

    def followed_by(self, more: States) -> States:
        """These rows and, after them, others."""
        return States(
            rows=pd.concat([self.rows, more.rows], ignore_index=True),
            since=np.concatenate([self.since, more.since]),
            until=np.concatenate([self.until, more.until]),
        )

    @cached_property
    def deal(self) -> Places:
        """Number of each row's deal; numbers are in the order of the ids."""
        return np.asarray(pd.factorize(self.rows["opportunity_id"], sort=True)[0], dtype=np.int64)


def has_ties(deals: Any) -> bool:
    """Whether two versions of a deal share both their times; only then all that they say puts them in order."""
    from warehouse.contracts import TIME_COLUMNS

    told = deals.group_by("opportunity_id", *TIME_COLUMNS).agg(_count=deals.count())
    return int(told._count.max().execute() or 0) > 1


def read_states(deals: Any, moments: Sequence[datetime], *, ties: bool) -> States:
    """The versions of deals that were the newest known, and open, at any of the moments.

    A version is the newest known from when it is known itself until any later one is.

    Args:
        deals: The canonical table `opportunities` as an Ibis table.
        moments: At least one.
        ties: `has_ties` of the table; without them the order takes a third of the time.
    """
    import ibis

    from common.clock import utc
    from warehouse.as_known import version_number
    from warehouse.contracts import CONTRACTS, TIME_COLUMNS

    known = deals.mutate(_from=ibis.greatest(deals.event_timestamp, deals.created_timestamp))
    if ties:
        known = known.mutate(_rank=version_number(known, CONTRACTS["opportunities"]))
    order = ["_rank"] if ties else list(TIME_COLUMNS)
    window = ibis.window(group_by="opportunity_id", order_by=order, following=(1, None))
    spans = known.mutate(_until=known._from.min().over(window))
    spans = spans.filter(spans.status == "open", ~spans.is_deleted.fill_null(False))
    # The first moment that a version reaches: if it is over by then it is over at all of them, or was never asked for.
    times = [utc(moment) for moment in sorted(set(moments))]
    reached = ibis.cases(*((spans._from <= time, time) for time in times))
    spans = spans.filter(reached.notnull(), spans._until.isnull() | (spans._until > reached))
    table = spans.select("_from", "_until", *DEAL_COLUMNS).order_by("opportunity_id").to_pyarrow()
    return States(
        rows=deal_frame(table.select(list(DEAL_COLUMNS))),
        since=_times(table["_from"]),
        until=_times(table["_until"]),
    )


def deal_frame(table: pa.Table) -> pd.DataFrame:
    """Rows as a frame: each text is one object however often it stands there; dates as plain days."""
    import pyarrow as pa

    columns: dict[str, Any] = {}
    for name in table.column_names:
        column = table[name].combine_chunks()
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            coded = column.dictionary_encode()
            texts = np.array([*coded.dictionary.to_pylist(), None], dtype=object)
            columns[name] = texts[coded.indices.fill_null(len(texts) - 1).to_numpy(zero_copy_only=False)]
        elif pa.types.is_date(column.type):
            columns[name] = column.cast(pa.timestamp("s")).to_pandas()
        else:
            columns[name] = column.to_pandas()
    return pd.DataFrame(columns)


def _times(column: Any) -> NDArray[np.int64]:
    import pyarrow as pa

    numbers = column.combine_chunks().cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    return np.asarray(numbers.fill_null(_NEVER).to_numpy(zero_copy_only=False), dtype=np.int64)


def _microseconds(at: datetime) -> int:
    return pd.Timestamp(at).value // 1000
