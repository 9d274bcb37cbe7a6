"""The report's page for people: one self-contained HTML file, light and dark, readable on a phone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitoring.columns import ColumnPair
from monitoring.plots import draw_pair
from monitoring.policy import ColumnDrift

if TYPE_CHECKING:
    from monitoring.drift import DriftReport

_MOST_PLOTS = 8

_STYLE = """
:root{--paper:#fff;--ink:#1b1f24;--soft:#59636e;--line:#d9dee3;--card:#f6f8fa;--reference:#8c959f;--current:#0b6bcb;--good:#1a7f37;--bad:#b42318;--unsure:#8a5a00}
@media(prefers-color-scheme:dark){:root{--paper:#0f1216;--ink:#e6e9ec;--soft:#9aa4ae;--line:#2b3138;--card:#171b21;--reference:#7d8590;--current:#58a6ff;--good:#4ac26b;--bad:#ff7b72;--unsure:#e3b341}}
*{box-sizing:border-box}body{margin:0 auto;max-width:64rem;padding:1rem;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.1rem;color:var(--soft);font-weight:600;margin:.5rem 0 0}h2{font-size:1.15rem;margin:2rem 0 .5rem}
.verdict{font-size:2.6rem;font-weight:750;line-height:1.1;margin:.25rem 0}.OK{color:var(--good)}.DRIFT{color:var(--bad)}.CANNOT{color:var(--unsure)}
.advice{font-size:1.15rem;margin:.25rem 0 1rem}.facts{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:0;color:var(--soft)}.facts dd{margin:0;color:var(--ink);overflow-wrap:anywhere}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(19rem,100%),1fr));gap:1rem}.card{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.75rem}
.card h3{font:600 .95rem ui-monospace,monospace;margin:0;overflow-wrap:anywhere}.card p{margin:.15rem 0;font-size:.85rem;color:var(--soft)}svg{width:100%;height:auto;display:block}svg text{fill:var(--soft);font:11px system-ui,sans-serif}
.r{fill:var(--reference)}.c{fill:var(--current)}.axis{stroke:var(--line)}.key span{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin:0 .3em 0 1em;vertical-align:-.05em}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.9rem}th,td{padding:.35rem .6rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}th{color:var(--soft);font-weight:600}
td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}td small{color:var(--soft);display:block;min-width:11rem}code{font-family:ui-monospace,monospace;overflow-wrap:anywhere}a{color:var(--current)}
footer{margin:2rem 0 1rem;color:var(--soft);font-size:.85rem}
@media(max-width:40rem){thead{display:none}tr{display:grid;grid-template-columns:1fr 1fr;gap:0 .5rem;border-bottom:1px solid var(--line);padding:.5rem 0}td,td.n{border:0;padding:.1rem 0;text-align:left;white-space:normal}td:first-child,td:last-child{grid-column:1/-1}td[data-k]:empty{display:none}td[data-k]::before{content:attr(data-k) " ";color:var(--soft)}}
"""  # noqa: E501 (style sheet, one rule group a line)


def render_page(report: DriftReport, pairs: Sequence[ColumnPair]) -> str:
    """The whole page: verdict, recommendation, what was compared, plots of what moved most, all columns."""
    title = f"{report.verdict}: drift of the {report.decision.task} model {report.decision.model_version}"
    parts = [_head(report), _plots(report, pairs), _table(report), _not_compared(report), _foot(report)]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(path.name + ".part")
    half.write_text(text, encoding="utf-8")
    half.replace(path)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write values as JSON, whole or not at all; times in ISO 8601, paths as text."""
    write_text(path, json.dumps(values, default=_plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _head(report: DriftReport) -> str:
    record = report.decision
    compared = report.compared_rows
    facts = {
        "Window": f"{record.window[0]:%Y-%m-%d %H:%M} to {record.window[1]:%Y-%m-%d %H:%M} UTC",
        "Reference": _learned(record.inputs["reference_window"])
        + _rows(report.reference_rows, compared[0], entity=record.inputs["entity"]),
        "Current": _rows(report.current_rows, compared[1], entity=record.inputs["entity"]),
        "Sampling": _sampling(report),
        "Alarms": _level(report),
        "Decided": f"{record.decided_at:%Y-%m-%d %H:%M} UTC by the policy; record {record.decision_id[:8]}",
    }
    items = "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in facts.items())
    return (
        f"<h1>Drift of the {escape(record.task)} model, version {escape(record.model_version)}</h1>"
        f'<p class="verdict {report.verdict.split()[0]}">{report.verdict}</p>'
        f'<p class="advice"><strong>{report.recommendation}</strong>. {escape(report.reason)}</p>'
        f'<dl class="facts">{items}</dl>'
    )


def _sampling(report: DriftReport) -> str:
    error = report.decision.inputs["sampling_error"]
    return "none, all rows were compared" if not error else f"shares are right to {100 * error:.1f} points (95 %)"


def _level(report: DriftReport) -> str:
    if not report.decision.thresholds:
        return "nothing was compared"
    inputs = report.decision.inputs
    weeks = f" and from {inputs['stretches']} earlier stretches" if inputs.get("stretches", 0) > 1 else ""
    how = f"{len(report.columns)} columns together, thresholds from {inputs['draws']} shuffles of these rows{weeks}"
    return f"at most {inputs['alpha']:.0%} of reports ring when nothing has changed ({how})"


def _learned(window: Sequence[str] | None) -> str:
    return "" if window is None else f"{window[0][:10]} to {window[1][:10]}, "


def _rows(given: int, compared: int, *, entity: str | None) -> str:
    if given == compared:
        return f"{given:,} rows"
    how = f"one per {entity}, at most 20,000" if entity else "a random sample"
    return f"{compared:,} of {given:,} rows ({how})"


def _plots(report: DriftReport, pairs: Sequence[ColumnPair]) -> str:
    shown = [column for column in report.columns if column.statistic is not None or column.drifted]
    shown = [column for column in shown if column.drifted][:_MOST_PLOTS] or shown[:3]
    if not shown:
        return ""
    heading = "What moved, costliest first" if report.drifted else "What moved most, all within chance"
    by_name = {pair.name: pair for pair in pairs}
    key = (
        '<p class="key"><span style="background:var(--reference)"></span>reference'
        '<span style="background:var(--current)"></span>current (share of each side)</p>'
    )
    cards = "".join(_card(column, by_name[column.name]) for column in shown if column.name in by_name)
    return f'<h2>{heading}</h2>{key}<div class="cards">{cards}</div>'


def _card(column: ColumnDrift, pair: ColumnPair) -> str:
    lines = [escape(column.about), _says(column)]
    if column.unseen:
        new = ", ".join(f"{label} ({count})" for label, count in column.unseen[:5])
        lines.append(escape(f"Not in the reference: {new}" + (" and more" if len(column.unseen) > 5 else "")))
    texts = "".join(f"<p>{line}</p>" for line in lines)
    return f'<div class="card"><h3>{escape(column.name)}</h3>{draw_pair(pair)}{texts}</div>'


def _says(column: ColumnDrift) -> str:
    parts = []
    if column.statistic is not None and column.threshold is not None:
        relation = "beyond" if column.values_ring else "within"
        parts.append(f"Distance {column.statistic:.3f}, {relation} its threshold {column.threshold:.3f}.")
    if column.missing_rings:
        parts.append(f"Missing {column.missing_reference:.1%} before, {column.missing_current:.1%} now.")
    return " ".join(parts)


def _table(report: DriftReport) -> str:
    if all(column.statistic is None and not column.drifted for column in report.columns):
        return ""
    names = ("Column", "Distance", "Threshold", "Missing before", "Missing now", "Weight", "Costs", "Verdict")
    head = "".join(f"<th>{name}</th>" for name in names)
    rows = "".join(_row(column) for column in report.columns)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<h2>All columns</h2><div class="wide">{table}</div>'


def _not_compared(report: DriftReport) -> str:
    left_out: Mapping[str, str] = report.decision.inputs["not_compared"]
    if not left_out:
        return ""
    items = "".join(f"<dt><code>{escape(name)}</code></dt><dd>{escape(why)}</dd>" for name, why in left_out.items())
    return f'<h2>Not compared</h2><dl class="facts">{items}</dl>'


def _row(column: ColumnDrift) -> str:
    weight = "" if column.importance is None else f"{column.importance:.1%}"
    cells = {
        "distance": _number(column.statistic),
        "threshold": _number(column.threshold),
        "missing before": f"{column.missing_reference:.1%}",
        "missing now": f"{column.missing_current:.1%}",
        "weight": weight,
        "costs": "" if column.loss_share is None else f"{column.loss_share:.1%}",
    }
    numbers = "".join(f'<td class="n" data-k="{key}">{value}</td>' for key, value in cells.items())
    colour, text = ("DRIFT", _ring(column)) if column.drifted else ("", "within chance")
    if column.statistic is None and not column.drifted:
        text = "too few values to compare"
    name = f"<code>{escape(column.name)}</code><small>{escape(column.about)}</small>"
    return f'<tr><td>{name}</td>{numbers}<td class="{colour}">{text}</td></tr>'


def _ring(column: ColumnDrift) -> str:
    parts = (["values moved"] if column.values_ring else []) + (["missing share moved"] if column.missing_rings else [])
    return "DRIFT: " + " and ".join(parts)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _foot(report: DriftReport) -> str:
    links = [f'<a href="{report.data.name}">the same as JSON</a>']
    if report.evidently_page is not None:
        links.insert(0, f'<a href="{report.evidently_page.name}">Evidently\'s report of every column</a>')
    return (
        f"<footer><p>More: {', '.join(links)}. Distances are Evidently's: Wasserstein in standard deviations of the "
        "reference for numbers, Jensen-Shannon for categories; where tails are heavy, ranks decide if values moved. "
        "Weight is the column's share of the model's importance. Costs is what the shift is estimated to cost, as a "
        "share of what the model is better by than the base rate (log-loss, mature labels)."
        "</p></footer>"
    )
