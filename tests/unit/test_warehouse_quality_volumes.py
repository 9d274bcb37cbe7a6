"""Sudden changes of weekly volume: a jump is one, a season, a slow growth and noise are none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

from quality_world import at, only, row, warehouse_of

from warehouse.quality import assess_quality
from warehouse.quality.volumes import judge_weeks


def flagged(counts: Sequence[int]) -> list[int]:
    weeks = [(date(2023, 1, 2) + timedelta(days=7 * place), count) for place, count in enumerate(counts)]
    return [place for place, week in enumerate(judge_weeks(weeks)) if week.flagged]


def test_a_jump_is_flagged_and_the_weeks_after_it_are_not() -> None:
    assert flagged([200] * 20 + [900] + [200] * 20) == [20]


def test_the_first_week_of_a_lasting_change_is_flagged_once() -> None:
    assert flagged([1000] * 30 + [100] * 30) == [30]


def test_noise_and_slow_growth_are_not_sudden() -> None:
    assert flagged([round(500 * 1.01**week + 40 * (-1) ** week) for week in range(150)]) == []


def test_a_week_that_repeats_last_years_is_season() -> None:
    year = [500] * 51 + [60]
    assert flagged(year * 3) == [51]


def test_few_rows_and_few_weeks_are_not_judged() -> None:
    assert flagged([2] * 20 + [45]) == []
    assert flagged([200] * 7 + [5000]) == []
    assert flagged([0] * 12 + [500] + [0] * 12 + [500]) == []


def test_the_expected_range_is_that_of_median_and_deviation() -> None:
    weeks = [
        (date(2023, 1, 2) + timedelta(days=7 * place), count) for place, count in enumerate([90, 110] * 10 + [100])
    ]
    last = judge_weeks(weeks)[-1]
    # Median 100, deviation 10, scale 14.826: five of them each way, and half beyond the greatest.
    assert (last.low, last.high) == (100 - 5 * 14.826, 100 + 5 * 14.826)


def test_the_report_says_which_week_how_many_and_what_was_expected(tmp_path: Path) -> None:
    steady = [
        row("lead_events", f"E-{week}-{n}", lead_id="L", day=7 * week + n / 24) for week in range(12) for n in range(3)
    ]
    surge = [row("lead_events", f"S-{n}", lead_id="L", day=7 * 10 + n / 1000) for n in range(100)]
    finding = only(
        assess_quality(warehouse_of(tmp_path, lead_events=steady + surge), as_of=at(7 * 12 + 3)), "volumes.sudden"
    )
    assert finding.examples == ("2025-03-17: 103 (expected 0 to 12)",)
    assert (finding.severity, finding.points, finding.count) == ("note", 0, 1)
