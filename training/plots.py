"""Plots of a classifier: reliability, lift, importance. No display needed; readable on light and dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.manifest import Band, FeatureEntry

Vector = NDArray[np.float64]

_INK = "#6b7280"
_MAIN = "#2a78d6"
_SECOND = "#d97706"
_SIZE = (5.2, 3.6)
_DPI = 110
_SHOWN_FEATURES = 15


def plot_reliability(bands: Sequence[Band], path: Path) -> Path:
    """Observed rate with its 95 % interval against the mean probability of each band, on the test period."""
    figure, axes = _canvas("Predicted probability", "Observed rate")
    middles = [(band.low + band.high) / 2 for band in bands]
    rates = np.array([band.rate for band in bands])
    errors = np.array([[band.rate - band.rate_low, band.rate_high - band.rate] for band in bands]).T.clip(min=0)
    limit = max([*middles, *(band.rate_high for band in bands), 0.05]) * 1.05
    axes.plot([0, limit], [0, limit], color=_INK, linewidth=1, linestyle="--", label="perfect")
    axes.errorbar(middles, rates, yerr=errors, color=_MAIN, marker="o", capsize=3, label="this model, 95 % interval")
    return _finish(figure, axes, path, "Reliability on the test period")


def plot_lift(label: Vector, probability: Vector, path: Path) -> Path:
    """Share of all outcomes found when the rows with the highest probability are worked first."""
    figure, axes = _canvas("Share of rows worked", "Share of outcomes found")
    order = np.argsort(-probability, kind="stable")
    worked = np.arange(len(label) + 1) / len(label)
    found = np.r_[0.0, np.cumsum(label[order])] / max(label.sum(), 1.0)
    step = max(1, len(worked) // 400)
    axes.plot([0, 1], [0, 1], color=_INK, linewidth=1, linestyle="--", label="in any order")
    axes.plot(worked[::step], found[::step], color=_MAIN, linewidth=2, label="highest probability first")
    return _finish(figure, axes, path, "Outcomes found on the test period")


def plot_importance(features: Sequence[FeatureEntry], path: Path) -> Path:
    """The features with the largest mean absolute contribution."""
    figure, axes = _canvas("Share of the mean absolute contribution", "")
    shown = sorted(features, key=lambda entry: entry.importance)[-_SHOWN_FEATURES:]
    axes.barh([entry.name for entry in shown], [entry.importance for entry in shown], color=_MAIN)
    axes.tick_params(axis="y", labelsize=7)
    return _finish(figure, axes, path, "What the model reads", legend=False)


def _canvas(x_label: str, y_label: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    return figure, axes


def _finish(figure: Any, axes: Any, path: Path, title: str, *, legend: bool = True) -> Path:
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    if legend:
        axes.legend(frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path
