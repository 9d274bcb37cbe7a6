"""The probes that every training runs, on the encoded matrix: ability, presence, and ability beyond the model's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluation import auc
from training.manifest import FeatureEntry
from training.probes import single
from training.probes.fields import MISSING, Field, number_field
from training.probes.findings import OVER_MODEL, OVER_MODEL_PROBE, Finding, in_order

Vector = NDArray[np.float64]


def single_auc(codes: Vector, label: Vector) -> float:
    """AUC of one column alone, the better of its two directions; a missing value ranks below all others or above.

    A category column holds codes in the order of the training rates, which is its best ranking.
    """
    best = 0.5
    weights = np.ones((len(label), 1))
    for fill in (-np.inf, np.inf):
        ranked = np.where(np.isnan(codes), fill, codes)
        value = float(auc(label, ranked, weights)[0])
        if np.isfinite(value):
            best = max(best, value, 1.0 - value)
    return best


def probe(
    matrix: Vector,
    label: Vector,
    features: Sequence[FeatureEntry],
    *,
    model_auc: float | None = None,
    entity: Sequence[Any] | NDArray[Any] | None = None,
    seed: int = 0,
) -> tuple[Finding, ...]:
    """Look at each feature alone.

    Args:
        matrix: Rows that train (before there is a model) or test, float64 (n_rows, n_features).
        label: 0 or 1 per row.
        features: The features, in order.
        model_auc: AUC of the model of all features on the same rows; None before there is one.
        entity: Lead or deal of each row. Rows of one thing are no independent witnesses: one of each is drawn.
        seed: Seed of that draw and of the folds.

    Returns:
        Findings, certain ones first; at most one per feature.
    """
    rows = np.arange(len(label)) if entity is None else one_row_each(entity, seed=seed)
    matrix, label = matrix[rows], label[rows]
    findings = []
    for position, entry in enumerate(features):
        column = matrix[:, position]
        found = _probe_column(entry, column, label, tests=len(features), seed=seed)
        if found is None and model_auc is not None:
            found = _over_model(entry.name, column, label, model_auc)
        if found is not None:
            findings.append(found)
    return in_order(findings)


def one_row_each(entity: Sequence[Any] | NDArray[Any], *, seed: int) -> NDArray[np.int64]:
    """One row of each thing, drawn at random, in the order of the rows."""
    drawn = np.random.default_rng(seed).permutation(len(entity))
    _, first = np.unique(np.asarray(entity)[drawn].astype(str), return_index=True)
    return np.sort(drawn[first])


def _probe_column(entry: FeatureEntry, column: Vector, label: Vector, *, tests: int, seed: int) -> Finding | None:
    if not 0 < label.sum() < len(label) or np.isnan(column).all():
        return None
    field = _code_field(entry, column) if entry.dtype == "category" else number_field(entry.name, column)
    strong = single.probe_ability(field, single.ability(field, label, tests=tests, seed=seed))
    found = [finding for finding in (*single.probe_values(field, label, tests=tests), strong) if finding is not None]
    return in_order(found)[0] if found else None


def _code_field(entry: FeatureEntry, column: Vector) -> Field:
    level = np.where(np.isnan(column), MISSING, np.nan_to_num(column)).astype(np.int64)
    labels = tuple(name if name is not None else "any other value" for name in entry.categories) or tuple(
        map(str, range(int(level.max()) + 1))
    )
    return Field(entry.name, level, labels, False, len(labels))


def _over_model(name: str, column: Vector, label: Vector, model_auc: float) -> Finding | None:
    alone = single_auc(column, label)
    if alone <= model_auc + OVER_MODEL:
        return None
    return Finding(
        name,
        "likely",
        f"'{name}' alone ranks the outcomes with AUC {alone:.3f}, the whole model only {model_auc:.3f} on the "
        "same rows",
        OVER_MODEL_PROBE,
        value=alone,
        advice="look at when the field is written, and at whether the model was given it rightly",
    )
