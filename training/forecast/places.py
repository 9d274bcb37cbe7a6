"""Which team and region each rep counts for, month by month, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.forecast.history import COMPANY, LEVELS, UNASSIGNED
from training.forecast.tree import Tree, build_tree

_VERSIONS = ("rep_id", "team", "region", "event_timestamp")


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where each rep is in each month.

    Args:
        rep_ids: Reps, the one nobody is assigned to last.
        months: Numbers of the months.
        entities: Entity by level, highest level first, shape (n_reps, n_months) each.
    """

    rep_ids: tuple[str, ...]
    months: tuple[int, ...]
    entities: dict[str, NDArray[np.str_]]

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Row of each rep."""
        return {rep: row for row, rep in enumerate(self.rep_ids)}

    def rows(self, rep_ids: pd.Series) -> NDArray[np.int64]:
        """Row of each rep; those not known belong to nobody, the last row."""
        found = rep_ids.map(self.row_of).fillna(len(self.rep_ids) - 1)
        return np.asarray(found, dtype=np.int64)

    def holds(self, level: str, entity_id: str) -> NDArray[np.bool_]:
        """Whether a rep counts for an entity in a month, shape (n_reps, n_months)."""
        found: NDArray[np.bool_] = self.entities[level] == entity_id
        return found


def places_of(reps: pd.DataFrame, *, months: Sequence[int], versions: pd.DataFrame | None = None) -> Places:
    """The places of reps over some months.

    Args:
        reps: Reps as known, `unassigned` last: rep_id, team, region.
        months: Numbers of the months.
        versions: Teams of reps from when on, as `PipelineHistory.teams` gives them; None: everybody stays.
    """
    known = pd.DataFrame({name: [] for name in _VERSIONS}) if versions is None else versions
    tree = build_tree(reps, known, months=months)
    rep_ids = tuple(reps["rep_id"])
    shape = (len(rep_ids), len(months))
    entities = {level: _by_month(tree, level, shape) for level in LEVELS[1:-1]}
    own = np.broadcast_to(np.array(rep_ids, dtype=np.str_)[:, None], shape)
    return Places(
        rep_ids=rep_ids, months=tuple(months), entities={COMPANY: np.full(shape, COMPANY), **entities, LEVELS[-1]: own}
    )


def _by_month(tree: Tree, level: str, shape: tuple[int, int]) -> NDArray[np.str_]:
    hierarchy = tree.hierarchy
    names = np.array(hierarchy.ids[level])[hierarchy.summing[hierarchy.rows(level)].argmax(axis=0)]
    found = np.full(shape, UNASSIGNED, dtype=object)
    for entity, row in enumerate(tree.rep_row.tolist()):
        found[row, tree.present[entity]] = names[entity]
    return found.astype(np.str_)
