"""Months, quarters and years: names, bounds in UTC, and which months a period is made of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Literal

from common.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

Grain = Literal["month", "quarter", "year"]

_PATTERNS: dict[Grain, re.Pattern[str]] = {
    "month": re.compile(r"^(\d{4})-(\d{2})$"),
    "quarter": re.compile(r"^(\d{4})Q([1-4])$"),
    "year": re.compile(r"^(\d{4})$"),
}
_MONTHS_OF: dict[Grain, int] = {"month": 1, "quarter": 3, "year": 12}


@dataclass(frozen=True, order=True)
class Period:
    """A calendar month, quarter or year in UTC.

    Args:
        first_month: Months since year 0 of the first month: `year * 12 + month - 1`.
        n_months: 1, 3 or 12.
    """

    first_month: int
    n_months: int

    @property
    def name(self) -> str:
        """`2026-02`, `2026Q1` or `2026`."""
        year, month = divmod(self.first_month, 12)
        if self.n_months == 1:
            return f"{year:04d}-{month + 1:02d}"
        return f"{year:04d}Q{month // 3 + 1}" if self.n_months == 3 else f"{year:04d}"

    @property
    def start(self) -> datetime:
        """First instant of the period."""
        return month_start(self.first_month)

    @property
    def stop(self) -> datetime:
        """First instant after the period."""
        return month_start(self.first_month + self.n_months)

    @property
    def last_day(self) -> date:
        """Last day of the period."""
        return date.fromordinal(self.stop.date().toordinal() - 1)

    @property
    def months(self) -> range:
        """Numbers of its months."""
        return range(self.first_month, self.first_month + self.n_months)

    def shifted(self, periods: int) -> Period:
        """The period so many periods of the same length later."""
        return Period(self.first_month + periods * self.n_months, self.n_months)


def month_number(moment: date | datetime) -> int:
    """Number of the month that holds `moment`."""
    return moment.year * 12 + moment.month - 1


def month_numbers(times: pd.Series) -> NDArray[np.int64]:
    """`month_number` of each time, UTC; none may be missing."""
    import numpy as np

    months = times.dt.tz_localize(None).to_numpy().astype("datetime64[M]")
    return np.asarray(months.astype(np.int64) + 1970 * 12, dtype=np.int64)


def month_start(number: int) -> datetime:
    """First instant of month `number`, UTC."""
    year, month = divmod(number, 12)
    return datetime(year, month + 1, 1, tzinfo=UTC)


def share_of_month(at: datetime) -> float:
    """Share of the month of `at` that is over at `at`."""
    start, stop = month_start(month_number(at)), month_start(month_number(at) + 1)
    return (at - start) / (stop - start)


def moment_in_month(number: int, share: float) -> datetime:
    """The moment at which the share `share` of month `number` is over, UTC."""
    start, stop = month_start(number), month_start(number + 1)
    return start + share * (stop - start)


def period_of(moment: date | datetime, grain: Grain) -> Period:
    """The month, quarter or year that holds `moment`."""
    length = _MONTHS_OF[grain]
    return Period(month_number(moment) // length * length, length)


def parse_period(text: str) -> Period:
    """Read `2026-02`, `2026Q1` or `2026`.

    Raises:
        InputError: with `field="period"`, if the text is none of them.

    Example:
        >>> parse_period("2026Q1").last_day.isoformat()
        '2026-03-31'
    """
    for grain, pattern in _PATTERNS.items():
        match = pattern.match(str(text))
        if match is None:
            continue
        year = int(match.group(1))
        part = int(match.group(2)) if grain != "year" else 1
        if year >= 1 and 1 <= part <= 12:
            return Period(year * 12 + (part - 1) * _MONTHS_OF[grain], _MONTHS_OF[grain])
    raise InputError(
        f"'{text}' is not a period",
        expected="a month such as 2026-02, a quarter such as 2026Q1, or a year such as 2026",
        field="period",
    )


def periods_within(months: Sequence[int], *, grains: Sequence[Grain] = ("month", "quarter", "year")) -> list[Period]:
    """All periods of the grains whose months all lie in `months`, by length and then time."""
    present = set(months)
    found = []
    for grain in grains:
        length = _MONTHS_OF[grain]
        firsts = sorted({month // length * length for month in present})
        found += [Period(first, length) for first in firsts if present.issuperset(range(first, first + length))]
    return found
