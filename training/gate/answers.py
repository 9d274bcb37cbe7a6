"""A version's answers to the newest rows, read back from its bundle as the services would read it."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.errors import ContractError, NotFoundError, shorten
from training.gate.holdout import Holdout
from training.manifest import Manifest
from training.results import RegisteredModel
from training.scorer import Scorer

Vector = NDArray[np.float64]

# What reading a broken bundle, or asking it, may raise; XGBoost's own error is a ValueError.
_BROKEN: tuple[type[Exception], ...] = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    ArithmeticError,
)


@dataclass(frozen=True)
class Answers:
    """A version's bundle and what it says about the holdout.

    Args:
        scorer: The bundle.
        probability: Its answer to each row.
    """

    scorer: Scorer
    probability: Vector


def answers_of(model: RegisteredModel, holdout: Holdout) -> Answers:
    """Ask a version about the newest rows.

    Raises:
        NotFoundError: if it has no bundle, or the holdout lacks a feature that it reads.
        ContractError: if its bundle does not load, it answers about another horizon, or something that is no
            probability.
    """
    try:
        scorer = Scorer.load(model.bundle, threads=2)
        _check_question(model, scorer, holdout)
        probability = scorer.label_probability(scorer.encode(holdout.columns))
    except _broken() as error:
        raise ContractError(
            f"Version {model.version} cannot be asked: {type(error).__name__}: {str(error).splitlines()[0]}",
            next_step="look at its bundle, and train it again",
        ) from error
    wrong = ~(np.isfinite(probability) & (probability >= 0.0) & (probability <= 1.0))
    if wrong.any():
        raise ContractError(
            f"Version {model.version} answered something that is no probability on {int(wrong.sum())} rows",
            expected="numbers from 0 to 1",
            got=shorten(probability[wrong].tolist()),
        )
    return Answers(scorer, probability)


def manifest_of(model: RegisteredModel) -> Manifest:
    """What a version's bundle says of itself.

    Raises:
        NotFoundError: if it has no bundle.
        ContractError: if its manifest cannot be read, as where other code wrote it.
    """
    try:
        return Manifest.read(model.bundle)
    except _BROKEN as error:
        raise ContractError(
            f"The manifest of version {model.version} cannot be read: {type(error).__name__}: {error}",
            next_step="use the code that made it, or train it again",
        ) from error


def _check_question(model: RegisteredModel, scorer: Scorer, holdout: Holdout) -> None:
    lacking = [name for name in scorer.manifest.feature_names if name not in holdout.columns]
    if lacking:
        raise NotFoundError(
            f"The holdout lacks {len(lacking)} features that version {model.version} reads (first: {lacking[0]})"
        )
    horizon = scorer.manifest.horizon_days
    if holdout.horizon_days is not None and horizon != holdout.horizon_days:
        raise ContractError(
            f"Version {model.version} answers another question than these rows",
            expected=f"outcomes within {holdout.horizon_days} days",
            got=f"outcomes within {horizon} days",
            next_step="train both with the same horizon, or promote one by hand: salience models promote",
        )


def _broken() -> tuple[type[Exception], ...]:
    """The errors of a broken bundle; LightGBM's own, which is none of Python's, if LightGBM is loaded at all."""
    basic = sys.modules.get("lightgbm.basic")
    return (*_BROKEN, basic.LightGBMError) if basic is not None else _BROKEN
