from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from training.forecast.succession import heirs
from training.forecast.tree import build_tree

REPS = pd.DataFrame(
    {
        "rep_id": ["a", "b", "unassigned"],
        "team": ["East", "West", "unassigned"],
        "region": ["EU", "US", "unassigned"],
    }
)
MONTHS = range(2026 * 12, 2026 * 12 + 6)


def versions(rows: list[tuple[str, str, str, str]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["rep_id", "team", "region", "event_timestamp"])
    return frame.assign(event_timestamp=pd.to_datetime(frame["event_timestamp"], utc=True))


STAYING = [("a", "East", "EU", "2020-01-01"), ("b", "West", "US", "2020-01-01")]


def test_without_moves_entities_are_the_reps() -> None:
    tree = build_tree(REPS, versions(STAYING), months=MONTHS)
    values = np.arange(18.0).reshape(3, 6)
    assert not tree.has_moves
    assert tree.spread(values) is values
    assert tree.hierarchy.ids["rep"] == ("a", "b", "unassigned")


def test_a_move_in_may_gives_the_months_before_it_to_the_old_team_and_those_after_to_the_new() -> None:
    # As known in June the rep is in West already, and was in East until May.
    now = REPS.assign(team=["West", "West", "unassigned"], region=["US", "US", "unassigned"])
    tree = build_tree(now, versions([*STAYING, ("a", "West", "US", "2026-05-01")]), months=MONTHS)
    values = np.zeros((3, 6), dtype=np.int64)
    values[0] = [1, 2, 3, 4, 50, 60]
    by_entity = tree.spread(values)
    levels = tree.hierarchy
    sums = levels.summing.astype(np.int64) @ by_entity

    def of(level: str, entity: str) -> list[int]:
        return sums[levels.rows(level)][levels.ids[level].index(entity)].tolist()

    assert of("team", "East") == of("region", "EU") == [1, 2, 3, 4, 0, 0]
    assert of("team", "West") == of("region", "US") == [0, 0, 0, 0, 50, 60]
    assert of("rep", "a") == of("company", "company") == [1, 2, 3, 4, 50, 60]


def test_a_month_belongs_to_the_team_at_its_first_instant() -> None:
    tree = build_tree(REPS, versions([*STAYING, ("a", "West", "US", "2026-05-02")]), months=MONTHS)
    assert tree.present[0].tolist() == [True] * 5 + [False]


def test_what_comes_after_the_months_counts_with_the_last_team() -> None:
    tree = build_tree(REPS, versions([*STAYING, ("a", "West", "US", "2026-05-01")]), months=MONTHS)
    spread = tree.spread(np.ones((3, 7)))
    assert spread[0].tolist() == [1.0] * 4 + [0.0] * 3
    assert spread[3].tolist() == [0.0] * 4 + [1.0] * 3


def test_an_unknown_value_stays_with_the_team_it_belongs_to() -> None:
    tree = build_tree(REPS, versions([*STAYING, ("a", "West", "US", "2026-05-01")]), months=MONTHS)
    values = np.zeros((3, 6))
    values[0, 0] = np.nan
    spread = tree.spread(values)
    assert np.isnan(spread[0, 0])
    assert spread[3, 0] == 0.0


def people(**active: bool) -> pd.DataFrame:
    return pd.DataFrame({"rep_id": list(active), "team": "East", "is_active": list(active.values())})


def money(*rows: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["account_id", "rep_id"])


NO_DEALS = pd.DataFrame(columns=["opportunity_id", "moment", "rep_id"])


def test_the_heir_is_who_most_accounts_went_to() -> None:
    sold = money(("x", "gone"), ("x", "b"), ("y", "gone"), ("y", "b"), ("z", "gone"), ("z", "c"))
    assert heirs(people(gone=False, b=True, c=True), sold, NO_DEALS) == {"gone": "b"}


def test_an_heir_who_left_too_passes_on() -> None:
    sold = money(("x", "gone"), ("x", "b"), ("y", "b"), ("y", "c"))
    assert heirs(people(gone=False, b=False, c=True), sold, NO_DEALS) == {"gone": "c", "b": "c"}


def test_deals_handed_over_count_as_accounts_do() -> None:
    deals = pd.DataFrame(
        {"opportunity_id": ["d", "d"], "moment": pd.to_datetime(["2026-01-01", "2026-02-01"]), "rep_id": ["gone", "c"]}
    )
    assert heirs(people(gone=False, b=True, c=True), money(), deals) == {"gone": "c"}


@pytest.mark.parametrize(("reps", "expected"), [({"gone": False, "b": True}, {"gone": "b"}), ({"gone": False}, {})])
def test_a_leaver_nobody_followed_goes_to_the_team_if_anybody_is_left(
    reps: dict[str, bool], expected: dict[str, str]
) -> None:
    assert heirs(people(**reps), money(), NO_DEALS) == expected
