"""The forecast of a workspace as of any moment: as it was stored then, or as what was known then says today."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from common.code_version import code_digest
from common.errors import InputError, NotFoundError
from common.whole_files import write_whole
from training.forecast.backtest import backtest_origins, backtest_pipeline
from training.forecast.frame import BottomForecast, summarise
from training.forecast.history import LEVELS, PipelineHistory
from training.forecast.learning import Learned, WinProbabilities, learn_pipeline
from training.forecast.levers import Levers
from training.forecast.periods import month_number, periods_within
from training.forecast.pipeline import NEUTRAL, forecast_pipeline
from training.forecast.pipeline_baselines import quota_values
from training.forecast.places import Places, places_of
from training.forecast.ranges import Factors
from training.forecast.store import Forecast, ForecastStore
from training.forecast.train_pipeline import MOST_ORIGINS, N_PATHS, champion_probabilities, months_ahead

if TYPE_CHECKING:
    import pandas as pd

    from common.settings import Settings
    from common.workspace import Workspace
    from features.repository import FeatureRepository
    from training.registry import ModelRegistry
    from training.results import RegisteredModel
    from warehouse.sources import ForecastProtocol
    from warehouse.store import Warehouse

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A forecast and where it comes from.

    Args:
        forecast: The forecast.
        is_stored: Whether it was made and kept at its moment; else it was computed now from what was known then.
        notes: What a reader should know.
    """

    forecast: Forecast
    is_stored: bool
    notes: tuple[str, ...] = ()


class Forecaster:
    """Answers what the forecast of a workspace is, or would have been, at any moment.

    Args:
        workspace: Whose.
        warehouse: Its history.
        repository: Its features, for the deal champion's probabilities.
        registry: Where that champion is.
        protocol: Kind, horizon, season and unit; None where the source feeds no forecast.
        settings: Seed.
        progress: Told (what, done, total) of long work.
    """

    def __init__(
        self,
        workspace: Workspace,
        warehouse: Warehouse,
        *,
        repository: FeatureRepository,
        registry: ModelRegistry,
        protocol: ForecastProtocol | None,
        settings: Settings,
        progress: Progress | None = None,
    ) -> None:
        if protocol is None:
            raise InputError(
                f"The source of '{workspace.name}' feeds no forecast",
                next_step="choose a source that has deals and money, or series",
            )
        self.workspace, self.warehouse, self.protocol, self.settings = workspace, warehouse, protocol, settings
        self.store = ForecastStore(workspace.forecasts)
        self._repository, self._registry, self.progress = repository, registry, progress
        self._learned: dict[datetime, tuple[Learned, tuple[str, ...]]] = {}

    @cached_property
    def history(self) -> PipelineHistory:
        """The canonical tables as they were known.

        Raises:
            InputError: if the source has series only.
            TooLittleDataError: if deals, money or reps are absent.
        """
        if self.protocol.kind == "series":
            raise InputError(
                f"'{self.workspace.name}' has series and no deals, so this cannot be told",
                expected="a source with deals, money and reps",
            )
        return PipelineHistory(self.warehouse.ibis())

    def ask(self, at: datetime, *, ranges: bool = True) -> Asked:
        """The forecast as of a moment.

        Args:
            at: The moment, UTC.
            ranges: Whether the ranges are needed; without them no backtest has to run, and they are not conformal.

        Raises:
            TooLittleDataError: if too little was known then.
        """
        stored = self.store.find(at)
        if stored is not None:
            return Asked(forecast=stored, is_stored=True, notes=tuple(stored.details.get("notes", ())))
        return self.compute(at, ranges=ranges)

    def compute(self, at: datetime, *, ranges: bool = True, anew: bool = False) -> Asked:
        """The forecast computed now from what was known at a moment, whether or not it was stored then.

        Args:
            at: The moment, UTC.
            ranges: As in `ask`.
            anew: Whether to judge past ranges again too, where what came of it is kept.

        Raises:
            TooLittleDataError: if too little was known then.
        """
        if self.protocol.kind == "series":
            from training.forecast.train_series import train_series

            trained = train_series(self.warehouse, self.protocol, settings=self.settings, at=at, progress=self.progress)
            return Asked(forecast=trained.forecast, is_stored=False, notes=tuple(trained.warnings))
        bottom = self.make(at, NEUTRAL, ranges=ranges, anew=anew)
        months = self.months(at)
        periods = [one for one in periods_within(months) if one.first_month + one.n_months > month_number(at)]
        values = summarise(bottom, periods).merge(
            quota_values(self.history, periods, at=at), on=["level", "entity_id", "period"], how="left"
        )
        learned, notes = self.learned(at)
        forecast = Forecast(
            as_of=at,
            kind="pipeline",
            unit=self.protocol.unit,
            model_version="unregistered",
            created_at=datetime.now(UTC),
            levels=LEVELS,
            values=values,
            details=learned.details(),
        )
        return Asked(forecast=forecast, is_stored=False, notes=(*notes, *learned.notes))

    def months(self, at: datetime) -> range:
        """Numbers of the months that a forecast made at a moment covers."""
        return months_ahead(at, horizon=self.protocol.horizon)

    def make(self, at: datetime, levers: Levers, *, ranges: bool = True, anew: bool = False) -> BottomForecast:
        """The forecast's smallest parts with levers, its conformal factors in it; everything is learned once."""
        learned, _ = self.learned(at)
        made = forecast_pipeline(
            self.history, at=at, months=self.months(at), levers=levers, learned=learned, **self.options
        )
        return replace(made.bottom, factors=self.factors(at, anew=anew) if ranges else {})

    def learned(self, at: datetime) -> tuple[Learned, tuple[str, ...]]:
        """What was learned as of a moment, and what a reader should know about it."""
        if at not in self._learned:
            probabilities, notes = self.win_probabilities(at)
            learned = learn_pipeline(
                self.history,
                at=at,
                season_length=self.protocol.season_length,
                seed=self.settings.training.seed,
                win_probabilities=probabilities,
            )
            self._learned[at] = (learned, notes)
        return self._learned[at]

    @property
    def options(self) -> dict[str, Any]:
        """Options of every forecast of the workspace."""
        return {
            "season_length": self.protocol.season_length,
            "n_paths": N_PATHS,
            "seed": self.settings.training.seed,
        }

    def win_probabilities(self, at: datetime) -> tuple[WinProbabilities | None, tuple[str, ...]]:
        """What the deal model says about the deals open at a moment: the one that spoke in the forecast kept for it.

        Where none is kept, the champion, if it knew nothing later.
        """
        from training.record import TrainingRecord

        name = self.workspace.model_name("deal")
        kept = self.store.find(at)
        if kept is not None and "deal_model_version" in kept.details:
            return self._spoken(kept.details["deal_model_version"], at=at)
        champion = self._registry.champion(name)
        if champion is not None:
            try:
                cut = datetime.fromisoformat(TrainingRecord.read(champion.bundle).cut)
            except NotFoundError:
                cut = datetime.max.replace(tzinfo=UTC)
            if cut > at:
                return None, (
                    f"The deal champion {champion.version} has learned from what came after {at:%Y-%m-%d}, so a small "
                    "model trained on what was known then speaks for the open deals.",
                )
        found, notes = champion_probabilities(self._repository, self.warehouse, self._registry, at=at)
        return found, tuple(notes)

    def _spoken(self, version: str | None, *, at: datetime) -> tuple[WinProbabilities | None, tuple[str, ...]]:
        if version is None:
            return None, ("A small model of open deals, trained for the forecast alone, spoke for them.",)
        spoke = _AsItWas(self._registry, version)
        found, notes = champion_probabilities(self._repository, self.warehouse, spoke, at=at)  # type: ignore[arg-type]
        return found, tuple(notes)

    def reps(self, at: datetime) -> pd.DataFrame:
        """The reps of the forecast's rows as known at a moment, `unassigned` last, with their territories if known."""
        from training.forecast.learning import with_unassigned

        known = self.history.reps(at)
        reps = with_unassigned(known)
        if "territory_id" in known:
            reps = reps.merge(known[["rep_id", "territory_id"]], on="rep_id", how="left")
        return reps

    def places(self, at: datetime) -> Places:
        """Who belongs to which team and region in each month of a forecast, as known at a moment."""
        return places_of(self.reps(at), months=self.months(at), versions=self.history.teams(at))

    def factors(self, at: datetime, *, anew: bool = False) -> Factors:
        """Conformal factors as of a moment, from the quarters that were over; kept with the forecasts.

        Raises:
            TooLittleDataError: if no quarter can be judged.
        """
        stored = None if anew else self.store.find(at)
        if stored is not None and "range_factors" in stored.details:
            return _with_percents(stored.details["range_factors"])
        quarters = backtest_origins(self.history, until=at, most=MOST_ORIGINS)
        made_from = [
            [quarter.name for quarter in quarters],
            at.isoformat(),
            self.options,
            self.warehouse.fingerprint(),
            code_digest(("training",)),
        ]
        digest = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:16]
        path = self.workspace.forecasts / "ranges" / f"{digest}.json"
        if path.is_file() and not anew:
            return _with_percents(json.loads(path.read_text(encoding="utf-8")))
        _, factors = backtest_pipeline(self.history, quarters, until=at, progress=self.progress, **self.options)
        write_whole(path, json.dumps(factors) + "\n")
        return factors


@dataclass(frozen=True)
class _AsItWas:
    """A registry in which an earlier version is the champion still."""

    registry: ModelRegistry
    version: str

    def champion(self, name: str) -> RegisteredModel:
        return self.registry.version(name, self.version)


def _with_percents(kept: Mapping[str, Mapping[str, float]]) -> Factors:
    """Factors as JSON keeps them, whose keys are text."""
    return {level: {int(percent): float(factor) for percent, factor in of.items()} for level, of in kept.items()}
