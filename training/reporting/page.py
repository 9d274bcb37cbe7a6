"""The report's page: the verdict in words first, then the numbers; one file, light and dark, readable on a phone."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path

from common.page_style import page
from common.whole_files import write_whole
from training.reporting import sections_model, sections_quality, sections_work
from training.reporting.contents import ReportContents
from training.reporting.documents import report_json
from training.reporting.pictures import draw, save_pictures
from training.reporting.words import STATUS_COLOUR

_STYLE = """
.verdict{text-transform:none}section h3{margin:1.25rem 0 .35rem}ul.said{margin:.25rem 0;padding-left:1.2rem}ul.said li{margin:.3rem 0}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(22rem,100%),1fr));gap:1rem;align-items:start;margin:.75rem 0}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.75rem;min-width:0;max-width:34rem}
figcaption{font-size:.9rem;color:var(--soft);margin-bottom:.35rem;overflow-wrap:anywhere}figcaption b{color:var(--ink)}
tr.ours td{font-weight:650}tr.ours td small{font-weight:400}.bar{height:.45rem;min-width:4rem;border-radius:.25rem;background:var(--line);overflow:hidden}
.bar i{display:block;height:100%;background:var(--mark)}.note{border-left:3px solid var(--unsure);padding:.1rem .75rem;margin:.5rem 0}
details{margin:.5rem 0}summary{cursor:pointer}nav{display:flex;flex-wrap:wrap;gap:.25rem .9rem;font-size:.9rem;margin:1rem 0}
td,th{overflow-wrap:anywhere}td.n,th.n{overflow-wrap:normal}pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.6rem;font-size:.85rem}
@media(min-width:40.01rem){td:first-child{min-width:9rem}}
@media(max-width:40rem){.facts{grid-template-columns:1fr;gap:0}.facts dd{margin-bottom:.35rem}}
@media print{nav,summary{display:none}figure,tr{break-inside:avoid}body{max-width:none}}
"""  # noqa: E501 (style sheet, one rule group a line)


def write_report(contents: ReportContents, path: Path, *, plots: Path | None = None) -> Path:
    """Write the page and the same numbers as JSON beside it; each appears whole or not at all.

    Args:
        contents: What to show.
        path: The page, `….html`; the JSON file has its name.
        plots: Folder for the plots as pictures of their own; None for none.
    """
    pictures = draw(contents)
    write_whole(path.with_suffix(".json"), report_json(contents))
    write_whole(path, render_page(contents, pictures))
    if plots is not None:
        save_pictures(pictures, plots)
    return path


def render_page(contents: ReportContents, pictures: Mapping[str, str]) -> str:
    """The whole page.

    Args:
        contents: What to show.
        pictures: The plots as inline SVG, by name.
    """
    chapters = {
        "quality": ("How good it is", sections_quality.quality(contents)),
        "capacity": ("What it is worth to the team", sections_work.capacity(contents, pictures)),
        "replay": ("The newest weeks, replayed", sections_work.replay(contents, pictures)),
        "reliability": ("Do the percentages hold?", sections_quality.reliability(contents, pictures)),
        "segments": ("By segment", sections_quality.segments(contents)),
        "reads": ("What it reads", sections_model.importance(contents, pictures)),
        "leaks": ("Leak probes", sections_model.leaks(contents)),
        "backtest": ("At earlier moments", sections_model.backtest(contents, pictures)),
        "study": ("How it was found", sections_model.study(contents)),
        "run": ("The run", sections_model.run(contents)),
    }
    shown = {key: chapter for key, chapter in chapters.items() if chapter[1]}
    links = "".join(f'<a href="#{key}">{escape(title)}</a>' for key, (title, _) in shown.items())
    body = "".join(
        f'<section id="{key}"><h2>{escape(title)}</h2>{text}</section>' for key, (title, text) in shown.items()
    )
    whole = f"{_head(contents)}<nav>{links}</nav>{body}{_footer(contents)}"
    return page(
        # A percent sign stays with its number.
        whole.replace(" %", "&nbsp;%"),
        title=f"{contents.model}: {contents.verdict.status}",
        style=_STYLE,
    )


def _head(contents: ReportContents) -> str:
    verdict = contents.verdict
    said = "".join(f"<p>{escape(sentence)}</p>" for sentence in verdict.sentences)
    todo = "".join(f"<li>{escape(action)}</li>" for action in verdict.actions)
    return (
        f"<header><h1>Training report of {escape(contents.model)}</h1>"
        f'<p class="verdict {STATUS_COLOUR[verdict.status]}">{escape(verdict.status.capitalize())}</p>'
        f'{said}<h3>What to do</h3><ul class="said">{todo}</ul></header>'
    )


def _footer(contents: ReportContents) -> str:
    return (
        f"<footer>Made {escape(contents.made_at)}. Intervals hold with 95 %; they draw whole "
        f"{'leads' if contents.task == 'lead' else 'deals'}, because rows of one share an outcome. "
        "The same numbers stand in the JSON file beside this page.</footer>"
    )
