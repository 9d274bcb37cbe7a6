"""What moved a deal's probability between two moments, in points that add up to the change.

The logit of P(won ever) is the average deal's plus what each feature adds. The change of what a theme's features add
between two moments is its part of the change of the logit; on the way back to probability every part is scaled alike,
by the change of the probability over that of the logit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.attribution import Columns
from training.manifest import FeatureEntry
from training.models import Matrix
from training.wording import phrase_of

_SAME = 1e-9
_LEAST_POINTS = 0.0005


@dataclass(frozen=True)
class Step:
    """One theme's part of a change.

    Args:
        theme: What changed.
        change: Its part of the change of the probability.
        feature: The feature of the theme whose part changed most.
        before: What it said at the earlier moment, in words.
        after: What it says at the later one.
    """

    theme: str
    change: float
    feature: str
    before: str
    after: str

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "theme": self.theme,
            "change": round(self.change, 6),
            "feature": self.feature,
            "before": self.before,
            "after": self.after,
        }


def waterfall(
    rows: Matrix, contributions: Matrix, probability: Matrix, entries: Sequence[FeatureEntry]
) -> tuple[list[Step], float]:
    """The steps from the first of two rows to the second, the largest first.

    Args:
        rows: Both rows of the model's matrix, shape (2, n_features).
        contributions: Exact contributions to the logit of the probability, shape (2, n_features); they and the same
            expected value add up to it.
        probability: Both probabilities, shape (2,).
        entries: The model's features.

    Returns:
        The steps worth telling, and the sum of those that are not; together they are the change of the probability.
    """
    layout = Columns.of(entries)
    moved = contributions[1] - contributions[0]
    change = float(probability[1] - probability[0])
    total = float(moved.sum())
    scale = change / total if abs(total) > _SAME else float(probability[0] * (1.0 - probability[0]))
    steps, rest = [], 0.0
    for theme, features in zip(layout.themes, layout.features_of_theme, strict=True):
        points = float(moved[features].sum()) * scale
        if abs(points) < _LEAST_POINTS:
            rest += points
            continue
        speaker = int(features[np.argmax(np.abs(moved[features]))])
        entry = entries[speaker]
        before, after = (phrase_of(entry, float(row[speaker])) for row in rows)
        steps.append(Step(theme, points, entry.name, before, after))
    return sorted(steps, key=lambda step: -abs(step.change)), rest
