"""A lead model developed for real on made-up rows, and everything its report is made from."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from training_toy import toy_columns, toy_truth

from common.settings import Settings
from features.specs import FeatureSpec
from training.bundle import describe_features, grade_thresholds, probability_bands, reference_quantiles
from training.classifier import Developed, develop
from training.frame import Frame, Partition, split_at
from training.labels import LEAD_CONVERTED
from training.manifest import Manifest
from training.recipe import Context, Recipe
from training.reporting.inputs import ReportInputs

HOSTILE = "<script>alert('$x_{1}$')</script>"
SEED = 7


def specs() -> tuple[FeatureSpec, ...]:
    numbers = (("count_pricing_view_30d", "int", "intent"), ("employee_count", "float", "fit"))
    made = [
        FeatureSpec(name=name, dtype=dtype, about=f"About {name}.", unit="people", group=group, phrase="{value}")  # type: ignore[arg-type]
        for name, dtype, group in numbers
    ]
    for name in ("lead_source", f"custom_{HOSTILE}"):
        about = f"Field {HOSTILE}."
        made.append(FeatureSpec(name=name, dtype="category", about=about, unit="category", group="fit", phrase=HOSTILE))
    return tuple(made)


def frame(rows: int, *, seed: int = 1) -> Frame:
    """Two rows a lead, ten days apart, over a year; the newest source is hostile."""
    generator = np.random.default_rng(seed)
    leads = rows // 2
    columns: dict[str, Any] = {name: np.repeat(values, 2) for name, values in toy_columns(leads, seed=seed).items()}
    label = np.repeat((generator.random(leads) < toy_truth({k: v[::2] for k, v in columns.items()})).astype(float), 2)
    columns["lead_source"] = columns.pop("source")
    columns["lead_source"][columns["lead_source"] == "event"] = HOSTILE
    columns[f"custom_{HOSTILE}"] = np.array(["a", HOSTILE, None], dtype=object)[generator.integers(0, 3, rows)]
    first = np.sort(generator.integers(0, 350, leads))
    days = np.repeat(first, 2) + np.tile([0, 10], leads)
    return Frame(
        entity=np.repeat(np.array([f"lead {index}" for index in range(leads)], dtype=object), 2),
        as_of=np.datetime64("2024-01-01T06:00:00", "us") + days * np.timedelta64(1, "D"),
        columns=columns,
        specs=specs(),
        horizon_days=30,
        cut=datetime(2025, 3, 1, tzinfo=UTC),
        label_at=lambda _: label,
    )


def inputs(folder: Path, *, rows: int = 3_000) -> ReportInputs:
    """Develop the model and gather what the report is made from."""
    made = frame(rows)
    partition = split_at(made, moment=datetime(2024, 10, 1, tzinfo=UTC), by_entity=False)
    settings = Settings(home=folder, mlruns=folder)
    developed = develop(made, partition, journal=folder / "lead.journal", trials=1, threads=1, seed=SEED)
    recipe = Recipe(
        task="lead",
        feature_service="lead_score_v1",
        outcome=LEAD_CONVERTED,
        horizon_days=30,
        spine=lambda *_: None,  # type: ignore[arg-type, return-value]
        by_entity=False,
    )
    context = Context(
        recipe=recipe,
        settings=settings,
        name=f"toy-lead {HOSTILE}",
        workspace="toy",
        cut=made.cut,
        journal=folder / "lead.journal",
        trials=1,
        accepted={},
        progress=None,
    )
    return ReportInputs(
        context=context,
        source="toy",
        frame=made,
        partition=partition,
        developed=developed,
        manifest=_manifest(made, partition, developed),
        protocols={f"@{HOSTILE}": developed.metrics},
        warnings=(f"A warning about {HOSTILE}",),
    )


def _manifest(made: Frame, partition: Partition, developed: Developed) -> Manifest:
    matrix, label = developed.test_matrix, partition.test_label
    contributions = developed.model.contributions(matrix)[:, :-1]
    entries = describe_features(
        developed.entries, developed.matrix, partition.past_label, explained=matrix, contributions=contributions
    )
    base_rate = float(partition.past_label.mean())
    return Manifest(
        task="lead",
        name="toy-lead",
        version="unregistered",
        feature_service="lead_score_v1",
        features=entries,
        library=developed.model.library,
        horizon_days=30,
        base_rate=base_rate,
        trained_at="2025-03-01T00:00:00+00:00",
        trained_until="2024-09-30T00:00:00+00:00",
        calibration=developed.calibration.to_dict(),
        thresholds=grade_thresholds("lead", base_rate),
        quantiles=reference_quantiles("lead", entries, contributions, developed.probability),
        bands=probability_bands(label, developed.probability, made.entity[partition.test]),
        fingerprint=developed.fingerprint,
        explanation={"rows": 10.0, "top_theme": 1.0},
    )
