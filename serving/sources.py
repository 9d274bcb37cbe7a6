"""What the engine needs of others: where features and forecasts come from, and where predictions are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from serving.scored import Scored
from serving.stored_features import Mark, Reading

if TYPE_CHECKING:
    from features.repository import OnlineAnswer


class Features(Protocol):
    """Where features come from: `StoredFeatures`."""

    def read(self, service: str, ids: Sequence[str], *, at: datetime) -> Reading:
        """Features from the online store."""
        ...

    def version(self) -> str | None:
        """What stays equal while nothing is written to the store; None where that cannot be told."""
        ...

    def ids(self, service: str) -> list[str]:
        """Ids of the leads or deals that the store holds."""
        ...

    def is_unchanged(self, mark: Mark) -> bool:
        """Whether the store still holds what a reading saw."""
        ...

    def from_payload(self, service: str, payload: Mapping[str, Any], *, at: datetime) -> OnlineAnswer:
        """Features computed from what an application sent."""
        ...


class Forecasts(Protocol):
    """The part of `ForecastStore` that serving reads."""

    def latest_id(self) -> str:
        """Id of the newest forecast."""
        ...

    def answer(self, *, level: str, entity_id: str, period: str) -> dict[str, Any]:
        """The newest forecast for an entity and period."""
        ...

    def get(self, forecast_id: str) -> dict[str, Any]:
        """The forecast that was answered under this id."""
        ...


class Sink(Protocol):
    """Where predictions are kept: `PredictionLog`."""

    written: int
    lost: int

    @property
    def problem(self) -> str | None:
        """Why predictions cannot be written; None while they can."""
        ...

    @property
    def waiting(self) -> int:
        """Predictions in memory because the log cannot be written."""
        ...

    def keep(self, scored: Scored, *, added: Mapping[str, Any], kind: str, seconds: float) -> None:
        """Keep one prediction."""
        ...
