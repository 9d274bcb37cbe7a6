"""The gap to the quota: rates by hand, and what has to be created."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from training.forecast.gap import learn_rates, pipeline_gap
from training.forecast.periods import parse_period
from training.forecast.versions import Places, Texts, Versions

AT = datetime(2026, 1, 1, tzinfo=UTC)


def created(*rows: tuple[str, int, int | None, float, float | None]) -> pd.DataFrame:
    """Deals as (status, days ago created, days until decided, amount, booked)."""
    found = []
    for number, (status, ago, until, amount, booked) in enumerate(rows):
        since = pd.Timestamp(AT) - pd.Timedelta(days=ago)
        decided = pd.NaT if until is None else since + pd.Timedelta(days=until)
        found.append((f"D-{number}", status, "R-1", amount, since, decided, booked))
    names = ["opportunity_id", "status", "rep_id", "amount_usd", "since", "decided_at", "booked_usd"]
    frame = pd.DataFrame(found, columns=names)
    frame["decided_at"] = pd.to_datetime(frame["decided_at"], utc=True)
    return frame


def test_the_yield_of_a_dollar_is_that_of_the_hand() -> None:
    deals = created(("won", 300, 50, 100.0, 110.0), ("lost", 300, 20, 300.0, None), ("won", 300, 100, 100.0, 90.0))
    rates = learn_rates(deals, based_on="company", at=AT)
    assert (rates.deals, rates.wins, rates.booked_over_entered) == (3, 2, 1.0)
    assert rates.win_rate == pytest.approx(0.4)
    assert rates.median_cycle_days == 50
    assert rates.yields[[49, 50, 99, 100, 730]].tolist() == pytest.approx([0.0, 0.2, 0.2, 0.4, 0.4])


def test_a_deal_still_open_counts_as_long_as_it_was_watched() -> None:
    deals = created(("won", 300, 50, 100.0, 100.0), ("open", 10, None, 900.0, None))
    rates = learn_rates(deals, based_on="company", at=AT)
    # On day 50 only the deal that was watched so long is at risk.
    assert rates.win_rate == pytest.approx(1.0)
    assert rates.mean_amount_usd == 500.0


def test_deals_older_than_two_years_and_without_an_amount_are_not_counted() -> None:
    deals = created(("won", 900, 50, 100.0, 100.0), ("won", 300, 50, float("nan"), 100.0))
    rates = learn_rates(deals, based_on="company", at=AT)
    assert (rates.deals, rates.win_rate, rates.median_cycle_days) == (0, 0.0, None)


class History:
    """A history of few deals, as `PipelineHistory` tells it."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    def deals(self, at: datetime) -> pd.DataFrame:
        return self._frame[["opportunity_id", "status", "rep_id", "amount_usd"]].assign(stage="Proposal")

    @property
    def versions(self) -> Versions:
        number = np.arange(len(self._frame))
        proposal = Texts(code=np.zeros(len(number), dtype=np.int32), names=np.array(["Proposal"], dtype=object))
        return Versions(
            sorted_ids=pa.array(self._frame["opportunity_id"]),
            deal=number,
            event=number,
            created=number,
            texts={"stage": proposal},
            is_deleted=np.zeros(len(number), dtype=bool),
        )

    def open_places(self, moments: list[datetime]) -> list[Places]:
        return [np.flatnonzero(self._frame["status"] == "open") for _ in moments]

    def first_known(self, at: datetime) -> pd.Series:
        return self._frame.set_index("opportunity_id")["since"]

    def outcomes(self, at: datetime) -> pd.DataFrame:
        decided = self._frame.assign(number=np.arange(len(self._frame)))[self._frame["decided_at"].notna()]
        return decided.set_index("opportunity_id")[["number", "status", "decided_at"]]

    def transactions(self, at: datetime) -> pd.DataFrame:
        sold = self._frame[self._frame["booked_usd"].notna()]
        return pd.DataFrame(
            {
                "opportunity_id": sold["opportunity_id"],
                "amount_usd": sold["booked_usd"],
                "event_timestamp": sold["decided_at"],
                "created_timestamp": sold["decided_at"],
            }
        )


def gap_of(frame: pd.DataFrame, *, quota: float | None, expected: float, period: str = "2026Q1") -> Any:
    answer = {"expected": expected, "components": {"closed": 100.0}, "baselines": {"quota": quota}}
    circles = [("rep R-9", ["R-9"]), ("company", ["R-1", "R-9"])]
    return pipeline_gap(History(frame), answer, parse_period(period), circles, at=AT)  # type: ignore[arg-type]


MANY = created(
    *[("won", 500 - number, 45, 100.0, 100.0) for number in range(50)],
    *[("lost", 500 - number, 45, 100.0, None) for number in range(50)],
)


def test_what_has_to_be_created_closes_the_gap_at_the_rate_of_what_wins_in_time() -> None:
    found = gap_of(MANY, quota=1_000.0, expected=600.0)
    assert found.gap == 400.0
    assert found.days_left == 90
    # Half of the amount is won, on day 45: of days 0 to 90 a dollar of half of them yields 0.5.
    assert found.yield_now == pytest.approx(0.5)
    assert found.yield_even == pytest.approx(0.5 * 46 / 91)
    assert found.needed_now_usd == pytest.approx(800.0)
    assert found.needed_even_usd == pytest.approx(400.0 / (0.5 * 46 / 91))
    assert found.needed_deals == int(np.ceil(found.needed_even_usd / 100.0))
    assert found.rates["based_on"] == "company"
    assert "400 are missing" in found.remark
    assert "800 would have to be created now" in found.remark


def test_pipeline_that_comes_too_late_is_said_to() -> None:
    found = gap_of(MANY, quota=1_000.0, expected=600.0, period="2026-01")
    assert found.needed_now_usd is None
    assert "comes too late" in found.remark
    assert "45 days or more, and 31 are left" in found.remark


def test_a_quota_that_is_exceeded_an_absent_one_and_a_period_that_is_over_are_said_so() -> None:
    assert "exceeded by 50" in gap_of(MANY, quota=1_000.0, expected=1_050.0).remark
    assert "no quota" in gap_of(MANY, quota=None, expected=1_050.0).remark
    over = gap_of(MANY, quota=1_000.0, expected=900.0, period="2025Q4")
    assert over.remark == "The period is over; 100 are missing to the quota."
    assert over.days_left == 0
