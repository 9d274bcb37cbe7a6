"""Reasons: what speaks for and against an outcome, in words, with the rate of like rows beside the rate of all.

A reason is a theme (`training.themes`): its contribution is the sum over the theme's features. Its words come from one
of them, the speaker: the feature whose value usually pushes furthest that way. Themes are chosen for all rows at once;
texts are made for the chosen ones only, and kept, for values come again and again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.attribution import Columns
from training.like_rows import LikeRows, like_rows
from training.manifest import FeatureEntry
from training.themes import is_support
from training.wording import percent, phrase_of, write_value

Matrix = NDArray[np.float64]

# Contributions below this many log-odds are noise to a reader.
LEAST_CONTRIBUTION = 0.01
# A rate nearer to that of all rows than this (log-odds) tells a reader nothing.
_TELLING_RATE = 0.2
_SUPPORT_WEIGHT = 0.1
_KEPT_TEXTS = 5_000
# What happens to things of a task.
_RATES = {
    "lead": "leads like that convert at {rate}, all at {base}",
    "deal": "{rate} of deals like that are won, {base} of all",
}
_OTHER_RATE = "the outcome comes in {rate} of the cases like that, in {base} of all"


class Saying(NamedTuple):
    """What a value of a feature is said to mean; the same for every row that has it.

    Args:
        feature: Name of the feature.
        group: Component that it counts for.
        value: The value as a reader would write it; None where missing.
        text: The reason in words, with base rates where like rows tell.
        rate: Outcome rate of like rows in training; None where it is unknown or would mislead, pointing the other way.
        base_rate: Outcome rate of all rows in training.
        rows: Like rows in training.
    """

    feature: str
    group: str
    value: str | None
    text: str
    rate: float | None
    base_rate: float
    rows: int


class Reason(NamedTuple):
    """One reason.

    Args:
        contribution: Log-odds that the theme added (positive: for the outcome).
        theme: What the reason is about.
        said: How the feature that speaks for the theme puts it.
    """

    contribution: float
    theme: str
    said: Saying

    @property
    def feature(self) -> str:
        """Name of the feature that speaks for the theme."""
        return self.said.feature

    @property
    def text(self) -> str:
        """The reason in words."""
        return self.said.text

    def to_dict(self) -> dict[str, str | float | int | None]:
        """Plain values for an answer."""
        said = self.said
        return {
            "feature": said.feature,
            "theme": self.theme,
            "group": said.group,
            "value": said.value,
            "contribution": round(self.contribution, 4),
            "text": said.text,
            "rate": said.rate,
            "base_rate": said.base_rate,
            "rows": said.rows,
        }


class Explainer:
    """Turns contributions into reasons.

    Args:
        entries: The model's features, in order, with their bins.
        base_rate: Outcome rate of all rows in training.
        task: `lead` or `deal`: how the rates are said.
    """

    def __init__(self, entries: Sequence[FeatureEntry], *, base_rate: float, task: str) -> None:
        self.layout = Columns.of(entries)
        self._like = LikeRows(entries)
        rates = _RATES.get(task, _OTHER_RATE)
        # Per feature, what is said against and what is said for.
        self._sayings = [
            _Sayings(entry, base_rate=base_rate, rates=rates, is_for=is_for)
            for entry in entries
            for is_for in (False, True)
        ]
        # Themes of few features repeat one: all themes are compared in one call.
        most = max((len(features) for features in self.layout.features_of_theme), default=1)
        self._weights = np.array([_SUPPORT_WEIGHT if is_support(entry.name) else 1.0 for entry in entries])
        self._members = np.array(
            [np.resize(features, most) for features in self.layout.features_of_theme], dtype=np.int64
        ).reshape(-1, most)

    def explain(self, matrix: Matrix, columns: Matrix, *, top: int) -> list[list[Reason]]:
        """The `top` strongest reasons for and the `top` strongest against each row, strongest first.

        Args:
            matrix: Rows of the model's matrix.
            columns: Their contributions by column, see `training.attribution`.
            top: Most reasons per side.
        """
        themes = self.layout.by_theme(columns)
        if not themes.size:
            return [[] for _ in matrix]
        places = self._like.places(matrix)
        rows, chosen = self._choose(themes, top=top)
        strengths = themes[rows, chosen]
        speakers = self._speakers(strengths, rows, chosen, places)
        values = matrix[rows, speakers]
        # NaN equals nothing, itself included, and would never be found again.
        values = np.where(np.isnan(values), np.inf, values).tolist()
        sides = map(self._sayings.__getitem__, (2 * speakers + (strengths > 0)).tolist())
        said = [sayings[value] for sayings, value in zip(sides, values, strict=True)]
        titles = map(self.layout.themes.__getitem__, chosen.tolist())
        reasons = map(Reason, strengths.tolist(), titles, said)
        return [list(islice(reasons, count)) for count in np.bincount(rows, minlength=len(matrix)).tolist()]

    def first_speakers(self, matrix: Matrix, columns: Matrix) -> NDArray[np.int64]:
        """Position of the feature that speaks for the strongest theme of each row."""
        themes = self.layout.by_theme(columns)
        rows, first = np.arange(len(themes)), np.abs(themes).argmax(axis=1)
        return self._speakers(themes[rows, first], rows, first, self._like.places(matrix))

    @staticmethod
    def _choose(themes: Matrix, *, top: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and themes of the reasons, row by row and strongest first."""
        if len(themes) == 1:
            return _choose_one(themes[0], top=top)
        order = np.argsort(-np.abs(themes), axis=1, kind="stable")
        strengths = np.take_along_axis(themes, order, axis=1)
        is_for = strengths > 0
        rank = np.where(is_for, is_for.cumsum(axis=1), (~is_for).cumsum(axis=1))
        rows, ranks = np.nonzero((rank <= top) & (np.abs(strengths) >= LEAST_CONTRIBUTION))
        return rows, order[rows, ranks]

    def _speakers(
        self, strengths: Matrix, rows: NDArray[np.int64], chosen: NDArray[np.int64], places: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """The feature that speaks for each chosen theme."""
        members = self._members[chosen]
        pushes = self._like.pushes[places[rows[:, None], members]] * self._weights[members]
        towards = pushes * np.sign(strengths)[:, None]
        found: NDArray[np.int64] = members[np.arange(len(members)), towards.argmax(axis=1)]
        return found


def _choose_one(themes: Matrix, *, top: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The same for one row, in a third of the time."""
    strengths, left, chosen = themes.tolist(), {True: top, False: top}, []
    for theme in np.argsort(-np.abs(themes), kind="stable").tolist():
        strength = strengths[theme]
        if abs(strength) < LEAST_CONTRIBUTION:
            break
        if left[strength > 0]:
            left[strength > 0] -= 1
            chosen.append(theme)
    return np.zeros(len(chosen), dtype=np.int64), np.array(chosen, dtype=np.int64)


class _Sayings(dict[float, Saying]):
    """What one feature's values are said to mean on one side, each made once; infinity stands for missing."""

    def __init__(self, entry: FeatureEntry, *, base_rate: float, rates: str, is_for: bool) -> None:
        super().__init__()
        self._entry = entry
        self._base_rate = base_rate
        self._rates = rates
        self._is_for = is_for

    def __missing__(self, value: float) -> Saying:
        if len(self) >= _KEPT_TEXTS:
            self.clear()
        said = self[value] = self._say(math.nan if math.isinf(value) else value)
        return said

    def _say(self, code: float) -> Saying:
        entry, like = self._entry, like_rows(self._entry, code)
        text, rate = phrase_of(entry, code), None
        if like is not None and (like.rate > self._base_rate) == self._is_for:
            rate = like.rate
            if abs(_log_odds(rate) - _log_odds(self._base_rate)) >= _TELLING_RATE:
                text += f" ({self._rates.format(rate=percent(rate), base=percent(self._base_rate))})"
        return Saying(
            feature=entry.name,
            group=entry.group,
            value=write_value(entry, code),
            text=text,
            rate=None if rate is None else round(rate, 4),
            base_rate=round(self._base_rate, 4),
            rows=0 if like is None else like.rows,
        )


def _log_odds(rate: float) -> float:
    inside = min(max(rate, 1e-9), 1.0 - 1e-9)
    return math.log(inside / (1.0 - inside))
