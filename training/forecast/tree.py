"""Who belongs to which team and region, month by month: as it was, and as it is known that it will be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.forecast.history import COMPANY, LEVELS
from training.forecast.periods import month_start
from training.forecast.reconciliation import Hierarchy, build_hierarchy

Number = TypeVar("Number", np.int64, np.float64)


@dataclass(frozen=True, kw_only=True)
class Tree:
    """The smallest entities of a forecast, a rep in a team, and the levels above them.

    A rep who is in two teams in the course of the months is two such entities; a month belongs to the team in which
    the rep is at its first instant. On the level of reps they are one.

    Args:
        hierarchy: Company, region, team, rep.
        rep_row: Row of the rep behind each entity, shape (n_entities,).
        present: Whether the rep is in that team, by month, shape (n_entities, n_months).
    """

    hierarchy: Hierarchy
    rep_row: NDArray[np.int64]
    present: NDArray[np.bool_]

    @property
    def has_moves(self) -> bool:
        """Whether a rep changes team within the months."""
        return not bool(self.present.all())

    def spread(self, values: NDArray[Number]) -> NDArray[Number]:
        """Values by rep and month laid out by entity and month.

        Args:
            values: Shape (…, n_reps, n_months), or one month more: that one counts as the last.
        """
        if not self.has_moves:
            return values
        present = self.present
        if values.shape[-1] > present.shape[1]:
            present = np.column_stack([present, present[:, -1]])
        return np.where(present, values[..., self.rep_row, :], np.zeros(1, dtype=values.dtype))


def build_tree(reps: pd.DataFrame, versions: pd.DataFrame, *, months: Sequence[int]) -> Tree:
    """The tree over some months.

    Args:
        reps: Reps as known, `unassigned` last: rep_id, team, region.
        versions: Teams of reps as known: rep_id, team, region, event_timestamp (from when on, maybe in the future), in
            order of time.
        months: Numbers of the months.
    """
    ids = reps["rep_id"].tolist()
    starts = [pd.Timestamp(month_start(month)) for month in months]
    moved = versions[versions.duplicated("rep_id", keep=False)]
    by_rep = dict(tuple(moved.groupby("rep_id", sort=False)))
    row, team, region, present = [], [], [], []
    later: list[tuple[int, str, str, NDArray[np.bool_]]] = []
    for place, (rep, now_team, now_region) in enumerate(
        reps[["rep_id", "team", "region"]].itertuples(index=False, name=None)
    ):
        stays = _stays(by_rep.get(rep), (now_team, now_region), starts)
        first = stays.pop((now_team, now_region), np.zeros(len(starts), dtype=bool))
        row.append(place)
        team.append(now_team)
        region.append(now_region)
        present.append(first)
        later += [(place, *where, months_there) for where, months_there in stays.items()]
    for place, other_team, other_region, months_there in later:
        row.append(place)
        team.append(other_team)
        region.append(other_region)
        present.append(months_there)
    return Tree(
        hierarchy=_hierarchy([ids[place] for place in row], team, region),
        rep_row=np.array(row, dtype=np.int64),
        present=np.array(present, dtype=bool).reshape(len(row), len(starts)),
    )


def _stays(
    versions: pd.DataFrame | None, now: tuple[str, str], starts: Sequence[pd.Timestamp]
) -> dict[tuple[str, str], NDArray[np.bool_]]:
    """The months in each team; before the first version the rep is where that one says."""
    if versions is None:
        return {now: np.ones(len(starts), dtype=bool)}
    moments = versions["event_timestamp"].tolist()
    places = list(zip(versions["team"].tolist(), versions["region"].tolist(), strict=True))
    found: dict[tuple[str, str], NDArray[np.bool_]] = {}
    for column, start in enumerate(starts):
        at = max(sum(moment <= start for moment in moments) - 1, 0)
        found.setdefault(places[at], np.zeros(len(starts), dtype=bool))[column] = True
    return found


def _hierarchy(reps: Sequence[str], team: list[str], region: list[str]) -> Hierarchy:
    """Levels over entities of which several may be one rep."""
    unique = build_hierarchy(
        {
            COMPANY: [COMPANY] * len(reps),
            "region": region,
            "team": team,
            "entity": [f"{number}" for number in range(len(reps))],
        }
    )
    names = list(dict.fromkeys(reps))
    place = {name: number for number, name in enumerate(names)}
    block = np.zeros((len(names), len(reps)))
    block[[place[rep] for rep in reps], np.arange(len(reps))] = 1.0
    above = unique.summing[: -len(reps)]
    ids = {level: unique.ids[level] for level in LEVELS[:-1]} | {LEVELS[-1]: tuple(names)}
    return Hierarchy(levels=LEVELS, ids=ids, summing=np.vstack([above, block]))
