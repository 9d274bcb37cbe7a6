"""The forecast of series by the public protocols, case by case, beside naive forecasts and AutoETS; for accuracy.py."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from series_origins import Origins, before_the_test
from series_peers import QUANTILES, peers_of

FIGURES = ("wape", "mase", "pinball")
_COLUMNS = {
    "entity_id": "series",
    "period_start": "date",
    "level": "level",
    "expected": "expected",
    "median": "median",
    "lower_80": "low80",
    "upper_80": "high80",
    "lower_95": "low95",
    "upper_95": "high95",
    "actual": "actual",
}


@dataclass(frozen=True, kw_only=True)
class JudgedSeries:
    """A training of the forecast on one set.

    Args:
        name: The source.
        levels: Its levels, highest first.
        figures: By forecaster ("ours" and the peers), level and figure of `FIGURES`.
        coverage: By level and percent: share of actual values in our range, and its 95 % interval.
        past: Ours and the peers at the origins before the test.
        verdict: What was chosen.
        cases: File with one row per series of all levels and date.
    """

    name: str
    levels: tuple[str, ...]
    figures: Mapping[str, Mapping[str, Mapping[str, float]]]
    coverage: Mapping[tuple[str, int], tuple[float, float, float]]
    past: Origins
    verdict: str
    cases: Path


def judge_series(name: str, opened: Any, *, cases: Path) -> JudgedSeries:
    """Train on a set as a user would, and set what the forecast said of the test periods beside its peers.

    Args:
        name: The source.
        opened: Settings, source, workspace, warehouse and repository of a fresh workspace.
        cases: Folder for the cases.
    """
    from training.forecast.gate import BACKTEST_FILE
    from training.forecast.series_data import arrange_series, read_series
    from training.forecast.store import MANIFEST_FILE
    from training.forecast.train import train_forecast
    from training.registry import ModelRegistry
    from warehouse.present import known_until

    settings, source, _, warehouse, repository = opened
    outcome = train_forecast(repository, warehouse, ModelRegistry(settings), source, settings=settings)
    rows = pd.read_parquet(outcome.bundle / BACKTEST_FILE)
    protocol = source.forecast
    at = known_until(settings, warehouse)
    data = arrange_series(read_series(warehouse, as_of=at), level_names=protocol.level_names or ("level_1", "level_2"))
    ours = _ours(rows, data, h=protocol.test_periods)
    peers = peers_of(data, h=protocol.test_periods, season_length=protocol.season_length)
    figures = {
        who: _figures(said, data, h=protocol.test_periods, season_length=protocol.season_length)
        for who, said in {"ours": ours, **peers}.items()
    }
    details = json.loads((outcome.bundle / MANIFEST_FILE).read_text(encoding="utf-8"))["details"]
    path = cases / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows[list(_COLUMNS)].rename(columns=_COLUMNS).to_csv(path, index=False)
    return JudgedSeries(
        name=name,
        levels=data.hierarchy.levels,
        figures=figures,
        coverage={
            (level, percent): _held(rows, level, percent) for level in data.hierarchy.levels for percent in (80, 95)
        },
        past=before_the_test(data, h=protocol.test_periods, season_length=protocol.season_length),
        verdict=_verdict(details),
        cases=path,
    )


def _verdict(details: Mapping[str, Any]) -> str:
    """What the rolling origins chose, in a line."""
    weights = "; ".join(
        f"{level} " + " ".join(f"{name} {share:.2f}" for name, share in sorted(of.items(), key=lambda one: -one[1]))
        for level, of in details["weights"].items()
    )
    return f"{details['reconciliation']} on {len(details['cutoffs'])} origins; weights: {weights}"


def _ours(rows: pd.DataFrame, data: Any, *, h: int) -> dict[str, np.ndarray]:
    """Quantiles of all series by period, and `point`, each of shape (n_series, h)."""
    periods = [period.name for period in data.periods[-h:]]
    order = pd.MultiIndex.from_tuples(
        [(level, name) for level in data.hierarchy.levels for name in data.hierarchy.ids[level]]
    )
    found = {}
    for column in (*QUANTILES, "expected"):
        wide = rows.pivot(index=["level", "entity_id"], columns="period", values=column).loc[order, periods]
        found["point" if column == "expected" else column] = wide.to_numpy(dtype=np.float64)
    return found


def _figures(said: Mapping[str, np.ndarray], data: Any, *, h: int, season_length: int) -> dict[str, dict[str, float]]:
    """WAPE, MASE (mean of the series that ever moved), and pinball loss, mean of five quantiles over mean actual."""
    values = data.all_levels
    history, actual = values[:, :-h], values[:, -h:]
    usual = np.abs(history[:, season_length:] - history[:, :-season_length]).mean(axis=1)
    found = {}
    for level in data.hierarchy.levels:
        rows = data.hierarchy.rows(level)
        error = np.abs(actual[rows] - said["point"][rows])
        moves = usual[rows] > 0
        total = float(np.abs(actual[rows]).sum())
        losses = [
            np.maximum(share * (actual[rows] - said[name][rows]), (share - 1) * (actual[rows] - said[name][rows])).sum()
            for name, share in QUANTILES.items()
        ]
        found[level] = {
            "wape": float(error.sum()) / total,
            "mase": float((error.mean(axis=1)[moves] / usual[rows][moves]).mean()),
            "pinball": float(np.mean(losses)) / total,
        }
    return found


def _held(rows: pd.DataFrame, level: str, percent: int) -> tuple[float, float, float]:
    """Share of actual values within the range, and its 95 % interval.

    Values of one series share their luck: the interval counts series (cluster-robust). A level of one series has the
    interval of so many independent periods (Wilson 1927), which is narrower than the truth.
    """
    part = rows[rows["level"] == level]
    held = (part["actual"] >= part[f"lower_{percent}"]) & (part["actual"] <= part[f"upper_{percent}"])
    by_series = held.groupby(part["entity_id"]).mean().to_numpy(dtype=np.float64)
    share, z = float(held.mean()), 1.96
    if len(by_series) > 1:
        error = z * float(by_series.std(ddof=1)) / np.sqrt(len(by_series))
        return share, max(share - error, 0.0), min(share + error, 1.0)
    n = len(held)
    centre, root = (share + z**2 / (2 * n)) / (1 + z**2 / n), share * (1 - share) / n + z**2 / (4 * n**2)
    error = z * np.sqrt(root) / (1 + z**2 / n)
    return share, float(centre - error), float(centre + error)
