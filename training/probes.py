"""Leak probes: fields that know the future, found before a model is believed.

Thin here: each feature alone, on the rows that train. A feature that alone ranks outcomes better than any honest field
    could, or that is filled for one outcome only, is a *certain* leak and stops the training; one that is merely too
    good is *likely* and goes into the report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from common.errors import LeakError, shorten
from training.evaluation import auc
from training.manifest import FeatureEntry

Vector = NDArray[np.float64]

CERTAIN_AUC = 0.95
LIKELY_AUC = 0.9
# A single feature that beats the whole model by this much on later rows is suspicious.
OVER_MODEL = 0.03
# Filled on at least this share of one outcome's rows, and on (nearly) none of the other's.
_FILLED = 0.2
_EMPTY = 0.001
_MIN_ROWS = 20


@dataclass(frozen=True)
class Finding:
    """What a probe found in one feature.

    Args:
        feature: Name.
        severity: `certain` stops the training, `likely` warns.
        evidence: One sentence with the figures.
    """

    feature: str
    severity: Literal["certain", "likely"]
    evidence: str


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
    matrix: Vector, label: Vector, features: Sequence[FeatureEntry], *, model_auc: float | None = None
) -> tuple[Finding, ...]:
    """Look at each feature alone.

    Args:
        matrix: Rows that train (before there is a model) or test, float64 (n_rows, n_features).
        label: 0 or 1 per row.
        features: The features, in order.
        model_auc: AUC of the model of all features on the same rows; None before there is one.

    Returns:
        Findings, certain ones first.
    """
    findings = []
    for position, entry in enumerate(features):
        column = matrix[:, position]
        found = _one_sided(entry.name, column, label) or _too_good(entry.name, column, label, model_auc)
        if found is not None:
            findings.append(found)
    return tuple(sorted(findings, key=lambda finding: finding.severity != "certain"))


def stop_on_leak(findings: Sequence[Finding]) -> None:
    """Stop the training where a leak is certain.

    Raises:
        LeakError: naming the fields and the evidence.
    """
    certain = [finding for finding in findings if finding.severity == "certain"]
    if certain:
        raise LeakError(
            f"{len(certain)} of the features know the outcome: {shorten(finding.feature for finding in certain)}",
            got="; ".join(finding.evidence for finding in certain[:3]),
            next_step="drop the field from the mapping or the feature view, or correct when it is first known",
            field=certain[0].feature,
        )


def _one_sided(name: str, column: Vector, label: Vector) -> Finding | None:
    filled = ~np.isnan(column)
    shares = [float(filled[label == outcome].mean()) if (label == outcome).any() else 0.0 for outcome in (1.0, 0.0)]
    counts = [int((label == outcome).sum()) for outcome in (1.0, 0.0)]
    if min(counts) < _MIN_ROWS or max(shares) < _FILLED or min(shares) > _EMPTY:
        return None
    with_outcome = "with the outcome" if shares[0] > shares[1] else "without the outcome"
    return Finding(
        name,
        "certain",
        f"'{name}' is filled on {100 * max(shares):.0f} % of the rows {with_outcome} "
        f"and on {100 * min(shares):.1f} % of the others",
    )


def _too_good(name: str, column: Vector, label: Vector, model_auc: float | None) -> Finding | None:
    alone = single_auc(column, label)
    text = f"'{name}' alone ranks the outcomes with AUC {alone:.3f}"
    if alone >= CERTAIN_AUC:
        return Finding(name, "certain", f"{text}; {CERTAIN_AUC} is beyond what an honest field reaches")
    if alone >= LIKELY_AUC:
        return Finding(name, "likely", f"{text}; few honest fields reach {LIKELY_AUC}")
    if model_auc is not None and alone > model_auc + OVER_MODEL:
        return Finding(name, "likely", f"{text}, the whole model only {model_auc:.3f} on the same rows")
    return None
