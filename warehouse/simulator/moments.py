"""Time in the simulated world: microseconds since 1970 (UTC), arrivals, working hours, the calendar's pull."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from zlib import crc32

import numpy as np
import numpy.typing as npt

from warehouse.simulator import parameters as p
from warehouse.simulator.config import Cell, SimulationConfig

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SECOND = 1_000_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR
WEEK = 7 * DAY
NEVER = np.iinfo(np.int64).max // 4
"""A moment that does not come."""
_THURSDAY = 3
"""Weekday of 1970-01-01, Monday being 0."""


class Draws:
    """The random streams of one part of the world: one for each thing drawn.

    Everything is drawn in the order of time, each thing from its own stream, and helpers take the same number of
    draws for every row. So what comes later never changes what was drawn before, and a scenario leaves everything
    before its change as it was.
    """

    def __init__(self, world: SimulationConfig | Cell, part: str) -> None:
        self._key, self._part = world.random_key, part

    def __call__(self, thing: str) -> np.random.Generator:
        """A fresh stream for `thing`; the same name gives the same draws again."""
        return np.random.default_rng([*self._key, crc32(f"{self._part}/{thing}".encode())])


def exponential(draws: Floats) -> Floats:
    """Exponential numbers of mean 1 from uniform ones."""
    return np.asarray(-np.log1p(-draws))


def normal(draws: Floats) -> Floats:
    """Standard normal numbers from two uniform ones per row, shape (n, 2) (Box and Muller 1958)."""
    return np.asarray(np.sqrt(2 * exponential(draws[:, 0])) * np.cos(2 * np.pi * draws[:, 1]))


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970 of an aware moment."""
    return round(moment.timestamp()) * SECOND


def weekday(moments: Ints) -> Ints:
    """Weekday in UTC, Monday 0."""
    return (moments // DAY + _THURSDAY) % 7


def monday(moments: Ints) -> Ints:
    """00:00 UTC of the Monday on or before each moment."""
    return (moments // DAY - weekday(moments)) * DAY


def month(moments: Ints) -> Ints:
    """Month in UTC, January 0."""
    return moments.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64) % 12


def quarter(moments: Ints) -> Ints:
    """Quarters since 1970 in UTC; year = 1970 + q // 4."""
    return moments.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64) // 3


def quarter_start(quarters: Ints) -> Ints:
    """First moment of each quarter (counted from 1970)."""
    return (quarters * 3).astype("datetime64[M]").astype("datetime64[us]").astype(np.int64)


def working_moment(rng: np.random.Generator, mondays: Ints) -> Ints:
    """A moment in the working hours of Monday to Friday of each given week."""
    first, last = p.BUSINESS_HOURS
    draws = rng.random((len(mondays), 2))
    day = (draws[:, 0] * 5).astype(np.int64)
    return mondays + day * DAY + ((first + (last - first) * draws[:, 1]) * HOUR).astype(np.int64)


def worked_share(offsets: Ints) -> Floats:
    """Share of a week's working time that has passed `offsets` microseconds after its Monday 00:00, in [0, 1]."""
    first, last = p.BUSINESS_HOURS
    days = np.clip(offsets // DAY, 0, 5)
    hours = (offsets - days * DAY) / HOUR
    today = np.clip((hours - first) / (last - first), 0.0, 1.0)
    return np.clip((days + np.where(days < 5, today, 0.0)) / 5.0, 0.0, 1.0)


def next_working_day(days: Ints) -> Ints:
    """Each day (since 1970), or the Monday after it where it is on a weekend."""
    after = (days + _THURSDAY) % 7
    return np.where(after >= 5, days + 7 - after, days)


def moment_within_day(rng: np.random.Generator, begins: Ints) -> Ints:
    """A moment in the 24 hours after each `begins`, in working hours of a working day where they contain one."""
    return place_within_day(rng.random((len(begins), 2)), begins)


def place_within_day(draws: Floats, begins: Ints) -> Ints:
    """`moment_within_day` from two uniform numbers per row, shape (n, 2)."""
    first, last = p.BUSINESS_HOURS
    clock, share = begins % DAY, draws[:, 1]
    target = ((first + (last - first) * draws[:, 0]) * HOUR).astype(np.int64)
    moments = begins + (target - clock) % DAY
    begin_day, day = weekday(begins), weekday(moments)
    friday = (begin_day == 4) & (day == 5)
    sunday = (begin_day == 6) & (day == 6)
    moments = np.where(friday, begins + (share * (DAY - clock)).astype(np.int64), moments)
    return np.where(sunday, begins + DAY - clock + (share * clock).astype(np.int64), moments)


def late(rng: np.random.Generator, n: int, *, chance: Floats | float, days: float, minutes: float = 20.0) -> Ints:
    """Lag between happening and being known: minutes for most, uniform up to `days` days for a share of `chance`."""
    return late_by(rng.random((n, 3)), chance=chance, days=days, minutes=minutes)


def late_by(draws: Floats, *, chance: Floats | float, days: Floats | float, minutes: Floats | float) -> Ints:
    """`late` from three uniform numbers per row, shape (n, 3)."""
    soon = exponential(draws[:, 0]) * minutes * 60 * SECOND
    later = (0.5 + (days - 0.5) * draws[:, 1]) * DAY
    return np.where(draws[:, 2] < chance, later, soon).astype(np.int64)


@dataclass(frozen=True)
class Calendar:
    """The span of a world and what its days and weeks do to people."""

    start: int
    end: int
    change: int
    first_monday: int
    regime: dict[str, float]
    outages: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, config: SimulationConfig) -> Calendar:
        """The calendar of `config`."""
        regimes = {"recession": p.RECESSION, "process-change": p.PROCESS_CHANGE}
        first = int(monday(np.array([microseconds(config.start)]))[0])
        regime = regimes.get(config.scenario, p.STEADY)
        begin, end = microseconds(config.start), microseconds(config.end)
        return cls(begin, end, microseconds(config.change), first, regime, _outages(config, begin, end))

    @property
    def weeks(self) -> int:
        """Weeks that begin before the end, the partial first one included."""
        return -(-(self.end - self.first_monday) // WEEK)

    def mondays(self, weeks: Ints) -> Ints:
        """00:00 UTC of each week's Monday."""
        return self.first_monday + weeks * WEEK

    def week_of(self, moments: Ints) -> Ints:
        """Number of the week that holds each moment."""
        return (moments - self.first_monday) // WEEK

    def factor(self, what: str, moments: Ints) -> Floats:
        """The scenario's factor at each moment: 1 before the change."""
        return np.where(moments >= self.change, self.regime[what], 1.0)

    def conversion_by_day(self, days: int) -> Floats:
        """Factor on lead conversion of the 24 hours that begin on each calendar day from the start's on."""
        moments = self.start // DAY * DAY + np.arange(days, dtype=np.int64) * DAY
        season = p.MONTH_CLOSING[month(moments)]
        factors: Floats = p.WEEKDAY_CONVERSION[weekday(moments)] * season * self.factor("convert", moments)
        return factors

    def advance_by_week(self, weeks: int) -> Floats:
        """Factor on a deal's advance, by week and stage, shape (weeks, 4)."""
        mondays = self.mondays(np.arange(weeks, dtype=np.int64))
        middle = mondays + 3 * DAY
        season = p.MONTH_CLOSING[month(middle)] * self.factor("advance", mondays)
        factors = np.repeat(season[:, None], len(p.STAGES), axis=1)
        factors[:, -1] *= np.where(self.ends_quarter(mondays), p.QUARTER_END_CLOSE, 1.0)
        begins = quarter(middle) != quarter(middle - p.QUARTER_START_WEEKS * WEEK)
        factors[:, -1] *= np.where(begins, p.QUARTER_START_CLOSE, 1.0)
        return factors

    def lose_by_week(self, weeks: int) -> Floats:
        """Factor on losing a deal, by week."""
        return self.factor("lose", self.mondays(np.arange(weeks, dtype=np.int64)))

    def ends_quarter(self, mondays: Ints) -> Bools:
        """Whether each week is one of the last of its quarter."""
        middle = mondays + 3 * DAY
        return np.asarray(quarter(middle) != quarter(middle + p.QUARTER_END_WEEKS * WEEK))

    @property
    def is_changed(self) -> bool:
        """Whether deals move differently after the change."""
        return self.regime["advance"] != 1.0 or self.regime["lose"] != 1.0

    @property
    def unchanged(self) -> Calendar:
        """The same calendar as people see it who do not foresee the change."""
        return replace(self, regime=p.STEADY)

    def years_begin(self) -> Ints:
        """08:00 UTC of the first Monday of each calendar year after the start, before the end."""
        first, last = np.array([self.start, self.end - 1]).astype("datetime64[us]").astype("datetime64[Y]")
        years = np.arange(first + 1, last + 1).astype("datetime64[us]").astype(np.int64)
        begins = monday(years + 6 * DAY) + 8 * HOUR
        return np.asarray(begins[begins < self.end])

    def is_down(self, moments: Ints) -> Bools:
        """Whether the tracking of web and mail was down at each moment."""
        down = np.zeros(len(moments), bool)
        for begin, end in self.outages:
            down |= (moments >= begin) & (moments < end)
        return down

    def stay_away(self, rng: np.random.Generator, moments: Ints) -> Bools:
        """Which of those who would have come at `moments` do not, because demand has fallen."""
        return np.asarray(rng.random(len(moments)) >= self.factor("arrivals", moments))

    def arrivals(self, rng: np.random.Generator, n: int, *, weekdays: Floats) -> Ints:
        """`n` sorted moments of arrival with growth, season, weekday and hour of the day, if demand does not fall."""
        days = np.arange(self.start // DAY, self.end // DAY, dtype=np.int64) * DAY
        weight = weekdays[weekday(days)] * p.MONTH_ARRIVALS[month(days)]
        weight = weight * (1 + p.GROWTH_PER_YEAR) ** ((days - self.start) / (365.25 * DAY))
        cumulative = np.cumsum(weight)
        chosen = days[np.searchsorted(cumulative, rng.random(n) * cumulative[-1], side="right")]
        return np.sort(chosen + (6 + 15 * rng.beta(2.2, 2.4, n)) * HOUR // SECOND * SECOND).astype(np.int64)


def _outages(config: SimulationConfig, start: int, end: int) -> tuple[tuple[int, int], ...]:
    """The days in which tracking was down: once a year, for some days up to a week."""
    draw = Draws(config, "outages")
    place, days = draw("place").random(config.years), draw("days").uniform(*p.OUTAGE_DAYS, config.years)
    year = (end - start) / config.years
    begins = start + ((np.arange(config.years) + 0.1 + 0.8 * place) * year).astype(np.int64)
    return tuple((int(begin), int(begin + length * DAY)) for begin, length in zip(begins, days, strict=True))
