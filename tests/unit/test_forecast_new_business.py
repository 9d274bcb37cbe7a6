from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from training.forecast.conversion import MAX_LAG
from training.forecast.new_business import (
    NewBusiness,
    Volume,
    forecast_volume,
    learn_places,
    learn_wins_by_lag,
    rep_shares,
)
from training.forecast.renewals import learn_renewals


def test_wins_by_lag_count_only_months_whose_lag_is_over() -> None:
    opened = np.array([10.0, 10.0, 20.0])
    wins = np.zeros((3, MAX_LAG + 1))
    wins[0, :3] = [1, 2, 1]
    wins[1, :2] = [1, 2]
    wins[2, 0] = 2
    rates = learn_wins_by_lag(opened, wins)
    assert rates[:4] == pytest.approx([4 / 40, 4 / 20, 1 / 10, 0.0])


def test_of_the_month_that_has_begun_only_the_rest_is_new() -> None:
    rates = np.zeros(MAX_LAG + 1)
    rates[:2] = [0.1, 0.2]
    learned = NewBusiness(
        volume=Volume(mean=np.array([100.0, 100.0]), spread=0.0, method="mean", errors={}),
        wins_by_lag=np.tile(rates, (12, 1)),
        amounts=np.ones(1),
        shares=np.ones(1),
    )
    # 25 deals come in the last quarter of the month, an eighth of a month before its end and not half a month.
    assert learned.wins(elapsed=0.75) == pytest.approx([25 * 0.1 / 4, 25 * 0.2 + 10.0])


def test_wins_follow_the_season_of_the_month_that_their_deals_came_in() -> None:
    rates = np.zeros((12, MAX_LAG + 1))
    rates[:, 1] = 0.2
    rates[0, 1] = 0.1
    learned = NewBusiness(
        volume=Volume(mean=np.full(4, 100.0), spread=0.0, method="mean", errors={}),
        wins_by_lag=rates,
        amounts=np.ones(1),
        shares=np.ones(1),
        month=2025 * 12 + 11,
    )
    # From December on: January's deals are won in February, half as many.
    assert learned.wins(elapsed=0.0) == pytest.approx([0.0, 20.0, 10.0, 20.0])


def test_wins_pile_up_where_a_quarter_ends_as_far_as_enough_of_them_say_so() -> None:
    hoped, first = np.full(24, 30.0), 2024 * 12
    factors = learn_places(np.tile([20.0, 30.0, 40.0], 8), hoped, first=first)
    # 240 wins a place against the weight of 20 that stay with the mean.
    assert factors == pytest.approx([180 / 260, 1.0, 340 / 260])
    assert learn_places(np.tile([20.0, 30.0, 40.0], 8), hoped, first=first + 1)[0] == pytest.approx(340 / 260)
    few = learn_places(np.tile([0.2, 0.3, 0.4], 8), np.full(24, 0.3), first=first)
    assert few == pytest.approx(np.ones(3), abs=0.05)


def test_places_in_the_quarter_change_nothing_in_sum_and_need_a_year() -> None:
    rng = np.random.default_rng(8)
    happened, hoped = rng.poisson(10.0, 24).astype(float), rng.uniform(5.0, 15.0, 24)
    factors = learn_places(happened, hoped, first=1)
    assert (hoped * factors[(1 + np.arange(24)) % 3]).sum() == pytest.approx(hoped.sum())
    assert learn_places(happened[:11], hoped[:11], first=1).tolist() == [1.0, 1.0, 1.0]
    assert learn_places(np.zeros(24), hoped, first=1).tolist() == [1.0, 1.0, 1.0]


def test_a_steady_volume_is_continued() -> None:
    counts = np.random.default_rng(3).poisson(100, 30).astype(float)
    assert forecast_volume(counts, h=6, season_length=12).mean == pytest.approx(np.full(6, 100), abs=12)


def test_a_volume_has_the_season_of_its_months_and_grows() -> None:
    season = np.where(np.arange(12) % 3 == 1, 1.3, 0.85)
    months = np.arange(36 + 6)
    mean = 1_000.0 * season[months % 12] * 1.1 ** (months / 12)
    found = forecast_volume(np.round(mean[:36]), h=6, season_length=12).mean
    assert found == pytest.approx(mean[36:], rel=0.04)


def test_a_volume_with_hardly_any_history_is_its_mean() -> None:
    assert forecast_volume(np.array([4.0, 6.0]), h=2, season_length=12).mean.tolist() == [5.0, 5.0]


def test_rep_shares_sum_to_one_and_leave_out_who_has_left() -> None:
    at = pd.Timestamp("2026-01-01", tz="UTC")
    reps = pd.DataFrame(
        {
            "rep_id": ["a", "b", "c"],
            "is_active": [True, True, False],
            "hired_at": pd.to_datetime(["2020-01-01", "2025-07-02", "2020-01-01"], utc=True),
        }
    )
    shares = rep_shares(pd.Series({"a": 100.0, "b": 50.0, "c": 900.0}), reps, at=at)
    # b sold 50 in half a year, as much a year as a.
    assert shares == pytest.approx([0.5, 0.5, 0.0], abs=0.01)


def contracts(rows: list[tuple[str, str, str, float]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["account_id", "kind", "event_timestamp", "amount_usd"])
    frame["event_timestamp"] = pd.to_datetime(frame["event_timestamp"], utc=True)
    frame["created_timestamp"] = frame["event_timestamp"] + pd.Timedelta(minutes=5)
    return frame.assign(product_id="p", rep_id="r", transaction_id=[f"t{n:03d}" for n in range(len(frame))])


def test_renewals_find_the_term_the_rate_and_what_is_due() -> None:
    rows = [(f"a{n}", "booking", "2024-03-10", 100.0) for n in range(40)]
    rows += [(f"a{n}", "renewal", "2025-03-11", 110.0) for n in range(30)]
    learned = learn_renewals(contracts(rows), at=datetime(2025, 7, 1, tzinfo=UTC))
    assert learned.term_months == 12
    assert learned.rate == pytest.approx(30 / 40)
    assert learned.ratio.mean() == pytest.approx(1.1)
    # The thirty renewed contracts come up again in March 2026; the ten that lapsed do not.
    assert learned.due["due_month"].tolist() == [2026 * 12 + 2] * 30


def test_a_source_without_renewals_has_none_due() -> None:
    learned = learn_renewals(
        contracts([("a", "booking", "2024-03-10", 100.0)] * 50), at=datetime(2025, 1, 1, tzinfo=UTC)
    )
    assert learned.term_months == 0
    assert learned.due.empty


def signed(*, due: list[str]) -> pd.DataFrame:
    """Forty contracts of March 2024, twenty of them renewed a year and a day later, and contracts due in May 2025."""
    rows = [(f"a{n}", "booking", "2024-03-10", 100.0) for n in range(40)]
    rows += [(f"a{n}", "renewal", "2025-03-11", 100.0) for n in range(20)]
    return contracts([*rows, *((f"b{day}", "booking", day, 100.0) for day in due)])


def chances_in_may(money: pd.DataFrame, *, day: int) -> list[float]:
    """Chances, as of a day of May 2025, of the contracts due in it."""
    due = learn_renewals(money, at=datetime(2025, 5, day, tzinfo=UTC)).due
    return due.loc[due["due_month"] == 2025 * 12 + 4, "chance"].tolist()


def test_a_contract_whose_anniversary_is_to_come_is_as_likely_to_be_renewed_late_in_the_month_as_before() -> None:
    money = signed(due=["2024-05-03", "2024-05-28"])
    usual = chances_in_may(money, day=1)
    assert usual == pytest.approx([0.5, 0.5], abs=0.02)
    # The first should have been renewed on the 4th.
    assert chances_in_may(money, day=21) == [0.0, usual[1]]


def test_what_is_entered_late_is_waited_for() -> None:
    money = signed(due=["2024-05-03"])
    is_renewal = money["kind"] == "renewal"
    slow = is_renewal & (money.index % 4 == 0)
    money["created_timestamp"] = money["created_timestamp"].where(
        ~slow, money["event_timestamp"] + pd.Timedelta(days=9)
    )
    (usual,), (after,) = (chances_in_may(money, day=day) for day in (1, 6))
    # A quarter of the renewals is known nine days late: of what may still come, that is left.
    assert after == pytest.approx(usual * 0.25 / (1 - usual * 0.75))


def test_where_nothing_tells_when_renewals_come_the_rest_of_the_month_is_left() -> None:
    money = signed(due=["2024-05-03"])
    money["event_timestamp"] = money["event_timestamp"].where(
        money["kind"] != "renewal", pd.Timestamp("2025-03-01", tz="UTC")
    )
    money["created_timestamp"] = money["event_timestamp"]
    (usual,), (half,) = (chances_in_may(money, day=day) for day in (1, 16))
    left = 1 - 15 / 31
    assert half == pytest.approx(usual * left / (1 - usual * (1 - left)))
