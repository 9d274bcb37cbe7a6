"""How far two samples lie apart: the statistics of a drift report, for one split of the rows or for many at once.

Each function takes a *membership matrix*: one row per pooled row of data, one column per split, true where the row
counts as current. One column of it is the real split, the others are permutations; so the number that is reported and
the numbers its threshold is made from come out of the same lines. The definitions are those of Evidently, and a test
holds them equal.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

# Evidently divides the Wasserstein distance by at least this.
SMALLEST_NORM = 0.001
# A distance between fewer present values than this, on either side, says nothing.
FEWEST_PRESENT = 5


def wasserstein_norm(values: FloatArray, *, is_current: BoolArray) -> FloatArray:
    """Wasserstein-1 distance between current and reference values, in standard deviations of the reference.

    Args:
        values: Pooled values of both sides, NaN where missing, shape (n_rows,). Missing values are left out.
        is_current: Membership matrix, shape (n_rows, n_splits).

    Returns:
        One distance per split, shape (n_splits,); NaN where a side has fewer than `FEWEST_PRESENT` values.
    """
    present = np.flatnonzero(~np.isnan(values))
    order = present[np.argsort(values[present], kind="stable")]
    ordered = values[order]
    members = is_current[order]
    current_rows = members.sum(axis=0)
    reference_rows = ordered.size - current_rows
    gaps = np.diff(ordered)
    steps = np.flatnonzero(gaps > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        # |F_current - F_reference| at each step is |below * (1/m + 1/n) - position / n|; in place, for these are large.
        height = np.cumsum(members, axis=0, dtype=np.int32)[steps] * (1 / current_rows + 1 / reference_rows)
        height -= np.multiply.outer(steps + 1.0, 1 / reference_rows)
        np.abs(height, out=height)
        norm = np.maximum(_reference_std(ordered, members), SMALLEST_NORM)
        distance = (gaps[steps] @ height) / norm
    return _where_enough(distance, current_rows, reference_rows)


def jensen_shannon(codes: IntArray, *, is_current: BoolArray) -> FloatArray:
    """Jensen-Shannon distance (natural logarithm, the square root) between the category shares of both sides.

    Args:
        codes: Category of each pooled row as 0..k-1, -1 where missing, shape (n_rows,). Missing values are left out.
        is_current: Membership matrix, shape (n_rows, n_splits).

    Returns:
        One distance per split, shape (n_splits,); NaN where a side has fewer than `FEWEST_PRESENT` values.
    """
    present = np.flatnonzero(codes >= 0)
    kinds = int(codes.max(initial=-1)) + 1
    indicator = np.zeros((max(kinds, 1), present.size), dtype=np.float32)  # counts stay exact below 2**24
    indicator[codes[present], np.arange(present.size)] = 1.0
    current = (indicator @ is_current[present].astype(np.float32)).astype(np.float64)
    reference = indicator.sum(axis=1, dtype=np.float64)[:, None] - current
    current_rows, reference_rows = current.sum(axis=0), reference.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        p, q = reference / reference_rows, current / current_rows
        middle = (p + q) / 2
        divergence = (_entropy_terms(p, middle) + _entropy_terms(q, middle)).sum(axis=0) / 2
        distance = np.sqrt(np.maximum(divergence, 0.0))
    return _where_enough(distance, current_rows, reference_rows)


def missing_counts(is_missing: BoolArray, *, is_current: BoolArray) -> IntArray:
    """Number of current rows whose value is missing, one per split, shape (n_splits,)."""
    return np.asarray(is_current[is_missing].sum(axis=0), dtype=np.int64)


def _reference_std(ordered: FloatArray, members: BoolArray) -> FloatArray:
    centred = ordered - (float(ordered.mean()) if ordered.size else 0.0)
    weights = (~members).astype(np.float64)
    rows = weights.sum(axis=0)
    mean, square = centred @ weights / rows, centred**2 @ weights / rows
    return np.asarray(np.sqrt(np.maximum(square - mean**2, 0.0)))


def _entropy_terms(share: FloatArray, middle: FloatArray) -> FloatArray:
    return np.where(share > 0, share * np.log(np.where(share > 0, share / middle, 1.0)), 0.0)


def _where_enough(
    distance: FloatArray, current_rows: IntArray | FloatArray, reference_rows: IntArray | FloatArray
) -> FloatArray:
    return np.where(np.minimum(current_rows, reference_rows) >= FEWEST_PRESENT, distance, np.nan)
