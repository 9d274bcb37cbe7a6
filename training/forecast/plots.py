"""Plots of a forecast: inline SVG about as wide as a phone, whose colours follow the page, light or dark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from common.page_plots import BAD, GOOD, INK, MARK, SOFT, UNSURE, dress, inline_svg, new_figure
from training.forecast.backtest_figures import OURS, Figures

_WIDTH = 4.3
_OTHERS = (UNSURE, GOOD, BAD, SOFT, INK)
_MARKS = ("s", "^", "D", "v", "P")
_NOMINAL = (("coverage_80", 80), ("coverage_95", 95))
_MOST_TICKS = 7


def in_words(name: str) -> str:
    """A baseline's name as a reader writes it."""
    return name.replace("_", " ")


def origins_plot(rows: pd.DataFrame, *, baselines: Sequence[str], unit: str, name: str) -> str:
    """What was forecast at each origin with its ranges, and what came.

    Args:
        rows: One level's one entity: period, expected, the range, `actual` (missing where it is not known yet) and the
            baselines, in order of time.
        baselines: Baselines to show; those missing in a judged row are left out.
        unit: Unit of the values.
        name: Keeps the plot's ids apart.
    """
    figure = new_figure(width=_WIDTH, height=3.3, name=name)
    axes = figure.add_subplot()
    place = np.arange(len(rows))
    for low, high, alpha in (("lower_95", "upper_95", 0.16), ("lower_80", "upper_80", 0.34)):
        axes.bar(place, rows[high] - rows[low], bottom=rows[low], width=0.55, color=MARK, alpha=alpha, linewidth=0)
    axes.plot(
        place, rows["expected"], linestyle="none", marker="_", markersize=15, markeredgewidth=2, color=MARK,
        label="forecast, 80 and 95 %",
    )  # fmt: skip
    judged = rows["actual"].notna().to_numpy()
    axes.plot(
        place[judged], rows["actual"][judged], linestyle="none", marker="o", markersize=5, color=INK, label="came"
    )
    shown = [one for one in baselines if one in rows and rows[one][judged].notna().all()]
    for number, one in enumerate(shown[: len(_OTHERS)]):
        axes.plot(
            place[judged], rows[one][judged], linestyle="none", marker=_MARKS[number], markersize=3.5,
            color=_OTHERS[number], label=in_words(one),
        )  # fmt: skip
    dress(axes)
    _ticks(axes, rows["period"].tolist())
    _amounts(axes)
    if rows["lower_95"].min() >= 0:
        axes.set_ylim(0, None)
    _legend(figure, axes)
    axes.set_ylabel(unit, color=SOFT, fontsize=9)
    return inline_svg(figure, name=name, about=f"Forecast, ranges and what came in {len(rows)} periods")


def levels_plot(figures: Sequence[Figures], *, grain: str, name: str, weeks: int | None = None) -> str:
    """WAPE by level, beside the naive answers'."""
    group = [one for one in figures if one.grain == grain and one.weeks_before_end == weeks and one.wape is not None]
    levels = list(dict.fromkeys(one.level for one in group))
    methods = list(dict.fromkeys(one.method for one in group))
    figure = new_figure(width=_WIDTH, height=3.1, name=name)
    axes = figure.add_subplot()
    width = 0.8 / max(len(methods), 1)
    for number, method in enumerate(methods):
        of_method = {one.level: 100 * one.wape for one in group if one.method == method and one.wape is not None}
        color = MARK if method == OURS else _OTHERS[(number - 1) % len(_OTHERS)]
        axes.bar(
            np.arange(len(levels)) + number * width, [of_method.get(level, np.nan) for level in levels], width=width,
            color=color, alpha=1.0 if method == OURS else 0.6, linewidth=0, label=in_words(method),
        )  # fmt: skip
    dress(axes)
    axes.set_xticks(np.arange(len(levels)) + 0.4 - width / 2, levels)
    axes.set_ylabel("error (WAPE), %", color=SOFT, fontsize=9)
    _legend(figure, axes)
    return inline_svg(figure, name=name, about=f"Error by level of {len(methods)} methods; lower is better")


def distance_plot(figures: Sequence[Figures], *, level: str, grain: str, name: str) -> str:
    """WAPE of one level by weeks before the period's end; empty where there is one distance only."""
    group = [one for one in figures if (one.level, one.grain) == (level, grain) and one.weeks_before_end is not None]
    weeks = sorted({one.weeks_before_end for one in group if one.weeks_before_end is not None}, reverse=True)
    if len(weeks) < 2:
        return ""
    figure = new_figure(width=_WIDTH, height=2.9, name=name)
    axes = figure.add_subplot()
    for number, method in enumerate(dict.fromkeys(one.method for one in group)):
        known = {one.weeks_before_end: one.wape for one in group if one.method == method and one.wape is not None}
        ours = method == OURS
        axes.plot(
            range(len(weeks)), [100 * known[week] if week in known else np.nan for week in weeks],
            color=MARK if ours else _OTHERS[(number - 1) % len(_OTHERS)], marker="o" if ours else _MARKS[number % 5],
            markersize=4, linewidth=2.2 if ours else 1.2, linestyle="-" if ours else "--", label=in_words(method),
        )  # fmt: skip
    dress(axes)
    axes.set_ylim(0, None)
    axes.set_xticks(range(len(weeks)), [str(week) for week in weeks])
    axes.set_xlabel(f"weeks before the {grain}'s end", color=SOFT, fontsize=9)
    axes.set_ylabel("error (WAPE), %", color=SOFT, fontsize=9)
    _legend(figure, axes)
    return inline_svg(figure, name=name, about=f"Error at {level} by weeks before the end of the {grain}")


def coverage_plot(figures: Sequence[Figures], *, grain: str, name: str, weeks: int | None = None) -> str:
    """How often the ranges held, by level, beside what they promise."""
    group = [one for one in figures if one.grain == grain and one.weeks_before_end == weeks and one.method == OURS]
    figure = new_figure(width=_WIDTH, height=2.6, name=name)
    axes = figure.add_subplot()
    place = np.arange(len(group))
    for (field, percent), color, marker in zip(_NOMINAL, (MARK, UNSURE), ("o", "s"), strict=True):
        axes.axhline(percent, color=color, linewidth=1, linestyle="--", alpha=0.7)
        held = [getattr(one, field) for one in group]
        axes.plot(
            place, [np.nan if value is None else 100 * value for value in held], linestyle="none", marker=marker,
            markersize=6, color=color, label=f"{percent} % range (dashed: what it promises)",
        )  # fmt: skip
    dress(axes)
    axes.set_ylim(min(50, *axes.get_ylim()), 103)
    axes.set_xlim(-0.5, len(group) - 0.5)
    axes.set_xticks(place, [one.level for one in group])
    axes.set_ylabel("held, %", color=SOFT, fontsize=9)
    _legend(figure, axes, ncols=1)
    return inline_svg(figure, name=name, about="Share of actual values within the ranges, by level")


def width_plot(told: pd.DataFrame, *, name: str) -> str:
    """Width of the 80 % range and the error, as shares of the forecast, origin by origin."""
    group = told.reset_index(drop=True)
    figure = new_figure(width=_WIDTH, height=2.6, name=name)
    axes = figure.add_subplot()
    place = np.arange(len(group))
    miss = 100 * (group["actual"] / group["expected"] - 1.0).abs().to_numpy()
    axes.bar(
        place,
        100 * group["width"].to_numpy(),
        width=0.55,
        color=MARK,
        alpha=0.34,
        linewidth=0,
        label="80 % range, whole width",
    )
    held = group["held"].to_numpy(dtype=bool)
    axes.plot(place[held], miss[held], linestyle="none", marker="o", color=INK, label="error, range held")
    if (~held).any():
        axes.plot(
            place[~held], miss[~held], linestyle="none", marker="X", markersize=7, color=BAD, label="error, missed"
        )
    dress(axes)
    _ticks(axes, group["period"].tolist())
    axes.set_ylabel("% of the forecast", color=SOFT, fontsize=9)
    axes.set_ylim(0, None)
    _legend(figure, axes)
    return inline_svg(figure, name=name, about=f"Width of the range and error in {len(group)} periods")


def _ticks(axes: Any, names: Sequence[str]) -> None:
    step = max(1, -(-len(names) // _MOST_TICKS))
    places = range(0, len(names), step)
    axes.set_xticks(places, [names[number] for number in places], fontsize=9 if len(places) < _MOST_TICKS else 8)


def _amounts(axes: Any) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: short_amount(value)))


def short_amount(value: float) -> str:
    """An amount in few characters.

    Example:
        >>> short_amount(2_500_000), short_amount(34_000), short_amount(900)
        ('2.5M', '34k', '900')
    """
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _legend(figure: Any, axes: Any, *, ncols: int = 2) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper left", ncols=ncols, frameon=False, fontsize=9, labelcolor=SOFT,
        handletextpad=0.4, columnspacing=1.0,
    )  # fmt: skip
