"""Plots of a forecast: backtest with intervals, errors by level. Matplotlib without a display."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from training.forecast.results import Trained

_INK = "#6b7280"
_MAIN = "#2a78d6"
_ACTUAL = "#111827"
_OTHERS = ("#d97706", "#7c3aed", "#0f766e", "#9ca3af")
_DPI = 110


def plot_backtest(trained: Trained, path: Path) -> Path:
    """The highest level: forecast at each origin with its intervals, what happened, and what comes next."""
    figure, axes = _canvas((6.6, 3.6))
    top = trained.forecast.levels[0]
    rows = trained.backtest[trained.backtest["level"] == top].sort_values("period_start")
    upcoming = _upcoming(trained, top)
    shown = pd.concat([rows, upcoming], ignore_index=True)
    place = np.arange(len(shown))
    for low, high, alpha in (("lower_95", "upper_95", 0.15), ("lower_80", "upper_80", 0.3)):
        axes.bar(place, shown[high] - shown[low], bottom=shown[low], width=0.5, color=_MAIN, alpha=alpha, linewidth=0)
    axes.plot(
        place,
        shown["expected"],
        linestyle="none",
        marker="_",
        markersize=16,
        color=_MAIN,
        label="forecast, 80 and 95 %",
    )
    axes.plot(place[: len(rows)], rows["actual"], linestyle="none", marker="o", color=_ACTUAL, label="what happened")
    for name, color in zip(trained.baseline_names, _OTHERS, strict=False):
        if rows[name].notna().all():
            axes.plot(
                place[: len(rows)], rows[name], linestyle="none", marker="x", markersize=5, color=color, label=name
            )
    axes.set_xticks(place, shown["period"], fontsize=8)
    axes.set_ylabel(f"{top}, {trained.forecast.unit}")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylim(bottom=0 if shown["lower_95"].min() >= 0 else None)
    return _finish(figure, axes, path, "Forecast at each origin, and what happened")


def plot_wape(trained: Trained, path: Path) -> Path:
    """WAPE of each level beside the naive answers'."""
    figure, axes = _canvas((6.6, 3.4))
    levels = trained.forecast.levels
    bars: dict[str, list[float]] = {"this forecast": [trained.metrics[f"wape_{level}"] for level in levels]}
    for name, figures in trained.baselines.items():
        bars[name] = [figures.get(f"wape_{level}", np.nan) for level in levels]
    width = 0.8 / len(bars)
    for number, (name, heights) in enumerate(bars.items()):
        color = _MAIN if number == 0 else _OTHERS[(number - 1) % len(_OTHERS)]
        axes.bar(np.arange(len(levels)) + number * width, np.array(heights) * 100, width=width, color=color, label=name)
    axes.set_xticks(np.arange(len(levels)) + 0.4 - width / 2, levels)
    axes.set_ylabel("WAPE, %")
    return _finish(figure, axes, path, "Error by level; lower is better")


def _upcoming(trained: Trained, top: str) -> pd.DataFrame:
    values = trained.forecast.values
    return values[(values["level"] == top) & (values["period"] == trained.next_period)]


def _canvas(size: tuple[float, float]) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=_DPI, layout="constrained")
    return figure, figure.add_subplot()


def _finish(figure: Any, axes: Any, path: Path, title: str) -> Path:
    axes.set_title(title, fontsize=10, color=_INK)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path
