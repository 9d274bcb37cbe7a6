"""What the model reads: importance and direction per feature, group and theme; the rates along a feature's values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.brier import wilson
from training.evaluation import rank_scores
from training.manifest import FeatureEntry
from training.reporting.contents import Part, Shape, ShapeBin
from training.reporting.words import brief_about
from training.resampling import count_distinct, entity_codes
from training.themes import theme_of
from training.wording import write_value

Vector = NDArray[np.float64]

SHAPES = 6
_BINS = 6
_CATEGORIES = 7
_NAMED = 2
_CLEAR = 0.3
"""Rank correlation of value and contribution from which "more" has one direction."""
_GROUPS = {
    "behavioral": "What they did",
    "demographic": "Who they are",
    "engagement": "How they answered us",
    "intent": "Signs of intent",
    "fit": "How well they fit",
    "state": "State of the deal",
    "activity": "Work on the deal",
    "rep": "The rep",
    "account": "The account",
    "segment": "How like ones did",
    "time": "Time and age",
}


def feature_parts(entries: Sequence[FeatureEntry], matrix: Vector, contributions: Vector) -> tuple[Part, ...]:
    """Share of the mean absolute contribution and the direction of every feature that has any, largest first.

    Args:
        entries: The model's features, in order.
        matrix: Encoded rows, (n_rows, n_features).
        contributions: What each feature added to their log-odds, same shape.
    """
    sizes = np.abs(contributions).mean(axis=0)
    total = float(sizes.sum()) or 1.0
    parts = [
        Part(
            name=entry.name,
            about=_about(entry),
            share=float(sizes[position]) / total,
            direction=_direction(entry, matrix[:, position], contributions[:, position]),
            theme=theme_of(entry.name),
            group=_GROUPS.get(entry.group, entry.group),
        )
        for position, entry in enumerate(entries)
        if sizes[position] > 0
    ]
    return tuple(sorted(parts, key=lambda part: -part.share))


def sums_by(
    key: Callable[[FeatureEntry], str], entries: Sequence[FeatureEntry], contributions: Vector, features: Sequence[Part]
) -> tuple[Part, ...]:
    """The same of features taken together: their contributions are summed first, so that what cancels out counts less.

    Args:
        key: Names what a feature belongs to.
        entries: The model's features, in order.
        contributions: What each feature added, (n_rows, n_features).
        features: The features' own parts, largest first.
    """
    of = {entry.name: key(entry) for entry in entries}
    sizes: dict[str, float] = {}
    for name in dict.fromkeys(of.values()):
        members = [index for index, entry in enumerate(entries) if of[entry.name] == name]
        sizes[name] = float(np.abs(contributions[:, members].sum(axis=1)).mean())
    total = sum(sizes.values()) or 1.0
    found = []
    for name, size in sizes.items():
        members_by_share = [part for part in features if of[part.name] == name]
        if size > 0 and members_by_share:
            lead = members_by_share[0]
            about = f"{len(members_by_share)} feature{'s' if len(members_by_share) > 1 else ''}"
            direction = f"{lead.about}: {lead.direction}"
            found.append(Part(name=name, about=about, share=size / total, direction=direction))
    return tuple(sorted(found, key=lambda part: -part.share))


def group_of(entry: FeatureEntry) -> str:
    """Title of a feature's group."""
    return _GROUPS.get(entry.group, entry.group)


def theme_title(entry: FeatureEntry) -> str:
    """Title of a feature's theme."""
    title = theme_of(entry.name)
    return title[:1].upper() + title[1:]


def _about(entry: FeatureEntry) -> str:
    """What a feature means; of a source's own field nothing is known but its name."""
    if not entry.name.startswith("custom_"):
        return brief_about(entry.about)
    title = theme_of(entry.name)
    return f"{title[:1].upper()}{title[1:]}, a field of the source's own"


def _direction(entry: FeatureEntry, values: Vector, contributions: Vector) -> str:
    known = ~np.isnan(values)
    values, contributions = values[known], contributions[known]
    if not len(values) or values.min() == values.max():
        return "known or not known"
    if entry.dtype == "category":
        return _best_and_worst(entry, values, contributions)
    together = _rank_correlation(values, contributions)
    if entry.dtype == "bool":
        return "yes → likelier" if together > 0 else "yes → less likely"
    if abs(together) < _CLEAR:
        return "likelier at some values, less likely at others"
    return "more → likelier" if together > 0 else "more → less likely"


def _rank_correlation(left: Vector, right: Vector) -> float:
    """Spearman's rank correlation; 0 where one of the two is constant."""
    ranks = [np.asarray(_mid_ranks(values), dtype=np.float64) for values in (left, right)]
    if any(rank.std() == 0 for rank in ranks):
        return 0.0
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _mid_ranks(values: Vector) -> Vector:
    _, position, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - counts / 2.0)[position], dtype=np.float64)


def _best_and_worst(entry: FeatureEntry, codes: Vector, contributions: Vector) -> str:
    means = {code: float(contributions[codes == code].mean()) for code in np.unique(codes)}
    ranked = [write_value(entry, code) or "?" for code in sorted(means, key=lambda code: -means[code])]
    if len(ranked) < 2 * _NAMED:
        return f"likeliest: {ranked[0]}; least likely: {ranked[-1]}"
    return f"likeliest: {', '.join(ranked[:_NAMED])}; least likely: {', '.join(ranked[: -_NAMED - 1 : -1])}"


def shapes(
    features: Sequence[Part],
    entries: Sequence[FeatureEntry],
    matrix: Vector,
    label: Vector,
    probability: Vector,
    entity: NDArray[Any],
) -> tuple[Shape, ...]:
    """Expected and observed rate by value of the most important features, on test rows.

    Args:
        features: The features, most important first.
        entries: The model's features, in order.
        matrix: Encoded test rows.
        label: 0 or 1 per row.
        probability: Predicted probability per row.
        entity: Lead or deal of each row.
    """
    position = {entry.name: index for index, entry in enumerate(entries)}
    code = entity_codes(entity)
    drawn = []
    for part in features[:SHAPES]:
        entry = entries[position[part.name]]
        bins = [
            _bin(name, chosen, label, probability, code)
            for name, chosen in _bins(entry, matrix[:, position[part.name]])
            if chosen.any()
        ]
        drawn.append(Shape(name=part.name, about=part.about, bins=tuple(bins)))
    return tuple(drawn)


def _bin(name: str, chosen: NDArray[np.bool_], label: Vector, probability: Vector, code: NDArray[np.int64]) -> ShapeBin:
    rate = float(label[chosen].mean())
    low, high = wilson(rate, count_distinct(code[chosen]))
    return ShapeBin(
        label=name,
        rows=int(chosen.sum()),
        predicted=float(probability[chosen].mean()),
        observed=rate,
        observed_low=low,
        observed_high=high,
    )


def _bins(entry: FeatureEntry, values: Vector) -> list[tuple[str, NDArray[np.bool_]]]:
    missing = np.isnan(values)
    found = _category_bins(entry, values) if entry.dtype == "category" else _number_bins(entry, values)
    return [*found, ("not known", missing)] if missing.any() else found


def _category_bins(entry: FeatureEntry, values: Vector) -> list[tuple[str, NDArray[np.bool_]]]:
    codes, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    shown = [codes[index] for index in np.argsort(-counts, kind="stable")[:_CATEGORIES]]
    bins = [(write_value(entry, float(code)) or "?", values == code) for code in shown]
    rest = ~np.isnan(values) & ~np.isin(values, shown)
    return [*bins, ("all others", rest)] if rest.any() else bins


def _number_bins(entry: FeatureEntry, values: Vector) -> list[tuple[str, NDArray[np.bool_]]]:
    known = np.flatnonzero(~np.isnan(values))
    if not len(known):
        return []
    place, count = rank_scores(values[known], most=_BINS)
    bins = []
    for index in range(count):
        chosen = np.zeros(len(values), dtype=bool)
        chosen[known[place == index]] = True
        low, high = (write_value(entry, float(end)) or "?" for end in (values[chosen].min(), values[chosen].max()))
        bins.append((low if low == high else f"{low} to {high}", chosen))
    return bins
