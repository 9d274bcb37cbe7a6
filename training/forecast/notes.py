"""Sentences that a reader of a forecast should know: what has changed of late, and where history is short."""

from __future__ import annotations

from training.forecast.turn import Turn

_RARE = 1e-4


def notes_of(
    turn: Turn, *, months: int, outcomes: int, least_outcomes: int, has_seasons: bool, asks_model: bool
) -> tuple[str, ...]:
    """The notes of a forecast.

    Args:
        turn: Whether the times have changed of late.
        months: Months learned from.
        outcomes: Decided deals known.
        least_outcomes: Fewer than these make the plain method speak.
        has_seasons: Whether there are two seasons.
        asks_model: Whether the deal model speaks for the open deals.
    """
    found = []
    if turn.has_come:
        found.append(_changed(turn, asks_model=asks_model))
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


def _changed(turn: Turn, *, asks_model: bool) -> str:
    told = ", ".join(
        f"{abs(one.ratio - 1.0):.0%} {'more' if one.ratio > 1.0 else 'fewer'} {one.name}"
        for one in turn.standing_out or turn.seen
    )
    stretch = "the last month" if turn.months == 1 else f"the last {turn.months} months"
    chance = f"less than {_RARE:.2%}" if turn.chance < _RARE else f"{turn.chance:.2%}"
    follows = (
        "The deal model speaks for the open deals, and its chances are not changed by this; new business follows"
        if asks_model
        else "The forecast follows"
    )
    return (
        f"The times have changed: in {stretch} there were {told} than the months before led to expect; in steady times "
        f"so much would be seen in {chance} of forecasts. {follows}, and the range is wider, because it is not known "
        "whether this lasts."
    )
