from __future__ import annotations

from dataclasses import replace

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
    assert flow().entry_ratios() == pytest.approx(np.ones((12, 19)), abs=0.01)


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


JANUARY, PACE = 2026 * 12, np.ones((2, 12))
PACE[0, 0] = 0.7
"""Moves ahead are slow in January."""


def paced(*, month: int) -> Flow:
    level = at(1.0)
    return Flow(
        stages=("Demo", "Proposal"),
        moves=MOVES,
        entry=np.array([0.9, 0.1]),
        advance=level,
        lose=level,
        month=month,
        pace=PACE,
    )


def test_a_slow_month_costs_wins_that_need_more_moves_more_and_leaves_some_for_later() -> None:
    january = paced(month=JANUARY).ratios()
    assert january[1, 0] < 1.0
    assert january[0, 0] < january[1, 0]
    # Who was not won in January is still there in spring.
    assert january[1, 2] > 1.02
    assert paced(month=JANUARY + 1).ratios()[:, :2] == pytest.approx(np.ones((2, 2)), abs=0.02)


def test_of_open_deals_the_season_takes_what_the_months_place_in_its_quarter_does_not_tell() -> None:
    # January's slowness is shared out: three quarters of the log beside the other first months of quarters.
    assert paced(month=JANUARY).ratios()[1, 0] == pytest.approx(0.7**0.75, abs=0.01)
    assert paced(month=JANUARY + 3).ratios()[1, 0] == pytest.approx(0.7**-0.25, abs=0.01)


def test_of_new_deals_the_season_is_told_by_the_month_they_come_in() -> None:
    found = paced(month=JANUARY).entry_season()
    assert found.shape == (12, 19)
    assert found[0, 0] < 0.7
    # Of December's deals those won at once meet no January.
    assert found[11, 0] == pytest.approx(1.0, abs=0.01)
    assert found[11, 1] < 0.9
    assert paced(month=JANUARY).entry_ratios() == pytest.approx(found, rel=0.02)


def test_the_season_of_snapshots_is_that_of_their_months() -> None:
    flow = paced(month=JANUARY)
    stages, month = pd.Series(["Proposal", "Proposal", "Unheard of"]), np.array([JANUARY, JANUARY + 6, JANUARY])
    found = flow.season(stages, month, lags=3)
    assert found.shape == (3, 3)
    assert found[0] == pytest.approx(flow.ratios()[1, :3], rel=0.02)
    assert found[1, 0] > found[0, 0]
    assert found[2].tolist() == [1.0] * 3


def test_what_knows_no_calendar_gets_the_whole_season() -> None:
    flow = paced(month=JANUARY)
    january = (pd.Series(["Proposal"]), np.array([JANUARY]))
    whole, beyond = (flow.season(*january, lags=1, knows_places=knows)[0, 0] for knows in (False, True))
    assert whole == pytest.approx(0.7, abs=0.01)
    assert beyond == pytest.approx(0.7**0.75, abs=0.01)


def test_the_pace_of_moves_is_learned_and_the_level_is_surer_for_it() -> None:
    rows = pd.concat([snapshots(25, 20, 4)])
    moved = count_moves(rows, rows.iloc[:0], month=24)
    season = np.where(np.arange(24) % 12 < 6, 0.7, 1.3)
    hoped = np.full(24, 400.0)
    found = replace(moved, ahead=(hoped * season, hoped), lost=(hoped, hoped), whole=24, first=JANUARY).flow()
    assert found.pace[0, 0] == pytest.approx(0.7 / np.sqrt(0.7 * 1.3), abs=0.02)
    assert found.pace[1] == pytest.approx(np.ones(12))
    # Half a year's slowness is no news: the level stays where it was.
    assert found.advance.mean == pytest.approx(np.sqrt(0.7 * 1.3), abs=0.04)
    assert found.month == JANUARY + 24


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
    learned = count_moves(rows, nobody, month=12).flow()
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
    learned = count_moves(rows, rows.iloc[:0], month=24).flow()
    assert learned.lose.path[-1] > 1.2 * learned.lose.path[-4]


def test_after_a_proven_change_losses_are_followed_further_and_less_surely_than_without_proof() -> None:
    moved = count_moves(snapshots(24, 20, 7), snapshots(1, 1, 0).iloc[:0], month=24)
    usual, after = moved.flow().lose, moved.flow(turned=2).lose
    assert after.mean > usual.mean > 1.0
    assert after.sd > usual.sd


def test_the_month_of_the_moment_takes_no_part() -> None:
    rows = snapshots(24, 20, 4)
    nobody = rows.iloc[:0]
    hasty = rows.assign(lag=rows["lag"].where(rows["month"] < 23, 0.0))
    moved, then = (count_moves(of, nobody, month=23) for of in (rows, hasty))
    assert moved.whole == len(moved.lost[0]) == 23
    assert then.moves.tolist() == moved.moves.tolist()
    assert then.lost[0].tolist() == moved.lost[0].tolist()


def test_without_anything_to_compare_the_levels_are_neutral() -> None:
    assert neutral_level().mean == pytest.approx(1.0, abs=0.01)
