"""A backtest in figures: errors, bias, pinball loss and coverage by level, grain and weeks before the period's end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from training.forecast.columns import QUANTILES
from training.forecast.metrics import FloatArray, bias, coverage, wape

OURS = "this forecast"
_WEEK = 7
_MONTH_DAYS, _NEAR_MONTHS = 30.4375, 0.1
_WIDER = 1.2
_LEAST_BEFORE = 3
_GRAINS = {1: "month", 3: "quarter", 12: "year"}


@dataclass(frozen=True, kw_only=True)
class Figures:
    """How one method did on one group of rows.

    Args:
        level: Level.
        grain: month, quarter or year.
        weeks_before_end: Weeks from the origin to the period's end, rounded; None for all together.
        method: `this forecast`, or a baseline.
        rows: Rows with an actual value and an answer.
        wape: Sum of absolute errors over the sum of absolute actual values.
        mape: Mean of absolute errors over actual values, where those are not 0; None where all are.
        mae: Mean absolute error, in the unit.
        bias: Sum of (forecast - actual) over the sum of absolute actual values; above 0 it said too much.
        pinball: Mean pinball loss of the five quantiles of the range over the mean of absolute actual values; a
            baseline's point counts as each of them.
        coverage_80: Share of actual values within the 80 % range; None for baselines.
        coverage_95: The same of the 95 % range.
    """

    level: str
    grain: str
    weeks_before_end: int | None
    method: str
    rows: int
    wape: float | None
    mape: float | None
    mae: float | None
    bias: float | None
    pinball: float | None
    coverage_80: float | None = None
    coverage_95: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


def with_distance(rows: pd.DataFrame) -> pd.DataFrame:
    """Backtest rows with `grain` and `weeks_before_end` (from the origin to the period's end, rounded)."""
    stop = pd.to_datetime(rows["period_end"], utc=True) + pd.Timedelta(days=1)
    left = (stop - pd.to_datetime(rows["origin"], utc=True)).dt.total_seconds() / 86_400.0
    start = pd.to_datetime(rows["period_start"], utc=True)
    length = ((stop.dt.year - start.dt.year) * 12 + stop.dt.month - start.dt.month).map(_GRAINS)
    # Months are of different lengths: two whole months are nine weeks, be it 59 days or 62.
    whole = np.rint(left / _MONTH_DAYS)
    weeks = np.where((left / _MONTH_DAYS - whole).abs() < _NEAR_MONTHS, whole * _MONTH_DAYS / _WEEK, left / _WEEK)
    return rows.assign(grain=length, weeks_before_end=np.rint(weeks).astype(np.int64))


def figures_of(rows: pd.DataFrame, *, levels: Sequence[str], baselines: Sequence[str]) -> list[Figures]:
    """All figures of a backtest.

    Args:
        rows: level, entity_id, period, period_start, period_end, origin, actual, expected, the range and the baselines.
        levels: Levels, highest first.
        baselines: Columns with naive answers; each is judged where it has an answer.

    Returns:
        By level, grain and method: all distances together, then each on its own.
    """
    told = with_distance(rows)
    found = []
    for level in levels:
        of_level = told[told["level"] == level]
        for grain in [name for name in _GRAINS.values() if (of_level["grain"] == name).any()]:
            group = of_level[of_level["grain"] == grain]
            distances = sorted(group["weeks_before_end"].unique().tolist(), reverse=True)
            for weeks in [None, *(distances if len(distances) > 1 else [])]:
                part = group if weeks is None else group[group["weeks_before_end"] == weeks]
                methods = [OURS, *(name for name in baselines if name in part)]
                found += [_judged(part, level, grain, weeks, method) for method in methods]
    return [one for one in found if one.rows]


def first_instant(rows: pd.DataFrame, *, grain: str) -> int | None:
    """Weeks before the end at which a grain's periods were forecast at their first instant; None where none was.

    Args:
        rows: As `with_distance` gives them.
        grain: month, quarter or year.
    """
    group = rows[rows["grain"] == grain]
    at_start = pd.to_datetime(group["origin"], utc=True) == pd.to_datetime(group["period_start"], utc=True)
    return int(group.loc[at_start, "weeks_before_end"].mode().iloc[0]) if at_start.any() else None


def best_baseline(figures: Sequence[Figures], level: str, grain: str, weeks: int | None = None) -> Figures | None:
    """The naive answer with the least WAPE, among those that answered every row that the forecast did."""
    group = [one for one in figures if (one.level, one.grain, one.weeks_before_end) == (level, grain, weeks)]
    ours = next((one for one in group if one.method == OURS), None)
    rivals = [one for one in group if one.method != OURS and ours is not None and one.rows == ours.rows]
    return min(rivals, key=lambda one: one.wape if one.wape is not None else np.inf, default=None)


def widths(rows: pd.DataFrame, *, level: str) -> pd.DataFrame:
    """The range of the highest level's quarters, origin by origin.

    Returns:
        Columns origin, period, weeks_before_end, expected, actual, the range, `width` (80 %
        range over the expected value), `held` (whether the 80 % range held) and, where the rows say so,
        `times_have_changed`.
    """
    told = with_distance(rows)
    of_level = told[(told["level"] == level) & (told["grain"] == _longest(told))]
    first = of_level["entity_id"].iloc[0] if len(of_level) else ""
    one = of_level[of_level["entity_id"] == first].sort_values(["period_start", "origin"])
    columns = ["origin", "period", "weeks_before_end", "expected", "actual", "lower_80", "upper_80", "lower_95"]
    told_of_times = [name for name in ("times_have_changed",) if name in one]
    kept = one[[*columns, "upper_95", *told_of_times]].reset_index(drop=True)
    return kept.assign(
        width=(kept["upper_80"] - kept["lower_80"]) / kept["expected"],
        held=(kept["actual"] >= kept["lower_80"]) & (kept["actual"] <= kept["upper_80"]),
    )


def width_sentences(told: pd.DataFrame) -> list[str]:
    """Whether the range widened before it was missed, or held what would have been missed.

    Each origin's range is set beside the mean of the earlier origins' at the same distance.

    Args:
        told: As `widths` gives it.
    """
    found: list[tuple[str, str]] = []
    narrow: dict[str, list[dict[Any, Any]]] = {}
    for _, group in told.groupby("weeks_before_end", sort=False):
        usual = group["width"].expanding().mean().shift()
        for number, (row, before) in enumerate(zip(group.to_dict("records"), usual.tolist(), strict=True)):
            if number < _LEAST_BEFORE:
                continue
            if row["width"] > _WIDER * before:
                found.append((row["period"], _widened(row, before)))
            elif not row["held"]:
                narrow.setdefault(row["period"], []).append(row | {"before": before})
    found += [(period, _did_not_widen(period, rows)) for period, rows in narrow.items()]
    return [text for _, text in sorted(found)]


def _widened(row: Mapping[Any, Any], before: float) -> str:
    miss = row["actual"] / row["expected"] - 1.0
    return (
        f"It widened ({row['width'] / before - 1.0:+.0%}): the range of {row['period']}, {row['weeks_before_end']} "
        f"weeks before its end, was {row['width']:.0%} of the forecast, after {before:.0%} before; what came was "
        f"{abs(miss):.0%} {_way(miss)} the forecast, {'and held' if row['held'] else 'and still missed'}."
    )


def _did_not_widen(period: str, rows: Sequence[Mapping[Any, Any]]) -> str:
    """One sentence of all the origins from which a period was missed by a range as wide as usual."""
    rows = sorted(rows, key=lambda row: -row["weeks_before_end"])
    misses = [row["actual"] / row["expected"] - 1.0 for row in rows]
    weeks = [str(row["weeks_before_end"]) for row in rows]
    when = " and ".join([", ".join(weeks[:-1]), weeks[-1]] if len(weeks) > 1 else weeks)
    ways = " or ".join(dict.fromkeys(_way(miss) for miss in misses))
    return (
        f"It did not widen: the range of {period}, {when} weeks before its end, was "
        f"{_between([row['width'] for row in rows])} of the forecast, after "
        f"{_between([row['before'] for row in rows])} before; what came was "
        f"{_between([abs(miss) for miss in misses])} {ways} the forecast, and missed"
        f"{' each time' if len(rows) > 1 else ''}."
    )


def _way(miss: float) -> str:
    return "below" if miss < 0 else "above"


def _between(shares: Sequence[float]) -> str:
    """The least and the greatest share; one where they read alike."""
    ends = dict.fromkeys(f"{share:.0%}" for share in (min(shares), max(shares)))
    return " to ".join(ends)


def change_sentences(rows: pd.DataFrame, *, level: str) -> list[str]:
    """At which origins the forecast said that times had changed, and how wide its ranges were there.

    Args:
        rows: The backtest; without the column `times_have_changed` there is nothing to say.
        level: The level whose ranges are compared, the highest.
    """
    if "times_have_changed" not in rows:
        return []
    told = with_distance(rows)
    main = told[(told["level"] == level) & (told["grain"] == _longest(told)) & (told["expected"] > 0)]
    seen = main["times_have_changed"].astype(bool)
    if not seen.any():
        return ["At no origin did the forecast say that the times had changed."]
    origins = pd.to_datetime(main.loc[seen, "origin"], utc=True)
    width = (main["upper_80"] - main["lower_80"]) / main["expected"]
    same = main["weeks_before_end"].isin(main.loc[seen, "weeks_before_end"])
    sentence = (
        f"At {origins.nunique()} of {main['origin'].nunique()} origins, first on {origins.min():%Y-%m-%d}, the "
        "forecast said that the times had changed"
    )
    if not (same & ~seen).any():
        return [f"{sentence}."]
    # Each distance counts alike: near its end a quarter's range is narrow, whatever else.
    changed, usual = (width[part].groupby(main["weeks_before_end"][part]).mean() for part in (seen, same & ~seen))
    both = changed.index.intersection(usual.index)
    return [
        f"{sentence}; its 80% ranges were {changed[both].mean():.0%} of the forecast there, and "
        f"{usual[both].mean():.0%} at the same distances elsewhere."
    ]


def pinball_loss(actual: FloatArray, quantile: FloatArray, *, share: float) -> float:
    """Mean pinball loss of a quantile (Koenker and Bassett 1978)."""
    gap = actual - quantile
    return float(np.maximum(share * gap, (share - 1.0) * gap).mean())


def _judged(rows: pd.DataFrame, level: str, grain: str, weeks: int | None, method: str) -> Figures:
    column = "expected" if method == OURS else method
    known = rows[rows[column].notna() & rows["actual"].notna()]
    said, actual = (known[name].to_numpy(dtype=np.float64) for name in (column, "actual"))
    scale = float(np.abs(actual).mean()) if len(known) else 0.0
    points = {name: known[name if method == OURS else column].to_numpy(dtype=np.float64) for name in QUANTILES}
    losses = (
        [pinball_loss(actual, points[name], share=share) for name, share in QUANTILES.items()] if len(known) else []
    )
    some = actual != 0
    is_ours = method == OURS
    return Figures(
        level=level,
        grain=grain,
        weeks_before_end=weeks,
        method=method,
        rows=len(known),
        wape=_number(wape(actual, said)),
        mape=_number(float(np.abs(said[some] / actual[some] - 1.0).mean())) if some.any() else None,
        mae=float(np.abs(said - actual).mean()) if len(known) else None,
        bias=_number(bias(actual, said)),
        pinball=float(np.mean(losses)) / scale if losses and scale > 0 else None,
        coverage_80=_number(coverage(actual, points["lower_80"], points["upper_80"])) if is_ours else None,
        coverage_95=_number(coverage(actual, points["lower_95"], points["upper_95"])) if is_ours else None,
    )


def _longest(told: pd.DataFrame) -> str:
    present: Mapping[str, bool] = dict.fromkeys(told["grain"].unique(), True)
    return next((name for name in ("quarter", "month", "year") if name in present), "quarter")


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None
