"""The page's two drawings, inline SVG that follows its colours: looks in a row, and quality month by month."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from monitoring.checks import State
from monitoring.looks import Look

_WIDTH, _HEIGHT, _LEFT, _BASE = 640, 190, 40, 150
_COLOURS = {State.FAILS: "--bad", State.NOTICE: "--unsure", State.OK: "--good", State.UNKNOWN: "--line"}
_RANK = (State.FAILS, State.NOTICE, State.UNKNOWN, State.OK)


def plot_states(looks: Sequence[Look]) -> str:
    """A square per look, coloured by its worst check; unknown ones hide nothing that is known to be wrong."""
    size = min(40, _WIDTH // max(len(looks), 1))
    parts = []
    for place, look in enumerate(looks):
        states = {check.state for check in look.checks}
        worst = next(state for state in _RANK if state in states or state == State.OK)
        if worst == State.UNKNOWN and State.OK in states:
            worst = State.OK
        title = f"until {look.end:%Y-%m-%d}, version {look.version}: " + (
            ", ".join(check.name for check in look.checks if check.state == worst) if worst != State.OK else "ok"
        )
        parts.append(
            f'<rect x="{place * size}" y="0" width="{size - 3}" height="22" rx="3" style="fill:var({_COLOURS[worst]})">'
            f"<title>{escape(title)}</title></rect>"
        )
    first, last = looks[0].end, looks[-1].end
    parts.append(f'<text x="0" y="38" font-size="11">until {first:%Y-%m-%d}</text>')
    if len(looks) > 5:
        x = len(looks) * size
        parts.append(f'<text x="{x}" y="38" font-size="11" text-anchor="end">{last:%Y-%m-%d}</text>')
    return (
        f'<svg viewBox="0 0 {_WIDTH} 42" role="img" aria-label="State of each look">{"".join(parts)}</svg>'
        "<p class=soft>Green: ok. Amber: moved, costs next to nothing. Red: fails.</p>"
    )


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
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
