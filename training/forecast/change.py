"""Why the forecast of one entity and period changed between two moments, told from the deals known at each."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.forecast.asking import Asked, Forecaster
from training.forecast.deal_values import deal_values
from training.forecast.periods import Period, month_number, parse_period
from training.forecast.places import Places
from training.forecast.waterfall import Side, explain_change

_SAME_SHARE = 0.01


def forecast_change(
    forecaster: Forecaster, *, level: str, entity_id: str, period: str, at: datetime, since: datetime
) -> dict[str, Any]:
    """The change of a forecast and its parts.

    Args:
        forecaster: The workspace's forecasts.
        level: Level of the entity.
        entity_id: Whose.
        period: For when.
        at: The later moment.
        since: The earlier one.

    Returns:
        JSON values: `since`, `as_of`, `before`, `after`, `steps` (they add up to the difference to the cent), `notes`.

    Raises:
        NotFoundError: if one of the forecasts does not know the entity.
        InputError: if the period is outside one of the horizons, or the source has series only.
        TooLittleDataError: if too little was known at one of the moments.
    """
    wanted = parse_period(period)
    sides, notes = [], []
    for moment in (since, at):
        asked = forecaster.ask(moment, ranges=False)
        answer = asked.forecast.answer(level=level, entity_id=entity_id, period=wanted.name)
        side, note = _side(forecaster, asked, answer, wanted, level=level, entity_id=entity_id, moment=moment)
        sides.append(side)
        notes += note
        if moment == since:
            notes += [f"For {since:%Y-%m-%d}: {said}" for said in forecaster.learned(moment)[1]]
    before, after = sides
    return {
        "since": since.isoformat(),
        "as_of": at.isoformat(),
        "before": before.expected / 100,
        "after": after.expected / 100,
        "steps": [step.to_dict() for step in explain_change(before, after, first_day=wanted.start.date())],
        "notes": notes,
    }


def members(reps: pd.DataFrame, *, level: str, entity_id: str) -> list[str]:
    """Reps of an entity.

    Args:
        reps: `rep_id`, `team`, `region`.
        level: company, region, team or rep.
        entity_id: Which.
    """
    if level == "rep":
        return [entity_id]
    chosen = reps if level not in reps.columns else reps[reps[level] == entity_id]
    return chosen["rep_id"].tolist()


def _side(
    forecaster: Forecaster,
    asked: Asked,
    answer: Mapping[str, Any],
    period: Period,
    *,
    level: str,
    entity_id: str,
    moment: datetime,
) -> tuple[Side, list[str]]:
    places = forecaster.places(moment)
    mine = places.holds(level, entity_id)
    learned, _ = forecaster.learned(moment)
    months = forecaster.months(moment)
    names, cents = deal_values(learned, months)
    columns = [months.index(month) for month in period.months if month in months]
    counted = mine[places.rows(learned.deals["rep_id"])]
    open_cents = np.where(counted, cents, 0)[:, columns].sum(axis=1, dtype=np.int64)
    opened = {name: int(value) for name, value in zip(names, open_cents, strict=True) if value}
    deals = forecaster.history.deals(moment).set_index("opportunity_id")
    parts = {name: round(100 * (answer["components"].get(name) or 0.0)) for name in ("open", "new", "renewal")}
    told = sum(opened.values())
    notes = []
    if asked.is_stored and abs(told - parts["open"]) > _SAME_SHARE * max(abs(parts["open"]), 100):
        notes.append(
            f"The forecast kept for {moment:%Y-%m-%d} was made by another model of the open deals than speaks today "
            f"({parts['open'] / 100:,.0f} against {told / 100:,.0f}); the difference is under “model or rates”."
        )
    side = Side(
        expected=round(100 * answer["expected"]),
        new=parts["new"],
        renewal=parts["renewal"],
        open=opened,
        booked=_booked(forecaster.history.transactions(moment), period, places, mine),
        deals=deals[["status", "stage", "amount_usd", "close_date"]],
        owned=frozenset(deals.index[mine[places.rows(deals["rep_id"]), months.index(month_number(moment))]]),
    )
    return side, notes


def _booked(transactions: pd.DataFrame, period: Period, places: Places, mine: NDArray[np.bool_]) -> dict[str, int]:
    when = transactions["event_timestamp"]
    inside = (when >= pd.Timestamp(period.start)) & (when < pd.Timestamp(period.stop))
    rows = transactions[inside]
    column = (rows["event_timestamp"].dt.year * 12 + rows["event_timestamp"].dt.month - 1 - places.months[0]).to_numpy()
    rows = rows[mine[places.rows(rows["rep_id"]), column]]
    sums = rows.groupby(rows["opportunity_id"].fillna(""))["amount_usd"].sum()
    return {str(deal): round(100 * float(value)) for deal, value in sums.items()}
