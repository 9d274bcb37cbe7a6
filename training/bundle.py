"""Writing a classifier's bundle: model, manifest, and a reference sample for drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from training.agreement import measure_agreement
from training.attribution import load_attribution, write_tables
from training.brier import wilson
from training.explanation import Explainer
from training.like_rows import rate_bins, with_pushes
from training.manifest import Band, FeatureEntry, Manifest
from training.models import Model
from training.scorer import LEAD_GROUPS, Scorer
from training.themes import theme_of

Vector = NDArray[np.float64]

REFERENCE_FILE = "reference.parquet"
REFERENCE_ROWS = 5_000
_BANDS = 10
# Odds of a grade's least probability over the odds of the base rate.
_GRADE_ODDS: dict[str, dict[str, float]] = {
    "lead": {"cold": 0.0, "warm": 1.0, "hot": 3.0},
    "deal": {"high": 0.0, "medium": 0.5, "low": 1.5},
}


def grade_thresholds(task: str, base_rate: float) -> dict[str, float]:
    """Least probability of each grade, from the newest known base rate.

    A lead is warm from the base rate on, and hot at three times its odds (base rate 9 %: 23 %; base rate 40 %: 67 %). A
    deal's risk is low from 1.5 times the base rate's odds on, and high below half of them. Odds keep the thresholds
    between 0 and 1.
    """
    odds = base_rate / (1.0 - base_rate)
    return {grade: factor * odds / (1.0 + factor * odds) for grade, factor in _GRADE_ODDS[task].items()}


def probability_bands(label: Vector, probability: Vector, entity: NDArray[Any]) -> tuple[Band, ...]:
    """Observed rates in ten bands of equally many rows, with Wilson's 95 % interval on their entities (1927)."""
    edges = np.unique(np.quantile(probability, np.linspace(0, 1, _BANDS + 1)))
    if len(edges) < 2:
        edges = np.array([edges[0], np.nextafter(edges[0], np.inf)])
    position = np.clip(np.searchsorted(edges, probability, side="right") - 1, 0, len(edges) - 2)
    bands = []
    for index in range(len(edges) - 1):
        chosen = position == index
        if chosen.any():
            independent = len(set(entity[chosen].tolist()))
            low, high = wilson(float(label[chosen].mean()), independent)
            bands.append(
                Band(
                    low=float(edges[index]),
                    high=float(edges[index + 1]),
                    rate=float(label[chosen].mean()),
                    rate_low=low,
                    rate_high=high,
                    rows=int(chosen.sum()),
                )
            )
    return tuple(bands)


def describe_features(
    entries: Sequence[FeatureEntry], matrix: Vector, label: Vector, *, explained: Vector, contributions: Vector
) -> tuple[FeatureEntry, ...]:
    """The entries with their themes, the outcome rates of like rows, what a value adds, and their importance.

    Args:
        entries: The model's features.
        matrix: All rows trained on.
        label: Their outcomes.
        explained: Some rows of newer days.
        contributions: Their exact Shapley values, without the expected value.
    """
    sizes = np.abs(contributions).mean(axis=0)
    shares = sizes / sizes.sum() if sizes.sum() > 0 else sizes
    described = []
    for position, entry in enumerate(entries):
        bins, missing = rate_bins(matrix[:, position], label, is_category=entry.dtype == "category")
        full = replace(
            entry, bins=bins, missing=missing, importance=float(shares[position]), theme=theme_of(entry.name)
        )
        described.append(with_pushes(full, explained[:, position], contributions[:, position]))
    return tuple(described)


def reference_quantiles(
    task: str, entries: Sequence[FeatureEntry], contributions: Vector, probability: Vector
) -> dict[str, tuple[float, ...]]:
    """101 quantiles of the probability, and for leads of each component's contribution, among the reference rows."""
    grid = np.linspace(0, 1, 101)
    quantiles = {"probability": tuple(np.quantile(probability, grid).tolist())}
    for group in LEAD_GROUPS if task == "lead" else ():
        positions = [index for index, entry in enumerate(entries) if entry.group == group]
        if positions:
            quantiles[group] = tuple(np.quantile(contributions[:, positions].sum(axis=1), grid).tolist())
    return quantiles


def write_bundle(
    folder: Path,
    manifest: Manifest,
    model: Model,
    *,
    columns: Mapping[str, Sequence[Any]],
    as_of: NDArray[np.datetime64],
    explained: Vector,
    contributions: Vector,
    seed: int,
) -> Scorer:
    """Write model, tables of reasons, manifest and the reference sample.

    The sample: features, `probability`, `as_of` of at most 5 000 rows of the test period.

    Args:
        folder: The bundle; made if missing.
        manifest: What it says about itself; how well the fast reasons agree with the exact ones is added here.
        model: The model.
        columns: Feature columns of the test period.
        as_of: Moments of its rows.
        explained: Rows whose reasons are compared.
        contributions: Their exact Shapley values, without the expected value.
        seed: Seed of the sample.

    Returns:
        The scorer read back from the folder, so that what is evaluated is what was written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder)
    write_tables(folder, model, manifest.features)
    explainer = Explainer(manifest.features, base_rate=manifest.base_rate, task=manifest.task)
    fast = load_attribution(folder, model, manifest.features).columns(explained)
    speakers = explainer.first_speakers(explained, fast)
    agreement = measure_agreement(fast, contributions, speakers=speakers, layout=explainer.layout)
    replace(manifest, explanation=agreement).write(folder)
    scorer = Scorer.load(folder, threads=2)
    write_reference(folder, scorer, columns=columns, as_of=as_of, seed=seed)
    return scorer


def write_reference(
    folder: Path, scorer: Scorer, *, columns: Mapping[str, Sequence[Any]], as_of: NDArray[np.datetime64], seed: int
) -> None:
    """Write the reference sample beside the manifest."""
    import pyarrow.parquet as pq

    count = len(as_of)
    chosen = np.arange(count)
    if count > REFERENCE_ROWS:
        chosen = np.sort(np.random.default_rng(seed).choice(count, REFERENCE_ROWS, replace=False))
    sample: dict[str, Any] = {name: np.asarray(columns[name])[chosen] for name in scorer.manifest.feature_names}
    probability = scorer.label_probability(scorer.encode(sample))
    arrays = {
        entry.name: pa.array(
            sample[entry.name], pa.string() if entry.dtype == "category" else pa.float64(), from_pandas=True
        )
        for entry in scorer.manifest.features
    }
    arrays["probability"] = pa.array(probability)
    arrays["as_of"] = pa.array(as_of[chosen].astype("datetime64[us]")).cast(pa.timestamp("us", tz="UTC"))
    pq.write_table(pa.table(arrays), folder / REFERENCE_FILE)
