"""Overrides of the forecast: into the record that the services keep too, and out of it with what came."""

from __future__ import annotations

import getpass
import uuid
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from common.errors import InputError

if TYPE_CHECKING:
    from flows.parts import Platform
    from training.forecast.asking import Forecaster
    from training.forecast.overrides import ForecastOverride

_LEAST_WORDS = 2


def read_forecast_overrides(platform: Platform) -> list[ForecastOverride]:
    """All overrides of the workspace's forecast ever made, oldest first; withdrawals too."""
    from serving.decisions import DecisionRecord
    from training.forecast.overrides import read_overrides

    return read_overrides(DecisionRecord(platform.workspace).all())


def override_forecast(
    platform: Platform,
    forecaster: Forecaster,
    *,
    level: str,
    entity_id: str | None,
    period: str,
    value: float | None,
    because: str,
    who: str | None,
) -> dict[str, Any]:
    """Record a person's figure beside the model's, if it can hold beside the others.

    Args:
        platform: The workspace.
        forecaster: Its forecasts.
        level: Level of the entity.
        entity_id: Whose; None for the company.
        period: For when.
        value: What holds instead; None lets the model's word hold again.
        because: Why.
        who: Who says so; the user of this machine unless given.

    Returns:
        `number`, `name`, `value`, `model`, `by`, and `touched`: what it changes above and below.

    Raises:
        InputError: if there is no justification, nothing to withdraw, or the figure or period is unusable.
        NotFoundError: if there is no such level or entity.
        ConflictError: if it cannot hold beside the standing overrides or what is booked.
        UnavailableError: if the record cannot be written.
    """
    from serving.decisions import DecisionRecord
    from training.forecast.overrides import TASK, apply_overrides, check_override, override_key, standing
    from training.forecast.story import checked_period
    from warehouse.present import known_until

    if len(because.split()) < _LEAST_WORDS:
        raise InputError(
            "A forecast is overridden only for a reason",
            expected="--because with a sentence that others will understand later",
            got=f"'{because}'",
            field="because",
        )
    at = known_until(platform.settings, platform.warehouse)
    entity = entity_id or level
    wanted = checked_period(forecaster, period, level, entity_id, at=at)
    forecast = forecaster.ask(at, ranges=False).forecast
    answer = forecast.answer(level=level, entity_id=entity, period=wanted.name)
    overrides = read_forecast_overrides(platform)
    places = forecaster.places(at)
    key = override_key(level, entity, wanted.name)
    before = apply_overrides(forecast, places, overrides)
    if value is None:
        if key not in {one.key for one in standing(overrides)}:
            raise InputError(
                f"There is no override of {level} {entity} in {wanted.name} to withdraw",
                next_step="see them: salience forecast overrides",
                field="withdraw",
            )
        after = apply_overrides(forecast, places, [one for one in overrides if one.key != key])
    else:
        after = check_override(
            forecast, places, overrides, level=level, entity_id=entity, period=wanted.name, value=value
        )
    decision = DecisionRecord(platform.workspace).decide(
        TASK,
        key,
        value=value,
        justification=because,
        caller=who or getpass.getuser(),
        role="command line",
        request_id=str(uuid.uuid4()),
        model_said={
            "level": level,
            "entity_id": entity,
            "period": wanted.name,
            "expected": answer["expected"],
            "median": answer["median"],
            "model_version": answer["model_version"],
            "as_of": at.isoformat(),
        },
    )
    return {
        "number": decision.number,
        "name": f"{level} {entity} in {wanted.name}" if level != entity else f"{entity} in {wanted.name}",
        "value": value,
        "model": answer["expected"],
        "by": decision.caller,
        "touched": _touched(before.values, after.values, wanted.name),
    }


def judged_overrides(platform: Platform, forecaster: Forecaster) -> dict[str, Any]:
    """All overrides with what came where their period is over, and both numbers' accuracy.

    Returns:
        `overrides` (records, with `came`, None where it is not over) and `accuracy`.
    """
    from training.forecast.backtest import actual_values
    from training.forecast.override_accuracy import judge_overrides
    from training.forecast.periods import parse_period
    from warehouse.present import known_until

    overrides = read_forecast_overrides(platform)
    now = known_until(platform.settings, platform.warehouse) if overrides else None
    actual: dict[str, float] = {}
    for one in overrides:
        period = parse_period(one.period)
        if now is None or period.stop > now or one.key in actual:
            continue
        then = now if one.as_of is None else datetime.fromisoformat(one.as_of)
        values = actual_values(forecaster.history, [period], reps_at=then, known_at=now)
        mine = values[(values["level"] == one.level) & (values["entity_id"] == one.entity_id)]
        if len(mine):
            actual[one.key] = float(mine["actual"].iloc[0])
    records = [{**asdict(one), "at": one.at.isoformat(), "came": actual.get(one.key)} for one in overrides]
    accuracy = judge_overrides(overrides, actual, seed=platform.settings.training.seed)
    return {"overrides": records, "accuracy": asdict(accuracy)}


def same_again(forecaster: Forecaster, at: datetime) -> dict[str, Any]:
    """Whether the forecast kept for a moment comes out the same, bit for bit, when it is computed again today.

    Raises:
        InputError: if none is kept for that moment.
    """
    kept = forecaster.store.find(at)
    if kept is None:
        raise InputError(
            f"No forecast is kept for {at.isoformat()}, so there is nothing to compare with",
            expected=f"a moment of one of {', '.join(forecaster.store.moments()) or 'none'}",
            field="again",
        )
    anew = forecaster.compute(at, anew=True).forecast
    columns = [name for name in kept.values.columns if name in anew.values.columns]
    differing = [name for name in columns if not kept.values[name].equals(anew.values[name])]
    differing += sorted(set(kept.values.columns) ^ set(anew.values.columns))
    return {"is_same": not differing, "what": f"forecast {kept.forecast_id}", "differences": differing}


def _touched(before: Any, after: Any, period: str) -> list[dict[str, Any]]:
    moved = after.assign(was=before["adjusted"])
    moved = moved[(moved["period"] == period) & (moved["adjusted"] != moved["was"])]
    columns = ["level", "entity_id", "expected", "was", "adjusted"]
    found: list[dict[str, Any]] = moved[columns].to_dict("records")
    return found
