"""A small forecast from deals with its tree, for tests of overrides, scenarios and gaps."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd

from training.forecast.frame import BottomForecast, summarise
from training.forecast.history import LEVELS, UNASSIGNED
from training.forecast.periods import Period, periods_within
from training.forecast.places import Places, places_of
from training.forecast.store import Forecast
from training.forecast.tree import build_tree

AS_OF = datetime(2026, 2, 10, tzinfo=UTC)
MONTHS = range(2026 * 12, 2026 * 12 + 6)


def make_reps(teams: list[tuple[str, str]] | None = None) -> pd.DataFrame:
    """Reps R-1 … of the given (region, team), and nobody."""
    placed = teams or [("EMEA", "east"), ("EMEA", "east"), ("EMEA", "west"), ("AMER", "north")]
    rows = [
        {"rep_id": f"R-{number}", "region": region, "team": team} for number, (region, team) in enumerate(placed, 1)
    ]
    return pd.DataFrame([*rows, {"rep_id": UNASSIGNED, "region": UNASSIGNED, "team": UNASSIGNED}])


def make_places(reps: pd.DataFrame, versions: pd.DataFrame | None = None) -> Places:
    """Everybody stays where they are, or moves as the versions say."""
    return places_of(reps, months=MONTHS, versions=versions)


def make_versions(*rows: tuple[str, str, str, str]) -> pd.DataFrame:
    """Teams of reps from (rep, region, team, day) on."""
    frame = pd.DataFrame(rows, columns=["rep_id", "region", "team", "event_timestamp"])
    frame["event_timestamp"] = pd.to_datetime(frame["event_timestamp"], utc=True)
    return frame.sort_values(["rep_id", "event_timestamp"], kind="stable").reset_index(drop=True)


def make_forecast(
    reps: pd.DataFrame,
    *,
    closed: np.ndarray | None = None,
    opened: np.ndarray | None = None,
    versions: pd.DataFrame | None = None,
    seed: int = 0,
) -> Forecast:
    """A forecast of January to June made on 10 February; cents of shape (n_reps, 6)."""
    shape = (len(reps), len(MONTHS))
    rng = np.random.default_rng(seed)
    closed = np.zeros(shape, np.int64) if closed is None else closed
    opened = rng.integers(0, 5_000_00, shape) if opened is None else opened
    tree = build_tree(reps, make_versions() if versions is None else versions, months=MONTHS)
    parts = {"closed": closed, "open": opened, "new": opened * 0, "renewal": opened * 0}
    bottom = BottomForecast(
        hierarchy=tree.hierarchy,
        base=tuple(Period(month, 1) for month in MONTHS),
        components={name: tree.spread(cents) for name, cents in parts.items()},
        paths=tree.spread(rng.gamma(2.0, 1.0, (40, *shape)) * opened[None] / 200.0),
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
