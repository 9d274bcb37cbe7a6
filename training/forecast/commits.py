"""What reps' commits are worth: how much of what they called commit was booked in the quarter they called it for."""

from __future__ import annotations

import numpy as np
import pandas as pd

COMMIT = "commit"
_QUARTER = 3
_PRIOR_DEALS = 5.0


def learn_commits(snapshots: pd.DataFrame) -> tuple[float | None, dict[str, float]]:
    """Share of committed amounts that was booked in the same quarter, at snapshots in past quarters' first months.

    A rep's share is shrunk to that of all, as if five more of their deals had kept to it: below 1 a rep promises more
    than comes, above 1 less.

    Args:
        snapshots: Rows as `snapshots.learn_from` gives them.

    Returns:
        The share of all, None where nobody ever committed; and by rep_id.
    """
    month = snapshots["month"].to_numpy(dtype=np.int64)
    close = snapshots["close_date"]
    due = (close.dt.year * 12 + close.dt.month - 1).to_numpy(dtype=np.float64)
    chosen = (
        (month % _QUARTER == 0)
        & (snapshots["watched"].to_numpy() >= _QUARTER)
        & (snapshots["forecast_category"] == COMMIT).to_numpy()
        & (due < month + _QUARTER)
        & (snapshots["amount_usd"] > 0).to_numpy()
    )
    rows = snapshots[chosen]
    if rows.empty:
        return None, {}
    is_kept = rows["won"] & (rows["lag"] >= 0) & (rows["lag"] < _QUARTER)
    came = rows["booked_usd"].where(is_kept, 0.0).fillna(0.0)
    overall = float(came.sum() / rows["amount_usd"].sum())
    prior = _PRIOR_DEALS * float(rows["amount_usd"].mean())
    by_rep = pd.DataFrame({"came": came, "said": rows["amount_usd"]}).groupby(rows["rep_id"]).sum()
    shares = (by_rep["came"] + prior * overall) / (by_rep["said"] + prior)
    return overall, {str(rep): round(float(share), 4) for rep, share in shares.items()}
