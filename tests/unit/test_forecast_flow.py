from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from training.forecast.drift import Level, draw_turns, neutral_level, track_counts
from training.forecast.flow import Flow, count_moves

MOVES = np.array([[0.6, 0.2, 0.05, 0.15], [0.1, 0.5, 0.25, 0.15]])
"""From Demo and from Proposal to: Demo, Proposal, won, lost."""


def at(value: float) -> Level:
    return track_counts(np.full(40, 1_000.0 * value), np.full(40, 1_000.0))


def flow(*, advance: float = 1.0, lose: float = 1.0) -> Flow:
    return Flow(
        stages=("Demo", "Proposal"), moves=MOVES, entry=np.array([0.9, 0.1]), advance=at(advance), lose=at(lose)
    )


def test_at_the_usual_levels_wins_are_as_learned() -> None:
    assert flow().ratios() == pytest.approx(np.ones((2, 19)), abs=0.01)
    assert flow().entry_ratios() == pytest.approx(np.ones(19), abs=0.01)


def test_slower_moves_take_more_from_wins_that_need_more_of_them() -> None:
    slower = flow(advance=0.8)
    ratios = slower.ratios()
    level = slower.advance.mean
    assert ratios[1, 0] == pytest.approx(level, abs=0.01)
    # From Demo a win in one month skips a stage: two moves.
    assert ratios[0, 0] == pytest.approx(level**2, abs=0.01)
    assert ratios[0, 1] < 0.8


def test_more_losses_take_from_later_wins_only() -> None:
    ratios = flow(lose=1.5).ratios()
    assert ratios[1, 0] == pytest.approx(1.0, abs=0.01)
    assert ratios[1, 3] < 0.9
    assert (np.diff(ratios[1, :6]) < 0).all()


def test_a_stage_never_seen_is_left_alone() -> None:
    found = flow(advance=0.7).of_stages(pd.Series(["Proposal", "Unheard of"]))
    assert found[1].tolist() == [1.0] * found.shape[1]
    assert found[0, 1] < 0.8
    assert found[0, 0] == 1.0


def test_paths_of_wins_have_mean_one() -> None:
    rng = np.random.default_rng(2)
    known, created = flow().draw(rng, weights=np.array([1.0, 2.0]), turns=draw_turns(rng, n_paths=800, h=5))
    assert known.mean(axis=0) == pytest.approx(np.ones(5), abs=0.02)
    assert created.shape == (800, 5)


def snapshots(months: int, per_month: int, lost_last: int) -> pd.DataFrame:
    """Each month's deals are new; of 20 a month, 4 are won, `lost_last` (usually 4) lost, the rest seen once more."""
    rows = []
    for month in range(months):
        lost = lost_last if month >= months - 2 else 4
        for number in range(per_month):
            deal = f"D{month:02d}-{number:02d}"
            ended = number < 4 + lost
            rows.append((deal, month, "Proposal", number < 4, 0.0 if ended else np.nan))
            if not ended and month + 1 < months:
                rows.append((deal, month + 1, "Final", False, 0.0))
    return pd.DataFrame(rows, columns=["opportunity_id", "month", "stage", "won", "lag"])


def test_moves_are_learned_from_where_deals_stood_a_month_later() -> None:
    rows = snapshots(12, 20, 4)
    nobody = rows.iloc[:0]
    learned = count_moves(rows, nobody, month=12, elapsed=0.0).flow()
    assert set(learned.stages) == {"Proposal", "Final"}
    proposal, final = learned.stages.index("Proposal"), learned.stages.index("Final")
    # 11 whole months of 4 won, 4 lost and 12 moved on; of the newest month only those that ended are known.
    assert learned.moves[proposal, 2] == pytest.approx(48 / 228)
    assert learned.moves[proposal, 3] == pytest.approx(48 / 228)
    assert learned.moves[proposal, final] == pytest.approx(132 / 228)
    assert learned.moves.sum(axis=1) == pytest.approx(np.ones(2))
    assert learned.entry[proposal] > 0.9


def test_a_rise_of_losses_is_seen_in_the_level_of_losses() -> None:
    rows = snapshots(24, 20, 12)
    learned = count_moves(rows, rows.iloc[:0], month=24, elapsed=0.0).flow()
    assert learned.lose.path[-1] > 1.2 * learned.lose.path[-4]


def test_after_a_proven_change_losses_are_followed_further_and_less_surely_than_without_proof() -> None:
    moved = count_moves(snapshots(24, 20, 7), snapshots(1, 1, 0).iloc[:0], month=24, elapsed=0.0)
    usual, after = moved.flow().lose, moved.flow(turned=2).lose
    assert after.mean > usual.mean > 1.0
    assert after.sd > usual.sd


def test_the_month_of_the_moment_is_not_taken_for_a_whole_one() -> None:
    rows = snapshots(24, 20, 4)
    moved = count_moves(rows, rows.iloc[:0], month=23, elapsed=0.5)
    assert moved.whole == 23
    assert len(moved.lost[0]) == 24


def test_without_anything_to_compare_the_levels_are_neutral() -> None:
    assert neutral_level().mean == pytest.approx(1.0, abs=0.01)
