"""Matplotlib figures as inline SVG whose colours follow the page, light or dark; text stays text."""

from __future__ import annotations

import io
from html import escape
from typing import Any

_VARIABLES = {"#010203": "var(--ink)", "#010204": "var(--soft)", "#010205": "var(--line)", "#010206": "var(--mark)",
              "#010207": "var(--bad)", "#010208": "var(--unsure)", "#010209": "var(--good)"}  # fmt: skip
INK, SOFT, LINE, MARK, BAD, UNSURE, GOOD = _VARIABLES
"""Matplotlib wants colours, the page has variables: these stand for them until the SVG is written."""

# For a picture that stands alone (in MLflow): the page's own colours, on a ground of their own.
_ALONE = (
    "<style>svg{--ink:#1b1f24;--soft:#59636e;--line:#d9dee3;--mark:#0b6bcb;--bad:#b42318;--unsure:#8a5a00;"
    "--good:#1a7f37;background:#fff;font-family:system-ui,sans-serif}svg text{fill:var(--soft)}"
    "@media(prefers-color-scheme:dark){svg{--ink:#e6e9ec;--soft:#9aa4ae;--line:#2b3138;--mark:#58a6ff;--bad:#ff7b72;"
    "--unsure:#e3b341;--good:#4ac26b;background:#0f1216}}</style>"
)


def new_figure(*, width: float, height: float, name: str) -> Any:
    """An empty figure that makes room for its labels; `width` and `height` in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", label=name)


def dress(axes: Any) -> None:
    """The look that all plots share: a line below, a quiet grid, small soft numbers."""
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    axes.tick_params(colors=SOFT, labelsize=9, length=0)
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)


def inline_svg(figure: Any, *, name: str, about: str) -> str:
    """The figure as an SVG element for a page with the house style.

    Args:
        figure: A matplotlib figure.
        name: Keeps its ids apart from other plots' on the page, and the same from run to run.
        about: What a reader who cannot see it should know; plain text.
    """
    import matplotlib as mpl
    from matplotlib.text import Text

    text = io.StringIO()
    # Names from data are text, not formulas: "$" means a dollar. The setting is for text that drawing itself makes.
    for written in figure.findobj(Text):
        written.set_parse_math(False)
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "text.parse_math": False}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    drawn = text.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    for colour, variable in _VARIABLES.items():
        drawn = drawn.replace(colour, variable)
    return drawn.replace("<svg", f'<svg role="img" aria-label="{escape(about, quote=True)}"', 1)


def standalone_svg(inline: str) -> str:
    """An inline SVG as a file of its own, light or dark as the viewer is."""
    end = inline.index(">", inline.index("<svg")) + 1
    return f'<?xml version="1.0" encoding="utf-8"?>\n{inline[:end]}{_ALONE}{inline[end:]}'
