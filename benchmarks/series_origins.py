"""The forecast of series at the origins before a test, beside its peers there: what one origin can tell, and what not.

A test of one origin is one draw: six months of one total, in the worst case. The same forecast at every origin that its
recipe was learned from, with the weights that could be known then, says how much of a figure of the test is luck. How
the levels are made to add up was chosen by all of these origins together, so ours is flattered a little here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from series_peers import peers_of


@dataclass(frozen=True)
class Origins:
    """WAPE at each origin before the test.

    Args:
        ours: Of our forecast, shape (n_origins, n_levels), highest level first.
        peers: The same of each peer.
    """

    ours: np.ndarray
    peers: dict[str, np.ndarray]

    def beside(self, peer: str, level: int | None) -> tuple[float, float, str]:
        """The peer's mean and ours, and in words how they differ.

        Args:
            peer: Whose.
            level: Position of the level; None for the mean of the levels.
        """
        mine, theirs = (
            each.mean(axis=1) if level is None else each[:, level] for each in (self.ours, self.peers[peer])
        )
        difference = mine - theirs
        error = 1.96 * float(difference.std(ddof=1)) / np.sqrt(len(difference))
        reach = f"[{difference.mean() - error:+.4f}, {difference.mean() + error:+.4f}]"
        return float(theirs.mean()), float(mine.mean()), f"{reach}, {int((difference < 0).sum())} of {len(mine)}"


def before_the_test(data: Any, *, h: int, season_length: int) -> Origins:
    """Ours and the peers at the origins of the recipe that forecasts the test periods.

    Args:
        data: The series, the test periods last.
        h: Periods ahead, and of the test.
        season_length: Periods of a season.
    """
    from training.forecast.series import learn_recipe

    past = data.until(len(data.periods) - h)
    recipe = learn_recipe(past.bottom, past.hierarchy, h=h, season_length=season_length)
    summing = past.hierarchy.summing
    ours, peers = [], []
    for cutoff, error in zip(recipe.cutoffs, recipe.window_errors, strict=True):
        actual = past.all_levels[:, cutoff : cutoff + h]
        ours.append(_by_level(actual, actual - summing @ error, past.hierarchy))
        said = peers_of(data.until(cutoff + h), h=h, season_length=season_length)
        peers.append({name: _by_level(actual, each["point"], past.hierarchy) for name, each in said.items()})
    return Origins(np.array(ours), {name: np.array([one[name] for one in peers]) for name in peers[0]})


def _by_level(actual: np.ndarray, said: np.ndarray, hierarchy: Any) -> list[float]:
    from training.forecast.metrics import wape

    return [wape(actual[rows], said[rows]) for rows in map(hierarchy.rows, hierarchy.levels)]


def best_naive(origins: Origins, names: tuple[str, ...], level: int) -> str:
    """The naive forecast that was nearest over all these origins."""
    return min(names, key=lambda name: float(origins.peers[name][:, level].mean()))
