"""Revenue forecasts that add up over levels and periods: from deals (`pipeline`) or from series (`series`)."""

from __future__ import annotations

from training.forecast.results import ForecastOutcome
from training.forecast.store import Forecast, ForecastStore
from training.forecast.train import train_forecast

__all__ = ["Forecast", "ForecastOutcome", "ForecastStore", "train_forecast"]
