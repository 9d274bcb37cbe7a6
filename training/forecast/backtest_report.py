"""The backtest's report: one HTML file for people, and the same figures as JSON beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from common.page_style import page, table
from common.whole_files import write_whole
from training.forecast.backtest_figures import (
    OURS,
    Figures,
    best_baseline,
    change_sentences,
    figures_of,
    first_instant,
    width_sentences,
    widths,
    with_distance,
)
from training.forecast.plots import coverage_plot, distance_plot, in_words, levels_plot, origins_plot, width_plot
from training.forecast.report import STYLE, amount_cell, figures_row, share_cell

_NEAR = 0.02
_ENOUGH_PERIODS = 8


@dataclass(frozen=True, kw_only=True)
class BacktestContents:
    """What the report shows.

    Args:
        name: Name of the workspace.
        as_of: The moment whose knowledge gives the actual values.
        unit: Unit of the values.
        levels: Levels, highest first.
        baselines: Columns with naive answers.
        rows: The backtest, as `backtest_figures.figures_of` takes it.
        params: How it was made.
        notes: Further sentences a reader should know.
    """

    name: str
    as_of: datetime
    unit: str
    levels: Sequence[str]
    baselines: Sequence[str]
    rows: pd.DataFrame
    params: Mapping[str, Any]
    notes: Sequence[str] = ()


def backtest_document(contents: BacktestContents) -> dict[str, Any]:
    """The report as JSON values: `verdict`, `figures`, `origins` (the highest level, origin by origin), `params`."""
    figures = figures_of(contents.rows, levels=contents.levels, baselines=contents.baselines)
    told = widths(contents.rows, level=contents.levels[0])
    return {
        "workspace": contents.name,
        "as_of": contents.as_of.isoformat(),
        "unit": contents.unit,
        "levels": list(contents.levels),
        "params": dict(contents.params),
        "verdict": _verdict(contents, figures, told),
        "figures": [one.to_dict() for one in figures],
        "origins": json.loads(told.to_json(orient="records", date_format="iso")),
    }


def write_backtest_report(contents: BacktestContents, path: Path) -> Path:
    """Write the page and, beside it, the same figures as JSON; each appears whole or not at all.

    Args:
        contents: What to show.
        path: The page, `….html`; the JSON file has its name.
    """
    write_whole(path.with_suffix(".json"), json.dumps(backtest_document(contents), indent=1, allow_nan=False) + "\n")
    write_whole(path, _page(contents))
    return path


def _page(contents: BacktestContents) -> str:
    figures = figures_of(contents.rows, levels=contents.levels, baselines=contents.baselines)
    told = widths(contents.rows, level=contents.levels[0])
    weeks = _main_distance(contents.rows, figures)
    grains = list(dict.fromkeys(one.grain for one in figures))
    main = "quarter" if "quarter" in grains else grains[0]
    said = "".join(f"<li>{escape(line)}</li>" for line in _verdict(contents, figures, told))
    origins = contents.rows["origin"].nunique()
    parts = [
        f"<header><h1>Backtest of the forecast of {escape(contents.name)}</h1><ul class='said'>{said}</ul>"
        f"<p class='soft'>{origins} {'origin' if origins == 1 else 'origins'}, each forecast from "
        "what was known then; what came is as known on "
        f"{contents.as_of:%Y-%m-%d}. Values in {escape(contents.unit)}.</p></header>",
        figures_row(_pictures(contents, figures, told, main, weeks)),
    ]
    for grain in [main, *(one for one in grains if one != main)]:
        parts += [f"<h2>By level: {grain}s</h2>", _by_level(figures, contents.levels, grain)]
    parts += ["<h2>By weeks before the period's end</h2>", _by_distance(figures, contents.levels, main)]
    parts += [f"<h2>Origin by origin: {escape(contents.levels[0])}</h2>", _origins(told)]
    parts += ["<h2>How it was made</h2>", _params(contents.params), "<h2>What the figures mean</h2>", _MEANING]
    return page("".join(parts).replace(" %", "&nbsp;%"), title=f"Backtest of {contents.name}", style=STYLE)


def _pictures(
    contents: BacktestContents, figures: Sequence[Figures], told: pd.DataFrame, grain: str, weeks: int | None
) -> dict[str, str]:
    top = contents.levels[0]
    rows = with_distance(contents.rows)
    group = rows[(rows["level"] == top) & (rows["grain"] == grain)]
    if group["origin"].nunique() == 1:
        # One forecast of several periods: they are shown as they follow one another.
        title, same, widths_shown = f"{top}, forecast on {group['origin'].iloc[0]:%Y-%m-%d}", group, told
    else:
        shown = weeks if weeks is not None else group["weeks_before_end"].max()
        title = f"{top}, forecast {shown} weeks before each {grain}'s end"
        same, widths_shown = (part[part["weeks_before_end"] == shown] for part in (group, told))
    return {
        title: origins_plot(
            same.sort_values("period_start"), baselines=contents.baselines, unit=contents.unit, name="origins"
        ),
        "Error by level; lower is better": levels_plot(figures, grain=grain, weeks=weeks, name="levels"),
        "How often the ranges held": coverage_plot(figures, grain=grain, weeks=weeks, name="coverage"),
        "Width of the range, and the error": width_plot(widths_shown, name="width"),
        f"{top}: error as the {grain}'s end comes near": distance_plot(
            figures, level=top, grain=grain, name="distance"
        ),
    }


def _verdict(contents: BacktestContents, figures: Sequence[Figures], told: pd.DataFrame) -> list[str]:
    grains = {one.grain for one in figures}
    grain = "quarter" if "quarter" in grains else next(iter(sorted(grains)))
    weeks = _main_distance(contents.rows, figures)
    when = "" if weeks is None else f" {weeks} weeks before their end"
    lines = []
    for level in contents.levels:
        ours = _find(figures, level, grain, weeks)
        if ours is None or ours.wape is None:
            continue
        best = best_baseline(figures, level, grain, weeks)
        line = f"{level}, {grain}s{when}: error {ours.wape:.1%}"
        if best is not None and best.wape:
            gain = 1.0 - ours.wape / best.wape
            line += f", {abs(gain):.0%} {'less' if gain > 0 else 'more'} than the best naive answer, "
            line += f"{in_words(best.method)} ({best.wape:.1%})"
        lines.append(line + f"; bias {ours.bias:+.1%}." if ours.bias is not None else line + ".")
    lines += _range_sentences(figures, contents.levels, grain, weeks)
    lines += change_sentences(contents.rows, level=contents.levels[0])
    lines += width_sentences(told)
    judged = with_distance(contents.rows)
    periods = judged.loc[judged["grain"] == grain, "period"].nunique()
    if periods < _ENOUGH_PERIODS:
        lines.append(f"{periods} {grain}s are few: one more or less moves the figures of the higher levels a lot.")
    # As the tables write it.
    return [re.sub(r"(?<=\d)%", " %", line) for line in [*lines, *contents.notes]]


def _range_sentences(figures: Sequence[Figures], levels: Sequence[str], grain: str, weeks: int | None) -> list[str]:
    found = []
    for field, nominal in (("coverage_80", 0.80), ("coverage_95", 0.95)):
        held = {
            level: getattr(one, field) for level in levels if (one := _find(figures, level, grain, weeks)) is not None
        }
        off = {level: value for level, value in held.items() if value is not None and abs(value - nominal) > _NEAR}
        if not off:
            found.append(f"The {nominal:.0%} ranges held as often as they promise, to within 2 points, at every level.")
        else:
            listed = ", ".join(f"{level} {value:.0%}" for level, value in off.items())
            found.append(f"The {nominal:.0%} ranges held more or less often than they promise at: {listed}.")
    return found


def _by_level(figures: Sequence[Figures], levels: Sequence[str], grain: str) -> str:
    chosen = [
        one
        for level in levels
        for one in figures
        if (one.level, one.grain) == (level, grain) and one.weeks_before_end is None
    ]
    return _figures_table(chosen, lambda one: f"{one.level}: {in_words(one.method)}", first="level and method")


def _by_distance(figures: Sequence[Figures], levels: Sequence[str], grain: str) -> str:
    chosen = [
        one
        for level in levels
        for one in figures
        if (one.level, one.grain) == (level, grain) and one.weeks_before_end is not None and one.method == OURS
    ]
    if not chosen:
        only = next((one for one in figures if one.grain == grain), None)
        return "<p class='soft'>All origins are as far from the period's end.</p>" if only is not None else ""
    best = {
        (one.level, one.weeks_before_end): best_baseline(figures, one.level, grain, one.weeks_before_end)
        for one in chosen
    }

    def name(one: Figures) -> str:
        return f"{one.level}, {one.weeks_before_end} weeks"

    def rival(one: Figures) -> str:
        found = best[one.level, one.weeks_before_end]
        return "–" if found is None else f"{share_cell(found.wape)} <small>{escape(in_words(found.method))}</small>"

    return _figures_table(chosen, name, first="level and distance", more=("best naive", rival))


def _figures_table(chosen: Sequence[Figures], name: Any, *, first: str, more: tuple[str, Any] | None = None) -> str:
    heads = [first, "rows", "WAPE", "MAPE", "MAE", "bias", "pinball", "80 % held", "95 % held"]
    rows = []
    for one in chosen:
        cells = [
            str(one.rows),
            share_cell(one.wape),
            share_cell(one.mape),
            amount_cell(one.mae),
            share_cell(one.bias, form="+.1f"),
            share_cell(one.pinball),
            share_cell(one.coverage_80) if one.method == OURS else "",
            share_cell(one.coverage_95) if one.method == OURS else "",
        ]
        label = escape(name(one))
        rows.append([f"<b>{label}</b>" if one.method == OURS else label, *cells, *([more[1](one)] if more else [])])
    return table([*heads, *([more[0]] if more else [])], rows)


def _origins(told: pd.DataFrame) -> str:
    heads = ["period", "weeks before", "forecast", "80 % range", "came", "error", "range held", "width"]
    says = "times_have_changed" in told
    changed = "said: times changed"
    rows = [
        [
            escape(str(row["period"])),
            str(row["weeks_before_end"]),
            amount_cell(row["expected"]),
            f"{amount_cell(row['lower_80'])} to {amount_cell(row['upper_80'])}",
            amount_cell(row["actual"]),
            share_cell(row["expected"] / row["actual"] - 1.0 if row["actual"] else None, form="+.1f"),
            "yes" if row["held"] else "no",
            share_cell(row["width"], form=".0f"),
            *([("yes" if row["times_have_changed"] else "no")] if says else []),
        ]
        for row in told.to_dict("records")
    ]
    return table([*heads, *([changed] if says else [])], rows, words=["range held", changed])


def _params(params: Mapping[str, Any]) -> str:
    listed = "".join(f"<dt>{escape(in_words(key))}</dt><dd>{escape(str(value))}</dd>" for key, value in params.items())
    return f'<dl class="facts">{listed}</dl>'


_MEANING = (
    '<ul class="said"><li>WAPE: sum of absolute errors over the sum of what came. MAPE: mean of the errors in percent, '
    "which small reps dominate.</li><li>Bias: above 0 the forecasts were too high.</li><li>Pinball: how well the whole "
    "range is placed, as a share of what came; a naive answer has only a point, which counts for every part of the "
    "range.</li><li>A naive answer is judged where it has one.</li></ul>"
)


def _main_distance(rows: pd.DataFrame, figures: Sequence[Figures]) -> int | None:
    """The distance that the verdict is about: each period at its first instant.

    None where there is one distance only, or where all periods were forecast from one origin.
    """
    has_several = any(one.weeks_before_end is not None and one.grain == "quarter" for one in figures)
    has_several = has_several and rows["origin"].nunique() > 1
    return first_instant(with_distance(rows), grain="quarter") if has_several else None


def _find(figures: Sequence[Figures], level: str, grain: str, weeks: int | None) -> Figures | None:
    return next(
        (
            one
            for one in figures
            if (one.level, one.grain, one.weeks_before_end, one.method) == (level, grain, weeks, OURS)
        ),
        None,
    )
