"""A small frame of leads whose truth is known, for tests that take the recipe through its steps."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from features.specs import FeatureSpec
from training.frame import Frame

START = np.datetime64("2024-01-01T00:00:00", "us")
HORIZON_DAYS = 20
DAYS = 400
CUT = datetime(2025, 2, 4, tzinfo=UTC)


def spec(name: str, dtype: str) -> FeatureSpec:
    return FeatureSpec(name=name, dtype=dtype, group="fit", about=f"{name}.", unit="units", phrase="{value}")  # type: ignore[arg-type]


def classifier_frame(*, rows: int = 1_600, seed: int = 1, rate: float = -1.0) -> Frame:
    """Leads of 400 days, one row each; `visits` and `source` decide, `noise` does not."""
    generator = np.random.default_rng(seed)
    as_of = START + np.sort(generator.integers(0, DAYS * 86_400, rows)).astype("timedelta64[s]")
    visits = generator.poisson(2.0, rows).astype(float)
    source = np.array(["web", "event", "referral"], dtype=object)[generator.integers(0, 3, rows)]
    margin = rate + 0.6 * visits - 1.2 * (source == "web")
    outcome = (generator.random(rows) < 1 / (1 + np.exp(-margin))).astype(float)

    def label_at(moment: datetime) -> np.ndarray:
        until = np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "us")
        return np.where(as_of + np.timedelta64(HORIZON_DAYS, "D") <= until, outcome, np.nan)

    return Frame(
        entity=np.array([f"lead {row}" for row in range(rows)], dtype=object),
        as_of=as_of.astype("datetime64[us]"),
        columns={"visits": visits, "source": source, "noise": generator.normal(size=rows)},
        specs=(spec("visits", "float"), spec("source", "category"), spec("noise", "float")),
        horizon_days=HORIZON_DAYS,
        cut=CUT,
        label_at=label_at,
    )
