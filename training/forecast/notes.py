"""Sentences that a reader of a forecast should know: what has changed of late, and where history is short."""

from __future__ import annotations

from training.forecast.drift import Level
from training.forecast.flow import Flow


def has_changed(flow: Flow, wins: Level, volume: Level) -> bool:
    """Whether deals go otherwise than the last two years taught, or are created otherwise than half a year ago."""
    return flow.advance.has_moved or flow.lose.has_moved or wins.has_moved or volume.has_shifted


def notes_of(
    flow: Flow,
    wins: Level,
    volume: Level,
    *,
    months: int,
    outcomes: int,
    least_outcomes: int,
    has_seasons: bool,
    asks_model: bool,
) -> tuple[str, ...]:
    """The notes of a forecast.

    Args:
        flow: Moves between stages and their levels.
        wins: Level of wins beyond that.
        volume: Level of the number of deals created.
        months: Months learned from.
        outcomes: Decided deals known.
        least_outcomes: Fewer than these make the plain method speak.
        has_seasons: Whether there are two seasons.
        asks_model: Whether the deal model speaks for the open deals.
    """
    found = []
    told = [
        part
        for part in (
            _told("losses", flow.lose),
            _told("moves to a later stage", flow.advance),
            _told("wins beyond that", wins),
        )
        if part
    ]
    if told:
        follows = (
            "the deal model speaks for the open deals, and its chances are not changed by this"
            if asks_model
            else "the forecast follows"
        )
        found.append(
            f"Of late {', '.join(told)} than the last two years taught; {follows}, and the "
            "range is wider, because it is not known whether this lasts."
        )
    if volume.has_shifted:
        found.append(
            f"Of late {abs(volume.shift - 1.0):.0%} {'more' if volume.shift > 1.0 else 'fewer'} deals are created than "
            "half a year ago; the forecast follows, and the range of new business is wider."
        )
    if outcomes < least_outcomes:
        found.append(
            f"Only {outcomes} deals are decided ({least_outcomes} are needed for a model of deals): the win rates of "
            "due dates and stages speak, without season and without reps, and the range is wider."
        )
    elif not has_seasons:
        found.append(
            f"There are {months} months to learn from, less than two seasons: no season is taken into account, and the "
            "range is wider for it."
        )
    return tuple(found)


def _told(what: str, level: Level) -> str:
    if not level.has_moved:
        return ""
    return f"{what} run {abs(level.mean - 1.0):.0%} {'higher' if level.mean > 1.0 else 'lower'}"
