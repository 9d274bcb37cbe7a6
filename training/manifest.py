"""The manifest of a classifier's bundle: everything needed to score and explain besides the trees themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from common.errors import NotFoundError

MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class RateBin:
    """Outcome rate of the training rows whose value lies in [low, high], or has one of the category codes.

    Args:
        low: Least value, -inf as None.
        high: Greatest value, inf as None.
        rate: Share of the rows with the outcome, shrunk towards the base rate where rows are few.
        rows: Training rows in the bin.
        push: Mean contribution of such a value, log-odds.
    """

    low: float | None
    high: float | None
    rate: float
    rows: int
    push: float = 0.0


@dataclass(frozen=True, kw_only=True)
class FeatureEntry:
    """One feature of a model, in the model's order.

    Args:
        name: Name in the feature service.
        dtype: `float`, `int`, `bool` or `category`.
        group: Component it counts for (`behavioral`, `demographic`, … or `state`, `rep`, …).
        about: What it means.
        unit: Its unit.
        phrase: Reason in words with `{value}`.
        direction: Sign the model was held to; 0 for free.
        categories: For a category: the values of the codes 0, 1, …, ordered by outcome rate; None at the code of all
            others.
        other_code: Code of every category that was rare or unseen in training.
        bins: Outcome rates of like rows.
        missing: Outcome rate of the rows without a value.
        importance: Share of the mean absolute contribution, 0 to 1.
        theme: The reason it belongs to, see `training.themes`.
    """

    name: str
    dtype: str
    group: str
    about: str
    unit: str
    phrase: str
    direction: int = 0
    categories: tuple[str | None, ...] = ()
    other_code: int = -1
    bins: tuple[RateBin, ...] = ()
    missing: RateBin | None = None
    importance: float = 0.0
    theme: str = ""

    @cached_property
    def codes(self) -> Mapping[str, float]:
        """Codes of a category's known values."""
        return {name: float(code) for code, name in enumerate(self.categories) if name is not None}


@dataclass(frozen=True, kw_only=True)
class Band:
    """Test rows with a probability in [low, high): how often the outcome came, with its 95 % interval."""

    low: float
    high: float
    rate: float
    rate_low: float
    rate_high: float
    rows: int


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All of a bundle but the trees.

    Args:
        task: `lead` or `deal`.
        name: Name of the registered model.
        version: Version in the registry; "unregistered" before it has one.
        feature_service: Feature service the features come from.
        features: In the order of the matrix.
        library: Kind of the model, see `training.models`.
        horizon_days: The outcome counts when it comes within so many days of as_of.
        base_rate: Outcome rate of the rows trained on.
        trained_at: When training ran, ISO 8601 UTC.
        trained_until: Newest as_of of the rows trained or calibrated on, ISO 8601 UTC.
        calibration: Method and parameters, as `Calibration.to_dict` gives them.
        thresholds: Least probability of each grade.
        quantiles: 101 quantiles of the probability and of each group's contribution, for scores from 0 to 100.
        bands: Observed rates by predicted probability on the test period, for `confidence`.
        metrics: Flat figures on the test period.
        baselines: The same of the naive answers.
        valid_for_hours: How long a score is valid.
        fingerprint: Digest of the training frame.
        explanation: How the fast reasons compare with the exact ones, see `training.agreement`.
    """

    task: str
    name: str
    version: str
    feature_service: str
    features: tuple[FeatureEntry, ...]
    library: str
    horizon_days: int
    base_rate: float
    trained_at: str
    trained_until: str
    calibration: Mapping[str, Any]
    thresholds: Mapping[str, float]
    quantiles: Mapping[str, tuple[float, ...]]
    bands: tuple[Band, ...]
    metrics: Mapping[str, float] = field(default_factory=dict)
    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    valid_for_hours: int = 24
    fingerprint: str = ""
    explanation: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features in the order of the matrix."""
        return tuple(feature.name for feature in self.features)

    def write(self, folder: Path) -> None:
        """Write `manifest.json` into `folder`."""
        text = json.dumps(asdict(self), indent=1, allow_nan=False)
        (folder / MANIFEST_FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read `manifest.json` of `folder`.

        Raises:
            NotFoundError: if the folder holds no manifest.
        """
        path = folder / MANIFEST_FILE
        if not path.is_file():
            raise NotFoundError(
                f"{folder} holds no {MANIFEST_FILE}, so it is no model bundle",
                next_step="train a model, or ask the registry for its bundle",
            )
        return cls.from_dict(json.loads(path.read_text(encoding="utf-8")))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Manifest:
        """The manifest that `asdict` had turned into plain values."""
        plain = dict(values)
        plain["features"] = tuple(_feature(entry) for entry in plain["features"])
        plain["bands"] = tuple(Band(**band) for band in plain["bands"])
        plain["quantiles"] = {name: tuple(points) for name, points in plain["quantiles"].items()}
        return cls(**plain)


def _feature(values: Mapping[str, Any]) -> FeatureEntry:
    plain = dict(values)
    plain["categories"] = tuple(plain["categories"])
    plain["bins"] = tuple(RateBin(**rate_bin) for rate_bin in plain["bins"])
    plain["missing"] = RateBin(**plain["missing"]) if plain["missing"] is not None else None
    return FeatureEntry(**plain)
