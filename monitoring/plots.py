"""Small drawings of one column, reference beside current, as inline SVG that follows the page's colours."""

from __future__ import annotations

from html import escape

import numpy as np

from monitoring.columns import ColumnPair
from monitoring.distances import FloatArray

_WIDTH, _HEIGHT, _BASE = 320, 120, 100
_BINS = 20
_MOST_BARS = 8
_ROW = 18


def draw_pair(pair: ColumnPair) -> str:
    """Shares of both sides: a histogram for numbers, bars for categories; empty text where nothing is present."""
    if pair.is_missing.all():
        return ""
    return _histogram(pair) if pair.kind == "numeric" else _bars(pair)


def bin_shares(pair: ColumnPair, *, bins: int = _BINS) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Edges and the share of each side's present values in each bin.

    Bins span the pool's 1st to 99th percentile; what lies outside counts in the first or last bin.
    """
    reference, current = (_present(pair.numbers, rows) for rows in _sides(pair))
    pooled = np.concatenate([reference, current])
    low, high = (float(x) for x in np.percentile(pooled, [1, 99]))
    if low == high:
        low, high = float(pooled.min()), float(pooled.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, bins + 1)
    shares = [
        np.histogram(np.clip(side, low, high), bins=edges)[0] / max(side.size, 1) for side in (reference, current)
    ]
    return edges, shares[0], shares[1]


def _sides(pair: ColumnPair) -> tuple[slice, slice]:
    return slice(None, pair.reference_rows), slice(pair.reference_rows, None)


def _present(values: FloatArray, rows: slice) -> FloatArray:
    side = values[rows]
    return side[~np.isnan(side)]


def _histogram(pair: ColumnPair) -> str:
    edges, reference, current = bin_shares(pair)
    top = max(float(reference.max()), float(current.max()), 1e-9)
    width = _WIDTH / len(reference)
    bars = []
    for i, (before, now) in enumerate(zip(reference, current, strict=True)):
        for kind, share, shift in (("r", before, 0.08), ("c", now, 0.5)):
            height = (_BASE - 14) * float(share) / top
            x, y = (i + shift) * width, _BASE - height
            bars.append(
                f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width * 0.42:.1f}" height="{height:.1f}"/>'
            )
    labels = (
        f'<text x="0" y="{_HEIGHT - 5}">{_short(edges[0])}</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT - 5}" text-anchor="end">{_short(edges[-1])}</text>'
        f'<text x="0" y="10">{top:.0%}</text>'
    )
    axis = f'<line class="axis" x1="0" x2="{_WIDTH}" y1="{_BASE}" y2="{_BASE}"/>'
    return _svg(pair.name, _HEIGHT, "".join(bars) + axis + labels)


def _bars(pair: ColumnPair) -> str:
    shares = []
    for rows in _sides(pair):
        codes = pair.codes[rows]
        counts = np.bincount(codes[codes >= 0], minlength=len(pair.labels))
        shares.append(counts / max(int(counts.sum()), 1))
    order = np.argsort(-np.maximum(shares[0], shares[1]), kind="stable")[:_MOST_BARS]
    top = max(float(np.maximum(shares[0], shares[1]).max()), 1e-9)
    parts = []
    for place, code in enumerate(order):
        y = place * (_ROW + 4)
        label = pair.labels[code]
        text = label if len(label) <= 18 else label[:17] + "\u2026"
        parts.append(f'<text x="0" y="{y + 13}">{escape(text)}</text>')
        for kind, share, down in (("r", shares[0][code], 1), ("c", shares[1][code], 10)):
            wide = (_WIDTH - 160) * float(share) / top
            parts.append(f'<rect class="{kind}" x="118" y="{y + down}" width="{wide:.1f}" height="8"/>')
            parts.append(
                f'<text x="{122 + wide:.1f}" y="{y + down + 8}" style="font-size:9px">{float(share):.1%}</text>'
            )
    return _svg(pair.name, len(order) * (_ROW + 4) + 4, "".join(parts))


def _svg(name: str, height: int, body: str) -> str:
    label = escape(f"{name}: reference and current", quote=True)
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{label}">{body}</svg>'


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
