"""Which rows of a side are compared: one of each thing, at most so many, and how far shares may be off by that."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from common.clock import utc
from common.errors import InputError
from monitoring.columns import PREDICTION, as_frame
from monitoring.distances import IntArray

# More rows of a side would add minutes to the report and nothing to its answer: a random sample stands for them.
MOST_ROWS = 20_000


def side_frame(table: pa.Table | pd.DataFrame, *, columns: list[str], side: str) -> pd.DataFrame:
    """A side with the columns asked for, and the answers where it holds them."""
    present = table.column_names if isinstance(table, pa.Table) else list(table.columns)
    return as_frame(table, columns=[*columns, PREDICTION] if PREDICTION in present else columns, side=side)


def stretch_numbers(as_of: pd.Series[Any], *, window: tuple[datetime, datetime] | None, stretch: timedelta) -> IntArray:
    """Stretch of each reference row, 0 for the newest."""
    if window is None:
        raise InputError("Stretches are counted back from the reference window's end", field="reference_window")
    back = (pd.Timestamp(utc(window[1])) - pd.to_datetime(as_of, utc=True)).dt.total_seconds().to_numpy()
    return np.asarray(np.floor(back / stretch.total_seconds()), dtype=np.int64)


def choose_rows(
    table: pa.Table | pd.DataFrame, *, entity: str | None, seed: int, blocks: IntArray | None = None
) -> IntArray:
    """Row numbers: one random row per entity (and stretch), and at most `MOST_ROWS` of them, in their order.

    Only the key is read, so that a table of millions costs little.
    """
    random = np.random.default_rng(seed)
    rows = np.arange(len(table))
    if entity is not None:
        shuffled = random.permutation(len(table))
        keys = as_frame(table, columns=[entity], side="given").iloc[shuffled]
        if blocks is not None:
            keys = keys.assign(_stretch=blocks[shuffled])
        rows = np.sort(shuffled[~keys.duplicated().to_numpy()])
    if len(rows) > MOST_ROWS:
        rows = np.sort(random.choice(rows, MOST_ROWS, replace=False))
    return rows


def rows_of(table: pa.Table | pd.DataFrame, rows: IntArray) -> pa.Table | pd.DataFrame:
    """The rows with these numbers; the table itself where they are all."""
    if len(rows) == len(table):
        return table
    return table.take(pa.array(rows)) if isinstance(table, pa.Table) else table.iloc[rows]


def sampling_error(rows: int, compared: int) -> float:
    """How far a share among the compared rows may lie from that of all rows (95 %, at worst); 0 where all are."""
    # One row of each entity is no sample: all entities stand in it.
    return (
        0.0
        if rows <= compared or compared < MOST_ROWS
        else 1.96 * float(np.sqrt(0.25 / compared * (1 - compared / rows)))
    )
