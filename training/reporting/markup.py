"""Small pieces of the report's HTML. All text from data is escaped here or by the caller, as each says."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from training.reporting.words import with_interval
from training.results import Metric


def figure_cell(metric: Metric | None, form: str = ".3f") -> str:
    """A figure with its interval in small print below."""
    value, span = with_interval(metric, form)
    return f"{value}<small>{span}</small>" if span else value


def percent_cell(metric: Metric | None) -> str:
    """A share as percent with its interval below."""
    if metric is None:
        return ""
    scaled = Metric(*(None if end is None else 100 * end for end in (metric.value, metric.low, metric.high)))  # type: ignore[arg-type]
    value, span = with_interval(scaled, ".1f")
    return f"{value} %" + (f"<small>{span}</small>" if span else "")


def signed_cell(metric: Metric | None, form: str = "+.4f") -> str:
    """A difference with its interval below; both ends on one side of 0 stand out."""
    value, span = with_interval(metric, form)
    is_sure = metric is not None and metric.low is not None and metric.high is not None and metric.low * metric.high > 0
    return (f"<b>{value}</b>" if is_sure else value) + (f"<small>{span}</small>" if span else "")


def picture(pictures: Mapping[str, str], name: str, title: str, words: str = "") -> str:
    """A plot with its title; empty where there is no such plot. Title and words are plain text."""
    if name not in pictures:
        return ""
    more = f" {escape(words)}" if words else ""
    return f"<figure><figcaption><b>{escape(title)}</b>{more}</figcaption>{pictures[name]}</figure>"


def bar(share: float) -> str:
    """A share of 1 as a bar beside its number."""
    return f'{100 * share:.1f} %<div class="bar"><i style="width:{100 * share:.1f}%"></i></div>'


def soft(text: str) -> str:
    """Small print; the text is HTML."""
    return f'<p class="soft">{text}</p>'


def folded(title: str, body: str) -> str:
    """A part that opens on a click; the title is plain text, the body HTML."""
    return f"<details><summary>{escape(title)}</summary>{body}</details>"
