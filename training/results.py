"""What a training run hands on: its result to the registry, its outcome to the caller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.backtest import BacktestWindow
    from training.promotion_log import Decision
    from training.reporting.contents import Verdict


@dataclass(frozen=True)
class Metric:
    """A figure with its 95 % interval; `low` and `high` are None where no interval was drawn."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """A finished model on disk and everything worth keeping about how it came to be.

    Args:
        task: `lead`, `deal` or `forecast`.
        folder: The bundle: `manifest.json` and whatever else the loader reads. It is copied, never changed.
        loader_module: Module with `_load_pyfunc(folder) -> object with predict(frame)`, so that MLflow can load the
            bundle.
        params: Parameters of the run (strings, numbers).
        metrics: Flat figures on the untouched test period, `auc`, `auc_low`, `auc_high`; NaN figures are left out.
        baselines: The same figures of the naive answers, by baseline.
        fingerprint: Digest of the training frame.
        frame: What the frame was: feature service, spine, rows, times, warehouse versions. JSON values only.
        features: Names of the features the model reads, in its order.
        feature_service: Feature service they come from, if any.
        artifacts: Files to log, by the folder they belong to (`plots`, `report`, `study` …).
        input_example: A few rows a user may send, by column; None where the model takes no table.
        output_example: What the model answers to it, by column.
        tags: Further tags of the run.
    """

    task: str
    folder: Path
    loader_module: str
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    baselines: Mapping[str, Mapping[str, float]]
    fingerprint: str
    frame: Mapping[str, Any]
    features: Sequence[str] = ()
    feature_service: str | None = None
    artifacts: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    input_example: Mapping[str, Sequence[Any]] | None = None
    output_example: Mapping[str, Sequence[Any]] | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RegisteredModel:
    """A version in the registry and its bundle on this machine."""

    name: str
    version: str
    run_id: str
    aliases: tuple[str, ...]
    metrics: Mapping[str, float]
    bundle: Path


@dataclass(frozen=True, kw_only=True)
class TrainingOutcome:
    """What a caller learns from a training run.

    Args:
        task: `lead`, `deal` or `forecast`.
        name: Name of the registered model.
        version: Version that was registered.
        run_id: MLflow run.
        metrics: Figures on the untouched test period.
        baselines: The same figures of the naive answers, by baseline.
        protocols: Figures on further protocols, by name (a public set's published split, one per stage …).
        decision: What the gate said.
        bundle: Folder of the version's bundle.
        report: HTML report.
        reused: What an earlier run had already made.
        warnings: Findings a person should read.
        verdict: The report's verdict in words; None where the report has none.
        backtest: The same kind of model at earlier cut-offs, oldest first.
    """

    task: str
    name: str
    version: str
    run_id: str
    metrics: Mapping[str, Metric]
    baselines: Mapping[str, Mapping[str, Metric]]
    protocols: Mapping[str, Mapping[str, Metric]]
    decision: Decision
    bundle: Path
    report: Path
    reused: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    verdict: Verdict | None = None
    backtest: tuple[BacktestWindow, ...] = ()


def flatten(metrics: Mapping[str, Metric]) -> dict[str, float]:
    """Metrics as flat numbers: `auc`, `auc_low`, `auc_high`.

    Example:
        >>> flatten({"auc": Metric(0.7, 0.6, 0.8), "rows": Metric(10.0)})
        {'auc': 0.7, 'auc_low': 0.6, 'auc_high': 0.8, 'rows': 10.0}
    """
    flat: dict[str, float] = {}
    for name, metric in metrics.items():
        flat[name] = metric.value
        if metric.low is not None and metric.high is not None:
            flat[f"{name}_low"], flat[f"{name}_high"] = metric.low, metric.high
    return flat
