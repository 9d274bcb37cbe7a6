"""The backtest of a workspace's forecast, as its report takes it."""

from __future__ import annotations

from datetime import datetime

from training.forecast.asking import Forecaster
from training.forecast.backtest import PIPELINE_BASELINES, backtest_origins, backtest_pipeline
from training.forecast.backtest_report import BacktestContents
from training.forecast.history import LEVELS

_WHO_SPEAKS = (
    "The open deals' chances come from a small model trained at each origin on outcomes known by then; today's deal "
    "champion has learned from later ones."
)


def backtest_contents(forecaster: Forecaster, *, at: datetime, origins: int) -> BacktestContents:
    """The forecast judged on rolling origins, each from what was known then.

    Args:
        forecaster: The workspace's forecasts.
        at: The moment whose knowledge gives the actual values, UTC.
        origins: Most quarters to judge; series are judged on the newest periods that their protocol says.

    Raises:
        TooLittleDataError: if nothing can be judged.
    """
    if forecaster.protocol.kind == "series":
        return _series(forecaster, at=at)
    quarters = backtest_origins(forecaster.history, until=at, most=origins)
    rows, _ = backtest_pipeline(
        forecaster.history, quarters, until=at, within=True, progress=forecaster.progress, **forecaster.options
    )
    return BacktestContents(
        name=forecaster.workspace.name,
        as_of=at,
        unit=forecaster.protocol.unit,
        levels=LEVELS,
        baselines=PIPELINE_BASELINES,
        rows=rows,
        params={"quarters": ", ".join(quarter.name for quarter in quarters), **forecaster.options},
        notes=(_WHO_SPEAKS,),
    )


def _series(forecaster: Forecaster, *, at: datetime) -> BacktestContents:
    from training.forecast.train_series import train_series

    trained = train_series(
        forecaster.warehouse,
        forecaster.protocol,
        settings=forecaster.settings,
        at=at,
        progress=forecaster.progress,
    )
    return BacktestContents(
        name=forecaster.workspace.name,
        as_of=at,
        unit=forecaster.protocol.unit,
        levels=trained.forecast.levels,
        baselines=tuple(trained.baseline_names),
        rows=trained.backtest,
        params=trained.params,
        notes=(*trained.verdict, *trained.warnings),
    )
