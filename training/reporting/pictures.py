"""All plots of a report, drawn once: for the page inline, for MLflow as files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from common.page_plots import standalone_svg
from common.whole_files import write_whole
from training.reporting import charts
from training.reporting.contents import ReportContents


def draw(contents: ReportContents) -> dict[str, str]:
    """The plots as inline SVG, by name; what has nothing to show is left out."""
    pictures = {
        "reliability": charts.reliability_plot(contents.bins, contents.histogram),
        "gain": charts.gain_plot(contents.capacity),
    }
    if len(contents.months) > 1:
        pictures["months"] = charts.months_plot(contents.months)
    if contents.replay is not None:
        pictures["replay"] = charts.replay_plot(contents.replay)
    if contents.backtest:
        pictures["backtest"] = charts.backtest_plot(contents.backtest)
    for number, shape in enumerate(contents.shapes):
        pictures[f"shape{number}"] = charts.shape_plot(shape, number=number)
    return pictures


def save_pictures(pictures: Mapping[str, str], folder: Path) -> list[Path]:
    """Write each plot as a picture of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, inline in pictures.items():
        write_whole(folder / f"{name}.svg", standalone_svg(inline))
    return sorted(folder.glob("*.svg"))
