"""Names in words, and numbers as readers write them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from training.results import Metric
from training.segment_bias import BiasNote

_ANSWERS = {
    "model": "this model",
    "const": "always the base rate",
    "logistic_regression": "logistic regression",
    "stage_win_rate": "the stage's win rate",
    "crm_probability": "the CRM's own score",
    "rule_score": "the plain rule score",
    "chance": "chance",
}


def answer_words(name: str) -> str:
    """A baseline's or order's name in words."""
    return _ANSWERS.get(name, name.replace("_", " "))


def note_sentence(note: BiasNote) -> str:
    """What a segment's note means.

    Example:
        >>> note_sentence(BiasNote(kind="source", segment="web", problem="under-predicted", ours=0.05, rest=0.01,
        ...                        z=4.0, p=1e-5))
        'source “web” is under-predicted: 5.0 points more came than were expected, elsewhere 1.0 more.'
    """
    named = f"{note.kind} “{note.segment}”"
    if note.problem == "ranks worse":
        return (
            f"{named} is ranked worse: AUC {note.ours:.2f} within it, {note.rest:.2f} within the others. The order "
            "says less there; the cases may simply be more alike."
        )
    return (
        f"{named} is {note.problem}: {_points(note.ours)} came than were expected, elsewhere "
        f"{_points(note.rest, short=True)}."
    )


def _points(gap: float, *, short: bool = False) -> str:
    way = "more" if gap >= 0 else "fewer"
    return f"{abs(100 * gap):.1f} {way}" if short else f"{abs(100 * gap):.1f} points {way}"


def brief_about(about: str) -> str:
    """What a feature means, without the small print of its definition.

    Example:
        >>> brief_about("Days since the newest event; null where there was none.")
        'Days since the newest event'
    """
    for mark in ("; ", ": ", ", drawn towards", " as known at as_of"):
        about = about.split(mark)[0]
    return about.rstrip(".")


def percent(share: float | None, *, digits: int = 1) -> str:
    """A share as percent, with the sign set off."""
    return "" if share is None else f"{100 * share:.{digits}f} %"


def with_interval(metric: Metric | None, form: str = ".3f") -> tuple[str, str]:
    """A figure and its interval as text; both empty where there is none."""
    if metric is None:
        return "", ""
    if metric.low is None or metric.high is None:
        return format(metric.value, form), ""
    return format(metric.value, form), f"{metric.low:{form}} to {metric.high:{form}}"


STATUS_COLOUR = {"ready": "good", "usable with care": "unsure", "not ready": "bad", "no signal found": "bad"}


def signed_count(value: float) -> str:
    """A difference of counts with its sign; what rounds to nothing has none.

    Example:
        >>> signed_count(-0.2), signed_count(12.6)
        ('0', '+13')
    """
    return f"{round(value):+,d}" if round(value) else "0"


def known(figures: Mapping[str, Metric]) -> dict[str, Metric]:
    """The figures that are numbers."""
    return {name: metric for name, metric in figures.items() if math.isfinite(metric.value)}
