from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from training.forecast.commits import learn_commits


def snapshots(rows: list[tuple[str, int, str, str, float, bool, float]]) -> pd.DataFrame:
    """Rep, month of 2025 (0 is January), category, close date, amount, won, lag; booked is 90 % of the amount."""
    names = ["rep_id", "month", "forecast_category", "close_date", "amount_usd", "won", "lag"]
    frame = pd.DataFrame(rows, columns=names)
    return frame.assign(
        month=2025 * 12 + frame["month"],
        close_date=pd.to_datetime(frame["close_date"]),
        watched=12 - frame["month"],
        booked_usd=np.where(frame["won"], 0.9 * frame["amount_usd"], np.nan),
    )


def test_what_was_committed_is_set_beside_what_was_booked_in_the_quarter() -> None:
    rows = [("keeper", 0, "commit", "2025-02-10", 100.0, True, 1.0)] * 20
    rows += [("optimist", 0, "commit", "2025-02-10", 100.0, True, 1.0)] * 5
    rows += [("optimist", 3, "commit", "2025-05-10", 100.0, False, np.nan)] * 15
    overall, by_rep = learn_commits(snapshots(rows))
    assert overall == pytest.approx(0.9 * 25 / 40)
    assert by_rep["keeper"] == pytest.approx((0.9 * 20 + 5 * overall) / 25, abs=1e-4)
    assert by_rep["optimist"] == pytest.approx((0.9 * 5 + 5 * overall) / 25, abs=1e-4)


def test_a_deal_won_after_the_quarter_did_not_keep_the_commit() -> None:
    overall, _ = learn_commits(snapshots([("a", 0, "commit", "2025-02-10", 100.0, True, 3.0)] * 10))
    assert overall == 0.0


def test_other_calls_later_dates_and_other_months_do_not_count() -> None:
    rows = [
        ("a", 0, "pipeline", "2025-02-10", 100.0, True, 1.0),
        ("a", 0, "commit", "2025-04-10", 100.0, True, 1.0),
        ("a", 1, "commit", "2025-02-10", 100.0, True, 1.0),
    ]
    assert learn_commits(snapshots(rows)) == (None, {})


def test_an_overdue_commit_is_for_this_quarter() -> None:
    overall, _ = learn_commits(snapshots([("a", 0, "commit", "2024-12-20", 100.0, True, 0.0)]))
    assert overall == pytest.approx(0.9)
