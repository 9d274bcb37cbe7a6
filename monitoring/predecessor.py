"""The champion before, held to the newest labels beside the one that serves: does going back mend anything?

That a young champion loses does not say that the one before loses less: a world that keeps changing makes both worse,
and going back would put the older of the two in place. So both answer the same newest mature rows that neither learned
from, and the one before has to be surely better, by the test that the gate asks of any challenger (docs/adr/0040).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa

from common.clock import parse_moment
from common.errors import SalienceError
from monitoring.gathering import Material
from monitoring.promise import QUARTER
from training.gate.answers import answers_of
from training.gate.holdout import Holdout
from training.gate.paired import compare_log_loss
from training.promotion import promotion_log
from training.promotion_log import reigns
from training.splits import instant

if TYPE_CHECKING:
    from training.registry import ModelRegistry
    from training.results import RegisteredModel


def champion_before(registry: ModelRegistry, champion: RegisteredModel) -> RegisteredModel | None:
    """The version that a rollback would put in place, as the log tells it; None where there is none to be had."""
    ruled = reigns(promotion_log(registry).entries(), champion.name)
    while ruled and ruled[-1] == champion.version:
        ruled.pop()
    try:
        return registry.version(champion.name, ruled[-1]) if ruled else None
    except SalienceError:
        return None


def beside_predecessor(material: Material, before: RegisteredModel, *, seed: int) -> dict[str, Any] | None:
    """Log-loss of the champion before less the champion's, on the newest quarter of mature rows new to both.

    Args:
        material: What a look works on.
        before: The version that a rollback would put in place.
        seed: Seed of the bootstrap.

    Returns:
        JSON values: `version`, `rows`, `difference`, `at_most` (with 95 %) and whether it is surely better; None where
        it cannot be asked about these rows, or none of one outcome are known.
    """
    known = ~np.isnan(material.label)
    if not known.any():
        return None
    newest = material.as_of[known].max() - np.timedelta64(QUARTER, "us")
    rows = np.flatnonzero(known & (material.as_of > newest))
    label, table = material.label[rows], material.recent.take(pa.array(rows))
    entity = material.entity[rows]
    holdout = Holdout(
        columns=cast("dict[str, Any]", material.columns(table)),
        label=label,
        entity=entity,
        base_rate=float(label.mean()),
        horizon_days=material.scorer.manifest.horizon_days,
    )
    if holdout.fault() is not None:
        return None
    try:
        answers = answers_of(before, holdout)
    except SalienceError:
        return None
    unseen = material.as_of[rows] > instant(parse_moment(answers.scorer.manifest.trained_until))
    if not 0 < label[unseen].sum() < unseen.sum():
        return None
    found = compare_log_loss(
        answers.probability[unseen], material.probability[rows][unseen], label[unseen], entity[unseen], seed=seed
    )
    return {
        "version": before.version,
        "rows": int(unseen.sum()),
        "difference": found.difference,
        "at_most": found.at_most(),
        "is_better": found.at_most() < 0.0,
    }
