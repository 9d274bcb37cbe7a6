"""Forecasts on disk: one folder per forecast, never changed, and a pointer to the newest."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import InputError, NotFoundError, UnavailableError, shorten
from training.forecast.columns import COMPONENTS, KEYS, SLIPPING, STAGE_PREFIX
from training.forecast.periods import parse_period

if TYPE_CHECKING:
    import pandas as pd

VALUES_FILE = "values.parquet"
MANIFEST_FILE = "manifest.json"
_LATEST = "latest.json"
_FIXED = {*KEYS, "period_start", "period_end", "expected", "median", *COMPONENTS, *SLIPPING}
_NO_BASELINE = ("lower_", "upper_", STAGE_PREFIX)
_OF_ALL = ("as_of", "unit", "model_version", "created_at")
_INTERVALS = {"80": ("lower_80", "upper_80"), "95": ("lower_95", "upper_95")}


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """A forecast of all levels, entities and periods, as it was known at one moment.

    Args:
        as_of: The moment; nothing known later is in it.
        kind: `pipeline` or `series`.
        unit: Unit of the values, such as `usd`.
        model_version: Version of the registered model; "unregistered" before it has one.
        created_at: When it was computed, UTC.
        levels: Names of the levels, highest first.
        values: One row per level, entity and period, as `frame.summarise` gives them.
        details: Further JSON values that say how it came to be.
    """

    as_of: datetime
    kind: str
    unit: str
    model_version: str
    created_at: datetime
    levels: tuple[str, ...]
    values: pd.DataFrame
    details: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def forecast_id(self) -> str:
        """`20260101T000000Z-` and a digest of everything but `created_at`: the same forecast has the same id."""
        digest = hashlib.sha256()
        digest.update(
            json.dumps([self.as_of.isoformat(), self.kind, self.unit, self.model_version, self.levels]).encode()
        )
        digest.update(self.values.to_csv(index=False).encode())
        return f"{self.as_of:%Y%m%dT%H%M%SZ}-{digest.hexdigest()[:10]}"

    def write(self, folder: Path, *, more: Mapping[str, Any] | None = None) -> None:
        """Write values and manifest into `folder`, which exists; `more` are further JSON values of the manifest."""
        self.values.to_parquet(folder / VALUES_FILE, index=False)
        manifest = {
            "task": "forecast",
            "forecast_id": self.forecast_id,
            "as_of": self.as_of.isoformat(),
            "kind": self.kind,
            "unit": self.unit,
            "version": self.model_version,
            "created_at": self.created_at.isoformat(),
            "levels": list(self.levels),
            "details": dict(self.details),
            **(more or {}),
        }
        (folder / MANIFEST_FILE).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Forecast:
        """Read what `write` wrote.

        Raises:
            NotFoundError: if the folder holds no forecast.
        """
        import pandas as pd

        path = folder / MANIFEST_FILE
        if not path.is_file():
            raise NotFoundError(f"{folder} holds no forecast", next_step="make one with `salience train forecast`")
        manifest = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            as_of=datetime.fromisoformat(manifest["as_of"]),
            kind=manifest["kind"],
            unit=manifest["unit"],
            model_version=manifest["version"],
            created_at=datetime.fromisoformat(manifest["created_at"]),
            levels=tuple(manifest["levels"]),
            values=pd.read_parquet(folder / VALUES_FILE),
            details=manifest["details"],
        )

    def answer(self, *, level: str, entity_id: str, period: str) -> dict[str, Any]:
        """What this forecast says about one entity and period.

        Args:
            level: One of `levels`.
            entity_id: Entity of that level.
            period: `2026-02`, `2026Q1` or `2026`.

        Returns:
            JSON values: forecast_id, level, entity_id, period, period_start, period_end, as_of, unit, expected (adds up
            over levels and periods), median, intervals {"80": {"lower", "upper"}, "95": …}, components, baselines,
            model_version, created_at. What is not known is None.

        Raises:
            InputError: if the period is malformed, or outside the horizon (`field="period"`).
            NotFoundError: if the level or entity is unknown; it names known ones.
        """
        wanted = parse_period(period).name
        of_entity = self._rows_of(level, entity_id)
        rows = of_entity[of_entity["period"] == wanted]
        if rows.empty:
            known = list(of_entity["period"])
            raise InputError(
                f"The period {wanted} is outside the forecast's horizon",
                expected=f"one of {shorten(known, limit=24)}",
                field="period",
            )
        return self._record(int(rows.index[0]))

    def _rows_of(self, level: str, entity_id: str) -> pd.DataFrame:
        if level not in self.levels:
            raise NotFoundError(
                f"The forecast has no level '{level}'", expected=f"one of {', '.join(self.levels)}", field="level"
            )
        of_level = self.values[self.values["level"] == level]
        of_entity = of_level[of_level["entity_id"] == entity_id]
        if of_entity.empty:
            raise NotFoundError(
                f"The forecast has no {level} '{entity_id}'",
                expected=f"one of {shorten(of_level['entity_id'].unique())}",
                field="entity_id",
            )
        return of_entity

    def _record(self, number: int) -> dict[str, Any]:
        row = self.values.loc[number]
        columns = self.values.columns
        baselines = [name for name in columns if name not in _FIXED and not name.startswith(_NO_BASELINE)]
        return {
            "forecast_id": f"{self.forecast_id}-{number}",
            "level": row["level"],
            "entity_id": row["entity_id"],
            "period": row["period"],
            "period_start": row["period_start"].isoformat(),
            "period_end": row["period_end"].isoformat(),
            "as_of": self.as_of.isoformat(),
            "unit": self.unit,
            "expected": _number(row["expected"]),
            "median": _number(row["median"]),
            "intervals": {
                name: {"lower": _number(row[low]), "upper": _number(row[high])}
                for name, (low, high) in _INTERVALS.items()
            },
            "components": {name: _number(row[name]) for name in COMPONENTS},
            "baselines": {name: _number(row[name]) for name in baselines},
            "model_version": self.model_version,
            "created_at": self.created_at.isoformat(),
        }

    def summary(self) -> dict[str, Any]:
        """The forecast as a whole: what it covers, and its highest level for every period."""
        top = self.values[self.values["level"] == self.levels[0]]
        return {
            "forecast_id": self.forecast_id,
            "as_of": self.as_of.isoformat(),
            "kind": self.kind,
            "unit": self.unit,
            "model_version": self.model_version,
            "created_at": self.created_at.isoformat(),
            "levels": {level: int((self.values["level"] == level).sum() // max(len(top), 1)) for level in self.levels},
            "periods": list(top["period"]),
            "totals": [
                {name: value for name, value in self._record(int(number)).items() if name not in _OF_ALL}
                for number in top.index
            ],
        }


class ForecastStore:
    """All forecasts of a workspace, and which is the newest.

    Args:
        folder: `workspace.forecasts`; made when first written to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cached: Forecast | None = None

    def save(self, forecast: Forecast) -> str:
        """Keep the forecast and make it the newest, each in one atomic step.

        Returns:
            Its id. A forecast that is already there is not written again.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        forecast_id = forecast.forecast_id
        home = self._folder / forecast_id
        if not home.is_dir():
            staging = Path(tempfile.mkdtemp(prefix=".writing-", dir=self._folder))
            try:
                forecast.write(staging)
                staging.rename(home)
            except OSError:
                shutil.rmtree(staging, ignore_errors=True)
                # Another process may have saved the same forecast in between; anything else is an error.
                if not home.is_dir():
                    raise
        pointer = self._folder / f".{_LATEST}.{os.getpid()}"
        pointer.write_text(json.dumps({"forecast_id": forecast_id}), encoding="utf-8")
        pointer.replace(self._folder / _LATEST)
        return forecast_id

    def latest_id(self) -> str:
        """Id of the newest forecast.

        Raises:
            NotFoundError: if no forecast was ever made.
        """
        path = self._folder / _LATEST
        if not path.is_file():
            raise NotFoundError(
                f"There is no forecast in {self._folder} yet", next_step="make one with `salience train forecast`"
            )
        return str(json.loads(path.read_text(encoding="utf-8"))["forecast_id"])

    def latest(self) -> Forecast:
        """The newest forecast; read again only when another has become the newest.

        Raises:
            NotFoundError: if no forecast was ever made.
            UnavailableError: if its files are gone.
        """
        newest = self.latest_id()
        if self._cached is None or self._folder_of(newest).name != self._cached.forecast_id:
            self._cached = self._read(newest)
        return self._cached

    def find(self, as_of: datetime) -> Forecast | None:
        """The forecast made for a moment, the one kept last if there are several; None without one."""
        found = [self._read(path.name) for path in sorted(self._folder.glob(f"{as_of:%Y%m%dT%H%M%SZ}-*"))]
        made = [forecast for forecast in found if forecast.as_of == as_of]
        return max(made, key=lambda forecast: forecast.created_at, default=None)

    def moments(self) -> list[str]:
        """Ids of the forecasts that are kept, oldest moment first."""
        return sorted(path.parent.name for path in self._folder.glob(f"*/{MANIFEST_FILE}"))

    def answer(self, *, level: str, entity_id: str, period: str) -> dict[str, Any]:
        """What the newest forecast says about one entity and period; see `Forecast.answer`."""
        return self.latest().answer(level=level, entity_id=entity_id, period=period)

    def forecast(self, forecast_id: str) -> Forecast:
        """A whole forecast by its id.

        Raises:
            NotFoundError: if there is no such forecast.
            UnavailableError: if its files are gone.
        """
        if not _is_name(forecast_id) or not (self._folder / forecast_id / MANIFEST_FILE).is_file():
            raise NotFoundError(f"There is no forecast '{forecast_id}'", field="forecast_id")
        return self._read(forecast_id)

    def get(self, forecast_id: str) -> dict[str, Any]:
        """A forecast by its id: an answer's id gives that answer again, a whole forecast's id its summary.

        Raises:
            NotFoundError: if there is no such forecast.
        """
        run, _, number = forecast_id.rpartition("-")
        whole, row = (run, int(number)) if run.count("-") == 1 and number.isdigit() else (forecast_id, None)
        if not _is_name(whole) or not (self._folder / whole / MANIFEST_FILE).is_file():
            raise NotFoundError(f"There is no forecast '{forecast_id}'", field="forecast_id")
        forecast = self.forecast(whole)
        if row is None:
            return forecast.summary()
        if row not in forecast.values.index:
            raise NotFoundError(f"There is no forecast '{forecast_id}'", field="forecast_id")
        return forecast._record(row)

    def _folder_of(self, forecast_id: str) -> Path:
        return self._folder / forecast_id

    def _read(self, forecast_id: str) -> Forecast:
        if self._cached is not None and self._cached.forecast_id == forecast_id:
            return self._cached
        try:
            return Forecast.read(self._folder_of(forecast_id))
        except OSError as error:
            raise UnavailableError(f"The forecast {forecast_id} cannot be read: {error}") from error


def _is_name(text: str) -> bool:
    # An id comes from outside and becomes a path.
    return bool(text) and all(character.isalnum() or character == "-" for character in text)


def _number(value: Any) -> float | None:
    number = float(value)
    return None if number != number else number
