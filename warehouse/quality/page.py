"""The report's page for people: the verdict in words first, then what to do, then everything that was measured."""

from __future__ import annotations

import re
from html import escape

from common.page_style import page, table
from warehouse.quality.plots import trend_plot, volume_plot
from warehouse.quality.results import (
    ColumnFill,
    DuplicateSearch,
    Finding,
    QualityReport,
    TableQuality,
)
from warehouse.quality.scoring import DIMENSIONS
from warehouse.quality.weights import grade_of

_STYLE = """
.meters{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.5rem 1rem;margin:1rem 0}.meter{font-size:.9rem}.meter b{float:right;font-variant-numeric:tabular-nums}
.bar{height:.45rem;border-radius:.25rem;background:var(--line);overflow:hidden;margin-top:.2rem}.bar i{display:block;height:100%;background:currentColor}
.first li{margin:.5rem 0}.strip{display:flex;flex-wrap:wrap;gap:3px;margin:.3rem 0 1rem}.strip span{font:12px/1.3 ui-monospace,monospace;padding:.2rem .4rem;border-radius:3px;
color:var(--ink);background:color-mix(in srgb,color-mix(in srgb,var(--good) calc(var(--f)*100%),var(--bad)) 26%,var(--paper))}.strip span.not{background:var(--card);color:var(--soft)}
.name{white-space:nowrap}.trend{max-width:44rem}.sev{font-weight:700;text-transform:capitalize}details{margin:.5rem 0}summary{cursor:pointer}.head{display:flex;justify-content:space-between;gap:1rem}
"""  # noqa: E501 (style sheet, one rule group a line)
_COLOUR = {"good": "good", "fair": "unsure", "poor": "bad", "bad": "bad", "empty": "unsure"}
_SEVERITY_COLOUR = {"high": "bad", "medium": "unsure", "low": "", "note": ""}
_MEND_FIRST = 3


def render_page(report: QualityReport, *, data: str) -> str:
    """The whole page.

    Args:
        report: What to show.
        data: Name of the JSON file beside it.
    """
    parts = [_head(report), _dimensions(report), _trend(report), _tables(report), _findings(report)]
    parts += [_completeness(report), _volumes(report), _duplicates(report), _small_print(report, data=data)]
    score = "nothing to assess" if report.score is None else f"{report.score:.0f} of 100"
    return page("".join(parts), title=f"Data quality: {score}", style=_STYLE)


def _head(report: QualityReport) -> str:
    headline, _, rest = report.verdict.partition(": " if report.score is None else ". ")
    costly = [finding for finding in report.findings if finding.points > 0][:_MEND_FIRST]
    said = escape(rest.split(":")[0] + ":") if costly else _said(rest)
    items = "".join(
        f"<li>{_name(f.table)}: {_said(f.what)}.<br><span class=soft>{_said(f.advice)}</span></li>" for f in costly
    )
    rows = sum(each.rows for each in report.tables)
    held = sum(each.quarantined for each in report.tables)
    return (
        f"<h1>Data quality as known on {report.as_of:%Y-%m-%d %H:%M} UTC</h1>"
        f'<p class="verdict {_COLOUR[report.grade]}">{escape(headline)}</p><p class="advice">{said}</p>'
        + (f'<ol class="first">{items}</ol>' if items else "")
        + f'<p class="soft">{rows:,} rows in {len(report.tables)} tables; {held:,} rows in quarantine; '
        f"{len(report.findings)} findings.</p>"
    )


def _dimensions(report: QualityReport) -> str:
    meters = "".join(
        f'<div class="meter">{name.capitalize()} <b>{_points(report.dimensions[name])}</b>'
        f'<div class="bar {_COLOUR[grade_of(report.dimensions[name])]}">'
        f'<i style="width:{report.dimensions[name]:.1f}%"></i></div></div>'
        for name in DIMENSIONS
        if name in report.dimensions
    )
    return f'<div class="meters">{meters}</div>' if meters else ""


def _trend(report: QualityReport) -> str:
    if report.score is None:
        return ""
    if len(report.trend) < 2:
        return "<h2>Trend</h2><p class=soft>This is the first report; the trend begins with the next.</p>"
    before, now = report.trend[-2], report.trend[-1]
    moved = now.score - before.score
    words = "unchanged" if abs(moved) < 0.05 else f"{'up' if moved > 0 else 'down'} {abs(moved):.1f} points"
    said = f"{words.capitalize()} since {before.as_of:%Y-%m-%d}, over {len(report.trend)} reports."
    drawn = f'<div class="trend">{trend_plot(report.trend)}</div>'
    return f"<h2>Trend</h2><p>{said}</p>{drawn}"


def _tables(report: QualityReport) -> str:
    if not report.tables:
        return ""
    names = [name.capitalize() for name in DIMENSIONS]
    before = report.trend[-2].tables if len(report.trend) > 1 else {}
    heads = ["Table", "Score", *(["Before"] if before else []), "Rows", "Held back", *names]
    rows = [
        [
            _name(each.table) + f"<small>{_freshness(each)}</small>",
            f'<b class="{_COLOUR[grade_of(each.score)]}">{_points(each.score)}</b>',
            *([_points(before[each.table]) if each.table in before else ""] if before else []),
            f"{each.rows:,}",
            f"{each.quarantined:,}",
            *(_points(each.dimensions[name]) for name in DIMENSIONS),
        ]
        for each in report.tables
    ]
    key = "Held back: rows in quarantine. Lag: from when a thing happened to when it was known, median."
    return f"<h2>Tables</h2>{table(heads, rows)}<p class=soft>{key}</p>"


def _freshness(quality: TableQuality) -> str:
    times = quality.timeliness
    return f"newest {times.newest_age_days:,.1f} d ago, lag {_hours(times.lag_median_hours)}"


def _name(text: str) -> str:
    return f'<code class="name">{escape(text)}</code>'


def _said(text: str) -> str:
    """A sentence as HTML; commands stand between backticks."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


def _findings(report: QualityReport) -> str:
    if not report.findings:
        return "" if report.score is None else "<h2>Findings</h2><p>None.</p>"
    heads = ["Severity", "Table", "What, and what to do", "Count", "Share", "Points"]
    rows = [_finding(finding) for finding in report.findings]
    return (
        f"<h2>Findings, costliest first</h2>{table(heads, rows, whole=['What, and what to do'], words=['Table'])}"
        "<p class=soft>Points are of the overall score. A note costs nothing. At most five ids are named.</p>"
    )


def _finding(finding: Finding) -> list[str]:
    named = f"<small>For example <code>{escape(', '.join(finding.examples))}</code></small>" if finding.examples else ""
    return [
        f'<span class="sev {_SEVERITY_COLOUR[finding.severity]}">{finding.severity}</span>',
        _name(finding.table),
        f"{_said(finding.what)}.<small>{_said(finding.advice)}</small>{named}",
        f"{finding.count:,}",
        "" if finding.share is None else _share(finding.share),
        f"{finding.points:.2f}" if finding.points else "",
    ]


def _completeness(report: QualityReport) -> str:
    strips = "".join(
        f'<div class="head"><h3><code>{escape(each.table)}</code></h3><span class=soft>'
        f'{_points(each.dimensions["completeness"])}</span></div><div class="strip">{_strip(each)}</div>'
        for each in report.tables
    )
    key = "Share of rows with a value. Grey columns do not count: known at the outcome, rightly empty, not supplied."
    return f"<h2>Completeness</h2><p class=soft>{key}</p>{strips}" if strips else ""


def _strip(quality: TableQuality) -> str:
    return "".join(_filled(column) for column in quality.columns)


def _filled(column: ColumnFill) -> str:
    mark = "" if column.weight else ' class="not"'
    return (
        f'<span{mark} style="--f:{column.fill:.3f}" title="{escape(column.counted)}">'
        f"{escape(column.name)} {_share(column.fill)}</span>"
    )


def _volumes(report: QualityReport) -> str:
    shown = [each for each in report.tables if len(each.weeks) > 1]
    if not shown:
        return ""
    cards = "".join(
        f'<div class="card"><h3><code>{escape(each.table)}</code></h3>{volume_plot(each.table, each.weeks)}'
        f"<p>{_flags(each)}</p></div>"
        for each in shown
    )
    key = "Rows by the week they happened; grey is what the 26 weeks before let expect, red is a sudden change."
    return f'<h2>Weekly volumes</h2><p class=soft>{key}</p><div class="cards">{cards}</div>'


def _flags(quality: TableQuality) -> str:
    flagged = [week for week in quality.weeks if week.flagged]
    if not flagged:
        return "No sudden change"
    number = "One sudden change" if len(flagged) == 1 else f"{len(flagged)} sudden changes, the last"
    return f"{number} in the week of {flagged[-1].week}"


def _duplicates(report: QualityReport) -> str:
    if not report.duplicates:
        return ""
    parts = "".join(_candidates(search) for search in report.duplicates)
    return f"<h2>Duplicate candidates</h2>{parts}"


def _candidates(search: DuplicateSearch) -> str:
    capped = (
        f" {search.capped_blocks:,} groups were too large to compare each with each "
        f"({search.capped_things:,} memberships)."
        if search.capped_blocks
        else ""
    )
    said = f"{search.pairs:,} pairs among {search.searched:,} {search.table}.{capped}"
    if not search.top:
        return f"<p>{said}</p>"
    rows = [
        [
            f"<code>{escape(pair.first)}</code>",
            f"<code>{escape(pair.second)}</code>",
            f"{pair.confidence:.3f}",
            escape(pair.why),
        ]
        for pair in search.top
    ]
    listed = table(["First", "Second", "Confidence", "Why"], rows, whole=["Why"], words=["Second"])
    return f"<details><summary>{said} The {len(search.top)} most confident</summary>{listed}</details>"


def _small_print(report: QualityReport, *, data: str) -> str:
    left_out = "".join(f"<p>{escape(each)}</p>" for each in report.not_assessed)
    method = "".join(f"<p>{escape(each)}</p>" for each in report.how_scored)
    return (
        (f"<h2>Not assessed</h2>{left_out}" if left_out else "")
        + f"<h2>How the score is made</h2>{method}"
        + f'<footer><p>More: <a href="{escape(data)}">the same as JSON</a>. This page names records by their ids only; '
        "it holds no names, e-mail addresses or other values of a row.</p></footer>"
    )


def _points(score: float) -> str:
    return f"{score:.1f}" if 0 < score < 100 else f"{score:.0f}"


def _share(share: float) -> str:
    """A percentage that says 0 only for none and 100 only for all."""
    if 0 < share < 0.001:
        return "<0.1 %".replace("<", "&lt;")
    return f"{min(99.9, 100 * share):.1f} %" if share < 1 and share > 0 else f"{100 * share:.0f} %"


def _hours(hours: float) -> str:
    if abs(hours) < 1:
        return f"{60 * hours:.0f} min"
    return f"{hours:.1f} h" if abs(hours) < 48 else f"{hours / 24:.1f} d"
