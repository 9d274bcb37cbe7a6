from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.forecast.conversion import (
    N_LAGS,
    apply_season,
    apply_win_probability,
    due_bucket,
    learn_conversion,
    learn_season,
)


def snapshots(rows: list[tuple[float, bool, int]]) -> pd.DataFrame:
    """Deals of one cell: (month of the outcome or NaN, won, months watched)."""
    frame = pd.DataFrame(rows, columns=["lag", "won", "watched"])
    return frame.assign(
        due=1, stage="Proposal", month=2025 * 12, ratio=np.where(frame["won"], 0.9, np.nan), booked_usd=90.0
    )


def test_chances_are_the_aalen_johansen_estimate_by_hand() -> None:
    # Ten deals: 2 won and 1 lost in month 0; of the 7 left 3 were watched that month only; of the other 4, 1 won then.
    rows = (
        [(0.0, True, 2)] * 2
        + [(0.0, False, 2)]
        + [(np.nan, False, 1)] * 3
        + [(1.0, True, 2)]
        + [(np.nan, False, 2)] * 3
    )
    chances = learn_conversion(snapshots(rows)).chances[None]
    assert chances[:3] == pytest.approx([0.0, 0.2, (1 - 0.3) * 1 / 4])


def test_a_deal_that_is_still_open_is_not_counted_as_lost() -> None:
    decided = [(0.0, True, 6)] * 5 + [(0.0, False, 6)] * 5
    with_open = decided + [(np.nan, False, 0)] * 100
    assert learn_conversion(snapshots(with_open)).chances[None].sum() == pytest.approx(0.5)


def test_an_outcome_in_a_month_that_is_not_over_does_not_count_yet() -> None:
    rows = [(0.0, True, 1)] * 4 + [(0.0, False, 1)] * 6 + [(1.0, True, 1)] * 9
    chances = learn_conversion(snapshots(rows)).chances[None]
    assert chances[1] == pytest.approx(4 / 19)
    assert chances[2] == 0.0


def test_a_cell_with_few_rows_stays_near_the_rate_of_all() -> None:
    many = snapshots([(0.0, True, 6)] * 20 + [(0.0, False, 6)] * 80)
    few = snapshots([(0.0, True, 6)] * 2).assign(stage="Negotiation")
    learned = learn_conversion(pd.concat([many, few], ignore_index=True))
    assert 0.2 < learned.chances[1, "Negotiation"].sum() < 0.35


def test_a_stage_never_seen_takes_the_rate_of_its_due_date() -> None:
    learned = learn_conversion(snapshots([(0.0, True, 6)] * 20 + [(0.0, False, 6)] * 80))
    deals = pd.DataFrame({"stage": ["Unheard of"], "close_date": [pd.Timestamp("2025-02-10")]})
    found = learned.win_chances(deals, at=pd.Timestamp("2025-02-01", tz="UTC"))
    assert found[0] == pytest.approx(learned.chances[1])


def test_due_buckets_tell_overdue_from_due_and_from_no_date() -> None:
    dates = pd.Series(pd.to_datetime(["2025-01-31", "2025-02-01", "2025-03-10", None, "2027-01-01"]))
    assert due_bucket(dates, at=pd.Timestamp("2025-02-01T12:00", tz="UTC")).tolist() == [0, 1, 2, 7, 5]


CHANCES = st.lists(st.floats(0.0, 1.0), min_size=N_LAGS, max_size=N_LAGS).map(
    lambda values: np.array([values]) / max(1.0, sum(values) * 1.01)
)


@given(chances=CHANCES, probability=st.floats(0.0, 1.0))
@settings(max_examples=60, deadline=None)
def test_chances_stay_chances_and_agree_with_the_deal_model(chances: np.ndarray, probability: float) -> None:
    within = 1 + 6
    asked = apply_win_probability(chances, np.array([probability]), horizon_days=183)
    assert (asked >= 0).all()
    assert asked.sum() <= 1 + 1e-9
    if chances[0, :within].sum() > 1e-6:
        assert asked[0, :within].sum() == pytest.approx(probability, abs=1e-9)


def test_a_deal_without_a_probability_keeps_what_was_learned() -> None:
    chances = np.full((1, N_LAGS), 0.01)
    assert apply_win_probability(chances, np.array([np.nan]), horizon_days=183) == pytest.approx(chances)


def test_a_season_is_learned_from_wins_beyond_expectation_and_shrunk_by_its_years() -> None:
    # Snapshots at the start of October of two years: 40 of 100 won that month where 0.2 each was expected.
    rows = pd.DataFrame(
        {
            "month": [2023 * 12 + 9] * 50 + [2024 * 12 + 9] * 50,
            "watched": 1,
            "lag": 0.0,
            "won": [True] * 20 + [False] * 30 + [True] * 20 + [False] * 30,
        }
    )
    expected = np.zeros((100, N_LAGS))
    expected[:, 1] = 0.2
    season = learn_season(rows, expected)
    assert season[9:] == pytest.approx([((40 + 1) / (20 + 1)) ** (2 / 3)] * 3)
    assert season[:9] == pytest.approx([1.0] * 9)


def test_a_season_moves_the_month_it_belongs_to() -> None:
    season = np.ones(12)
    season[9] = 2.0
    chances = np.full((1, N_LAGS), 0.01)
    raised = apply_season(chances, season, month=2025 * 12 + 9)
    assert raised[0, :3] == pytest.approx([0.01, 0.02, 0.01])
    assert apply_season(np.full((1, N_LAGS), 0.05), np.full(12, 3.0), month=0).sum() == pytest.approx(0.99)
