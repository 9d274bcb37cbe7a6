"""What a simulated world is made from: its span, its size, its seed and its scenario."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, get_args

from common.clock import utc
from common.errors import InputError

Scenario = Literal["steady", "recession", "new-product", "process-change"]
LEAST_REPS = 8
"""One rep for each of the eight teams."""


@dataclass(frozen=True, kw_only=True)
class SimulationConfig:
    """Size and kind of a simulated world; the same configuration always gives the same bytes.

    Args:
        start: First moment of the history, UTC.
        years: Length in years, >= 1; the end is the data's cut, nothing later is written.
        seed: Seed of every draw.
        reps: Salespeople over the whole span, >= 8 (one for each team).
        leads: Leads over the whole span, >= 1.
        deals: Deals over the whole span, >= 1; never fewer than the leads that converted.
        scenario: What changes two thirds of the way through: nothing (`steady`), demand (`recession`), the product
        range
            (`new-product`) or the way of working (`process-change`).

    Raises:
        InputError: if a value is outside its range or `start` has no time zone.
    """

    start: datetime = datetime(2023, 1, 1, tzinfo=UTC)
    years: int = 3
    seed: int = 7
    reps: int = 60
    leads: int = 20_000
    deals: int = 6_000
    scenario: Scenario = "steady"

    def __post_init__(self) -> None:
        utc(self.start)
        for name, least in (("years", 1), ("seed", 0), ("reps", LEAST_REPS), ("leads", 1), ("deals", 1)):
            value = getattr(self, name)
            if value < least:
                raise InputError(
                    f"The simulation's '{name}' is too small", expected=f"at least {least}", got=str(value), field=name
                )
        if self.scenario not in get_args(Scenario):
            raise InputError(
                f"There is no scenario '{self.scenario}'", expected=", ".join(get_args(Scenario)), field="scenario"
            )

    @property
    def end(self) -> datetime:
        """The cut: the moment after which nothing is known, UTC."""
        begin = utc(self.start)
        month_ends_early = begin.month == 2 and begin.day == 29
        return begin.replace(year=begin.year + self.years, day=28 if month_ends_early else begin.day)

    @property
    def change(self) -> datetime:
        """The moment from which the scenario's regime holds, two thirds of the way through, UTC."""
        begin = utc(self.start)
        return begin + (self.end - begin) * 2 / 3
