"""Whether to learn from outcomes told on: yes where a later look says more than one end, no where it says less."""

from __future__ import annotations

import numpy as np
import pytest

from training.deals.outcomes import Outcomes
from training.deals.pieces import Snapshots
from training.deals.told_on import is_better_told_on, told_on
from training.manifest import FeatureEntry
from training.search import Candidate
from training.winner import Winner

WEEK = np.timedelta64(7 * 24 * 3600 * 1_000_000, "us")
BEGIN = np.datetime64("2023-01-02", "us")
WEEKS, NOISE = 150, 10
ENTRIES = tuple(
    FeatureEntry(name=name, dtype="float", group="state", about=name, unit="points", phrase=name)
    for name in ("prospect", "age_weeks", *(f"idle_{number}" for number in range(NOISE)))
)


def world(deals: int, *, forgets: bool) -> Snapshots:
    """Weekly looks at deals whose prospect wanders, or is seen in the first four weeks alone.

    In the first case ten columns say nothing and never change in a deal: by them trees learn the luck of single deals
    by heart.
    """
    generator = np.random.default_rng(3)
    rows: list[tuple[float, float, int, int, float, float]] = []
    for deal in range(deals):
        opened, length = int(generator.integers(0, WEEKS - 10)), int(generator.geometric(0.06))
        steps = generator.normal(0.0, 0.0 if forgets else 0.6, length)
        prospect = generator.normal() + np.r_[0.0, np.cumsum(steps)[:-1]]
        won = float(generator.random() < 1.0 / (1.0 + np.exp(-1.5 * prospect[-1])))
        for week in range(length):
            seen = np.nan if forgets and week >= 4 else prospect[week]
            rows.append((seen, float(week), deal, opened + week, 7.0 * (length - week) - 3.0, won))
    table = np.array([row for row in rows if row[3] < WEEKS])
    idle = np.zeros((deals, NOISE)) if forgets else generator.normal(size=(deals, NOISE))
    watched = 7.0 * (WEEKS - table[:, 3])
    is_known = table[:, 4] <= watched
    return Snapshots(
        matrix=np.column_stack([table[:, :2], idle[table[:, 2].astype(int)]]),
        outcomes=Outcomes(
            days=np.where(is_known, table[:, 4], np.nan),
            won=np.where(is_known, table[:, 5], np.nan),
            final_usd=np.full(len(table), np.nan),
            watched_days=watched,
            recording_days=0.0,
        ),
        as_of=BEGIN + table[:, 3].astype(int) * WEEK,
        entity=np.array([f"D-{int(number)}" for number in table[:, 2]], dtype=object),
        entries=ENTRIES,
    )


@pytest.fixture(scope="module")
def winners() -> dict[str, Winner]:
    eager = {"learning_rate": 0.1, "num_leaves": 31, "min_data_in_leaf": 20}
    part = Candidate(kind="lightgbm", params=eager, rounds=60, log_loss=0.6)
    return {name: Winner(parts=(part,)) for name in ("closing", "winning")}


def test_a_later_look_that_says_more_than_one_end_is_learned_from(winners: dict[str, Winner]) -> None:
    assert is_better_told_on(world(1_500, forgets=False), winners, threads=1, seed=1)


def test_a_later_look_that_has_forgotten_is_not_learned_from(winners: dict[str, Winner]) -> None:
    assert not is_better_told_on(world(1_500, forgets=True), winners, threads=1, seed=1)


def test_too_few_deals_leave_the_outcomes_as_they_came(winners: dict[str, Winner]) -> None:
    assert not is_better_told_on(world(60, forgets=False), winners, threads=1, seed=1)


def test_told_on_outcomes_keep_what_came_soon_and_who_was_watched(winners: dict[str, Winner]) -> None:
    snapshots = world(400, forgets=False)
    told = told_on(snapshots, winners, snapshots.pieces(seed=1), threads=1, seed=1)
    soon = snapshots.outcomes.days <= 28.0
    assert np.array_equal(told.outcomes.days[soon], snapshots.outcomes.days[soon])
    assert np.array_equal(told.outcomes.won[soon], snapshots.outcomes.won[soon])
    assert np.array_equal(told.outcomes.watched_days, snapshots.outcomes.watched_days)
    assert (told.outcomes.days[~soon] != snapshots.outcomes.days[~soon]).mean() > 0.9
