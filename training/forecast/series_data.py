"""From the warehouse's `series_values` to a matrix of bottom series and their hierarchy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from common.errors import ContractError, TooLittleDataError, shorten
from training.forecast.metrics import FloatArray
from training.forecast.periods import Period
from training.forecast.reconciliation import Hierarchy, build_hierarchy

_MONTHS_OF_FREQUENCY = {"MS": 1, "QS": 3}
TOTAL = "total"


@dataclass(frozen=True)
class SeriesData:
    """Bottom series without gaps and the levels above them.

    Args:
        hierarchy: Levels, ids and summing matrix.
        periods: Periods of the columns of `bottom`, consecutive.
        bottom: Values in the series' own unit, shape (n_bottom, n_periods).
    """

    hierarchy: Hierarchy
    periods: tuple[Period, ...]
    bottom: FloatArray

    @property
    def all_levels(self) -> FloatArray:
        """Values of all series of all levels, shape (n_series, n_periods)."""
        values: FloatArray = self.hierarchy.summing @ self.bottom
        return values

    def until(self, n_periods: int) -> SeriesData:
        """The same series with the oldest `n_periods` periods only."""
        return SeriesData(self.hierarchy, self.periods[:n_periods], self.bottom[:, :n_periods])


def read_series(warehouse: Any, *, as_of: datetime) -> pd.DataFrame:
    """Values of `series_values` as known at `as_of`: the newest record of each series and period."""
    from warehouse.as_known import visible

    rows: pd.DataFrame = visible(warehouse.ibis()["series_values"], as_of).execute()
    newest = rows.sort_values(["created_timestamp", "value_id"], kind="stable")
    return newest.drop_duplicates(["series_id", "period_start"], keep="last")


def arrange_series(rows: pd.DataFrame, *, level_names: Sequence[str] = ("level_1", "level_2")) -> SeriesData:
    """Lay out `series_values` rows as a matrix with its hierarchy.

    Levels are `total`, the groupings that exist (each named by its path, `South Australia/Adelaide`), and `series`.

    Args:
        rows: Columns of the contract `series_values`; one row per series and period.
        level_names: Names to give to `level_1` and `level_2` in answers.

    Raises:
        TooLittleDataError: if there are no rows.
        ContractError: if a series has gaps, or frequencies are mixed.
    """
    if rows.empty:
        raise TooLittleDataError("There are no series to forecast", next_step="load a source with series")
    frequencies = sorted(rows["frequency"].unique())
    if len(frequencies) > 1:
        raise ContractError("Series of different frequencies cannot be added up", got=", ".join(frequencies))
    wide = rows.pivot(index="series_id", columns="period_start", values="value").sort_index().sort_index(axis=1)
    periods = _consecutive_periods(
        [pd.Timestamp(start).date() for start in wide.columns], _MONTHS_OF_FREQUENCY[frequencies[0]]
    )
    gaps = wide.index[wide.isna().any(axis=1)]
    if len(gaps) > 0:
        raise ContractError(
            f"{len(gaps)} of {len(wide)} series have missing periods (first: {shorten(gaps)})",
            expected="a value for every period of every series",
            next_step="fill the gaps in the source, or leave these series out",
        )
    groups = rows.drop_duplicates("series_id").set_index("series_id").loc[wide.index]
    return SeriesData(
        hierarchy=build_hierarchy(_paths(groups, level_names)),
        periods=periods,
        bottom=wide.to_numpy(dtype=np.float64),
    )


def _paths(groups: pd.DataFrame, level_names: Sequence[str]) -> dict[str, list[str]]:
    paths: dict[str, list[str]] = {TOTAL: [TOTAL] * len(groups)}
    prefix = pd.Series([""] * len(groups), index=groups.index)
    for column, name in zip(("level_1", "level_2"), level_names, strict=False):
        # A grouping that every series has, and that is coarser than the series themselves, is a level.
        if groups[column].isna().any():
            break
        prefix = prefix.where(prefix == "", prefix + "/") + groups[column].astype(str)
        if 1 < prefix.nunique() < len(groups):
            paths[name] = prefix.tolist()
    paths["series"] = [str(name) for name in groups.index]
    return paths


def _consecutive_periods(starts: Sequence[date], n_months: int) -> tuple[Period, ...]:
    periods = [Period((start.year * 12 + start.month - 1), n_months) for start in starts]
    for before, after in pairwise(periods):
        if after != before.shifted(1):
            raise ContractError(
                f"No series has a value between {before.name} and {after.name}",
                expected="a value for every period",
                next_step="fill the gap in the source",
            )
    return tuple(periods)
