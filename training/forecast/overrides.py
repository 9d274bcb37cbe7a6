"""People's figures in place of the forecast's: read from the record, and applied so that all adds up.

The record itself is the services' (`serving.decisions`): append-only, each line with the hash of the one before. This
module only reads rows of it. The model's figure is kept beside each override, and in every table.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from common.errors import InputError, SalienceError
from training.forecast.frame import Cents, to_cents
from training.forecast.history import LEVELS
from training.forecast.periods import Period, parse_period
from training.forecast.places import Places
from training.forecast.spreading import ConflictError, Grid, Want, spread
from training.forecast.store import Forecast

TASK = "forecast"


@dataclass(frozen=True, kw_only=True)
class ForecastOverride:
    """A person's figure for one entity and period.

    Args:
        number: Its place in the record.
        level: Level of the entity.
        entity_id: Whose.
        period: For when.
        value: The figure, in the forecast's unit; None takes the one before back.
        who: Who said so.
        because: Why.
        at: When, UTC.
        model: What the model expected then; None where the record does not say.
        as_of: The moment the model spoke for.
        model_version: Which model.
    """

    number: int
    level: str
    entity_id: str
    period: str
    value: float | None
    who: str
    because: str
    at: datetime
    model: float | None
    as_of: str | None
    model_version: str | None

    @property
    def key(self) -> str:
        """What the record calls the thing that is decided about."""
        return override_key(self.level, self.entity_id, self.period)

    @property
    def want(self) -> Want:
        """The figure as the spreading takes it."""
        if self.value is None:
            raise ValueError(f"Override {self.number} was taken back.")
        return Want(
            level=self.level,
            entity_id=self.entity_id,
            period=parse_period(self.period),
            cents=int(to_cents(np.array([self.value]))[0]),
        )


@dataclass(frozen=True, kw_only=True)
class Applied:
    """A forecast with the overrides that hold.

    Args:
        values: The forecast's rows with the further column `adjusted`, which adds up as `expected` does.
        holding: Overrides in effect.
        set_aside: Overrides that cannot hold any more, and why.
    """

    values: pd.DataFrame
    holding: tuple[ForecastOverride, ...]
    set_aside: tuple[tuple[ForecastOverride, str], ...] = field(default_factory=tuple)


def override_key(level: str, entity_id: str, period: str) -> str:
    """The name of a value in the record, whichever forecast it was said about."""
    return f"{level}/{entity_id}/{period}"


def read_overrides(rows: Sequence[Mapping[str, Any]]) -> list[ForecastOverride]:
    """The overrides among the decisions of a workspace, oldest first; withdrawals too.

    Args:
        rows: As `DecisionRecord.all` gives them. Rows that do not say level, entity and period (from before this
            version, about one stored figure) are left out.
    """
    found = []
    for row in rows:
        said = json.loads(row["model_said"])
        if row["task"] != TASK or not {"level", "entity_id", "period"} <= said.keys():
            continue
        value = json.loads(row["value"])
        found.append(
            ForecastOverride(
                number=int(row["number"]),
                level=said["level"],
                entity_id=said["entity_id"],
                period=said["period"],
                value=None if value is None else float(value),
                who=row["caller"],
                because=row["justification"],
                at=datetime.fromisoformat(row["at"]),
                model=said.get("expected"),
                as_of=said.get("as_of"),
                model_version=said.get("model_version"),
            )
        )
    return found


def standing(overrides: Sequence[ForecastOverride]) -> list[ForecastOverride]:
    """The newest word on each value, without those taken back, in the order they were said."""
    newest = {one.key: one for one in sorted(overrides, key=lambda one: one.number)}
    return sorted((one for one in newest.values() if one.value is not None), key=lambda one: one.number)


def grid_of(forecast: Forecast, places: Places) -> Grid:
    """The forecast's smallest cells.

    Args:
        forecast: A forecast from deals.
        places: Who belongs to whom, month by month.

    Raises:
        InputError: if the forecast has other levels than company, region, team and rep.
    """
    if forecast.levels != LEVELS:
        raise InputError(
            "Only a forecast from deals can be overridden, because only it knows who belongs to whom",
            expected=f"the levels {', '.join(LEVELS)}",
            got=", ".join(forecast.levels),
        )
    bottom = forecast.values[forecast.values["level"] == LEVELS[-1]]
    parsed = {name: parse_period(name) for name in forecast.values["period"].unique()}
    shortest = min(period.n_months for period in parsed.values())
    base = tuple(sorted(period for period in parsed.values() if period.n_months == shortest))
    columns = [places.months.index(period.first_month) for period in base]

    def cells(column: str) -> Cents:
        table = bottom.pivot(index="entity_id", columns="period", values=column)
        table = table.reindex(index=list(places.rep_ids), columns=[period.name for period in base]).fillna(0.0)
        return to_cents(table.to_numpy(dtype=np.float64))

    entities = {level: names[:, columns] for level, names in places.entities.items()}
    empty = Grid(base=base, entities=entities, expected=cells("expected"), fixed=cells("closed"), before={})
    sums = _sums(empty, forecast.values, empty.expected)
    over = to_cents(forecast.values["expected"].to_numpy(dtype=np.float64)) - sums
    keys = zip(*(forecast.values[name] for name in ("level", "entity_id", "period")), strict=True)
    before = {key: int(cents) for key, cents in zip(keys, over.tolist(), strict=True) if cents}
    return Grid(base=base, entities=entities, expected=empty.expected, fixed=empty.fixed, before=before)


def apply_overrides(forecast: Forecast, places: Places, overrides: Sequence[ForecastOverride]) -> Applied:
    """The forecast with everybody's standing word in it.

    Figures about periods that are over are history; those that what was booked since has outrun are set aside.

    Args:
        forecast: A forecast from deals.
        places: Who belongs to whom, month by month.
        overrides: All overrides of the workspace.
    """
    grid = grid_of(forecast, places)
    holding = [one for one in standing(overrides) if parse_period(one.period).stop > forecast.as_of]
    aside: list[tuple[ForecastOverride, str]] = []
    kept = []
    for one in holding:
        try:
            grid.mask(one.level, one.entity_id, parse_period(one.period))
            kept.append(one)
        except SalienceError as error:
            aside.append((one, error.what))
    cells = grid.expected
    while True:
        try:
            cells = spread(grid, [one.want for one in kept])
            break
        except ConflictError as error:
            # The newest of those in conflict was checked against the others when it was made; what changed since is
            # what is booked, and the oldest word is the one that it has outrun most likely.
            worst = kept.pop(min(error.culprits))
            aside.append((worst, error.what))
    values = forecast.values.copy()
    moved = _sums(grid, values, cells - grid.expected)
    cents = to_cents(values["expected"].to_numpy(dtype=np.float64)) + moved
    values["adjusted"] = cents / 100.0
    return Applied(values=values, holding=tuple(kept), set_aside=tuple(aside))


def check_override(
    forecast: Forecast,
    places: Places,
    overrides: Sequence[ForecastOverride],
    *,
    level: str,
    entity_id: str,
    period: str,
    value: float,
) -> Applied:
    """What the forecast would say with a further override.

    Args:
        forecast: A forecast from deals.
        places: Who belongs to whom, month by month.
        overrides: All overrides so far.
        level: Level of the entity.
        entity_id: Whose.
        period: For when.
        value: The figure.

    Raises:
        ConflictError: if it cannot hold beside the standing ones, or beside what is booked.
        NotFoundError: if there is no such level or entity.
        InputError: if the figure is no number, or the period is malformed or over.
    """
    if not np.isfinite(value):
        raise InputError(
            "The figure is no number", expected=f"an amount in {forecast.unit}", got=str(value), field="value"
        )
    grid = grid_of(forecast, places)
    wanted = parse_period(period)
    _require_inside(forecast, level, entity_id, wanted)
    grid.mask(level, entity_id, wanted)
    now = apply_overrides(forecast, places, overrides)
    others = [one for one in now.holding if one.key != override_key(level, entity_id, wanted.name)]
    new = ForecastOverride(
        number=max((one.number for one in overrides), default=0) + 1,
        level=level,
        entity_id=entity_id,
        period=wanted.name,
        value=value,
        who="",
        because="",
        at=forecast.as_of,
        model=None,
        as_of=None,
        model_version=None,
    )
    spread(grid, [one.want for one in (*others, new)])
    return apply_overrides(forecast, places, [*overrides, new])


def _require_inside(forecast: Forecast, level: str, entity_id: str, period: Period) -> None:
    forecast.answer(level=level, entity_id=entity_id, period=period.name)


def _sums(grid: Grid, values: pd.DataFrame, cells: Cents) -> Cents:
    """The cells' sum for each row of a forecast's values."""
    found = np.zeros(len(values), dtype=np.int64)
    by_period: Mapping[Any, Any] = values.groupby(["level", "period"], sort=False).indices
    for (level, name), rows in by_period.items():
        months = set(parse_period(str(name)).months)
        inside = np.array([months.issuperset(part.months) for part in grid.base])
        if not inside.any():
            continue
        codes, names = pd.factorize(grid.entities[str(level)][:, inside].ravel())
        total = np.zeros(len(names), dtype=np.int64)
        np.add.at(total, codes, cells[:, inside].ravel())
        known = dict(zip(names.tolist(), total.tolist(), strict=True))
        found[rows] = [known.get(entity, 0) for entity in values["entity_id"].to_numpy()[rows]]
    return found
