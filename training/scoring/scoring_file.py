"""The YAML file of a scoring model of one's own: points by rules, or a chosen subset of features.

Every fault of a file is told at once. Editors complete it from docs/scoring.schema.json.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from common.errors import InputError
from training.scoring.conditions import read_condition

if TYPE_CHECKING:
    from features.specs import FeatureSpec

_STRICT = ConfigDict(frozen=True, extra="forbid")
_GRADES = {"lead": ("hot", "warm"), "deal": ("low", "medium")}
_NEAR = 3

Plain = bool | int | float | str


class Rule(BaseModel):
    """Points for a condition; the first rule of a feature that holds counts."""

    model_config = _STRICT

    when: Plain | tuple[Plain, ...] = Field(
        description="'>= 3', '< 10', '50 .. 999' (both ends count), a number, true; of a category a value, a list of "
        "values, or '!= value'."
    )
    points: float = Field(allow_inf_nan=False, description="Points that the feature gives then; may be negative.")


class FeaturePoints(BaseModel):
    """What one feature gives: by rules, or by its size."""

    model_config = _STRICT

    feature: str = Field(description="Name of the feature; `salience features list` shows them.")
    rules: tuple[Rule, ...] = Field((), description="Looked at in this order; the first that holds counts.")
    otherwise: float = Field(0.0, allow_inf_nan=False, description="Points where no rule holds.")
    missing: float = Field(
        allow_inf_nan=False, description="Points where the value is not known. It has to be said, if only with 0."
    )
    weight: float | None = Field(
        None, allow_inf_nan=False, description="Instead of rules: points per unit of the feature."
    )
    at_least: float | None = Field(None, allow_inf_nan=False, description="With weight: the fewest points.")
    at_most: float | None = Field(None, allow_inf_nan=False, description="With weight: the most points.")

    @model_validator(mode="after")
    def _rules_or_weight(self) -> FeaturePoints:
        if bool(self.rules) == (self.weight is not None):
            raise ValueError(f"'{self.feature}' needs either rules or a weight")
        if self.weight is None and (self.at_least is not None or self.at_most is not None):
            raise ValueError(f"'{self.feature}': at_least and at_most belong to a weight")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"'{self.feature}': at_least is above at_most")
        return self


class ScoringFile(BaseModel):
    """A whole scoring file."""

    model_config = _STRICT

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$", description="Name of the scoring model.")
    about: str = Field("", description="What it is for, in a sentence.")
    task: Literal["lead", "deal"] = Field("lead", description="What it scores.")
    points: tuple[FeaturePoints, ...] = Field((), description="A scorecard: points of each feature, added up.")
    features: tuple[str, ...] = Field((), description="Or: the only features that a trained model may read.")
    grades: dict[str, float] = Field(
        {}, description="Least of each grade: hot and warm of a lead, low and medium risk of a deal. None: as usual."
    )
    grades_in: Literal["points", "probability"] = Field("probability", description="What the grades are given in.")

    @property
    def is_scorecard(self) -> bool:
        """Whether points are given, rather than features to train on."""
        return bool(self.points)

    @model_validator(mode="after")
    def _points_or_features(self) -> ScoringFile:
        if bool(self.points) == bool(self.features):
            raise ValueError("give either points (a scorecard) or features (a trained model)")
        names = [part.feature for part in self.points] or list(self.features)
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"named twice: {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _grades_rise(self) -> ScoringFile:
        known = _GRADES[self.task]
        if not self.grades:
            return self
        if set(self.grades) != set(known):
            raise ValueError(f"grades: expected {' and '.join(known)}, got {', '.join(self.grades)}")
        high, low = (self.grades[name] for name in known)
        if not high > low:
            raise ValueError(f"grades: {known[0]} ({high:g}) has to be above {known[1]} ({low:g})")
        if self.grades_in == "points" and not self.is_scorecard:
            raise ValueError("grades_in: only a scorecard has points")
        if self.grades_in == "probability" and not 0.0 < low < high < 1.0:
            raise ValueError("grades: probabilities lie between 0 and 1")
        return self


def read_scoring_file(path: Path) -> ScoringFile:
    """Read a scoring file.

    Raises:
        InputError: if it cannot be read or is not what it must be; every fault is named.
    """
    import yaml

    example = "compare with examples/scoring/scorecard.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"The scoring file {path} cannot be read", got=str(error), next_step="give its path"
        ) from error
    except yaml.YAMLError as error:
        raise InputError(f"The scoring file {path} is no YAML", got=str(error), next_step=example) from error
    try:
        return ScoringFile.model_validate(content)
    except ValidationError as error:
        faults = [_fault(item["loc"], item["msg"]) for item in error.errors()]
        raise InputError(
            f"The scoring file {path} is not valid", got="; ".join(dict.fromkeys(faults)), next_step=example
        ) from error


def check_features(file: ScoringFile, specs: Sequence[FeatureSpec]) -> None:
    """Check a file against the features that a workspace has.

    Raises:
        InputError: naming every unknown feature with the names nearest to it, and every condition that does not suit
            its feature.
    """
    types = {spec.name: spec.dtype for spec in specs}
    faults = [_unknown(name, list(types)) for name in _names(file) if name not in types]
    for part in file.points:
        if part.feature in types:
            faults += _unsuited(part, is_category=types[part.feature] == "category")
    if faults:
        raise InputError(
            f"The scoring model '{file.name}' does not suit this workspace's features",
            got="; ".join(faults),
            next_step="look at the features: salience features list",
        )


def scoring_json_schema() -> dict[str, Any]:
    """The JSON schema of a scoring file, for editors; kept in docs/scoring.schema.json."""
    schema = ScoringFile.model_json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Salience scoring model"} | schema


def _names(file: ScoringFile) -> list[str]:
    return [part.feature for part in file.points] or list(file.features)


def _unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=_NEAR, cutoff=0.5)
    return f"there is no feature '{name}'" + (f" (near: {', '.join(near)})" if near else "")


def _unsuited(part: FeaturePoints, *, is_category: bool) -> list[str]:
    faults = []
    if part.weight is not None and is_category:
        faults.append(f"'{part.feature}' is a category and has no size for a weight")
    for rule in part.rules:
        try:
            read_condition(rule.when, is_category=is_category)
        except ValueError as error:
            faults.append(f"'{part.feature}': {error}")
    return faults


def _fault(place: tuple[int | str, ...], message: str) -> str:
    # Pydantic names the branch of a union that it tried; a reader wants the place in the file.
    steps = [str(step) for step in place if not (isinstance(step, str) and ("[" in step or step in _BRANCHES))]
    return f"{'.'.join(steps) or 'the whole file'}: {message.removeprefix('Value error, ')}"


_BRANCHES = ("bool", "int", "float", "str")
