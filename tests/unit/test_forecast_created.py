from __future__ import annotations

import numpy as np
import pytest

from training.forecast.conversion import MAX_LAG
from training.forecast.created import Opened, _new_wins, _seasonal
from training.forecast.drift import track_counts
from training.forecast.flow import Flow

FIRST, MONTHS = 2022 * 12, 48
LEVEL = track_counts(np.full(24, 1e6), np.full(24, 1e6))
FLOW = Flow(
    stages=("Demo",), moves=np.array([[0.7, 0.2, 0.1]]), entry=np.ones(1), advance=LEVEL, lose=LEVEL, month=FIRST + 48
)
OPENED = Opened(first=FIRST, counts=np.full(MONTHS, 10_000.0), cohort=np.zeros(0, dtype=np.int64))
RATES = np.r_[0.02, 0.06, 0.06, 0.05, 0.04, 0.02, np.zeros(MAX_LAG - 5)]


def wins(*, soon: list[float], later: list[float]) -> np.ndarray:
    """Wins of each month's deals at each lag, by what the calendar quarter makes of those soon, and later."""
    won = np.zeros((MONTHS, MAX_LAG + 1))
    for lag in range(6):
        quarter = (FIRST + np.arange(MONTHS) + lag) % 12 // 3
        won[:, lag] = 10_000.0 * RATES[lag] * np.array(soon if lag < 3 else later)[quarter]
    return won


def test_wins_soon_and_wins_later_have_seasons_of_their_own_by_the_quarter_of_the_win() -> None:
    found = _seasonal(OPENED, wins(soon=[0.8, 1.0, 1.0, 1.25], later=[1.1, 1.0, 1.0, 1 / 1.1]), RATES, FLOW)
    # January's deals that are won at once, and November's that are won in January: the first quarter's.
    assert found[0, 0] == pytest.approx(0.8, abs=0.02)
    assert found[10, 2] == pytest.approx(0.8, abs=0.02)
    assert found[10, 0] == pytest.approx(1.25, abs=0.02)
    assert found[10, 3] == pytest.approx(1.1, abs=0.02)
    assert found[:, 6:] == pytest.approx(np.ones((12, MAX_LAG - 5)), abs=0.01)


def test_with_its_season_nothing_of_the_past_is_a_surprise() -> None:
    won = wins(soon=[0.8, 1.0, 1.0, 1.25], later=[1.0, 1.0, 1.0, 1.0])
    seasonal = _seasonal(OPENED, won, RATES, FLOW)
    happened, hoped = _new_wins(OPENED, won, RATES * seasonal, FLOW, lags=range(3))
    assert happened == pytest.approx(hoped, rel=0.03)
    plain = _new_wins(OPENED, won, RATES * np.ones((12, 1)), FLOW, lags=range(3))[1]
    assert happened.sum() == pytest.approx(plain.sum(), rel=0.03)
    assert np.abs(happened / plain - 1).max() > 0.18


def test_of_the_first_months_only_the_lags_that_are_known_are_expected() -> None:
    happened, hoped = _new_wins(
        OPENED, wins(soon=[1.0] * 4, later=[1.0] * 4), RATES * np.ones((12, 1)), FLOW, lags=range(3)
    )
    assert hoped[:3] == pytest.approx([200.0, 800.0, 1_400.0], rel=0.02)
    assert happened[:3] == pytest.approx([200.0, 800.0, 1_400.0])
