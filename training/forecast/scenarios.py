"""Scenarios side by side: what each expects, how likely it reaches the quota, and what each lever alone is worth.

Every scenario is the forecast itself, computed again with its levers and the same random streams, so that two of them
differ by their levers and not by luck.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from common.errors import InputError
from training.forecast.attainment import probability_of_reaching
from training.forecast.columns import COMPONENTS
from training.forecast.frame import BottomForecast, Cents, summarise
from training.forecast.levers import Levers
from training.forecast.metrics import FloatArray
from training.forecast.periods import Period, month_number, parse_period
from training.forecast.reconciliation import Hierarchy
from training.forecast.scenario_file import Move, Scenario

Make = Callable[[Levers], BottomForecast]
Progress = Callable[[str, int, int], None]
REALISTIC = "realistic"
_RANGE = ("median", "lower_80", "upper_80", "lower_95", "upper_95")


@dataclass(frozen=True, kw_only=True)
class Question:
    """What scenarios are asked about.

    Args:
        level: Level whose entities are shown.
        entity_id: The one that levers are valued for.
        period: The period.
        as_of: The moment, UTC.
    """

    level: str
    entity_id: str
    period: Period
    as_of: datetime

    def to_dict(self) -> dict[str, str]:
        """JSON values."""
        return {
            "level": self.level,
            "entity_id": self.entity_id,
            "period": self.period.name,
            "as_of": self.as_of.isoformat(),
        }


def compare_scenarios(
    make: Make,
    scenarios: Sequence[Scenario],
    question: Question,
    *,
    reps: pd.DataFrame,
    quotas: Mapping[str, float],
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Compute scenarios and what each of their levers is worth.

    Args:
        make: The forecast with levers, its conformal factors in it.
        scenarios: The scenarios.
        question: What is asked.
        reps: The reps of the forecast's rows, in their order: `rep_id`, `region`, `team`, `territory_id` if known.
        quotas: Quota of each entity of the level, where there is one.
        progress: Told (what, done, total).

    Returns:
        JSON values per scenario, the realistic one first if it is not among them: `name`, `about`, `levers`, `values`
        (one record per entity: expected, range, components, quota, probability), `worth` (one record per lever: what
        it adds to the asked entity's expected value and probability on its own), `together` (what the levers add
        beyond the sum of their parts), `change` (against realistic).
    """
    work = _Work(make, question, reps, quotas)
    asked = list(scenarios)
    if not any(scenario.is_neutral for scenario in asked):
        asked.insert(0, Scenario(name=REALISTIC, about="As forecast."))
    total = sum(1 + (len(parts) if len(parts := scenario.parts()) > 1 else 0) for scenario in asked)
    done = 0
    found = []
    for scenario in asked:
        if progress is not None:
            progress(scenario.name, done, total)
        found.append(work.told(scenario))
        done += 1 + len(found[-1]["worth"])
    return found


def quota_probability(row: Mapping[str, Any], quota: float | None) -> float | None:
    """P(the quota is reached); None without a quota or a range."""
    return None if quota is None or quota != quota else probability_of_reaching(row, quota)


def scenarios_id(question: Question, scenarios: Sequence[Scenario], *, made_from: Mapping[str, Any]) -> str:
    """`20260101T000000Z-` and a digest of all that goes in: the same inputs have the same id.

    Args:
        question: What is asked.
        scenarios: The scenarios.
        made_from: What the forecast is computed from: tables' versions, model, seed, paths.
    """
    inputs = [question.to_dict(), [one.model_dump(exclude_defaults=True) for one in scenarios], dict(made_from)]
    digest = hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()
    return f"{question.as_of:%Y%m%dT%H%M%SZ}-{digest[:10]}"


def move_reps(bottom: BottomForecast, moves: Sequence[Move], reps: pd.DataFrame, *, as_of: datetime) -> BottomForecast:
    """The forecast with reps in other teams from a month on: the tree as it was before, as it will be after.

    A rep who moves has two rows, one for the months before and one for those after, so every level and period still
    adds up; the rep's own figures stay.

    Args:
        bottom: The forecast.
        moves: The moves, in order.
        reps: The reps of its rows: `rep_id`, `region`, `team`, `territory_id` if known.
        as_of: The moment; moves without a month take effect in its month.

    Raises:
        InputError: if a team belongs to more than one region, so that nobody knows where the rep goes.
    """
    for move in moves:
        chosen = (reps["rep_id"] == move.rep) if move.rep is not None else (reps["territory_id"] == move.territory)
        region = _region_of(move.to_team, reps)
        first = month_number(as_of) if move.from_month is None else parse_period(move.from_month).first_month
        bottom = _moved(bottom, set(reps.loc[chosen, "rep_id"]), team=move.to_team, region=region, first=first)
    return bottom


class _Work:
    def __init__(self, make: Make, question: Question, reps: pd.DataFrame, quotas: Mapping[str, float]) -> None:
        self.make, self.question, self.reps, self.quotas = make, question, reps, quotas

    def told(self, scenario: Scenario) -> dict[str, Any]:
        values = self._usual if scenario.is_neutral else self._values(scenario)
        change = _difference(self._mine(values), self._mine(self._usual))
        parts = scenario.parts()
        worth = []
        for label, part in parts.items():
            is_all = len(parts) == 1 and scenario.quota == 1.0
            alone = values if is_all else self._values(part)
            worth.append({"lever": label, **_difference(self._mine(alone), self._mine(self._usual))})
        of_parts = sum(round(100 * item["expected"]) for item in worth)
        return {
            "name": scenario.name,
            "about": scenario.about,
            "levers": scenario.model_dump(exclude_defaults=True, exclude={"name", "about"}),
            "values": values.to_dict("records"),
            "worth": worth,
            "together": (round(100 * change["expected"]) - of_parts) / 100,
            "change": change,
        }

    @cached_property
    def _usual(self) -> pd.DataFrame:
        return self._values(Scenario(name=REALISTIC))

    def _values(self, scenario: Scenario) -> pd.DataFrame:
        question = self.question
        bottom = self.make(scenario.all_levers())
        if scenario.moves:
            bottom = move_reps(bottom, scenario.moves, self.reps, as_of=question.as_of)
        rows = summarise(bottom, [question.period])
        rows = rows[rows["level"] == question.level].reset_index(drop=True)
        rows = rows[["entity_id", "expected", *_RANGE, *(name for name in COMPONENTS if name in rows)]]
        quota = [self.quotas.get(entity) for entity in rows["entity_id"]]
        wanted = [None if value is None or value != value else value * scenario.quota for value in quota]
        records: list[Any] = rows.to_dict("records")
        chances = [quota_probability(record, value) for record, value in zip(records, wanted, strict=True)]
        # Objects, because pandas would turn None into NaN, which JSON does not have.
        return rows.assign(quota=pd.Series(wanted, dtype=object), probability=pd.Series(chances, dtype=object))

    def _mine(self, values: pd.DataFrame) -> pd.Series:
        return values[values["entity_id"] == self.question.entity_id].iloc[0]


def _difference(one: pd.Series, usual: pd.Series) -> dict[str, Any]:
    first, second = one["probability"], usual["probability"]
    return {
        "expected": (round(100 * one["expected"]) - round(100 * usual["expected"])) / 100,
        "probability": None if first is None or second is None else first - second,
    }


def _region_of(team: str, reps: pd.DataFrame) -> str:
    regions = sorted(set(reps.loc[reps["team"] == team, "region"]))
    if len(regions) != 1:
        raise InputError(
            f"It is not clear in which region the team '{team}' is",
            expected="a team in one region",
            got=", ".join(regions) or "none",
            field="scenarios",
        )
    return str(regions[0])


def _moved(bottom: BottomForecast, who: set[str], *, team: str, region: str, first: int) -> BottomForecast:
    hierarchy = bottom.hierarchy
    own = hierarchy.summing[hierarchy.bottom]
    # Which rep each row of the bottom belongs to: after an earlier move, a rep has more than one.
    names = np.array(hierarchy.ids[hierarchy.levels[-1]])[own.argmax(axis=0)]
    rows = np.flatnonzero(np.isin(names, sorted(who)))
    later = np.array([period.first_month >= first for period in bottom.base])
    summing = np.hstack([hierarchy.summing, hierarchy.summing[:, rows]])
    extra = np.arange(hierarchy.summing.shape[1], summing.shape[1])
    for level, entity in (("team", team), ("region", region)):
        block = summing[hierarchy.rows(level)]
        block[:, extra] = 0.0
        block[hierarchy.ids[level].index(entity), extra] = 1.0
    split = _Splitter(rows, later)
    return replace(
        bottom,
        hierarchy=Hierarchy(levels=hierarchy.levels, ids=hierarchy.ids, summing=summing),
        components={name: split.cents(values) for name, values in bottom.components.items()},
        stages={name: split.cents(values) for name, values in bottom.stages.items()},
        paths=split.paths(bottom.paths),
        baselines={name: split.known(values) for name, values in bottom.baselines.items()},
        moves=None,
    )


@dataclass(frozen=True)
class _Splitter:
    """Rows that are split in two: what is before a month stays, what is later goes to new rows at the end."""

    rows: np.ndarray
    later: np.ndarray

    def cents(self, values: Cents) -> Cents:
        stay = values.copy()
        stay[np.ix_(self.rows, np.flatnonzero(self.later))] = 0
        found: Cents = np.vstack([stay, values[self.rows] * self.later])
        return found

    def paths(self, values: FloatArray) -> FloatArray:
        stay = values.copy()
        stay[:, self.rows] *= ~self.later
        return np.concatenate([stay, values[:, self.rows] * self.later], axis=1)

    def known(self, values: FloatArray) -> FloatArray:
        stay = values.copy()
        stay[self.rows] = np.where(self.later, 0.0, stay[self.rows])
        return np.vstack([stay, np.where(self.later, values[self.rows], 0.0)])
