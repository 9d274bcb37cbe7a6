from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from training.forecast.conversion import N_LAGS
from training.forecast.drift import track_counts
from training.forecast.flow import Flow
from training.forecast.wins import of_reps, open_places, places_of_rest, track_wins, wins_until_next

MONTHS, DEALS = 24, 60


def snapshots() -> pd.DataFrame:
    """Each month's deals are new; of 60, 6 are won in it, and 12 where the month ends a quarter."""
    rows = []
    for month in range(MONTHS):
        won = 12 if month % 3 == 2 else 6
        rows += [("Proposal", month, MONTHS - month, number < won, 0.0) for number in range(DEALS)]
    found = pd.DataFrame(rows, columns=["stage", "month", "watched", "won", "lag"])
    return found.assign(is_soon=True, is_late=False)


def within() -> pd.DataFrame:
    """The same seen within months: of each month's wins a third is left, and 10 of 60 are won in the next one.

    Of these 6 are won before the next snapshot, or 1 where the month ends a quarter.
    """
    rows = []
    for month in range(MONTHS):
        rest, early = (4 if month % 3 == 2 else 2), (1 if month % 3 == 1 else 6)
        for number in range(DEALS):
            lag = 0.0 if number < rest else 1.0
            rows.append(("Proposal", month, MONTHS - month, number < rest + 10, lag, number < rest + early))
    found = pd.DataFrame(rows, columns=["stage", "month", "watched", "won", "lag", "is_soon"])
    return found.assign(is_late=False)


def expected(rows: pd.DataFrame) -> np.ndarray:
    """8 of 60 are expected in every month: as many in sum as came."""
    found = np.zeros((len(rows), N_LAGS))
    found[:, 1] = 8 / DEALS
    return found


def test_wins_at_quarters_ends_are_told_by_the_months_place() -> None:
    rows = snapshots()
    factors = open_places(rows, expected(rows))
    # 8 months of each place: 48, 48 and 96 wins where 64 were expected, with 20 that stay with the mean.
    assert factors[:3] == pytest.approx([68 / 84, 68 / 84, 116 / 84])
    assert factors.tolist() == np.tile(factors[:3], 4).tolist()


def test_with_places_told_the_level_of_wins_stays_at_one_and_is_surer() -> None:
    rows = snapshots()
    level = track_counts(np.full(24, 1_000.0), np.full(24, 1_000.0))
    flow = Flow(
        stages=("Proposal",), moves=np.array([[0.6, 0.2, 0.2]]), entry=np.ones(1), advance=level, lose=level
    )  # fmt: skip
    plain = expected(rows)
    told = plain * open_places(rows, plain)[rows["month"].to_numpy() % 12][:, None]
    options = {"month": MONTHS, "wandering": np.zeros(3), "turned": 0}
    without, placed = (track_wins(rows, wins_until_next(rows, one), flow, **options) for one in (plain, told))
    assert placed.mean == pytest.approx(1.0, abs=0.06)
    assert placed.sd < without.sd


def test_at_month_starts_what_is_won_until_the_next_one_is_what_is_won_in_the_month() -> None:
    rows = snapshots()
    assert wins_until_next(rows, expected(rows)).tolist() == expected(rows)[:, 1].tolist()


def test_of_the_next_month_as_much_counts_as_is_won_before_the_point_of_the_next_snapshot() -> None:
    rows = within()
    hoped = np.zeros((len(rows), N_LAGS))
    hoped[:, 1:3] = 0.05, 10 / DEALS
    found = pd.Series(wins_until_next(rows, hoped) - 0.05).groupby(rows["month"] % 3).first() * DEALS
    # Of the months that are over, 98 of 230 wins came before that point; 20 wins of each place stay with this share.
    usual = 20 * 98 / 230
    assert found[0] == pytest.approx(10 * (8 * 6 + usual) / 100)
    assert found[1] == pytest.approx(10 * (8 + usual) / 100)
    assert found[2] == pytest.approx(10 * (7 * 6 + usual) / 90)


def test_what_is_left_of_a_quarters_last_month_is_told_apart_from_whole_months() -> None:
    rows = within()
    hoped = np.zeros((len(rows), N_LAGS))
    hoped[:, 1:3] = (8 / 3) / DEALS, 10 / DEALS
    rest, later = places_of_rest(rows, hoped, elapsed=0.6)[:, :3]
    # 8 rests of each place: 16, 16 and 32 wins where 21.3 were expected. Whole months are all alike.
    assert rest == pytest.approx(np.array([36, 36, 52]) / (64 / 3 + 20))
    assert later == pytest.approx(np.ones(3), abs=0.06)
    start = places_of_rest(snapshots(), expected(snapshots()), elapsed=0.0)
    assert start.tolist() == [open_places(snapshots(), expected(snapshots())).tolist()] * 2


def test_the_factor_of_a_rep_not_known_is_one() -> None:
    reps = pd.DataFrame({"rep_id": ["R-1", "R-2"]})
    found = of_reps(np.array([1.2, 0.9]), pd.Series(["R-2", "R-9", "R-1"]), reps)
    assert found.tolist() == [0.9, 1.0, 1.2]
