"""The forecast's training report: one HTML file that needs nothing else, the verdict in words first."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path

import pandas as pd

from common.page_plots import standalone_svg
from common.page_style import page, table
from common.whole_files import write_whole
from training.forecast.backtest_figures import figures_of
from training.forecast.plots import in_words, levels_plot, origins_plot
from training.forecast.results import Trained

STYLE = """
.verdict{font-size:1.15rem;font-weight:400;line-height:1.45;text-transform:none}.verdict p{margin:.2rem 0}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(22rem,100%),1fr));gap:1rem;align-items:start;margin:.75rem 0}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.75rem;min-width:0;max-width:34rem}
figcaption{font-size:.9rem;color:var(--soft);margin-bottom:.35rem}figcaption b{color:var(--ink)}tr.ours td,td b{font-weight:650}
ul.said{margin:.25rem 0;padding-left:1.2rem}ul.said li{margin:.3rem 0}
"""  # noqa: E501 (style sheet, one rule group a line)


def draw_training(trained: Trained) -> dict[str, str]:
    """The training report's plots as inline SVG, by name."""
    top = trained.forecast.levels[0]
    judged = trained.backtest[trained.backtest["level"] == top].sort_values("period_start")
    values = trained.forecast.values
    upcoming = values[(values["level"] == top) & (values["period"] == trained.next_period)]
    shown = pd.concat([judged, upcoming.dropna(axis=1, how="all")], ignore_index=True)
    figures = figures_of(trained.backtest, levels=trained.forecast.levels, baselines=trained.baseline_names)
    grain = figures[0].grain if figures else "quarter"
    return {
        "origins": origins_plot(shown, baselines=trained.baseline_names, unit=trained.forecast.unit, name="origins"),
        "levels": levels_plot(figures, grain=grain, name="levels"),
    }


def save_plots(pictures: Mapping[str, str], folder: Path) -> list[Path]:
    """Write each plot as a picture of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, inline in pictures.items():
        write_whole(folder / f"{name}.svg", standalone_svg(inline))
    return sorted(folder.glob("*.svg"))


def write_forecast_report(name: str, source: str, trained: Trained, pictures: Mapping[str, str], path: Path) -> Path:
    """Write the page.

    Args:
        name: Registered model.
        source: Name of the source.
        trained: The forecast and its backtest.
        pictures: Plots as inline SVG, as `draw_training` gives them.
        path: Where to.
    """
    forecast = trained.forecast
    said = "".join(f"<p>{escape(line)}</p>" for line in _verdict(trained))
    body = [
        f"<header><h1>Training report of {escape(name)}</h1><div class='verdict'>{said}</div>",
        f"<p class='soft'>Source {escape(source)}, known until {forecast.as_of:%Y-%m-%d %H:%M} UTC; values in "
        f"{escape(forecast.unit)}.</p></header>",
        figures_row(
            {
                "At each origin, and what came; last, what comes next": pictures.get("origins", ""),
                "Error by level; lower is better": pictures.get("levels", ""),
            }
        ),
        "<h2>Error by level, beside the naive answers (WAPE)</h2>",
        _errors(trained),
        "<h2>Bias, and how often the ranges held</h2>",
        _coverage(trained),
        "<h2>The highest level, origin by origin</h2>",
        _backtest(trained),
        "<h2>What comes next</h2>",
        _upcoming(trained),
        f"<footer>Made {forecast.created_at:%Y-%m-%d %H:%M} UTC.</footer>",
    ]
    write_whole(path, page("".join(body).replace(" %", "&nbsp;%"), title=f"{name}: forecast report", style=STYLE))
    return path


def figures_row(pictures: Mapping[str, str]) -> str:
    """Plots side by side, one below the other on a phone; those that are empty are left out."""
    shown = {title: drawn for title, drawn in pictures.items() if drawn}
    inside = "".join(
        f"<figure><figcaption><b>{escape(title)}</b></figcaption>{drawn}</figure>" for title, drawn in shown.items()
    )
    return f'<div class="pair">{inside}</div>'


def share_cell(value: float | None, *, form: str = ".1f") -> str:
    """A share as percent."""
    return "–" if value is None or value != value else f"{100 * value:{form}} %"


def amount_cell(value: float | None) -> str:
    """An amount without cents."""
    return "–" if value is None or value != value else f"{value:,.0f}"


def _verdict(trained: Trained) -> list[str]:
    lines = []
    for level in trained.forecast.levels:
        ours = trained.metrics[f"wape_{level}"]
        naive = {
            name: figures[f"wape_{level}"] for name, figures in trained.baselines.items() if f"wape_{level}" in figures
        }
        if not naive:
            continue
        best = min(naive, key=naive.__getitem__)
        relation = f"{100 * (1 - ours / naive[best]):.0f} % less than" if ours < naive[best] else "no less than"
        lines.append(
            f"{level}: error {100 * ours:.1f} %, {relation} the best naive answer, {in_words(best)} "
            f"({100 * naive[best]:.1f} %)."
        )
    return [*lines, *trained.verdict, *trained.warnings]


def _errors(trained: Trained) -> str:
    levels = trained.forecast.levels
    rows = [
        ["<b>this forecast</b>", *(f"<b>{share_cell(trained.metrics.get(f'wape_{level}'))}</b>" for level in levels)]
    ]
    rows += [
        [escape(in_words(name)), *(share_cell(figures.get(f"wape_{level}")) for level in levels)]
        for name, figures in trained.baselines.items()
    ]
    return table(["method", *levels], rows)


def _coverage(trained: Trained) -> str:
    heads = ["level", "bias", "80 % range held", "95 % range held"]
    rows = [
        [
            escape(level),
            share_cell(trained.metrics.get(f"bias_{level}"), form="+.1f"),
            *(share_cell(trained.metrics.get(f"{name}_{level}")) for name in ("coverage_80", "coverage_95")),
        ]
        for level in trained.forecast.levels
    ]
    return table(heads, rows)


def _backtest(trained: Trained) -> str:
    top = trained.forecast.levels[0]
    rows = trained.backtest[trained.backtest["level"] == top].sort_values("period_start")
    columns = ["period", "actual", "expected", "lower_80", "upper_80", *trained.baseline_names]
    return _frame(rows, [column for column in columns if column in rows])


def _upcoming(trained: Trained) -> str:
    values = trained.forecast.values
    rows = values[(values["level"] == trained.forecast.levels[0])]
    # Months, then quarters, then years, each in order.
    length_days = (pd.to_datetime(rows["period_end"]) - pd.to_datetime(rows["period_start"])).dt.days // 32
    rows = rows.assign(_length=length_days).sort_values(["_length", "period_start"])
    columns = ["period", "expected", "lower_80", "upper_80", "lower_95", "upper_95", "closed", "open", "new", "renewal"]
    return _frame(rows, [column for column in columns if rows[column].notna().any()])


def _frame(rows: pd.DataFrame, columns: list[str]) -> str:
    body = [
        [escape(str(row[0])), *(amount_cell(value) for value in row[1:])]
        for row in rows[columns].itertuples(index=False)
    ]
    return table([in_words(column) for column in columns], body)
