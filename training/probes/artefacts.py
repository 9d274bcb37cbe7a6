"""Marks that a load or an export leaves: fields filled in batches, ids and orders that follow the outcome, twins."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.probes.fields import Field, word_field
from training.probes.findings import LEVEL, ODDS_LIMIT, Finding
from training.probes.intervals import auc_interval, odds_ratio_bounds, rate_bounds

Vector = NDArray[np.float64]

_BLOCKS = 20
_MIN_BLOCK = 30
# A block of 100 rows, all filled, has a bound of 0.86 at the level: it takes some 150 rows to say "nearly all".
_NEARLY_ALL, _NEARLY_NONE = 0.9, 0.1
_STRETCH = 20
# Honest neighbours share a campaign or a day; a sort by outcome leaves less than half the changes.
_CHANGES_LIMIT = 0.5
_NOTED_SHARE = 0.1
_MIN_VALUES = 3
_SHAPES = ((re.compile(r"[0-9]+"), "9"), (re.compile(r"[A-Za-z]+"), "a"))
_FREEZE = "find out which job writes it and when; a job that runs later than the record is no input of a score"


def probe_fill_switch(field: Field, label: Vector, *, tests: int, seed: int) -> Finding | None:
    """Null: no field that says something was filled in batches.

    A field entered with the record is filled at a rate that does not jump along the rows' order between nearly all and
    nearly none; or, if it does (a new field of a form), it says nothing about the outcome.

    Args:
        field: The field, its rows in the order in which they were created.
        label: 0 or 1, in that order.
        tests: Fields looked at.
        seed: Seed of the folds.
    """
    filled = field.is_filled
    blocks = np.array_split(np.arange(len(filled)), _BLOCKS)
    if min(map(len, blocks)) < _MIN_BLOCK or filled.all() or not filled.any():
        return None
    counts = np.array([float(filled[block].sum()) for block in blocks])
    rows = np.array([float(len(block)) for block in blocks])
    low, high = rate_bounds(counts, rows, level=LEVEL / (tests * 2 * _BLOCKS))
    full, empty = int((low >= _NEARLY_ALL).sum()), int((high <= _NEARLY_NONE).sum())
    if not full or not empty:
        return None
    score = field.cross_fitted(label, seed=seed, rows=filled)
    value, low_auc, high_auc = auc_interval(label[filled], score[filled], level=2.0 * LEVEL / tests)
    if low_auc <= 0.5:
        return None
    return Finding(
        field.name,
        "likely",
        f"'{field.name}' is filled on {100 * filled.mean():.0f} % of the rows, but in order of creation on nearly all "
        f"of {full} twentieths and nearly none of {empty}: it was not entered with the record; where filled it ranks "
        f"the outcomes with AUC {value:.3f} [{low_auc:.3f}, {high_auc:.3f}]",
        "fill_switch",
        value=value,
        low=low_auc,
        high=high_auc,
        advice=f"{_FREEZE}; if a form got the field at that time, accept it by name",
    )


def shape_field(name: str, cells: Sequence[Any]) -> Field:
    """The shapes of an id (`L-000123` is `a-9`, and its length): what tells two loads apart, without its value."""

    def shape(cell: Any) -> str | None:
        if cell is None:
            return None
        text = str(cell)
        plain = text
        for pattern, sign in _SHAPES:
            plain = pattern.sub(sign, plain)
        return f"{plain} of {len(text)} characters"

    return word_field(name, [shape(cell) for cell in cells])


def probe_order(name: str, label: Vector, *, tests: int, what: str) -> Finding | None:
    """Null: along an honest order the outcome changes as often as chance wants, given its rate in each stretch.

    Wald and Wolfowitz' runs test (1940) within stretches of twenty rows, so that a rate that drifts, as it does in any
    history, does no harm. Neighbours that share a campaign change less often; only fewer than half the changes count.

    Args:
        name: The id or order.
        label: 0 or 1 in that order.
        tests: Orders looked at.
        what: How the rows were ordered, for the evidence.
    """
    expected, changes, variance = 0.0, 0.0, 0.0
    for begin in range(0, len(label) - _STRETCH + 1, _STRETCH):
        part = label[begin : begin + _STRETCH]
        ones = float(part.sum())
        rest = _STRETCH - ones
        if not ones or not rest:
            continue
        mean = 2 * ones * rest / _STRETCH
        expected += mean
        variance += mean * (mean - 1) / (_STRETCH - 1) if mean > 1 else 0.0
        changes += float(np.abs(np.diff(part)).sum())
    if expected < _STRETCH:
        return None
    reach = NormalDist().inv_cdf(1.0 - LEVEL / tests) * float(np.sqrt(variance))
    low, high = (changes - reach) / expected, (changes + reach) / expected
    if high >= _CHANGES_LIMIT:
        return None
    return Finding(
        name,
        "likely",
        f"{what} the outcome changes {changes:.0f} times where chance wants {expected:.0f} "
        f"({changes / expected:.2f} [{max(low, 0):.2f}, {high:.2f}] of it): the rows were sorted or "
        "numbered by outcome",
        "row_order",
        value=changes / expected,
        low=max(low, 0.0),
        high=high,
        advice="leave the id and the order out of the features, and do not split by them",
    )


def probe_twins(keys: Sequence[Any], label: Vector, is_test: NDArray[np.bool_]) -> Finding | None:
    """Null: rows that are equal by coincidence agree in outcome only as far as honest values can tell it.

    Args:
        keys: What the honest fields of a row say together; None where too little of it is filled.
        label: 0 or 1.
        is_test: Which rows are the later ones that would test.
    """
    seen = Counter(key for key, late in zip(keys, is_test, strict=True) if not late and key is not None)
    outcome = {key: y for key, y, late in zip(keys, label, is_test, strict=True) if not late and seen.get(key) == 1}
    pairs = [(y, outcome[key]) for key, y, late in zip(keys, label, is_test, strict=True) if late and key in outcome]
    tested = int(is_test.sum())
    if not pairs or not tested:
        return None
    own, twin = np.array(pairs).T
    successes, rows = np.array([float(own[twin == 1].sum())]), np.array([float((twin == 1).sum())])
    if not 0 < rows[0] < len(own):
        return None
    ratio, low, high = odds_ratio_bounds(
        successes, rows, total_successes=float(own.sum()), total_rows=float(len(own)), level=LEVEL
    )
    if low[0] <= ODDS_LIMIT:
        return None
    return Finding(
        "(rows)",
        "likely",
        f"{len(own)} of {tested} test rows ({100 * len(own) / tested:.1f} %) have one twin among the training rows, "
        f"equal in every field; a twin with the outcome multiplies the odds by "
        f"{ratio[0]:.3g} [{low[0]:.3g}, {high[0]:.3g}]: "
        "copies, not coincidences",
        "twins",
        value=float(ratio[0]),
        low=float(low[0]),
        high=float(high[0]),
        advice="remove the copies, or keep each thing on one side of the split",
    )


def twin_keys(columns: Sequence[Sequence[Any]]) -> list[Any]:
    """One key per row from its cells; None where fewer than three are filled."""
    return [row if sum(cell is not None for cell in row) >= _MIN_VALUES else None for row in zip(*columns, strict=True)]


def note_batches(moments: Sequence[Any]) -> tuple[str, ...]:
    """Moments of the order on which a tenth of all rows or more were created: a load, not business."""
    counts = Counter(moment for moment in moments if moment is not None)
    if len(counts) < _BLOCKS:
        return ()
    return tuple(
        f"{rows:,} rows ({100 * rows / len(moments):.0f} %) have the order {moment}: a batch load; its rows' dates "
        "are not when the records began"
        for moment, rows in counts.most_common(3)
        if rows >= _NOTED_SHARE * len(moments)
    )
