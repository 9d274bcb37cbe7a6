"""The naive answers each model is shown beside: base rate, stage win rate, the CRM's own, logistic regression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.manifest import FeatureEntry

Vector = NDArray[np.float64]

_PRIOR_ROWS = 20.0
_MAX_FIT_ROWS = 20_000
STAGE_FEATURES = ("stage", "deal_stage", "current_stage")
CRM_FEATURES = ("crm_probability",)


def constant(label: Vector, n_rows: int) -> Vector:
    """The base rate of the past, for every row."""
    return np.full(n_rows, label.mean())


def category_rate(codes: Vector, label: Vector, later: Vector) -> Vector:
    """The outcome rate of the same category in the past, shrunk towards the base rate by 20 rows."""
    base_rate = float(label.mean())
    rates = np.full(len(later), base_rate)
    for code in np.unique(codes[~np.isnan(codes)]):
        same = codes == code
        rate = (label[same].sum() + _PRIOR_ROWS * base_rate) / (same.sum() + _PRIOR_ROWS)
        rates[later == code] = rate
    return rates


def logistic_regression(
    matrix: Vector, label: Vector, later: Vector, features: Sequence[FeatureEntry], *, seed: int
) -> Vector:
    """Ridge logistic regression: numbers standardised, medians and a flag for the missing, categories one-hot."""
    from sklearn.linear_model import LogisticRegression

    chosen = np.arange(len(label))
    if len(chosen) > _MAX_FIT_ROWS:
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, _MAX_FIT_ROWS, replace=False))
    past, future = _design(matrix[chosen], later, features)
    model = LogisticRegression(C=0.1, max_iter=200, tol=1e-3, random_state=seed)
    model.fit(past, label[chosen])
    return np.asarray(model.predict_proba(future)[:, 1], dtype=np.float64)


def _design(past: Vector, later: Vector, features: Sequence[FeatureEntry]) -> tuple[Vector, Vector]:
    columns: list[tuple[Vector, Vector]] = []
    for position, entry in enumerate(features):
        old, new = past[:, position], later[:, position]
        known = old[~np.isnan(old)]
        if entry.dtype == "category":
            columns += [((old == code) * 1.0, (new == code) * 1.0) for code in np.unique(known)]
            continue
        if not len(known):
            continue
        columns += _scaled(old, new, known)
    if not columns:
        return np.zeros((len(past), 1)), np.zeros((len(later), 1))
    return np.column_stack([pair[0] for pair in columns]), np.column_stack([pair[1] for pair in columns])


def _scaled(old: Vector, new: Vector, known: Vector) -> list[tuple[Vector, Vector]]:
    """Signed log of long-tailed columns, then median 0 and spread 1; and the flag for the missing."""

    def shape(values: Vector) -> Vector:
        return np.asarray(np.sign(values) * np.log1p(np.abs(values)), dtype=np.float64)

    middle, spread = float(np.median(shape(known))), float(shape(known).std()) or 1.0
    pairs = [
        tuple(np.clip(np.nan_to_num((shape(values) - middle) / spread, nan=0.0), -5.0, 5.0) for values in (old, new))
    ]
    if np.isnan(old).any():
        pairs.append((np.isnan(old) * 1.0, np.isnan(new) * 1.0))
    return [(pair[0], pair[1]) for pair in pairs]


def feature_position(features: Sequence[FeatureEntry], names: Sequence[str]) -> int | None:
    """Position of the first of `names` that the model has."""
    for position, entry in enumerate(features):
        if entry.name in names:
            return position
    return None
