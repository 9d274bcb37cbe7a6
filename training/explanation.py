"""Reasons in words: what speaks for and against an outcome, with the rate of like rows beside the rate of all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.manifest import FeatureEntry, RateBin

_PRIOR_ROWS = 20.0
_QUANTILES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
# Contributions below this many log-odds are noise to a reader.
_LEAST_CONTRIBUTION = 0.01
_THOUSAND = 1000.0


@dataclass(frozen=True)
class Reason:
    """One reason.

    Args:
        feature: Name of the feature.
        group: Component it counts for.
        value: The row's value as a reader would write it; None where missing.
        contribution: Log-odds it added (positive: for the outcome).
        text: The reason in words, with base rates where like rows point the same way.
        rate: Outcome rate of like rows in training; None where unknown.
        base_rate: Outcome rate of all rows in training.
        rows: Like rows in training.
    """

    feature: str
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
            "group": self.group,
            "value": self.value,
            "contribution": round(self.contribution, 4),
            "text": self.text,
            "rate": None if self.rate is None else round(self.rate, 4),
            "base_rate": round(self.base_rate, 4),
            "rows": self.rows,
        }


def rate_bins(
    codes: NDArray[np.float64], label: NDArray[np.float64], *, is_category: bool
) -> tuple[tuple[RateBin, ...], RateBin | None]:
    """Outcome rates of like rows: by code for a category, by fifths (zero apart) for a number.

    Args:
        codes: A column of the matrix.
        label: 0 or 1 per row.
        is_category: Whether the column holds category codes.

    Returns:
        The bins in order of their values, and the bin of the missing (None where nothing is missing).
    """
    known = ~np.isnan(codes)
    base_rate = float(label.mean()) if len(label) else 0.0
    missing = _rate_bin(label[~known], base_rate, None, None) if not known.all() else None
    values, outcome = codes[known], label[known]
    if not len(values):
        return (), missing
    uppers = np.unique(values) if is_category else _upper_edges(values)
    position = np.searchsorted(uppers, values, side="left")
    bins = []
    for index, upper in enumerate(uppers):
        chosen = position == index
        if chosen.any():
            bins.append(_rate_bin(outcome[chosen], base_rate, float(values[chosen].min()), float(upper)))
    return tuple(bins), missing


def _upper_edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    edges = np.quantile(values, _QUANTILES[1:], method="higher")
    if values.min() == 0.0:
        edges = np.append(edges, 0.0)
    return np.unique(edges)


def _rate_bin(outcome: NDArray[np.float64], base_rate: float, low: float | None, high: float | None) -> RateBin:
    rate = (float(outcome.sum()) + _PRIOR_ROWS * base_rate) / (len(outcome) + _PRIOR_ROWS)
    return RateBin(low=low, high=high, rate=rate, rows=len(outcome))


def like_rows(entry: FeatureEntry, code: float) -> RateBin | None:
    """The bin of training rows like this value; None where training had none."""
    if math.isnan(code):
        return entry.missing
    for rate_bin in entry.bins:
        if rate_bin.high is not None and code <= rate_bin.high:
            if entry.dtype == "category" and code != rate_bin.high:
                return None
            return rate_bin
    return entry.bins[-1] if entry.bins and entry.dtype != "category" else None


def explain_row(
    codes: NDArray[np.float64],
    contributions: NDArray[np.float64],
    features: Sequence[FeatureEntry],
    *,
    base_rate: float,
    top: int,
    outcome: str,
) -> list[Reason]:
    """The `top` strongest reasons for and the `top` strongest against, strongest first.

    Args:
        codes: A row of the matrix.
        contributions: Its Shapley values, one per feature (a last column of the expected value does no harm).
        features: The model's features, in order.
        base_rate: Outcome rate of all rows in training.
        top: Most reasons per side.
        outcome: What happens to like rows, as a verb: "convert", "are won".
    """
    reasons = []
    values = contributions[: len(features)]
    for side in (1.0, -1.0):
        order = np.argsort(-side * values, kind="stable")[:top]
        for position in order.tolist():
            strength = float(values[position])
            if side * strength >= _LEAST_CONTRIBUTION:
                reasons.append(_reason(features[position], float(codes[position]), strength, base_rate, outcome))
    return sorted(reasons, key=lambda reason: -abs(reason.contribution))


def _reason(entry: FeatureEntry, code: float, contribution: float, base_rate: float, outcome: str) -> Reason:
    like = like_rows(entry, code)
    value = write_value(entry, code)
    text = f"{entry.about.rstrip('.')}: not known" if value is None else entry.phrase.replace("{value}", value)
    # Like rows that point the other way would confuse: there this value counts together with others.
    if like is not None and (like.rate - base_rate) * contribution > 0:
        text += f" (like rows {outcome} at {_percent(like.rate)}, all at {_percent(base_rate)})"
    return Reason(
        feature=entry.name,
        group=entry.group,
        value=value,
        contribution=contribution,
        text=text,
        rate=None if like is None else like.rate,
        base_rate=base_rate,
        rows=0 if like is None else like.rows,
    )


def write_value(entry: FeatureEntry, code: float) -> str | None:
    """A value of the matrix as a reader would write it; None where missing."""
    if math.isnan(code):
        return None
    if entry.dtype == "category":
        index = int(code)
        named = entry.categories[index] if 0 <= index < len(entry.categories) else None
        return "another value" if named is None else named
    if entry.dtype == "bool":
        return "yes" if code else "no"
    if entry.unit in ("share", "probability", "rate"):
        return _percent(code)
    if abs(code) >= _THOUSAND:
        return f"{code:,.0f}"
    return f"{code:.0f}" if code == round(code) else f"{code:.3g}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.1 or share == 0.0 else f"{100 * share:.1f} %"
