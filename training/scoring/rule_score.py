"""A plain rule score, such as marketing tools ship: what a trained lead model has to be better than.

The points are common sense written down once, never fitted to any set: intent weighs most, then recent visits, then who
it is. Of a workspace's features those that exist are used.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from common.errors import ContractError
from training.calibration import fit_calibration
from training.manifest import FeatureEntry
from training.scoring.conditions import read_condition
from training.scoring.scorecard import Part, codes_of, fit_scorecard

Vector = NDArray[np.float64]

RULE_SCORE = "rule_score"
_POINTS: dict[str, tuple[tuple[str | tuple[str, ...], float], ...]] = {
    "count_demo_request_90d": ((">= 1", 30.0),),
    "count_pricing_view_30d": ((">= 3", 25.0), (">= 2", 20.0), (">= 1", 10.0)),
    "count_form_submission_90d": ((">= 1", 15.0),),
    "count_email_reply_90d": ((">= 1", 15.0),),
    "count_webinar_90d": ((">= 1", 10.0),),
    "count_email_click_30d": ((">= 1", 5.0),),
    "count_content_download_90d": ((">= 1", 5.0),),
    "count_page_view_30d": ((">= 10", 10.0), (">= 3", 5.0)),
    "days_since_last_lead_event": (("<= 7", 10.0), ("<= 30", 5.0), ("> 90", -10.0)),
    "title_seniority": (("executive", 20.0), ("vice_president", 15.0), ("director", 15.0), ("manager", 5.0)),
    "email_kind": (("business", 5.0), ("malformed", -10.0)),
    "employee_count": ((">= 1000", 15.0), (">= 200", 10.0), (">= 50", 5.0)),
    "lead_source": ((("referral", "partner", "Referral", "Partner"), 10.0),),
}
_LEAST_FEATURES = 2


def default_rule_score(entries: Sequence[FeatureEntry]) -> tuple[Part | None, ...] | None:
    """Points of the features that exist, in the order of the matrix; None at those without points.

    Args:
        entries: The model's features, in order.

    Returns:
        None where fewer than two of the features have points: that is no score.
    """
    parts = tuple(_part(entry) if entry.name in _POINTS else None for entry in entries)
    return parts if sum(part is not None for part in parts) >= _LEAST_FEATURES else None


def rule_score_probability(
    entries: Sequence[FeatureEntry], matrix: Vector, label: Vector, later: Vector
) -> Vector | None:
    """What the rule score says of later rows, its points turned into probabilities on the past (Platt 1999).

    Args:
        entries: The model's features, in order.
        matrix: Past rows.
        label: Their outcomes.
        later: Rows to answer.

    Returns:
        Shape (n_later,); None where the features make no rule score, or it gives all the same points.
    """
    found = default_rule_score(entries)
    if found is None:
        return None
    places = [place for place, part in enumerate(found) if part is not None]
    try:
        card = fit_scorecard([part for part in found if part is not None], matrix[:, places])
    except ContractError:
        return None
    calibration = fit_calibration("platt", card.margin(matrix[:, places]), label)
    return calibration.apply(card.margin(later[:, places]))


def _part(entry: FeatureEntry) -> Part:
    is_category = entry.dtype == "category"
    rules = tuple((read_condition(when, is_category=is_category), points) for when, points in _POINTS[entry.name])
    return Part(feature=entry.name, rules=rules, codes=codes_of(entry))
