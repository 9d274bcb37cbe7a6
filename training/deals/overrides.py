"""Was the person right, or the model? Overrides of win probabilities against what became of the deals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from training.calibration import log_loss_rows

_REPLICATES = 1_000
_ENOUGH = 20


@dataclass(frozen=True, kw_only=True)
class Overridden:
    """One override.

    Args:
        opportunity_id: The deal.
        at: When it was made.
        who: Who made it.
        because: Why.
        person: The person's probability.
        model: The model's at that moment.
        model_version: Which model.
        won: True, False, or None while the deal is open.
    """

    opportunity_id: str
    at: datetime
    who: str
    because: str
    person: float
    model: float
    model_version: str
    won: bool | None


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Both numbers' accuracy on the overridden deals that have ended.

    Args:
        decided: Overrides whose deal has ended.
        open: Overrides whose deal is open.
        won: Share of the ended deals that were won.
        person_mean: Mean of the persons' probabilities.
        model_mean: Mean of the model's.
        person_brier: Mean squared error of the persons (Brier 1950).
        model_brier: The model's.
        person_log_loss: Mean log-loss of the persons.
        model_log_loss: The model's.
        difference_low: 95 % interval of person's minus model's Brier score, over deals; None with too few of them.
        difference_high: Its other end.
        verdict: Who was better, in words.
    """

    decided: int
    open: int
    won: float | None = None
    person_mean: float | None = None
    model_mean: float | None = None
    person_brier: float | None = None
    model_brier: float | None = None
    person_log_loss: float | None = None
    model_log_loss: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    verdict: str = "no overridden deal has ended yet"


def compare_overrides(overrides: Sequence[Overridden], *, seed: int) -> Accuracy:
    """Compare persons and model on the deals that have ended.

    Args:
        overrides: All overrides.
        seed: Seed of the bootstrap over deals.
    """
    ended = [one for one in overrides if one.won is not None]
    if not ended:
        return Accuracy(decided=0, open=len(overrides))
    label = np.array([float(bool(one.won)) for one in ended])
    person, model = np.array([one.person for one in ended]), np.array([one.model for one in ended])
    gap = (person - label) ** 2 - (model - label) ** 2
    low, high = _interval(gap, [one.opportunity_id for one in ended], seed=seed)
    return Accuracy(
        decided=len(ended),
        open=len(overrides) - len(ended),
        won=float(label.mean()),
        person_mean=float(person.mean()),
        model_mean=float(model.mean()),
        person_brier=float(((person - label) ** 2).mean()),
        model_brier=float(((model - label) ** 2).mean()),
        person_log_loss=float(log_loss_rows(label, person).mean()),
        model_log_loss=float(log_loss_rows(label, model).mean()),
        difference_low=low,
        difference_high=high,
        verdict=_verdict(len(ended), low, high),
    )


def _interval(gap: NDArray[np.float64], deals: Sequence[str], *, seed: int) -> tuple[float | None, float | None]:
    names, code = np.unique(np.array(deals), return_inverse=True)
    if len(names) < _ENOUGH:
        return None, None
    sums = np.bincount(code, gap, minlength=len(names))
    sizes = np.bincount(code, minlength=len(names)).astype(np.float64)
    generator = np.random.default_rng(seed)
    counts = generator.multinomial(len(names), np.full(len(names), 1.0 / len(names)), size=_REPLICATES)
    drawn = (counts @ sums) / (counts @ sizes)
    low, high = np.quantile(drawn, [0.025, 0.975]).tolist()
    return low, high


def _verdict(decided: int, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"{decided} overridden deals have ended; from {_ENOUGH} on it can be said who was nearer"
    if high < 0:
        return "the persons were nearer to what happened than the model"
    if low > 0:
        return "the model was nearer to what happened than the persons"
    return "it cannot be said who was nearer to what happened"
