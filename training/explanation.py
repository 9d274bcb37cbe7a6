"""Reasons: what speaks for and against an outcome, in words, with the rate of like rows beside the rate of all.

A reason is a theme (`training.themes`): its contribution is the sum over the theme's features. Its words come from one
of them, the speaker: the feature whose value usually pushes furthest that way. Themes are chosen for all rows at once;
texts are made for the chosen ones only, and kept, for values come again and again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.attribution import Columns
from training.like_rows import LikeRows
from training.manifest import FeatureEntry
from training.wording import percent, phrase_of, write_value

Matrix = NDArray[np.float64]

# Contributions below this many log-odds are noise to a reader.
LEAST_CONTRIBUTION = 0.01
# A rate nearer to that of all rows than this (log-odds) tells a reader nothing.
_TELLING_RATE = 0.1
_KEPT_TEXTS = 50_000
# What happens to things of a task.
_RATES = {
    "lead": "leads like that convert at {rate}, all at {base}",
    "deal": "{rate} of deals like that are won, {base} of all",
}
_OTHER_RATE = "the outcome comes in {rate} of the cases like that, in {base} of all"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason.

    Args:
        feature: Name of the feature that speaks for the theme.
        theme: What the reason is about.
        group: Component that the feature counts for.
        value: The row's value of the feature as a reader would write it; None where missing.
        contribution: Log-odds that the theme added (positive: for the outcome).
        text: The reason in words, with base rates where like rows point the same way.
        rate: Outcome rate of like rows in training; None where it is unknown or would mislead, pointing the other way.
        base_rate: Outcome rate of all rows in training.
        rows: Like rows in training.
    """

    feature: str
    theme: str
    group: str
    value: str | None
    contribution: float
    text: str
    rate: float | None
    base_rate: float
    rows: int

    def to_dict(self) -> dict[str, str | float | int | None]:
        """Plain values for an answer."""
        return {
            "feature": self.feature,
            "theme": self.theme,
            "group": self.group,
            "value": self.value,
            "contribution": round(self.contribution, 4),
            "text": self.text,
            "rate": None if self.rate is None else round(self.rate, 4),
            "base_rate": round(self.base_rate, 4),
            "rows": self.rows,
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
        self._entries = tuple(entries)
        self._like = LikeRows(entries)
        self._base_rate = base_rate
        self._rates = _RATES.get(task, _OTHER_RATE)
        self._texts: dict[tuple[int, float, bool], tuple[Any, ...]] = {}
        sizes = [len(features) for features in self.layout.features_of_theme]
        # Features side by side by theme, so that each theme is a slice.
        self._order = np.concatenate([*self.layout.features_of_theme, np.zeros(0, dtype=np.int64)]).astype(np.int64)
        self._starts = np.cumsum([0, *sizes])

    def explain(self, matrix: Matrix, columns: Matrix, *, top: int) -> list[list[Reason]]:
        """The `top` strongest reasons for and the `top` strongest against each row, strongest first.

        Args:
            matrix: Rows of the model's matrix.
            columns: Their contributions by column, see `training.attribution`.
            top: Most reasons per side.
        """
        themes = self.layout.by_theme(columns)
        if not themes.shape[1] or not len(matrix):
            return [[] for _ in matrix]
        places = self._like.places(matrix)
        pushes = self._like.pushes[places]
        order = np.argsort(-np.abs(themes), axis=1, kind="stable")
        strengths = np.take_along_axis(themes, order, axis=1)
        speakers = np.take_along_axis(self._speakers(themes, pushes), order, axis=1)
        values = np.take_along_axis(matrix, speakers, axis=1).tolist()
        like = np.take_along_axis(places, speakers, axis=1).tolist()
        return [
            self._of_row(*parts, top=top)
            for parts in zip(order.tolist(), strengths.tolist(), speakers.tolist(), values, like, strict=True)
        ]

    def first_speakers(self, matrix: Matrix, columns: Matrix) -> NDArray[np.int64]:
        """Position of the feature that speaks for the strongest theme of each row."""
        themes = self.layout.by_theme(columns)
        speakers = self._speakers(themes, self._like.pushes[self._like.places(matrix)])
        return np.asarray(speakers[np.arange(len(themes)), np.abs(themes).argmax(axis=1)], dtype=np.int64)

    def _speakers(self, themes: Matrix, pushes: Matrix) -> NDArray[np.int64]:
        """The feature that speaks for each theme of each row, shape (n_rows, n_themes)."""
        towards = pushes[:, self._order] * np.repeat(np.sign(themes), np.diff(self._starts), axis=1)
        found = np.empty(themes.shape, dtype=np.int64)
        for theme, (first, last) in enumerate(pairwise(self._starts.tolist())):
            if last - first == 1:
                found[:, theme] = self._order[first]
            else:
                found[:, theme] = self._order[first + towards[:, first:last].argmax(axis=1)]
        return found

    def _of_row(
        self,
        order: list[int],
        strengths: list[float],
        speakers: list[int],
        values: list[float],
        like: list[int],
        *,
        top: int,
    ) -> list[Reason]:
        left = {True: top, False: top}
        reasons = []
        for theme, strength, speaker, value, place in zip(order, strengths, speakers, values, like, strict=True):
            if abs(strength) < LEAST_CONTRIBUTION:
                break
            is_for = strength > 0
            if left[is_for]:
                left[is_for] -= 1
                written, text, rate, rows = self._said(speaker, value, place, is_for=is_for)
                entry = self._entries[speaker]
                title = self.layout.themes[theme]
                reasons.append(
                    Reason(entry.name, title, entry.group, written, strength, text, rate, self._base_rate, rows)
                )
        return reasons

    def _said(self, feature: int, value: float, place: int, *, is_for: bool) -> tuple[Any, ...]:
        """Value, text, rate and like rows of a feature's value that speaks for or against."""
        # NaN equals nothing, itself included, and would never be found again.
        key = (feature, math.inf if math.isnan(value) else value, is_for)
        said = self._texts.get(key)
        if said is None:
            if len(self._texts) >= _KEPT_TEXTS:
                self._texts.clear()
            said = self._texts[key] = self._say(feature, value, place, is_for=is_for)
        return said

    def _say(self, feature: int, value: float, place: int, *, is_for: bool) -> tuple[Any, ...]:
        entry, like = self._entries[feature], self._like.bins[place]
        text = phrase_of(entry, value)
        rows = 0 if like is None else like.rows
        if like is None or (like.rate > self._base_rate) != is_for:
            return write_value(entry, value), text, None, rows
        if abs(_log_odds(like.rate) - _log_odds(self._base_rate)) >= _TELLING_RATE:
            text += f" ({self._rates.format(rate=percent(like.rate), base=percent(self._base_rate))})"
        return write_value(entry, value), text, like.rate, rows


def _log_odds(rate: float) -> float:
    inside = min(max(rate, 1e-9), 1.0 - 1e-9)
    return math.log(inside / (1.0 - inside))
