"""From penalties to scores, and from scores to the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

from warehouse.quality.results import Dimension, Finding, Found
from warehouse.quality.weights import DIMENSION_WEIGHTS, TABLE_WEIGHTS, grade_of, severity_of

DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)
_MEND_FIRST = 3
_NUMBER_WORDS = {1: "One thing", 2: "Two things", 3: "Three things"}


def dimension_scores(found: Sequence[Found], *, completeness: float) -> dict[Dimension, float]:
    """Scores of a table's dimensions from its findings; completeness is measured, the others lose penalties."""
    scores = {name: max(0.0, 100.0 - _penalties(found, name)) for name in DIMENSIONS}
    return scores | {"completeness": completeness}


def table_score(dimensions: Mapping[Dimension, float]) -> float:
    """Weighted mean of a table's dimensions, 0 to 100."""
    return sum(DIMENSION_WEIGHTS[name] * dimensions[name] for name in DIMENSIONS) / sum(DIMENSION_WEIGHTS.values())


def overall(scores: Mapping[str, float]) -> float | None:
    """Weighted mean over tables, 0 to 100; None without any."""
    total = sum(_table_weight(table) for table in scores)
    return sum(_table_weight(table) * score for table, score in scores.items()) / total if total else None


def weigh(found: Sequence[Found], tables: Sequence[str]) -> tuple[Finding, ...]:
    """The findings with the points of the overall score each costs, costliest first.

    Penalties beyond 100 in one dimension of a table cost nothing more: they share the 100 in proportion.
    """
    total = sum(_table_weight(table) for table in tables)
    findings = []
    for each in found:
        points = 0.0
        if each.dimension is not None:
            together = _penalties([other for other in found if other.table == each.table], each.dimension)
            share = DIMENSION_WEIGHTS[each.dimension] / sum(DIMENSION_WEIGHTS.values())
            points = each.penalty * min(1.0, 100 / max(together, 1e-9)) * share * _table_weight(each.table) / total
        findings.append(_finding(each, points))
    return tuple(sorted(findings, key=lambda f: (-f.points, f.dimension is None, f.table, f.check, f.column or "")))


def verdict_of(score: float | None, findings: Sequence[Finding], *, root: str) -> str:
    """The verdict in words: grade, score, and what to mend first."""
    if score is None:
        return f"Nothing to assess: the warehouse in {root} holds no rows yet. Load a source first: `salience ingest`."
    costly = [finding for finding in findings if finding.points > 0][:_MEND_FIRST]
    head = f"{grade_of(score).capitalize()}: {_rounded(score)} of 100."
    if not costly:
        return f"{head} Nothing found that needs mending."
    things = "; ".join(f"{finding.table}: {finding.what}" for finding in costly)
    return f"{head} {_NUMBER_WORDS[len(costly)]} to mend first: {things}."


def _rounded(score: float) -> str:
    # 99.97 is not yet 100.
    return "100" if score == 100 else f"{min(99.9, score):.1f}" if score > 99 else f"{score:.0f}"


def _finding(found: Found, points: float) -> Finding:
    return Finding(
        check=found.check,
        table=found.table,
        column=found.column,
        dimension=found.dimension,
        severity="note" if found.dimension is None else severity_of(points),
        points=round(points, 3),
        count=found.count,
        share=None if found.of is None else found.count / found.of,
        examples=found.examples,
        what=found.what,
        advice=found.advice,
    )


def _penalties(found: Sequence[Found], dimension: Dimension) -> float:
    return sum(each.penalty for each in found if each.dimension == dimension)


def _table_weight(table: str) -> int:
    return TABLE_WEIGHTS.get(table, 1)
