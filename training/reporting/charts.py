"""The report's plots: inline SVG, about as wide as a phone, so that their numbers can be read there too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from common.page_plots import GOOD, INK, LINE, MARK, SOFT, UNSURE, dress, inline_svg, new_figure
from training.brier import Bin, Period
from training.capacity import CHANCE
from training.replay import Replay
from training.reporting.contents import BacktestPoint, Capacity, Histogram, Shape
from training.reporting.words import answer_words

_WIDTH = 4.3
_COLOURS = (MARK, UNSURE, GOOD, INK)
_STYLES = ("-", "--", "-.", ":")
_MONTHS = 6
_SHORT = 16
_ROOM = 44
"""Characters of tick names that stand side by side."""


def reliability_plot(bins: Sequence[Bin], histogram: Histogram) -> str:
    """Observed rate with its interval against the mean probability of each bin, and how many rows stand where."""
    figure = new_figure(width=_WIDTH, height=4.1, name="reliability")
    above, below = figure.subplots(2, 1, height_ratios=(4, 1), sharex=True)
    predicted = np.array([each.predicted for each in bins])
    observed = np.array([each.observed for each in bins])
    ends = np.array([[each.observed - each.observed_low, each.observed_high - each.observed] for each in bins]).T
    # The few rows beyond are in the last bin's mean; room for them would push all others into a corner.
    limit = min(1.0, max(1.25 * predicted.max(), 1.05 * max(each.observed_high for each in bins)))
    above.plot([0, limit], [0, limit], color=SOFT, linewidth=1, linestyle="--", label="came as expected")
    above.errorbar(
        predicted, observed, yerr=ends.clip(min=0), color=MARK, marker="o", markersize=4, linewidth=1.4, capsize=2.5,
        label="came, 95 % interval",
    )  # fmt: skip
    _percent_axis(above)
    above.set_ylim(0, limit)
    above.set_xlim(0, limit)
    _titles(above, y="came")
    _legend(above)
    starts = np.arange(len(histogram.counts)) * histogram.width
    below.bar(starts, histogram.counts, width=histogram.width, align="edge", color=MARK, alpha=0.6, linewidth=0)
    dress(below)
    below.set_yticks([])
    _percent_ticks(below.xaxis)
    _titles(below, x="expected (below: how many rows)")
    return inline_svg(
        figure, name="reliability", about=f"Reliability curve: observed against expected rate in {len(bins)} bins"
    )


def gain_plot(capacity: Capacity) -> str:
    """Share of all outcomes found when a share of the leads or deals is worked, best first."""
    figure = new_figure(width=_WIDTH, height=3.2, name="gain")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle="--", label="chance")
    for index, (name, found) in enumerate(capacity.curves.items()):
        axes.plot(
            capacity.curve_shares, found, color=_COLOURS[index % 4], linestyle=_STYLES[index % 4],
            linewidth=2 if index == 0 else 1.4, label=capacity.orders.get(name, name),
        )  # fmt: skip
    axes.axvline(capacity.team_share, color=LINE, linewidth=1.5, zorder=0)
    axes.annotate(
        "the team", (capacity.team_share, 1.0), xytext=(4, -2), textcoords="offset points", va="top", color=SOFT,
        fontsize=9,
    )  # fmt: skip
    _percent_axis(axes)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    _titles(axes, x="worked, best first", y="found of all")
    _legend(axes, place="lower right")
    return inline_svg(figure, name="gain", about="Cumulative gain: share of all outcomes found by share worked")


def months_plot(months: Sequence[Period]) -> str:
    """Expected and observed rate by month."""
    figure = new_figure(width=_WIDTH, height=2.6, name="months")
    axes = figure.add_subplot()
    places = np.arange(len(months))
    observed = np.array([each.observed for each in months])
    ends = np.array([[each.observed - each.observed_low, each.observed_high - each.observed] for each in months]).T
    axes.errorbar(
        places, observed, yerr=ends.clip(min=0), color=MARK, marker="o", markersize=4, linewidth=0, elinewidth=1.4,
        capsize=2.5, label="came, 95 % interval",
    )  # fmt: skip
    axes.plot(
        places, [each.predicted for each in months], color=UNSURE, marker="s", markersize=4, linewidth=1.4,
        linestyle="--", label="expected",
    )  # fmt: skip
    _percent_axis(axes, x=False)
    axes.set_ylim(0, None)
    axes.set_xlim(-0.4, len(months) - 0.6)
    _named_ticks(axes, [each.month for each in months])
    _legend(axes, above=True)
    return inline_svg(figure, name="months", about=f"Expected and observed rate in {len(months)} months")


def replay_plot(replay: Replay) -> str:
    """Outcomes found so far, week by week, by each order."""
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(width=_WIDTH, height=3.0, name="replay")
    axes = figure.add_subplot()
    places = np.arange(len(replay.weeks) + 1)
    names = [name for name in replay.totals if name != CHANCE]
    for index, name in enumerate([*names, CHANCE]):
        found = np.cumsum([0.0, *(week.caught[name] for week in replay.weeks)])
        is_chance = name == CHANCE
        axes.plot(
            places, found, color=SOFT if is_chance else _COLOURS[index % 4],
            linestyle="--" if is_chance else _STYLES[index % 4], linewidth=2 if index == 0 else 1.4,
            label=answer_words(name),
        )  # fmt: skip
    dress(axes)
    axes.xaxis.set_major_locator(MaxNLocator(7, integer=True))
    axes.set_xlim(0, len(replay.weeks))
    axes.set_ylim(0, None)
    _titles(axes, x="week", y="found so far")
    _legend(axes)
    return inline_svg(
        figure, name="replay", about=f"Outcomes found so far over {len(replay.weeks)} weeks, by score, rule and chance"
    )


def shape_plot(shape: Shape, *, number: int) -> str:
    """Expected and observed rate along the values of a feature."""
    name = f"shape{number}"
    figure = new_figure(width=_WIDTH, height=2.5, name=name)
    axes = figure.add_subplot()
    places = np.arange(len(shape.bins))
    observed = np.array([each.observed for each in shape.bins])
    ends = np.array([[each.observed - each.observed_low, each.observed_high - each.observed] for each in shape.bins]).T
    axes.errorbar(
        places, observed, yerr=ends.clip(min=0), color=MARK, marker="o", markersize=4, linewidth=0, elinewidth=1.4,
        capsize=2.5, label="came, 95 % interval",
    )  # fmt: skip
    axes.plot(
        places, [each.predicted for each in shape.bins], color=UNSURE, marker="s", markersize=4, linewidth=0,
        label="expected",
    )  # fmt: skip
    _percent_axis(axes, x=False)
    axes.set_ylim(0, None)
    axes.set_xlim(-0.5, len(shape.bins) - 0.5)
    _named_ticks(axes, [each.label for each in shape.bins], every=1)
    _legend(axes, above=True)
    return inline_svg(figure, name=name, about=f"Expected and observed rate by {shape.name}")


def backtest_plot(points: Sequence[BacktestPoint]) -> str:
    """Log-loss at each earlier cutoff beside always answering the base rate."""
    figure = new_figure(width=_WIDTH, height=2.6, name="backtest")
    axes = figure.add_subplot()
    places = np.arange(len(points))
    for name, colour, style in (("const", SOFT, "--"), ("logistic_regression", UNSURE, ":")):
        if all(name in each.baselines for each in points):
            axes.plot(
                places, [each.baselines[name]["log_loss"].value for each in points], color=colour, marker="s",
                markersize=4, linestyle=style, label=answer_words(name),
            )  # fmt: skip
    ours = [each.figures["log_loss"] for each in points]
    ends = np.array([[m.value - (m.low or m.value), (m.high or m.value) - m.value] for m in ours]).T
    axes.errorbar(
        places, [metric.value for metric in ours], yerr=ends.clip(min=0), color=MARK, marker="o", markersize=4,
        linewidth=2, elinewidth=1.4, capsize=2.5, label="this recipe",
    )  # fmt: skip
    dress(axes)
    axes.set_xlim(-0.3, len(points) - 0.7)
    _named_ticks(axes, [each.cutoff[:10] for each in points])
    _titles(axes, y="log-loss")
    _legend(axes, above=True)
    return inline_svg(figure, name="backtest", about=f"Log-loss at {len(points)} cutoffs, beside the base rate")


def _percent_axis(axes: Any, *, x: bool = True) -> None:
    dress(axes)
    _percent_ticks(axes.yaxis)
    if x:
        _percent_ticks(axes.xaxis)


def _percent_ticks(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(5))
    axis.set_major_formatter(FuncFormatter(lambda value, _place: f"{100 * value:.3g} %"))


def _named_ticks(axes: Any, names: Sequence[str], *, every: int | None = None) -> None:
    step = every or max(1, -(-len(names) // _MONTHS))
    places = list(range(0, len(names), step))
    shown = [names[place] if len(names[place]) <= _SHORT else f"{names[place][: _SHORT - 1]}…" for place in places]
    is_long = sum(len(name) + 2 for name in shown) > _ROOM
    axes.set_xticks(places, shown, rotation=30 if is_long else 0, ha="right" if is_long else "center")


def _titles(axes: Any, *, x: str = "", y: str = "") -> None:
    axes.set_xlabel(x, color=SOFT, fontsize=9)
    axes.set_ylabel(y, color=SOFT, fontsize=9)


def _legend(axes: Any, *, place: str = "upper left", above: bool = False) -> None:
    options: dict[str, Any] = {"frameon": False, "fontsize": 9, "labelcolor": SOFT}
    if above:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2, **options)
    else:
        axes.legend(loc=place, **options)
