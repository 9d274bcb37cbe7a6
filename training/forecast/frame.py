"""From bottom-level components and sample paths to one row per level, entity and period that adds up to the cent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.forecast.columns import COMPONENTS, QUANTILES, STAGE_PREFIX
from training.forecast.metrics import FloatArray
from training.forecast.periods import Period
from training.forecast.ranges import factor_of, range_key
from training.forecast.reconciliation import Hierarchy

Cents = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class BottomForecast:
    """What is forecast for each bottom entity and base period; everything else is sums of it.

    Args:
        hierarchy: Levels above the bottom entities.
        base: Base periods (months or quarters), consecutive.
        components: Name (`closed`, `open`, `new`, or `future` where they are not known apart) to hundredths of the
            unit, shape (n_bottom, n_base). Their sum is the expected value.
        paths: Sample paths of all that is not closed, shape (n_paths, n_bottom, n_base).
        baselines: Name to values, shape (n_bottom, n_base); NaN where not known.
        factors: Conformal factor by group of ranges (`ranges.range_key`) and nominal coverage in percent; 1 where
            absent.
        origin_month: Number of the month of the moment; None where ranges are grouped by level alone.
        stages: The component `open` by the deals' stage, hundredths, shape (n_bottom, n_base) each; they sum to it.
        moves: What open deals bring, by the base period of the entered close date (the last place: none of them) and
            the one in which the win is expected (the last place: later), hundredths, shape (n_bottom, n_base + 1,
            n_base + 1); None where there are no deals.
    """

    hierarchy: Hierarchy
    base: tuple[Period, ...]
    components: Mapping[str, Cents]
    paths: FloatArray
    baselines: Mapping[str, FloatArray] = field(default_factory=dict)
    factors: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    stages: Mapping[str, Cents] = field(default_factory=dict)
    moves: Cents | None = None
    origin_month: int | None = None


def to_cents(values: FloatArray) -> Cents:
    """Hundredths of the unit, rounded half to even."""
    cents: Cents = np.rint(values * 100).astype(np.int64)
    return cents


def summarise(forecast: BottomForecast, periods: Sequence[Period]) -> pd.DataFrame:
    """One row per level, entity and period.

    Sums are taken of whole hundredths, so that months add up to quarters and reps to the company exactly. Intervals
    come from the paths' sums, widened around the median by the level's conformal factor.

    Returns:
        Columns level, entity_id, period, period_start, period_end (its last day), expected, median, lower_80, upper_80,
        lower_95, upper_95, the components, `open` by stage (`open:<stage>`), `slipping_in`, `slipping_out`, and the
        baselines.
    """
    position = {period.first_month: column for column, period in enumerate(forecast.base)}
    length = forecast.base[0].n_months
    inside = {
        period: [position[month] for month in period.months if (month - period.first_month) % length == 0]
        for period in periods
    }
    paths = {period: forecast.paths[:, :, columns].sum(axis=2) for period, columns in inside.items()}
    blocks = []
    for level in forecast.hierarchy.levels:
        rows = forecast.hierarchy.summing[forecast.hierarchy.rows(level)]
        members = rows.astype(np.int64)
        for period, columns in inside.items():
            cents = {
                name: members @ values[:, columns].sum(axis=1, dtype=np.int64)
                for name, values in forecast.components.items()
            }
            block: dict[str, object] = {
                "level": level,
                "entity_id": list(forecast.hierarchy.ids[level]),
                "period": period.name,
                "period_start": period.start.date(),
                "period_end": period.last_day,
                "expected": sum(cents.values()) / 100.0,
            }
            block |= _ranges(paths[period] @ rows.T, cents.get("closed"), _factors(forecast, level, period))
            block |= {name: cents[name] / 100.0 if name in cents else np.nan for name in COMPONENTS}
            block |= _open_split(forecast, members, columns)
            for name, values in forecast.baselines.items():
                block[name] = _sums(rows, values[:, columns].sum(axis=1))
            blocks.append(pd.DataFrame(block))
    return pd.concat(blocks, ignore_index=True)


def _settle_ties(found: dict[str, FloatArray], sums: FloatArray) -> None:
    """Lower the upper ends where many paths lie at the lower end: a range holds the share of paths that it says.

    A rep who sells nothing in a third of the paths has 0 as the lower end, and nothing lies below it; the upper end is
    then where the range's share is reached, not where the other tail begins.
    """
    for percent, share in ((80, 0.8), (95, 0.95)):
        lower = found[f"lower_{percent}"]
        below = (sums < lower).mean(axis=0)
        tied = np.flatnonzero(below < (1.0 - share) / 2 - 1.0 / len(sums))
        if len(tied):
            ends = _quantiles(sums[:, tied], share + below[tied])
            found[f"upper_{percent}"][tied] = np.maximum(ends, found["median"][tied])


def _quantiles(values: FloatArray, shares: FloatArray) -> FloatArray:
    """The quantile of each column at a share of its own, between neighbours in proportion."""
    ordered = np.sort(values, axis=0)
    place = np.clip(shares, 0.0, 1.0) * (len(values) - 1)
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, len(values) - 1)
    column = np.arange(values.shape[1])
    return np.asarray(
        ordered[low, column] + (place - low) * (ordered[high, column] - ordered[low, column]), dtype=np.float64
    )


def _factors(forecast: BottomForecast, level: str, period: Period) -> Mapping[int, float]:
    if forecast.origin_month is None:
        return forecast.factors.get(level, {})
    return factor_of(forecast.factors, range_key(level, period, origin_month=forecast.origin_month))


def _open_split(forecast: BottomForecast, members: Cents, columns: list[int]) -> dict[str, FloatArray]:
    found: dict[str, FloatArray] = {
        f"{STAGE_PREFIX}{stage}": members @ values[:, columns].sum(axis=1, dtype=np.int64) / 100.0
        for stage, values in forecast.stages.items()
    }
    if forecast.moves is None:
        return found
    elsewhere = [place for place in range(forecast.moves.shape[1]) if place not in columns]
    later = [place for place in elsewhere if place > max(columns)]
    into = forecast.moves[:, elsewhere][:, :, columns].sum(axis=(1, 2), dtype=np.int64)
    out = forecast.moves[:, columns][:, :, later].sum(axis=(1, 2), dtype=np.int64)
    return found | {"slipping_in": members @ into / 100.0, "slipping_out": members @ out / 100.0}


def _sums(rows: FloatArray, values: FloatArray) -> FloatArray:
    # NaN times 0 is NaN: without this an entity that lacks a value would take it from those it has no part in.
    unknown = rows @ np.isnan(values) > 0
    return np.where(unknown, np.nan, np.round(rows @ np.nan_to_num(values), 2))


def _ranges(sums: FloatArray, closed: Cents | None, factors: Mapping[int, float]) -> dict[str, FloatArray]:
    fixed = closed / 100.0 if closed is not None else np.zeros(sums.shape[1])
    points = np.quantile(sums, list(QUANTILES.values()), axis=0)
    found = dict(zip(QUANTILES, points, strict=True))
    _settle_ties(found, sums)
    median = found["median"]
    # What cannot be negative as a path is not made negative by widening.
    floor = np.where(sums.min(axis=0) >= 0, 0.0, -np.inf)
    wide = {
        name: median + (value - median) * factors.get(int(name[-2:]), 1.0)
        for name, value in found.items()
        if name != "median"
    }
    wide["lower_95"] = np.minimum(wide["lower_95"], wide["lower_80"])
    wide["upper_95"] = np.maximum(wide["upper_95"], wide["upper_80"])
    ordered = {"median": median, **{name: wide[name] for name in ("lower_80", "upper_80", "lower_95", "upper_95")}}
    return {name: np.round(np.maximum(value, floor) + fixed, 2) for name, value in ordered.items()}
