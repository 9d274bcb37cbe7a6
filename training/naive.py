"""All the naive answers that a model is shown beside, on the same rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training import baselines
from training.manifest import FeatureEntry
from training.scoring.rule_score import RULE_SCORE, rule_score_probability

Vector = NDArray[np.float64]


def naive_answers(
    entries: tuple[FeatureEntry, ...], matrix: Vector, label: Vector, test_matrix: Vector, *, seed: int
) -> dict[str, Vector]:
    """What the naive answers say on the test rows, by name."""
    answers = {
        "const": baselines.constant(label, len(test_matrix)),
        "logistic_regression": baselines.logistic_regression(matrix, label, test_matrix, entries, seed=seed),
    }
    rule_score = rule_score_probability(entries, matrix, label, test_matrix)
    if rule_score is not None:
        answers[RULE_SCORE] = rule_score
    stage = baselines.feature_position(entries, baselines.STAGE_FEATURES)
    if stage is not None:
        answers["stage_win_rate"] = baselines.category_rate(matrix[:, stage], label, test_matrix[:, stage])
    crm = baselines.feature_position(entries, baselines.CRM_FEATURES)
    if crm is not None:
        stated = test_matrix[:, crm]
        answers["crm_probability"] = np.where(np.isnan(stated), label.mean(), np.clip(stated, 0.0, 1.0))
    return answers
