from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from training.forecast.conversion import N_LAGS
from training.forecast.drift import track_counts
from training.forecast.flow import Flow
from training.forecast.wins import of_reps, open_places, track_wins

MONTHS, DEALS = 24, 60


def snapshots() -> pd.DataFrame:
    """Each month's deals are new; of 60, 6 are won in it, and 12 where the month ends a quarter."""
    rows = []
    for month in range(MONTHS):
        won = 12 if month % 3 == 2 else 6
        rows += [("Proposal", month, MONTHS - month, number < won, 0.0) for number in range(DEALS)]
    return pd.DataFrame(rows, columns=["stage", "month", "watched", "won", "lag"])


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
    options = {"month": MONTHS, "elapsed": 0.0, "wandering": np.zeros(3), "turned": 0}
    without, placed = (track_wins(rows, one, flow, **options) for one in (plain, told))
    assert placed.mean == pytest.approx(1.0, abs=0.06)
    assert placed.sd < without.sd


def test_the_factor_of_a_rep_not_known_is_one() -> None:
    reps = pd.DataFrame({"rep_id": ["R-1", "R-2"]})
    found = of_reps(np.array([1.2, 0.9]), pd.Series(["R-2", "R-9", "R-1"]), reps)
    assert found.tolist() == [0.9, 1.0, 1.2]
