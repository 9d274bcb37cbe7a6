from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from common.errors import InputError
from training.forecast.history import snapshot_moments
from training.forecast.periods import (
    Period,
    moment_in_month,
    month_number,
    month_start,
    parse_period,
    period_of,
    periods_within,
    share_of_month,
)


@pytest.mark.parametrize(
    ("text", "start", "last_day"),
    [
        ("2026-02", datetime(2026, 2, 1, tzinfo=UTC), date(2026, 2, 28)),
        ("2024-02", datetime(2024, 2, 1, tzinfo=UTC), date(2024, 2, 29)),
        ("2026Q4", datetime(2026, 10, 1, tzinfo=UTC), date(2026, 12, 31)),
        ("2026", datetime(2026, 1, 1, tzinfo=UTC), date(2026, 12, 31)),
    ],
)
def test_a_period_begins_and_ends_on_its_calendar_days(text: str, start: datetime, last_day: date) -> None:
    period = parse_period(text)
    assert (period.start, period.last_day, period.name) == (start, last_day, text)


@pytest.mark.parametrize("text", ["2026Q5", "2026-13", "2026-00", "26", "next quarter", "", "2026-2", "2026q1"])
def test_a_malformed_period_is_refused_naming_the_field_and_the_forms(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_period(text)
    assert caught.value.field == "period"
    assert "2026-02" in caught.value.message
    assert "2026Q1" in caught.value.message


def test_only_periods_whose_months_are_all_present_are_offered() -> None:
    months = range(period_of(date(2025, 11, 1), "month").first_month, period_of(date(2027, 1, 1), "month").first_month)
    names = [period.name for period in periods_within(list(months), grains=("quarter", "year"))]
    assert names == ["2026Q1", "2026Q2", "2026Q3", "2026Q4", "2026"]


def test_a_quarter_is_followed_by_the_next_one_over_the_end_of_the_year() -> None:
    assert period_of(date(2025, 12, 31), "quarter").shifted(1).name == "2026Q1"
    assert month_start(Period(2025 * 12 + 11, 1).shifted(1).first_month) == datetime(2026, 1, 1, tzinfo=UTC)


def test_a_share_of_a_month_is_found_again() -> None:
    at = datetime(2026, 2, 15, tzinfo=UTC)
    assert share_of_month(at) == 0.5
    assert moment_in_month(month_number(at), 0.5) == at
    assert moment_in_month(2026 * 12 + 2, 0.5) == datetime(2026, 3, 16, 12, tzinfo=UTC)
    assert moment_in_month(2026 * 12 + 2, 0.0) == month_start(2026 * 12 + 2)


def test_past_moments_are_as_far_into_their_months_as_the_one_that_is_asked_for() -> None:
    first = datetime(2025, 10, 20, tzinfo=UTC)
    starts = [month_start(number) for number in range(2025 * 12 + 10, 2026 * 12 + 1)]
    assert snapshot_moments(datetime(2026, 2, 1, tzinfo=UTC), first=first) == starts
    middles = [
        datetime(2025, 11, 16, tzinfo=UTC),
        *(datetime(y, m, 16, 12, tzinfo=UTC) for y, m in ((2025, 12), (2026, 1))),
    ]
    assert snapshot_moments(datetime(2026, 2, 15, tzinfo=UTC), first=first) == middles
