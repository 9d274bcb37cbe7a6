"""Levers: what a scenario turns, as factors on what is learned, for everybody or for a region or team."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from common.errors import InputError
from training.forecast.metrics import FloatArray

if TYPE_CHECKING:
    import pandas as pd

NAMES = ("win_rate", "cycle_length", "amount", "new_business", "headcount")
LEAST, MOST = 0.1, 10.0


@dataclass(frozen=True, kw_only=True)
class Levers:
    """Factors on the parts of a forecast; 1.0 leaves a part as it was learned.

    Args:
        win_rate: On the chance that a deal, open or not yet created, is won; a deal's chance stays below 1.
        cycle_length: On the time until a deal is won: 1.2 is 20 % later.
        amount: On what a won deal brings.
        new_business: On the number of deals created from now on.
        headcount: On the people who create them: the same factor on their number.
        by_region: Further factors by region, on top of those above.
        by_team: Further factors by team, on top of both.

    Raises:
        InputError: if a factor lies outside 0.1 to 10.
    """

    win_rate: float = 1.0
    cycle_length: float = 1.0
    amount: float = 1.0
    new_business: float = 1.0
    headcount: float = 1.0
    by_region: Mapping[str, Levers] = field(default_factory=dict)
    by_team: Mapping[str, Levers] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in NAMES:
            value = getattr(self, name)
            if not LEAST <= value <= MOST:
                raise InputError(
                    f"The lever '{name}' is out of range",
                    expected=f"a factor from {LEAST} to {MOST}",
                    got=str(value),
                    field=name,
                )

    @property
    def is_neutral(self) -> bool:
        """Whether nothing is changed."""
        own = all(getattr(self, name) == 1.0 for name in NAMES)
        return own and all(part.is_neutral for part in (*self.by_region.values(), *self.by_team.values()))

    def by_rep(self, reps: pd.DataFrame) -> dict[str, FloatArray]:
        """The factors of each rep, by the lever's name.

        Args:
            reps: Columns `region`, `team`, one row per rep.

        Returns:
            Arrays of shape (n_reps,).
        """
        return {name: self._factors(name, reps) for name in NAMES}

    def _factors(self, name: str, reps: pd.DataFrame) -> FloatArray:
        found = np.full(len(reps), float(getattr(self, name)))
        for column, parts in (("region", self.by_region), ("team", self.by_team)):
            for entity, levers in parts.items():
                found[(reps[column] == entity).to_numpy()] *= getattr(levers, name)
        return found
