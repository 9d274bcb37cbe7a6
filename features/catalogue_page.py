"""The feature catalogue for people: a page with every feature measured on a warehouse, and its static part as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING, Any

from common.clock import utc
from common.errors import NotFoundError
from common.page_style import page, table
from features.catalogue import SERVICES, VIEWS, views_of
from features.specs import FeatureSpec, ViewSpec
from features.transform import tables_read

if TYPE_CHECKING:
    from warehouse.store import Warehouse

_SAMPLE = 5_000
_BARS = 12
_INTRO = (
    "Made by the code: every feature stands once beside its maths, in `features/transformations/`. "
    "`salience features catalogue` writes the same with null shares and distributions of a warehouse."
)
_STYLE = """
.hist{width:7rem;height:1.6rem}.hist rect{fill:var(--mark)}#find{width:100%;padding:.6rem;font:inherit;color:inherit;
background:var(--card);border:1px solid var(--line);border-radius:.5rem;margin:.75rem 0}
tr[hidden],section[hidden]{display:none}
body{max-width:84rem}@media(min-width:40.01rem){td code,td:last-child{white-space:nowrap;overflow-wrap:normal}}
"""
_SEARCH = """<script>
const box=document.getElementById('find'),count=document.getElementById('count');
function find(){const words=box.value.toLowerCase().split(/\\s+/).filter(Boolean);let shown=0;
for(const part of document.querySelectorAll('section')){let any=false;
for(const row of part.querySelectorAll('tbody tr')){const text=(part.dataset.about+' '+row.textContent).toLowerCase();
const hit=words.every(word=>text.includes(word));row.hidden=!hit;if(hit){any=true;shown++}}part.hidden=!any}
count.textContent=shown+' features'}
box.addEventListener('input',find);find()
</script>"""


@dataclass(frozen=True)
class Measured:
    """A feature as a warehouse shows it.

    Args:
        view: Its view.
        feature: The feature.
        null_share: Share of the sampled moments at which it is missing; None where nothing was sampled.
        bars: Relative heights of its distribution, 0 to 1: tenths and more of a number's range, or the most frequent
            categories.
        words: The distribution in words: lowest, middle and highest, or the most frequent categories.
        first_known: When it first had a value.
    """

    view: ViewSpec
    feature: FeatureSpec
    null_share: float | None
    bars: tuple[float, ...]
    words: str
    first_known: datetime | None


def measure(warehouse: Warehouse, at: datetime, *, rows: int = _SAMPLE, seed: int = 7) -> list[Measured]:
    """Every feature the warehouse can fill, on random moments of random entities up to `at`.

    Args:
        warehouse: The histories.
        at: Nothing later is looked at; aware.
        rows: Moments per service.
        seed: Seed of the draw.
    """
    measured: dict[tuple[str, str], Measured] = {}
    for service in SERVICES:
        try:
            views = views_of(service, warehouse.tables())
        except NotFoundError:
            continue  # the source has nothing for this service
        for each in _measure_service(warehouse, service, views, utc(at), rows=rows, seed=seed):
            measured.setdefault((each.view.name, each.feature.name), each)
    return list(measured.values())


def catalogue_html(measured: Sequence[Measured], *, name: str, at: datetime) -> str:
    """The catalogue as one page that needs no other file, with a search box.

    Args:
        measured: The features of a warehouse.
        name: Name of its workspace.
        at: The moment of measuring, aware.
    """
    views = {each.view.name: each.view for each in measured}
    head = (
        f"<h1>Feature catalogue</h1><p class=verdict>{escape(name)}</p>"
        f"<p class=soft>{len(measured)} features in {len(views)} views, measured as of {utc(at):%Y-%m-%d %H:%M} UTC on "
        f"random moments of random entities.</p>"
        '<input id="find" type="search" placeholder="Find by name, meaning, unit, table, owner…" autofocus>'
        '<p class=soft id="count"></p>'
    )
    parts = [_section(view, [each for each in measured if each.view.name == view.name]) for view in views.values()]
    return page(head + "".join(parts) + _SEARCH, title=f"Feature catalogue of {name}", style=_STYLE)


def catalogue_markdown() -> str:
    """The catalogue without a warehouse: `docs/features/catalogue.md`; a test says whether it is current."""
    lines = ["# Feature catalogue", "", _INTRO, "", "## Feature services", ""]
    lines += ["| service | what it is for | key | views | owner |", "|---|---|---|---|---|"]
    for service in SERVICES.values():
        cells = (f"`{service.name}`", service.about, service.join_key, ", ".join(service.views), service.owner)
        lines.append(_line(cells))
    for view in VIEWS.values():
        lines += ["", f"## {view.name}", "", view.about, "", _view_facts(view), ""]
        lines += ["| feature | meaning | type | unit | window | group |", "|---|---|---|---|---|---|"]
        lines += [
            _line((f"`{each.name}`", each.about, each.dtype, each.unit, each.window or "", each.group))
            for each in view.features
        ]
    return "\n".join(lines) + "\n"


def services_using(view: ViewSpec) -> list[str]:
    """Feature services that read a view."""
    return [service.name for service in SERVICES.values() if view.name in service.views]


def _measure_service(
    warehouse: Warehouse, service: str, views: Iterable[ViewSpec], at: datetime, *, rows: int, seed: int
) -> Iterable[Measured]:
    import pyarrow.compute as pc

    from features.transform import compute
    from features.verifying import by_row, moments_of, random_moments

    spine = random_moments(warehouse, SERVICES[service].join_key, rows=rows, seed=seed)
    spine = spine.filter(pc.less_equal(spine["as_of"], at))
    moments = spine["as_of"].to_pylist()
    with warehouse.duckdb() as connection:
        for view in views:
            if view.join_key not in spine.column_names:
                continue
            found = by_row(view, spine, compute(view, moments_of(spine, view), connection))
            for column, key in view.foreign_keys:
                if key not in spine.column_names:
                    spine = spine.append_column(key, found[column])
            for feature in view.features:
                yield _measured(view, feature, found[feature.name].to_pylist(), moments)


def _measured(view: ViewSpec, feature: FeatureSpec, values: Sequence[Any], moments: Sequence[datetime]) -> Measured:
    known = [value for value in values if value is not None]
    first = min((at for at, value in zip(moments, values, strict=True) if value is not None), default=None)
    bars, words = _categories(known) if feature.dtype in ("category", "bool") else _numbers(known)
    missing = 1 - len(known) / len(values) if values else None
    return Measured(view, feature, missing, bars, words, first)


def _numbers(values: Sequence[float]) -> tuple[tuple[float, ...], str]:
    import numpy as np

    if not values:
        return (), ""
    low, middle, high = np.quantile(values, (0.01, 0.5, 0.99))
    counts, _ = np.histogram(np.clip(values, low, high), bins=_BARS)
    words = " · ".join(f"{value:,.4g}" for value in (min(values), middle, max(values)))
    return tuple((counts / counts.max()).tolist()), words


def _categories(values: Sequence[Any]) -> tuple[tuple[float, ...], str]:
    from collections import Counter

    common = Counter(str(value) for value in values).most_common(_BARS)
    if not common:
        return (), ""
    words = ", ".join(f"{name} {count / len(values):.0%}" for name, count in common[:3])
    return tuple(count / common[0][1] for _, count in common), words


def _section(view: ViewSpec, measured: Sequence[Measured]) -> str:
    rows = [
        (
            f"<code>{escape(each.feature.name)}</code>",
            escape(each.feature.about),
            escape(each.feature.unit),
            escape(each.feature.window or ""),
            "" if each.null_share is None else f"{each.null_share:.1%}",
            _histogram(each),
            f"{each.first_known:%Y-%m-%d}" if each.first_known else "never",
        )
        for each in measured
    ]
    heads = ("feature", "meaning", "unit", "window", "null", "distribution", "first known")
    told = escape(f"{view.name} {view.about} {_view_facts(view)}", quote=True)
    return (
        f'<section data-about="{told}"><h2>{escape(view.name)}</h2><p class=soft>{escape(view.about)}<br>'
        f"{escape(_view_facts(view))}</p>"
        f"{table(heads, rows, whole=('meaning',), words=('unit', 'window', 'distribution', 'first known'))}</section>"
    )


def _histogram(each: Measured) -> str:
    if not each.bars:
        return "no value"
    width = 100 / len(each.bars)
    bars = "".join(
        f'<rect x="{place * width:.1f}" y="{24 - 23 * bar:.1f}"'
        f' width="{width * 0.85:.1f}" height="{23 * bar + 1:.1f}"/>'
        for place, bar in enumerate(each.bars)
    )
    picture = f'<svg class="hist" viewBox="0 0 100 25" preserveAspectRatio="none" aria-hidden="true">{bars}</svg>'
    return f"{picture}<small>{escape(each.words)}</small>"


def _view_facts(view: ViewSpec) -> str:
    uses = ", ".join(services_using(view)) or "no service"
    return (
        f"Key: {view.join_key}. From: {', '.join(tables_read(view))}. Expires after {view.ttl_days} days. "
        f"Used by: {uses}. Owner: {view.owner}."
    )


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
