"""The look that the product's pages share: one self-contained file, light and dark, readable on a phone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

STYLE = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1b1f24;--soft:#59636e;--line:#d9dee3;--card:#f6f8fa;--mark:#0b6bcb;--good:#1a7f37;--bad:#b42318;--unsure:#8a5a00}
@media(prefers-color-scheme:dark){:root{--paper:#0f1216;--ink:#e6e9ec;--soft:#9aa4ae;--line:#2b3138;--card:#171b21;--mark:#58a6ff;--good:#4ac26b;--bad:#ff7b72;--unsure:#e3b341}}
*{box-sizing:border-box}body{margin:0 auto;max-width:64rem;padding:1rem;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.1rem;color:var(--soft);font-weight:600;margin:.5rem 0 0}h2{font-size:1.15rem;margin:2rem 0 .5rem}h3{font-size:.95rem;margin:0}
.verdict{font-size:2.6rem;font-weight:750;line-height:1.1;margin:.25rem 0}.good{color:var(--good)}.bad{color:var(--bad)}.unsure{color:var(--unsure)}
.advice{font-size:1.15rem;margin:.25rem 0 1rem}.soft{color:var(--soft);font-size:.9rem}.facts{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:0;color:var(--soft)}.facts dd{margin:0;color:var(--ink);overflow-wrap:anywhere}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(19rem,100%),1fr));gap:1rem}.card{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.75rem;min-width:0}
.card p{margin:.15rem 0;font-size:.85rem;color:var(--soft)}svg{width:100%;height:auto;display:block}svg text{fill:var(--soft)!important;font-family:system-ui,sans-serif!important}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.9rem}th,td{padding:.35rem .6rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}th{color:var(--soft);font-weight:600}
th.n,td.n{text-align:right}td.n{font-variant-numeric:tabular-nums;white-space:nowrap}td small{color:var(--soft);display:block}code{font-family:ui-monospace,monospace;overflow-wrap:anywhere}a{color:var(--mark)}
footer{margin:2rem 0 1rem;color:var(--soft);font-size:.85rem}
@media(max-width:40rem){thead{display:none}tr{display:grid;grid-template-columns:1fr 1fr;gap:0 .5rem;border-bottom:1px solid var(--line);padding:.5rem 0}td,td.n{border:0;padding:.1rem 0;text-align:left;white-space:normal}td.whole{grid-column:1/-1}td[data-k]:empty{display:none}td[data-k]::before{content:attr(data-k) " ";color:var(--soft)}}
"""  # noqa: E501 (style sheet, one rule group a line)


def page(body: str, *, title: str, style: str = "") -> str:
    """A whole HTML page that needs no other file.

    Args:
        body: HTML of the body; what comes from data must be escaped already.
        title: Title as plain text.
        style: Further CSS of this page.
    """
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{STYLE}{style}</style></head><body>{body}</body></html>\n"
    )


def table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], *, whole: Sequence[str] = (), words: Sequence[str] = ()
) -> str:
    """An HTML table that becomes a list of cards on a phone.

    Args:
        heads: Headings, plain text. The first column names the row.
        rows: Cells as HTML, one per heading.
        whole: Headings of cells that take a card's whole width on a phone, without their heading.
        words: Headings of further columns that hold words; all others hold numbers.
    """
    texts = {heads[0], *whole, *words}
    head = "".join(f"<th{'' if name in texts else ' class=n'}>{escape(name)}</th>" for name in heads)
    body = "".join(
        f"<tr>{''.join(_cell(name, cell, heads[0], texts, whole) for name, cell in zip(heads, row, strict=True))}</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(name: str, cell: str, first: str, texts: set[str], whole: Sequence[str]) -> str:
    if name == first or name in whole:
        return f'<td class="whole">{cell}</td>'
    mark = "" if name in texts else ' class="n"'
    return f'<td{mark} data-k="{escape(name.lower())}">{cell}</td>'
