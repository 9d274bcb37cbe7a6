"""A toy lead model on disk, trained for real: rows whose truth is known, and the bundle made from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from training.bundle import (
    describe_features,
    grade_thresholds,
    probability_bands,
    reference_quantiles,
    write_bundle,
)
from training.calibration import Calibration, sigmoid
from training.encoding import encode_columns, fit_categories
from training.manifest import FeatureEntry, Manifest
from training.models import FitData
from training.scorer import Scorer
from training.trees import Library, fit_trees

SOURCES = ("web", "event", "referral")


def toy_columns(rows: int, *, seed: int) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    employees = generator.lognormal(5, 1, rows)
    employees[generator.random(rows) < 0.1] = np.nan
    return {
        "count_pricing_view_30d": generator.poisson(1.0, rows).astype(float),
        "employee_count": employees,
        "source": np.array([SOURCES[i] for i in generator.integers(0, 3, rows)], dtype=object),
    }


def toy_truth(columns: dict[str, Any]) -> np.ndarray:
    lift = {"web": -0.5, "event": 0.0, "referral": 0.9}
    return sigmoid(-2.0 + 0.8 * columns["count_pricing_view_30d"] + np.array([lift[s] for s in columns["source"]]))


def toy_entries(columns: dict[str, Any], label: np.ndarray) -> list[FeatureEntry]:
    categories, other = fit_categories(columns["source"], label)
    return [
        FeatureEntry(
            name="count_pricing_view_30d",
            dtype="int",
            group="intent",
            about="Views of the pricing page in 30 days",
            unit="events",
            phrase="viewed pricing {value} times in 30 days",
            direction=1,
        ),
        FeatureEntry(
            name="employee_count",
            dtype="float",
            group="fit",
            about="Employees of the company",
            unit="people",
            phrase="the company has {value} employees",
        ),
        FeatureEntry(
            name="source",
            dtype="category",
            group="demographic",
            about="Where the lead came from",
            unit="category",
            phrase="came from {value}",
            categories=categories,
            other_code=other,
        ),
    ]


def train_toy(
    folder: Path,
    *,
    library: Library = "lightgbm",
    rounds: int = 60,
    rows: int = 3_000,
    seed: int = 1,
    noise: float = 0.0,
    task: str = "lead",
) -> Scorer:
    """Train and write a bundle; `noise` is the share of labels that are drawn anew, for a worse model."""
    columns = toy_columns(rows, seed=seed)
    truth = toy_truth(columns)
    generator = np.random.default_rng(seed + 1)
    label = (generator.random(rows) < truth).astype(float)
    spoiled = generator.random(rows) < noise
    label[spoiled] = (generator.random(int(spoiled.sum())) < 0.5).astype(float)
    entries = toy_entries(columns, label)
    matrix = encode_columns(columns, entries)
    params: dict[str, Any] = (
        {"num_leaves": 7, "learning_rate": 0.1} if library == "lightgbm" else {"max_depth": 3, "eta": 0.1}
    )
    data = FitData(matrix=matrix, label=label, categorical=[2], monotone=[1, 0, 0])
    trees = fit_trees(library, params, data, rounds=rounds, threads=1, seed=seed)
    contributions = trees.contributions(matrix)[:, :-1]
    probability = sigmoid(trees.margin(matrix))
    described = describe_features(entries, matrix, label, explained=matrix, contributions=contributions)
    base_rate = float(label.mean())
    manifest = Manifest(
        task=task,
        name=f"toy-{task}",
        version="unregistered",
        feature_service="lead_score_v1",
        features=described,
        library=library,
        horizon_days=90,
        base_rate=base_rate,
        trained_at="2025-01-01T00:00:00+00:00",
        trained_until="2024-12-31T00:00:00+00:00",
        calibration=Calibration().to_dict(),
        thresholds=grade_thresholds(task, base_rate),
        quantiles=reference_quantiles(task, described, contributions, probability),
        bands=probability_bands(label, probability, np.arange(rows)),
        metrics={"auc": 0.7},
        baselines={"const": {"auc": 0.5}},
        fingerprint="toy",
    )
    as_of = np.full(rows, np.datetime64("2024-12-31", "us"))
    return write_bundle(
        folder,
        manifest,
        trees,
        columns=columns,
        as_of=as_of,
        explained=matrix,
        contributions=contributions,
        seed=seed,
    )
