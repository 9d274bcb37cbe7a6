"""All about the forecast of one entity and period: range, parts, what stands beside it, the gap, why it changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from common.errors import InputError, NotFoundError, shorten
from training.forecast.asking import Asked, Forecaster
from training.forecast.attainment import probability_of_reaching
from training.forecast.backtest import actual_values
from training.forecast.change import forecast_change, members
from training.forecast.columns import SLIPPING, STAGE_PREFIX
from training.forecast.gap import pipeline_gap
from training.forecast.history import COMPANY, LEVELS
from training.forecast.overrides import Applied, ForecastOverride, apply_overrides
from training.forecast.periods import Period, month_number, parse_period

SINCE = timedelta(days=7)
_YEAR_MONTHS = 12


def forecast_story(
    forecaster: Forecaster,
    *,
    period: str,
    level: str | None,
    entity_id: str | None,
    at: datetime,
    since: datetime | None,
    overrides: Sequence[ForecastOverride] = (),
) -> dict[str, Any]:
    """All about one entity and period.

    Args:
        forecaster: The workspace's forecasts.
        period: `2026-02`, `2026Q1` or `2026`.
        level: The level; None for the highest.
        entity_id: Which entity; None where the level has one only.
        at: The moment, UTC.
        since: Earlier moment that the change is told from; None for no such part.
        overrides: Everybody's overrides.

    Returns:
        JSON values: `answer` (as `Forecast.answer`), `is_stored`, `adjusted` (with overrides; None without),
        `overrides` (all that hold), `stages`, `slipping_in`, `slipping_out`, `last_year`,
        `quota_probability`, `gap`, `change`, `notes`.

    Raises:
        InputError: if the period is malformed, over, or outside the horizon, or no entity is given.
        NotFoundError: if there is no such level or entity; it names known ones.
        TooLittleDataError: if too little was known then.
    """
    wanted = checked_period(forecaster, period, level, entity_id, at=at)
    asked = forecaster.ask(at)
    forecast = asked.forecast
    where = level or forecast.levels[0]
    entity = entity_id or _only(asked, where)
    answer = forecast.answer(level=where, entity_id=entity, period=wanted.name)
    row = _row(asked, where, entity, wanted)
    quota = answer["baselines"].get("quota")
    found: dict[str, Any] = {
        "answer": answer,
        "is_stored": asked.is_stored,
        "adjusted": None,
        "overrides": [],
        "stages": {
            name.removeprefix(STAGE_PREFIX): float(row[name])
            for name in row.index
            if name.startswith(STAGE_PREFIX) and row[name]
        },
        **{name: float(row[name]) if name in row and row[name] == row[name] else None for name in SLIPPING},
        "last_year": None,
        "quota_probability": None if quota is None else probability_of_reaching(_named(row.to_dict()), quota),
        "gap": None,
        "change": None,
        "notes": list(asked.notes),
    }
    if forecast.kind == "series":
        return found
    found |= _adjusted(forecaster, asked, overrides, where, entity, wanted, at=at)
    found["last_year"] = _last_year(forecaster, where, entity, wanted, at=at)
    found["gap"] = asdict(
        pipeline_gap(forecaster.history, answer, wanted, _circles(forecaster, where, entity, at=at), at=at)
    )
    if since is not None:
        found["change"] = forecast_change(
            forecaster, level=where, entity_id=entity, period=wanted.name, at=at, since=since
        )
        found["notes"] += found["change"].pop("notes")
    return found


def forecast_list(
    forecaster: Forecaster,
    *,
    period: str,
    level: str | None,
    at: datetime,
    overrides: Sequence[ForecastOverride] = (),
) -> dict[str, Any]:
    """The forecast of every entity of a level for one period.

    Returns:
        JSON values: `level`, `period`, `as_of`, `unit`, `is_stored`, `entities` (records with entity_id,
        expected, median, the range, closed, quota, quota_probability, commit, adjusted), `notes`.

    Raises:
        InputError: as `forecast_story`.
        NotFoundError: as `forecast_story`.
    """
    wanted = checked_period(forecaster, period, level, None, at=at)
    asked = forecaster.ask(at)
    where = level or asked.forecast.levels[0]
    asked.forecast.answer(level=where, entity_id=_first(asked, where), period=wanted.name)
    values = asked.forecast.values
    notes = list(asked.notes)
    if asked.forecast.kind == "pipeline":
        applied = apply_overrides(asked.forecast, forecaster.places(at), overrides)
        values = applied.values if applied.holding else values
        notes += _aside(applied)
    rows = values[(values["level"] == where) & (values["period"] == wanted.name)]
    columns = ["entity_id", "expected", "median", "lower_80", "upper_80", "lower_95", "upper_95", "closed", "quota"]
    columns += ["commit", "adjusted"]
    records = []
    for row in rows.to_dict("records"):
        record = {name: _known(row.get(name)) for name in columns}
        quota = record["quota"]
        record["quota_probability"] = None if quota is None else probability_of_reaching(_named(row), quota)
        records.append(record)
    return {
        "level": where,
        "period": wanted.name,
        "as_of": at.isoformat(),
        "unit": asked.forecast.unit,
        "is_stored": asked.is_stored,
        "entities": records,
        "notes": notes,
    }


def checked_period(
    forecaster: Forecaster, period: str, level: str | None, entity_id: str | None, *, at: datetime
) -> Period:
    """The period, if it can be forecast at a moment for an entity; what cannot is refused before anything is computed.

    Raises:
        InputError: if the period is malformed, over, or outside the horizon.
        NotFoundError: if there is no such level or entity; it names known ones.
    """
    wanted = parse_period(period)
    if wanted.stop <= at:
        raise InputError(
            f"The period {wanted.name} was over on {at:%Y-%m-%d}, so there is nothing to forecast",
            expected="a period that is not over, or an earlier moment with --as-of",
            next_step="for how such forecasts did, run: salience forecast backtest",
            field="period",
        )
    if forecaster.protocol.kind == "series":
        return wanted
    months = forecaster.months(at)
    if not set(wanted.months) <= set(months):
        first, last = (Period(number, 1).name for number in (months[0], months[-1]))
        raise InputError(
            f"The period {wanted.name} is outside the horizon of a forecast made on {at:%Y-%m-%d}",
            expected=f"months from {first} to {last}, or quarters and years within them",
            field="period",
        )
    if level is not None and level not in LEVELS:
        raise NotFoundError(f"There is no level '{level}'", expected=f"one of {', '.join(LEVELS)}", field="level")
    if entity_id is not None and level not in (None, COMPANY):
        known = forecaster.reps(at)[{"rep": "rep_id"}.get(str(level), str(level))]
        if entity_id not in set(known):
            raise NotFoundError(
                f"There was no {level} '{entity_id}' on {at:%Y-%m-%d}",
                expected=f"one of {shorten(sorted(set(known)), limit=12)}",
                field="entity",
            )
    return wanted


def _only(asked: Asked, level: str) -> str:
    values = asked.forecast.values
    known = values.loc[values["level"] == level, "entity_id"].unique().tolist()
    if len(known) != 1:
        raise InputError(
            f"There are {len(known)} entities at the level '{level}'",
            expected=f"--entity with one of {shorten(known)}",
            field="entity",
        )
    return str(known[0])


def _first(asked: Asked, level: str) -> str:
    values = asked.forecast.values
    known = values.loc[values["level"] == level, "entity_id"]
    return str(known.iloc[0]) if len(known) else ""


def _row(asked: Asked, level: str, entity_id: str, period: Period) -> pd.Series:
    values = asked.forecast.values
    chosen = (values["level"] == level) & (values["entity_id"] == entity_id) & (values["period"] == period.name)
    return values[chosen].iloc[0]


def _adjusted(
    forecaster: Forecaster,
    asked: Asked,
    overrides: Sequence[ForecastOverride],
    level: str,
    entity_id: str,
    period: Period,
    *,
    at: datetime,
) -> dict[str, Any]:
    known = [one for one in overrides if one.as_of is None or datetime.fromisoformat(one.as_of) <= at]
    if not known:
        return {}
    applied = apply_overrides(asked.forecast, forecaster.places(at), known)
    values = applied.values
    chosen = (values["level"] == level) & (values["entity_id"] == entity_id) & (values["period"] == period.name)
    row = values[chosen].iloc[0]
    is_moved = row["adjusted"] != row["expected"]
    mine = [one for one in applied.holding if (one.level, one.entity_id, one.period) == (level, entity_id, period.name)]
    return {
        "adjusted": float(row["adjusted"]) if is_moved or mine else None,
        "overrides": [_said(one) for one in applied.holding],
        "notes": [*asked.notes, *_aside(applied)],
    }


def _said(one: ForecastOverride) -> dict[str, Any]:
    return {**asdict(one), "at": one.at.isoformat()}


def _aside(applied: Applied) -> list[str]:
    return [
        f"The override of {one.want.name} to {one.value:,.0f} by {one.who} is set aside: {why}."
        for one, why in applied.set_aside
    ]


def _last_year(forecaster: Forecaster, level: str, entity_id: str, period: Period, *, at: datetime) -> float | None:
    before = Period(period.first_month - _YEAR_MONTHS, period.n_months)
    booked = forecaster.history.transactions(at)
    if booked.empty or month_number(booked["event_timestamp"].min()) > before.first_month:
        return None
    values = actual_values(forecaster.history, [before], reps_at=at, known_at=at)
    mine = values[(values["level"] == level) & (values["entity_id"] == entity_id)]
    return float(mine["actual"].iloc[0]) if len(mine) else None


def _circles(forecaster: Forecaster, level: str, entity_id: str, *, at: datetime) -> list[tuple[str, list[str]]]:
    """The entity and what is around it, the company last."""
    reps = forecaster.reps(at)
    first = members(reps, level=level, entity_id=entity_id)
    found = [(entity_id if level == COMPANY else f"{level} {entity_id}", first)]
    for around in reversed(LEVELS[1 : LEVELS.index(level)]):
        names = set(reps.loc[reps["rep_id"].isin(first), around])
        if len(names) == 1:
            name = names.pop()
            found.append((f"{around} {name}", members(reps, level=around, entity_id=name)))
    return found if level == COMPANY else [*found, (COMPANY, reps["rep_id"].tolist())]


def _known(value: Any) -> Any:
    return None if value is None or value != value else value


def _named(row: dict[Any, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()}
