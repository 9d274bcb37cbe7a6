"""A scorecard in the place of the trained kinds: its features, its model on the scale of the past, its grades."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from common.errors import ContractError, InputError
from training.calibration import Calibration
from training.manifest import FeatureEntry
from training.models import Model
from training.scoring.conditions import read_condition
from training.scoring.scorecard import SCORECARD, Part, Scorecard, codes_of, fit_scorecard
from training.scoring.scoring_file import FeaturePoints, ScoringFile, check_features
from training.study import StudyResult

if TYPE_CHECKING:
    from features.specs import FeatureSpec

Vector = NDArray[np.float64]

_WORST = {"lead": "cold", "deal": "high"}


@dataclass(frozen=True)
class OwnScorecard:
    """The `training.classifier.OwnModel` of a scoring file with points."""

    file: ScoringFile

    def adapt(self, entries: tuple[FeatureEntry, ...]) -> tuple[FeatureEntry, ...]:
        """The features with points, in the file's order; a category that a rule names keeps a code of its own.

        Raises:
            InputError: if a feature has no value in any row of the past.
        """
        known = {entry.name: entry for entry in entries}
        empty = [part.feature for part in self.file.points if part.feature not in known]
        if empty:
            raise InputError(
                f"The scoring model '{self.file.name}' reads features without any value in the past",
                got=", ".join(empty),
                next_step="leave them out, or load the tables that fill them",
            )
        return tuple(_with_named(known[part.feature], part) for part in self.file.points)

    def fit(self, entries: tuple[FeatureEntry, ...], matrix: Vector) -> tuple[StudyResult, Model, Vector]:
        """The scorecard on the scale of the past; no outcome is looked at, so its log-odds of the past are honest."""
        parts = [_part(points, entry) for points, entry in zip(self.file.points, entries, strict=True)]
        card = fit_scorecard(parts, matrix)
        study = StudyResult(library=cast("Any", SCORECARD), params={}, rounds=0, log_loss=math.nan, trials=(), reused=0)
        return study, card, card.margin(matrix)


def chosen_specs(file: ScoringFile | None, specs: Sequence[FeatureSpec]) -> tuple[FeatureSpec, ...]:
    """The features that a training may read: all, or those that a scoring file chose for a trained kind.

    Raises:
        InputError: if the file does not suit the features; every fault is named.
    """
    if file is None:
        return tuple(specs)
    check_features(file, specs)
    return tuple(spec for spec in specs if not file.features or spec.name in file.features)


def own_thresholds(file: ScoringFile | None, model: Model, calibration: Calibration) -> dict[str, float] | None:
    """Least probability of each grade by a scoring file; None where it says none.

    Raises:
        ContractError: if grades are given in points, and more points meant no higher probability in the past.
    """
    if file is None or not file.grades:
        return None
    worst = {_WORST[file.task]: 0.0}
    if file.grades_in == "probability" or not isinstance(model, Scorecard):
        return worst | dict(file.grades)
    margins = np.array([model.margin_of_points(points) for points in file.grades.values()])
    found = dict(zip(file.grades, calibration.apply(margins).tolist(), strict=True))
    ordered = [found[name] for name, _ in sorted(file.grades.items(), key=lambda pair: pair[1])]
    if not ordered[0] < ordered[1]:
        raise ContractError(
            f"The grades of the scoring model '{file.name}' cannot be told apart by probability",
            expected="more points to have meant a higher probability in the past",
            got=", ".join(f"{name}: {100 * p:.2f} %" for name, p in found.items()),
            next_step="look at the report's reliability curve; give grades as probabilities, or other points",
        )
    return worst | found


def _with_named(entry: FeatureEntry, points: FeaturePoints) -> FeatureEntry:
    """The entry with a code for every category that a rule names, however rare it was in the past."""
    if entry.dtype != "category":
        return entry
    named = [str(value) for rule in _part(points, entry).rules for value in rule[0].values]
    more = [name for name in dict.fromkeys(named) if name not in entry.categories]
    return replace(entry, categories=(*entry.categories, *more))


def _part(points: FeaturePoints, entry: FeatureEntry) -> Part:
    is_category = entry.dtype == "category"
    return Part(
        feature=points.feature,
        rules=tuple((read_condition(rule.when, is_category=is_category), rule.points) for rule in points.rules),
        otherwise=points.otherwise,
        missing=points.missing,
        weight=points.weight,
        at_least=points.at_least,
        at_most=points.at_most,
        codes=codes_of(entry),
    )
