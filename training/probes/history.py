"""Probes that need a history of versions: what a newest value knows more than that at as_of, what closing changes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from training.labels import Outcome
from training.probes.fields import FOLDS, field_of
from training.probes.findings import LEVEL, Finding
from training.probes.intervals import placements, rate_bounds

if TYPE_CHECKING:
    from warehouse.store import Warehouse

Vector = NDArray[np.float64]

# An honest field is corrected now and then, at closing as at any other time.
_CHANGED_LIMIT = 0.05
_MIN_CLOSED = 30
_AS_OF = "read it as of the moment to be scored (the feature views do), never from an export"

# The first moment at which each thing was known.
_FIRST = """
    SELECT {key}, min(greatest(event_timestamp, created_timestamp)) AS as_of
    FROM {table} GROUP BY {key} HAVING as_of <= $cut ORDER BY as_of, {key}
"""
_DECIDED = """
    SELECT {key}, min(event_timestamp) AS decided_at FROM {table}
    WHERE list_contains($final, status) AND event_timestamp <= $cut AND created_timestamp <= $cut GROUP BY {key}
"""


@dataclass(frozen=True)
class Versions:
    """One row per thing and per column three of its values: when it began, just before it was decided, and newest.

    Args:
        spine: Key and as_of, in the order of as_of.
        begun: Columns as known at as_of.
        newest: The same as known at the cut.
        before: The same just before the decision, for the things that were decided; null for the others.
        is_decided: Whether each thing was decided by the cut.
    """

    spine: pa.Table
    begun: pa.Table
    newest: pa.Table
    before: pa.Table
    is_decided: NDArray[np.bool_]


def read_versions(warehouse: Warehouse, outcome: Outcome, *, cut: datetime) -> Versions:
    """The first, the last open and the newest version of each lead or deal.

    Args:
        warehouse: The history.
        outcome: Which table, and what ends a thing.
        cut: Until when anything is known, UTC.
    """
    connection = warehouse.duckdb()
    names = {"key": outcome.key, "table": outcome.table}
    try:
        spine = connection.sql(_FIRST.format(**names), params={"cut": cut}).to_arrow_table()
        decided = connection.sql(
            _DECIDED.format(**names), params={"final": list(outcome.final), "cut": cut}
        ).to_arrow_table()
    finally:
        connection.close()
    ended = dict(zip(*(decided.column(name).to_pylist() for name in (outcome.key, "decided_at")), strict=True))
    ends = [ended.get(key) for key in spine.column(outcome.key).to_pylist()]
    just_before = pa.array([None if end is None else int(end.timestamp() * 1e6) - 1 for end in ends], pa.int64()).cast(
        spine.schema.field("as_of").type
    )
    at_cut = pa.array([cut] * spine.num_rows, spine.schema.field("as_of").type)
    moments = (spine.column("as_of"), at_cut, just_before)
    begun, newest, before = (_versions_at(warehouse, outcome, spine, moment) for moment in moments)
    return Versions(spine, begun, newest, before, np.array([end is not None for end in ends]))


def _versions_at(warehouse: Warehouse, outcome: Outcome, spine: pa.Table, moment: Any) -> pa.Table:
    """The table's columns per spine row as known at its moment, null where that is null."""
    import ibis

    from warehouse.as_known import versions_on_spine

    tables = warehouse.ibis()
    asked = pa.table({outcome.key: spine.column(outcome.key), "as_of": moment, "_row": np.arange(spine.num_rows)})
    rows = versions_on_spine(
        ibis.memtable(asked), tables[outcome.table], warehouse.contract(outcome.table), key=outcome.key
    )
    backend = tables[outcome.table].get_backend()
    return backend.to_pyarrow(rows).sort_by("_row").drop_columns(["_row", "as_of"])


def probe_ablation(name: str, begun: Any, newest: Any, label: Vector, *, tests: int, seed: int) -> Finding | None:
    """Null: the newest value of a field ranks the outcomes no better than the one that was known at as_of.

    The two AUCs are compared as a pair, row by row (DeLong, DeLong and Clarke-Pearson 1988), widened for the folds.

    Args:
        name: The field.
        begun: Its values at as_of.
        newest: Its values at the export.
        label: 0 or 1.
        tests: Fields looked at.
        seed: Seed of the folds.
    """
    frozen, latest = (field_of(name, values).cross_fitted(label, seed=seed) for values in (begun, newest))
    gain, reach, aucs = _paired(label, frozen, latest, level=2.0 * LEVEL / tests)
    if gain - reach <= 0.0:
        return None
    return Finding(
        name,
        "likely",
        f"'{name}' ranks the outcomes with AUC {aucs[1]:.3f} as it stands at the export, and with {aucs[0]:.3f} as it "
        f"was known when scored: {gain:+.3f} [{gain - reach:+.3f}, {gain + reach:+.3f}] come from later",
        "as_of_ablation",
        value=gain,
        low=gain - reach,
        high=gain + reach,
        advice=_AS_OF,
    )


def _paired(label: Vector, one: Vector, other: Vector, *, level: float) -> tuple[float, float, tuple[float, float]]:
    is_positive = label == 1
    parts = []
    for score in (one, other):
        positive, negative = score[is_positive], score[~is_positive]
        parts.append((placements(positive, negative), 1.0 - placements(negative, positive)))
    above, below = parts[1][0] - parts[0][0], parts[1][1] - parts[0][1]
    variance = above.var(ddof=1) / len(above) + below.var(ddof=1) / len(below)
    # Both scores were fitted on folds that overlap, which DeLong's variance does not know (Nadeau and Bengio 2003).
    fitted = 1.0 + FOLDS / (FOLDS - 1.0)
    reach = NormalDist().inv_cdf(1.0 - level / 2.0) * float(np.sqrt(fitted * variance))
    return float(above.mean()), reach, (float(parts[0][0].mean()), float(parts[1][0].mean()))


def probe_closing(name: str, before: Any, newest: Any, is_decided: NDArray[np.bool_], *, tests: int) -> Finding | None:
    """Null: at most a twentieth of the decided things had the field changed at their closing or after it.

    Args:
        name: The field.
        before: Its values just before the decision.
        newest: Its values at the export.
        is_decided: Rows that were decided.
        tests: Fields looked at.
    """
    closed = np.flatnonzero(is_decided)
    if len(closed) < _MIN_CLOSED:
        return None
    changed = float(sum(before[row] != newest[row] for row in closed))
    low, high = rate_bounds(np.array([changed]), np.array([float(len(closed))]), level=LEVEL / tests)
    if low[0] <= _CHANGED_LIMIT:
        return None
    return Finding(
        name,
        "likely",
        f"'{name}' changed at closing or after it in {changed:.0f} of {len(closed)} decided rows "
        f"({100 * changed / len(closed):.0f} % [{100 * low[0]:.0f}, {100 * high[0]:.0f}])",
        "changed_after_closing",
        value=changed / len(closed),
        low=float(low[0]),
        high=float(high[0]),
        advice=_AS_OF,
    )
