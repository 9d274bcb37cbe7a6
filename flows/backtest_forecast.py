"""The backtest of a workspace's forecast, and its report."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import InputError

if TYPE_CHECKING:
    from flows.parts import Platform
    from training.forecast.asking import Forecaster


def backtest_forecast(
    platform: Platform, forecaster: Forecaster, *, at: datetime, origins: int, to: Path | None
) -> dict[str, Any]:
    """Judge the forecast on rolling origins and write the report.

    Args:
        platform: The workspace.
        forecaster: Its forecasts.
        at: The moment whose knowledge gives the actual values.
        origins: Most quarters to judge.
        to: The report; None: into the workspace's reports.

    Returns:
        The report's values, and `report`, its path.

    Raises:
        InputError: if the file is no .html.
        TooLittleDataError: if no quarter can be judged.
    """
    from training.forecast.backtest_asking import backtest_contents
    from training.forecast.backtest_report import backtest_document, write_backtest_report

    path = to or platform.workspace.reports / "forecast" / f"backtest-{at:%Y%m%dT%H%M%SZ}.html"
    if path.suffix != ".html":
        raise InputError(f"'{path.name}' is no page", expected="a name that ends in .html", field="to")
    contents = backtest_contents(forecaster, at=at, origins=origins)
    write_backtest_report(contents, path)
    return {**backtest_document(contents), "report": str(path)}
