"""The forecast's report: one HTML file that needs nothing else, the verdict in words first."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from training.forecast.results import Trained

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2430; --soft: #5b6472; --line: #d9dde3; --page: #ffffff; --card: #f5f6f8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaee; --soft: #a2abb8; --line: #3a414c; --page: #14171c; --card: #1e232a; } }
body { margin: 0 auto; padding: 1.2rem; max-width: 62rem; font: 16px/1.5 system-ui, sans-serif; color: var(--ink);
  background: var(--page); }
h1 { font-size: 1.4rem; margin: 0 0 .3rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; } p { margin: .3rem 0; }
.soft { color: var(--soft); font-size: .9rem; }
.verdict { background: var(--card); border-left: 4px solid #2a78d6; padding: .8rem 1rem; border-radius: 4px; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .88rem; min-width: 100%; }
th, td { text-align: right; padding: .35rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } tr.ours td { font-weight: 600; }
img { max-width: 100%; background: #ffffff; border-radius: 6px; margin: .3rem 0; }
"""


def write_forecast_report(name: str, source: str, trained: Trained, images: Mapping[str, Path], path: Path) -> Path:
    """Write the page.

    Args:
        name: Registered model.
        source: Name of the source.
        trained: The forecast and its backtest.
        images: PNG files by caption.
        path: Where to.
    """
    forecast = trained.forecast
    parts = [
        f"<h1>{html.escape(name)}: forecast report</h1>",
        "<div class='verdict'>" + "".join(f"<p>{html.escape(line)}</p>" for line in _verdict(trained)) + "</div>",
        f"<p class='soft'>Source {html.escape(source)}, known until {forecast.as_of:%Y-%m-%d %H:%M} UTC; values in "
        f"{html.escape(forecast.unit)}.</p>",
        "".join(_image(caption, image) for caption, image in images.items()),
        "<h2>Error by level, beside the naive answers (WAPE, lower is better)</h2>",
        _errors(trained),
        "<h2>Bias and measured coverage of the intervals</h2>",
        _coverage(trained),
        "<h2>The highest level, origin by origin</h2>",
        _backtest(trained),
        "<h2>What comes next</h2>",
        _upcoming(trained),
    ]
    page = (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{html.escape(name)}</title><style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


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
            f"{level}: error {100 * ours:.1f} %, {relation} the best naive answer, {best} ({100 * naive[best]:.1f} %)."
        )
    return [*lines, *trained.verdict, *trained.warnings]


def _errors(trained: Trained) -> str:
    levels = trained.forecast.levels
    heads = ["", *levels]
    rows = [["this forecast", *(_share(trained.metrics.get(f"wape_{level}")) for level in levels)]]
    rows += [
        [name, *(_share(figures.get(f"wape_{level}")) for level in levels)]
        for name, figures in trained.baselines.items()
    ]
    return _table(heads, rows, mark_first=True)


def _coverage(trained: Trained) -> str:
    heads = ["", "bias", "80 % interval held", "95 % interval held"]
    rows = [
        [level, *(_share(trained.metrics.get(f"{name}_{level}")) for name in ("bias", "coverage_80", "coverage_95"))]
        for level in trained.forecast.levels
    ]
    return _table(heads, rows)


def _backtest(trained: Trained) -> str:
    top = trained.forecast.levels[0]
    rows = trained.backtest[trained.backtest["level"] == top].sort_values("period_start")
    columns = ["period", "actual", "expected", "lower_80", "upper_80", *trained.baseline_names]
    return _frame(rows, columns)


def _upcoming(trained: Trained) -> str:
    values = trained.forecast.values
    rows = values[(values["level"] == trained.forecast.levels[0])]
    # Months, then quarters, then years, each in order.
    length_days = (pd.to_datetime(rows["period_end"]) - pd.to_datetime(rows["period_start"])).dt.days // 32
    rows = rows.assign(_length=length_days).sort_values(["_length", "period_start"])
    columns = ["period", "expected", "lower_80", "upper_80", "lower_95", "upper_95", "closed", "open", "new", "renewal"]
    return _frame(rows, [column for column in columns if rows[column].notna().any()])


def _frame(rows: pd.DataFrame, columns: list[str]) -> str:
    body = [[row[0], *(_amount(value) for value in row[1:])] for row in rows[columns].itertuples(index=False)]
    return _table(columns, body)


def _table(heads: list[str], rows: list[list[str]], *, mark_first: bool = False) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in heads)
    body = ""
    for number, row in enumerate(rows):
        mark = " class='ours'" if mark_first and number == 0 else ""
        body += f"<tr{mark}>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
    return f"<div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _share(value: float | None) -> str:
    return "-" if value is None or value != value else f"{100 * value:.1f} %"


def _amount(value: float) -> str:
    return "-" if value != value else f"{value:,.0f}"


def _image(caption: str, path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f"<img alt='{html.escape(caption)}' src='data:image/png;base64,{data}'>"
