"""Forecasts beside what happened: errors, bias and coverage by level and horizon, each beside a naive answer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from common.clock import utc
from common.errors import SalienceError
from monitoring.checks import Check, State, unknown
from training.forecast.metrics import bias, coverage, wape

if TYPE_CHECKING:
    from warehouse.store import Warehouse

NAIVE = "seasonal_naive"
NOMINAL = {"80": 0.80, "95": 0.95}
FEWEST_ROWS = 8
"""Forecasts of a level with a known outcome below which nothing is said of it."""
_BACKTEST = "backtest.parquet"


def made_forecasts(folder: Path, *, until: datetime) -> pd.DataFrame:
    """Every forecast that was made by `until`, one row per forecast, level, entity and period.

    Returns:
        Columns of the stored values, `origin` (when it was made, UTC) and `model_version`; empty where none was made.
    """
    from training.forecast.store import Forecast

    found = []
    for home in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not (home / "manifest.json").is_file():
            continue
        forecast = Forecast.read(home)
        if utc(forecast.as_of) <= until:
            found.append(forecast.values.assign(origin=utc(forecast.as_of), model_version=forecast.model_version))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def with_actuals(made: pd.DataFrame, warehouse: Warehouse, *, until: datetime) -> pd.DataFrame:
    """The rows whose period was over by `until`, with `actual`, as booked and known then.

    Raises:
        TooLittleDataError: if the warehouse has no deals or no money.
    """
    from training.forecast.backtest import actual_values
    from training.forecast.history import PipelineHistory
    from training.forecast.periods import parse_period

    if made.empty:
        return made
    periods = {name: parse_period(name) for name in made["period"].unique()}
    over = {name: period for name, period in periods.items() if period.stop <= until}
    rows = made[
        made["period"].isin(list(over)) & made["period"].map(lambda name: periods[name].start).ge(made["origin"])
    ]
    if rows.empty:
        return rows.assign(actual=np.nan)
    history = PipelineHistory(warehouse.ibis())
    truth = actual_values(history, list(over.values()), reps_at=until, known_at=until)
    return rows.merge(truth, on=["level", "entity_id", "period"], how="inner")


def accuracy_table(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Errors by level and horizon.

    Args:
        rows: Columns level, period, origin, expected, actual, the intervals' bounds and, if known, the naive answer.

    Returns:
        JSON values, one per level and horizon (whole months from the origin to the period's start): mape, mae, wape,
        bias, coverage_80, coverage_95, wape_naive, rows.
    """
    from training.forecast.periods import parse_period

    start = {name: parse_period(name).first_month for name in rows["period"].unique()}
    origin = pd.to_datetime(rows["origin"], utc=True)
    months = rows["period"].map(start) - (origin.dt.year * 12 + origin.dt.month - 1)
    table = []
    for key, group in rows.assign(horizon=months).groupby(["level", "horizon"], sort=False):
        level, horizon = cast("tuple[Any, Any]", key)
        table.append({"level": str(level), "horizon_months": int(horizon), **_errors(group)})
    return table


def _errors(group: pd.DataFrame) -> dict[str, Any]:
    actual, expected = (group[name].to_numpy(dtype=np.float64) for name in ("actual", "expected"))
    something = np.abs(actual) > 0
    errors: dict[str, Any] = {
        "rows": len(group),
        "mape": float((np.abs(actual - expected)[something] / np.abs(actual[something])).mean())
        if something.any()
        else None,
        "mae": float(np.abs(actual - expected).mean()),
        "wape": wape(actual, expected),
        "bias": bias(actual, expected),
    }
    for percent in NOMINAL:
        bounds = (group[f"{side}_{percent}"].to_numpy(dtype=np.float64) for side in ("lower", "upper"))
        errors[f"coverage_{percent}"] = coverage(actual, *bounds)
    if NAIVE in group and group[NAIVE].notna().all():
        errors["wape_naive"] = wape(actual, group[NAIVE].to_numpy(dtype=np.float64))
    return {name: None if isinstance(value, float) and np.isnan(value) else value for name, value in errors.items()}


def check_forecasts(
    forecasts: Path, warehouse: Warehouse, *, bundle: Path, until: datetime, least_share: float
) -> list[Check]:
    """Accuracy of the forecasts made so far, beside what the champion showed on its backtest.

    Fails where the newest forecasts lose to the naive answer that the champion beat, or are wrong by more than any of
    the backtest's origins was.
    """
    backtest = bundle / _BACKTEST
    figures: dict[str, Any] = {}
    if backtest.is_file():
        figures["backtest"] = accuracy_table(pd.read_parquet(backtest))
    try:
        rows = with_actuals(made_forecasts(forecasts, until=until), warehouse, until=until)
    except SalienceError as error:
        return [unknown("forecast accuracy", error.message)]
    if rows.empty:
        why = "No period that was forecast is over yet; the champion's backtest stands until then."
        return [Check(name="forecast accuracy", state=State.UNKNOWN, says=why, figures=figures)]
    figures["made"] = accuracy_table(rows)
    return [_judge(rows, backtest, figures, least_share=least_share)]


def _judge(rows: pd.DataFrame, backtest: Path, figures: dict[str, Any], *, least_share: float) -> Check:
    level = _lowest_level_with(rows)
    if level is None or not backtest.is_file():
        why = f"{len(rows)} forecasts have come to their end; {FEWEST_ROWS} of a level are needed to judge them."
        return Check(name="forecast accuracy", state=State.UNKNOWN, says=why, figures=figures)
    of_level = rows[rows["level"] == level]
    past = pd.read_parquet(backtest)
    by_origin = [
        wape(group["actual"].to_numpy(dtype=np.float64), group["expected"].to_numpy(dtype=np.float64))
        for _, group in past[past["level"] == level].groupby("origin")
    ]
    worst = max((error for error in by_origin if not np.isnan(error)), default=float("nan"))
    now = wape(of_level["actual"].to_numpy(dtype=np.float64), of_level["expected"].to_numpy(dtype=np.float64))
    share = max(0.0, now / worst - 1.0) if worst > 0 else 0.0
    past_worst = f"the worst of {len(by_origin)} past origins had {worst:.3f}"
    says = f"WAPE of {len(of_level)} {level} forecasts {now:.3f}; {past_worst}."
    state = State.FAILS if share >= least_share else State.OK
    return Check(
        name="forecast accuracy", state=state, says=says, cause=level, cost_share=min(1.0, share), figures=figures
    )


def _lowest_level_with(rows: pd.DataFrame) -> str | None:
    counts = rows.groupby("level", sort=False).size()
    enough: Sequence[Any] = [level for level, count in counts.items() if count >= FEWEST_ROWS]
    return str(enough[0]) if enough else None
