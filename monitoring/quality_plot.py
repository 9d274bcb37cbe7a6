"""The page's two drawings in its colours: looks in a row, and quality month by month."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from monitoring.checks import State
from monitoring.look import Look

_WIDTH, _HEIGHT, _LEFT, _BASE = 640, 190, 40, 150
_COLOURS = {State.FAILS: "--bad", State.NOTICE: "--unsure", State.OK: "--good", State.UNKNOWN: "--line"}
# Widest square of a look, and looks from which on there is room for the newest one's date.
_SQUARE_REM, _FEWEST_FOR_LAST = 2.5, 5
_RANK = (State.FAILS, State.NOTICE, State.UNKNOWN, State.OK)


def plot_states(looks: Sequence[Look]) -> str:
    """A square per look, coloured by its worst check; unknown ones hide nothing that is known to be wrong."""
    squares = "".join(_square(look) for look in looks)
    dates = f"<span>until {looks[0].end:%Y-%m-%d}</span>"
    if len(looks) > _FEWEST_FOR_LAST:
        dates += f"<span>{looks[-1].end:%Y-%m-%d}</span>"
    return (
        f'<div style="max-width:{_SQUARE_REM * len(looks):g}rem"><div class=states role=img '
        f'aria-label="State of each look">{squares}</div></div>'
        f'<div class="dates soft" style="max-width:{_SQUARE_REM * len(looks):g}rem">{dates}</div>'
        "<p class=soft>Green: ok. Amber: moved, costs next to nothing, or a guess. Red: fails.</p>"
    )


def _square(look: Look) -> str:
    states = {check.state for check in look.checks}
    worst = next(state for state in _RANK if state in states or state == State.OK)
    if worst == State.UNKNOWN and State.OK in states:
        worst = State.OK
    names = ", ".join(check.name for check in look.checks if check.state == worst) if worst != State.OK else "ok"
    title = escape(f"until {look.end:%Y-%m-%d}, version {look.version}: {names}", quote=True)
    return f'<i style="background:var({_COLOURS[worst]})" title="{title}"></i>'


def plot_months(months: Sequence[Mapping[str, Any]], estimated: Mapping[str, Any]) -> str:
    """AUC of each month with its interval, and the estimate of the current window behind them; empty without any."""
    points: list[tuple[str, float, float, float, str]] = [
        (str(row["month"])[2:], row["auc"], row["auc_low"] or row["auc"], row["auc_high"] or row["auc"], "--mark")
        for row in months[-17:]
        if row.get("auc") is not None
    ]
    if "auc" in estimated and estimated["auc"][1] is not None:
        value, low, high = estimated["auc"]
        points.append(("now, est.", value, low, high, "--unsure"))
    if not points:
        return ""
    bottom = min(0.5, *(low for _, _, low, _, _ in points))
    top = max(0.9, *(high for _, _, _, high, _ in points))

    def y(value: float) -> float:
        return 15 + (_BASE - 15) * (top - value) / (top - bottom)

    step = (_WIDTH - _LEFT) / len(points)
    parts = [
        f'<line x1="{_LEFT}" x2="{_WIDTH}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" style="stroke:var(--line)"/>'
        f'<text x="0" y="{y(tick) + 4:.1f}" font-size="11">{tick:.1f}</text>'
        for tick in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
        if bottom <= tick <= top
    ]
    for place, (name, value, low, high, colour) in enumerate(points):
        x = _LEFT + (place + 0.5) * step
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y(low):.1f}" y2="{y(high):.1f}" '
            f'style="stroke:var({colour});stroke-width:2"/>'
            f'<circle cx="{x:.1f}" cy="{y(value):.1f}" r="4" style="fill:var({colour})">'
            f"<title>{escape(name)}: {value:.3f} ({low:.3f} to {high:.3f})</title></circle>"
            f'<text x="{x:.1f}" y="{_BASE + 18}" font-size="10" text-anchor="middle">{escape(name)}</text>'
        )
    label = "AUC by month of scoring, with 95 % intervals; last the estimate before labels"
    drawn = f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
    return f"<div class=months>{drawn}</div>"
