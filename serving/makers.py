"""What makes a score, beside what the store holds: the model's version, its grades, and the batch that trends go by."""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING

from serving.champions import Champion
from serving.scored import REASONS

if TYPE_CHECKING:
    from training.trend import WeekAgo


class Makers:
    """Names what a model's scores are made by: equal in every process where they would be equal.

    A trend is told since the newest batch, and that file may be replaced; `refresh` looks.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[Champion, WeekAgo | None, str]] = {}

    def of(self, champion: Champion) -> str:
        """The maker of the champion's scores, as of the last `refresh`."""
        known = self._known.get(id(champion))
        if known is not None and known[0] is champion:
            return known[2]
        return self._name(champion)

    def refresh(self, champions: list[Champion]) -> None:
        """Look at the batches again, and forget all other models."""
        self._known = {key: known for key, known in self._known.items() if any(known[0] is c for c in champions)}
        for champion in champions:
            known = self._known.get(id(champion))
            if known is None or known[1] is not champion.scorer_or_raise().week_ago():
                self._name(champion)

    def _name(self, champion: Champion) -> str:
        scorer = champion.scorer_or_raise()
        week_ago = scorer.week_ago()
        made_by = [champion.name, champion.version, champion.alias, REASONS, scorer.thresholds, _said(week_ago)]
        name = hashlib.sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()[:16]
        self._known[id(champion)] = (champion, week_ago, name)
        return name


def _said(week_ago: WeekAgo | None) -> list[str | float] | None:
    """A batch in few words: another batch has other scores, whose sum to the last digit is hardly ever the same."""
    if week_ago is None:
        return None
    points = week_ago.points
    return [str(week_ago.since), week_ago.model_version, len(points), math.fsum(points.values())]
