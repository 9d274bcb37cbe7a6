"""Was the person right, or the model? Overrides of the forecast against what came, once their periods are over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from training.forecast.metrics import FloatArray, bias, wape
from training.forecast.overrides import ForecastOverride

_REPLICATES = 1_000
_ENOUGH = 20


@dataclass(frozen=True, kw_only=True)
class OverrideAccuracy:
    """Persons and model on the overrides whose period is over.

    Args:
        judged: Overrides whose period is over.
        open: Overrides whose period is not.
        nearer: How often the person was nearer than the model.
        person_mae: Mean absolute error of the persons, in the forecast's unit.
        model_mae: The model's.
        person_wape: Sum of absolute errors over the sum of what came.
        model_wape: The model's.
        person_bias: Above 0 they said too much.
        model_bias: The model's.
        difference_low: 95 % interval of person's minus model's WAPE, periods drawn; None with too few of them.
        difference_high: Its other end.
        verdict: Who was nearer, in words.
    """

    judged: int
    open: int
    nearer: int = 0
    person_mae: float | None = None
    model_mae: float | None = None
    person_wape: float | None = None
    model_wape: float | None = None
    person_bias: float | None = None
    model_bias: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    verdict: str = "no overridden period is over yet"


def judge_overrides(
    overrides: Sequence[ForecastOverride], actual: Mapping[str, float], *, seed: int
) -> OverrideAccuracy:
    """Compare persons and model where it is known what came.

    Args:
        overrides: All overrides; withdrawals, and those without the model's figure, are left out.
        actual: What came, by `override_key`, of periods that are over.
        seed: Seed of the resampling.
    """
    said = [one for one in overrides if one.value is not None and one.model is not None]
    over = [one for one in said if one.key in actual]
    if not over:
        return OverrideAccuracy(judged=0, open=len(said))
    came = np.array([actual[one.key] for one in over])
    person = np.array([one.value for one in over], dtype=np.float64)
    model = np.array([one.model for one in over], dtype=np.float64)
    gap = np.abs(person - came) - np.abs(model - came)
    low, high = _interval(gap, came, [one.period for one in over], seed=seed)
    return OverrideAccuracy(
        judged=len(over),
        open=len(said) - len(over),
        nearer=int((gap < 0).sum()),
        person_mae=float(np.abs(person - came).mean()),
        model_mae=float(np.abs(model - came).mean()),
        person_wape=_known(wape(came, person)),
        model_wape=_known(wape(came, model)),
        person_bias=_known(bias(came, person)),
        model_bias=_known(bias(came, model)),
        difference_low=low,
        difference_high=high,
        verdict=_verdict(len(over), int((gap < 0).sum()), low, high),
    )


def _known(value: float) -> float | None:
    return None if value != value else value


def _interval(
    gap: FloatArray, came: FloatArray, periods: Sequence[str], *, seed: int
) -> tuple[float | None, float | None]:
    names, code = np.unique(np.array(periods), return_inverse=True)
    scale = np.bincount(code, np.abs(came), minlength=len(names))
    if len(gap) < _ENOUGH or len(names) < 2 or scale.sum() == 0:
        return None, None
    sums = np.bincount(code, gap, minlength=len(names))
    drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=_REPLICATES)
    weight = drawn @ scale
    low, high = np.quantile((drawn @ sums)[weight > 0] / weight[weight > 0], [0.025, 0.975]).tolist()
    return low, high


def _verdict(judged: int, nearer: int, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return (
            f"the persons were nearer {nearer} times of {judged}; from {_ENOUGH} overrides in two periods on it can be "
            "said who is better"
        )
    if high < 0:
        return "the persons were nearer to what came than the model"
    if low > 0:
        return "the model was nearer to what came than the persons"
    return "it cannot be said who was nearer to what came"
