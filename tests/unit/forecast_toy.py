"""A small forecast from deals with its tree, for tests of overrides, scenarios and gaps."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd

from training.forecast.frame import BottomForecast, summarise
from training.forecast.history import LEVELS, UNASSIGNED
from training.forecast.periods import Period, periods_within
from training.forecast.reconciliation import build_hierarchy
from training.forecast.store import Forecast

AS_OF = datetime(2026, 2, 10, tzinfo=UTC)
MONTHS = range(2026 * 12, 2026 * 12 + 6)


def make_reps(teams: list[tuple[str, str]] | None = None) -> pd.DataFrame:
    """Reps R-1 … of the given (region, team), and nobody."""
    placed = teams or [("EMEA", "east"), ("EMEA", "east"), ("EMEA", "west"), ("AMER", "north")]
    rows = [
        {"rep_id": f"R-{number}", "region": region, "team": team} for number, (region, team) in enumerate(placed, 1)
    ]
    return pd.DataFrame([*rows, {"rep_id": UNASSIGNED, "region": UNASSIGNED, "team": UNASSIGNED}])


def make_forecast(
    reps: pd.DataFrame, *, closed: np.ndarray | None = None, opened: np.ndarray | None = None, seed: int = 0
) -> Forecast:
    """A forecast of January to June made on 10 February; cents of shape (n_reps, 6)."""
    shape = (len(reps), len(MONTHS))
    rng = np.random.default_rng(seed)
    closed = np.zeros(shape, np.int64) if closed is None else closed
    opened = rng.integers(0, 5_000_00, shape) if opened is None else opened
    bottom = BottomForecast(
        hierarchy=build_hierarchy(
            {
                "company": ["company"] * len(reps),
                "region": reps["region"].tolist(),
                "team": reps["team"].tolist(),
                "rep": reps["rep_id"].tolist(),
            }
        ),
        base=tuple(Period(month, 1) for month in MONTHS),
        components={"closed": closed, "open": opened, "new": opened * 0, "renewal": opened * 0},
        paths=rng.gamma(2.0, 1.0, (40, *shape)) * opened[None] / 200.0,
    )
    first = AS_OF.year * 12 + AS_OF.month - 1
    periods = [period for period in periods_within(MONTHS) if period.first_month + period.n_months > first]
    return Forecast(
        as_of=AS_OF,
        kind="pipeline",
        unit="USD",
        model_version="7",
        created_at=AS_OF,
        levels=LEVELS,
        values=summarise(bottom, periods),
    )
