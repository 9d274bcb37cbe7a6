"""The forecast's bundle as an MLflow pyfunc: a table of questions in, a table of answers out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.forecast.store import Forecast

if TYPE_CHECKING:
    import pandas as pd

QUESTION = ("level", "entity_id", "period")
ANSWER = ("expected", "median", "lower_80", "upper_80", "lower_95", "upper_95")


class ForecastModel:
    """Answers questions about levels, entities and periods.

    Args:
        forecast: The forecast of the bundle.
    """

    def __init__(self, forecast: Forecast) -> None:
        self._forecast = forecast

    def predict(self, questions: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002
        """The columns of `ANSWER` for each row's level, entity_id and period; NaN where the forecast has none.

        MLflow passes `params`, which a forecast has no use for.
        """
        asked = questions[list(QUESTION)].astype(str)
        merged = asked.merge(self._forecast.values[[*QUESTION, *ANSWER]], on=list(QUESTION), how="left")
        merged.index = questions.index
        return merged[list(ANSWER)]


def _load_pyfunc(path: str) -> ForecastModel:
    return ForecastModel(Forecast.read(Path(path)))
