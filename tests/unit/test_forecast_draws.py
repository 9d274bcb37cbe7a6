from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from training.forecast.draws import Gathered, Layout, draw_deals, draw_shocks, lognormal
from training.forecast.drift import track_counts
from training.forecast.parts import _stretch

LAYOUT = Layout(rep_ids=("a", "b", "unassigned"), months=(0, 1, 2, 3), month=1, n_paths=4_000, key=(7, 1))


def drawn(chances: np.ndarray, *, key: tuple[int, ...] = (7, 1), **options: object) -> np.ndarray:
    layout = Layout(rep_ids=LAYOUT.rep_ids, months=LAYOUT.months, month=1, n_paths=4_000, key=key)
    gathered = Gathered(layout)
    row = np.arange(len(chances)) % 2
    draw_deals(
        layout,
        gathered,
        part="open",
        row=row,
        chances=chances,
        first=0,
        worth=np.full(len(chances), 100.0),
        ratios=np.array([0.8, 1.2]),
        **options,
    )
    return gathered.paths()


def test_paths_have_the_chances_means_by_rep_and_month() -> None:
    paths = drawn(np.array([[0.0, 0.2, 0.3, 0.1, 0.4], [0.1, 0.0, 0.0, 0.5, 0.0]]))
    mean = paths.mean(axis=0)
    # The fifth month is outside.
    assert mean[0] == pytest.approx([0.0, 20.0, 30.0, 10.0], abs=2.5)
    assert mean[1] == pytest.approx([10.0, 0.0, 0.0, 50.0], abs=2.5)
    assert mean[2].tolist() == [0.0] * 4


def test_a_deal_is_won_at_most_once_in_a_path() -> None:
    paths = drawn(np.array([[0.3, 0.3, 0.3, 0.1, 0.0]]))
    assert set(np.unique((paths > 0).sum(axis=(1, 2)))) == {1}


def test_the_same_key_draws_the_same_and_another_does_not() -> None:
    chances = np.full((5, 4), 0.1)
    assert np.array_equal(drawn(chances), drawn(chances))
    assert not np.array_equal(drawn(chances), drawn(chances, key=(7, 2)))


def test_higher_chances_never_lose_a_win_that_was_drawn() -> None:
    low, high = drawn(np.full((20, 4), 0.05)), drawn(np.full((20, 4), 0.06))
    assert (high.sum(axis=(1, 2)) >= low.sum(axis=(1, 2)) - 1e-9).all()
    assert high.sum() > low.sum()


def test_shared_luck_keeps_the_mean_and_widens_the_sum() -> None:
    rng = np.random.default_rng(3)
    chances = np.full((200, 4), 0.05)
    shared = lognormal(rng, 0.3, (4_000, 3))
    shared = np.repeat(shared[:, :1], 3, axis=1)
    alone, together = drawn(chances).sum(axis=(1, 2)), drawn(chances, by_month=shared).sum(axis=(1, 2))
    assert together.mean() == pytest.approx(alone.mean(), rel=0.03)
    assert together.std() > 1.8 * alone.std()


def test_renewals_are_spared_when_the_times_change() -> None:
    # A level that is known and does not wander.
    still = replace(track_counts(np.full(24, 1e6), np.full(24, 1e6)), drift_sd=0.0)
    flow = SimpleNamespace(draw=lambda rng, *, weights, turns: (np.ones(turns.shape), np.ones(turns.shape)))
    learned: Any = SimpleNamespace(
        more_sd=0.0,
        turn_chance=1.0,
        flow=flow,
        worth_by_stage=lambda: np.ones(1),
        wins=still,
        new_wins=still,
        amounts=still,
        renewals=SimpleNamespace(level=still),
        new_business=SimpleNamespace(volume=SimpleNamespace(level=still)),
        rep_factors=SimpleNamespace(remaining=np.zeros(3)),
    )
    shocks = draw_shocks(LAYOUT, learned)
    assert shocks.renewals.std() < 0.05
    assert shocks.wins[:, 1:].std() > 0.2
    none = draw_shocks(LAYOUT, SimpleNamespace(**{**vars(learned), "turn_chance": 0.0}))  # type: ignore[arg-type]
    assert none.wins.std() < 0.05


def test_one_reps_luck_leaves_the_others_alone() -> None:
    chances = np.full((2, 4), 0.2)
    luck = np.ones((4_000, 3))
    luck[:, 0] = 0.0
    paths = drawn(chances, by_rep=luck)
    assert paths[:, 0].sum() == 0.0
    assert np.array_equal(paths[:, 1], drawn(chances)[:, 1])


def test_money_of_nobody_known_goes_to_unassigned() -> None:
    money = pd.DataFrame(
        {
            "event_timestamp": pd.to_datetime(["2000-02-01"], utc=True),
            "rep_id": ["stranger"],
            "amount_usd": [5.0],
        }
    )
    layout = Layout(
        rep_ids=("a", "unassigned"), months=(2000 * 12, 2000 * 12 + 1), month=2000 * 12, n_paths=1, key=(1,)
    )
    assert layout.closed(money).tolist() == [[0.0, 0.0], [0.0, 5.0]]


def test_a_longer_cycle_moves_chances_to_later_months() -> None:
    chances = np.array([[0.05, 0.2, 0.2, 0.0, 0.0]])
    assert _stretch(chances, 2.0, elapsed=0.0)[0] == pytest.approx([0.05, 0.1, 0.1, 0.1, 0.1])
    assert _stretch(chances, 1.0, elapsed=0.3)[0] == pytest.approx(chances[0])
    # Half as long: what was spread over two months is won in the first.
    assert _stretch(chances, 0.5, elapsed=0.0)[0] == pytest.approx([0.05, 0.4, 0.0, 0.0, 0.0])
