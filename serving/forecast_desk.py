"""What the forecast's routes need beyond the stored forecast: adjustments that add up, and comparisons of scenarios."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from common.settings import Settings
from common.workspace import Workspace
from serving.beside import ProcessBeside

if TYPE_CHECKING:
    from training.forecast.asking import Forecaster
    from training.forecast.overrides import Applied, ForecastOverride
    from training.forecast.places import Places
    from training.forecast.scenario_store import ScenarioStore
    from training.forecast.store import Forecast

TASK = "forecast"


class ForecastDesk:
    """Adjustments and scenarios of a workspace's forecast; safe to use from any thread.

    Args:
        settings: Clock, seed and stores.
        workspace: Whose forecast.
    """

    def __init__(self, settings: Settings, workspace: Workspace) -> None:
        self._settings, self._workspace = settings, workspace
        self._beside = ProcessBeside("serving.scenario_runner", settings, workspace)
        self._applied: tuple[tuple[Any, ...], Applied] | None = None
        self._lock = threading.Lock()

    @cached_property
    def scenarios(self) -> ScenarioStore:
        """The comparisons of the workspace."""
        from training.forecast.scenario_store import ScenarioStore

        return ScenarioStore(self._workspace)

    def check(self, answer: Mapping[str, Any], value: float | None, held: Mapping[str, Mapping[str, Any]]) -> None:
        """Refuse an adjustment that cannot hold beside the standing ones.

        Args:
            answer: The value that is adjusted, as the store answers it.
            value: What is to hold; None takes a word back, which is always possible.
            held: The standing decisions by their key.

        Raises:
            ConflictError: if it cannot hold.
            InputError: if its period is over.
        """
        from training.forecast.history import LEVELS
        from training.forecast.overrides import check_override

        forecast = self._forecast(answer)
        if value is None or forecast.levels != LEVELS:
            return
        place = {name: answer[name] for name in ("level", "entity_id", "period")}
        check_override(forecast, self._places(forecast.as_of), standing_of(held), value=value, **place)

    def adjusted(self, answer: Mapping[str, Any], held: Mapping[str, Mapping[str, Any]]) -> float | None:
        """The expected value with everybody's standing adjustments, spread and summed; None where there are none.

        Args:
            answer: A value, as the store answers it.
            held: The standing decisions by their key.
        """
        from training.forecast.history import LEVELS
        from training.forecast.overrides import apply_overrides

        overrides = standing_of(held)
        if not overrides:
            return None
        forecast = self._forecast(answer)
        if forecast.levels != LEVELS:
            return None
        key = (forecast.forecast_id, tuple((one.key, one.value) for one in overrides))
        with self._lock:
            if self._applied is None or self._applied[0] != key:
                self._applied = (key, apply_overrides(forecast, self._places(forecast.as_of), overrides))
            applied = self._applied[1]
        if not applied.holding:
            return None
        row = int(str(answer["forecast_id"]).rpartition("-")[2])
        return float(applied.values["adjusted"].loc[row])

    def submit(
        self, scenarios: Sequence[Any] | None, *, period: str, level: str, entity_id: str | None, by: str
    ) -> dict[str, Any]:
        """Keep a comparison of scenarios and see to it that it is computed; the same inputs are computed once.

        Args:
            scenarios: `training.forecast.scenario_file.Scenario`s; None for the built-in three.
            period: For when.
            level: Level whose entities are shown.
            entity_id: The one that levers are valued for.
            by: Who asks.

        Raises:
            InputError: if the period is over or outside the horizon, or too many wait.
            NotFoundError: if there is no such level, entity, region, team or rep.
            TooLittleDataError: if the past spread cannot be measured.
        """
        from training.forecast.scenario_store import new_comparison
        from warehouse.present import known_until

        forecaster = open_forecaster(self._settings, self._workspace)
        at = known_until(self._settings, forecaster.warehouse)
        asked = new_comparison(forecaster, scenarios, period=period, level=level, entity_id=entity_id, at=at, by=by)
        kept = self.scenarios.submit(asked)
        self.start()
        return kept

    def start(self) -> None:
        """Start the process that computes comparisons, if one waits and nobody is at it."""
        if self._beside.is_running or self.scenarios.next() is None:
            return
        with self.scenarios.turn() as is_free:
            if not is_free:
                return
        self._beside.start(self.scenarios.folder / "runner.log")

    def stop(self) -> None:
        """End it; what it was at is computed when the service runs again."""
        self._beside.stop()

    def _forecast(self, answer: Mapping[str, Any]) -> Forecast:
        from training.forecast.store import ForecastStore

        whole = str(answer["forecast_id"]).rpartition("-")[0]
        return ForecastStore(self._workspace.forecasts).forecast(whole)

    def _places(self, at: datetime) -> Places:
        return open_forecaster(self._settings, self._workspace).places(at)


def open_forecaster(settings: Settings, workspace: Workspace) -> Forecaster:
    """The forecasts of a workspace as of any moment.

    Raises:
        InputError: if its source feeds no forecast.
        SourceError: if it has no source.
    """
    from features.repository import FeatureRepository
    from training.forecast.asking import Forecaster
    from training.registry import ModelRegistry
    from warehouse.own_mapping import source_of
    from warehouse.store import Warehouse

    warehouse = Warehouse(workspace.warehouse)
    return Forecaster(
        workspace,
        warehouse,
        repository=FeatureRepository(workspace, warehouse, settings.online_store),
        registry=ModelRegistry(settings),
        protocol=source_of(workspace).forecast,
        settings=settings,
    )


def standing_of(held: Mapping[str, Mapping[str, Any]]) -> list[ForecastOverride]:
    """The standing adjustments among decisions, oldest first.

    Args:
        held: Decisions in effect by their key; those about one stored figure, from before adjustments added up, are
            left out.
    """
    from training.forecast.overrides import ForecastOverride

    found = []
    for key, one in held.items():
        level, _, rest = key.partition("/")
        entity_id, _, period = rest.rpartition("/")
        if entity_id:
            found.append((one["at"], level, entity_id, period, one))
    return [
        ForecastOverride(
            number=number,
            level=level,
            entity_id=entity_id,
            period=period,
            value=float(one["value"]),
            who=one["by"],
            because=one["justification"],
            at=at if isinstance(at, datetime) else datetime.now(UTC),
            model=None,
            as_of=None,
            model_version=None,
        )
        for number, (at, level, entity_id, period, one) in enumerate(sorted(found, key=lambda part: part[:4]), 1)
    ]
