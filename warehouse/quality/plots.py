"""The report's plots as inline SVG whose colours follow the page, light or dark."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from common.page_plots import BAD, LINE, MARK, dress, inline_svg, new_figure
from warehouse.quality.results import TrendPoint, WeekVolume

_WIDE = 6.0
"""Inches from which an axis has room for more dates."""
_LONG_DAYS = 200


def trend_plot(trend: Sequence[TrendPoint]) -> str:
    """The overall score over the reports, 0 to 100."""
    moments = [point.as_of for point in trend]
    figure, axes = _figure(width=6.4, height=2.0, name="trend", days=(moments[-1] - moments[0]) / timedelta(days=1))
    scores = [point.score for point in trend]
    axes.plot(moments, scores, color=MARK, marker="o", linewidth=2)
    axes.set_ylim(max(0, min(scores) - 10), 101)
    axes.annotate(
        f"{scores[-1]:.0f}", (moments[-1], scores[-1]), xytext=(0, -14), textcoords="offset points", ha="center"
    )
    return inline_svg(figure, name="trend", about="Overall score over the reports")


def volume_plot(table: str, weeks: Sequence[WeekVolume]) -> str:
    """Rows by week with the expected range and the flagged weeks."""
    days = [week.week for week in weeks]
    figure, axes = _figure(width=4.2, height=1.7, name=table, days=(days[-1] - days[0]).days)
    judged = [week for week in weeks if week.low is not None and week.high is not None]
    axes.fill_between(
        [week.week for week in judged],
        [week.low for week in judged],
        [week.high for week in judged],
        color=LINE,
        linewidth=0,
        alpha=0.55,
    )
    axes.plot(days, [week.rows for week in weeks], color=MARK, linewidth=1.4)
    flagged = [week for week in weeks if week.flagged]
    axes.plot(
        [w.week for w in flagged], [w.rows for w in flagged], color=BAD, marker="o", linestyle="none", markersize=5
    )
    # The expected range of a quiet table may reach far above anything that came.
    axes.set_ylim(0, 1.15 * max([1, *(week.rows for week in weeks)]))
    return inline_svg(figure, name=table, about=f"Rows of {table} by week")


def _figure(*, width: float, height: float, name: str, days: float) -> tuple[Any, Any]:
    from matplotlib.dates import AutoDateLocator, DateFormatter
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    figure = new_figure(width=width, height=height, name=name)
    axes = figure.add_subplot()
    dress(axes)
    axes.xaxis.set_major_locator(AutoDateLocator(minticks=2, maxticks=5 if width < _WIDE else 8))
    axes.xaxis.set_major_formatter(DateFormatter("%Y-%m" if days > _LONG_DAYS else "%Y-%m-%d"))
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:,.0f}"))
    return figure, axes
