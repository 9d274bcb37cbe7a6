"""The deal model on the public sets with deals, case by case; for benchmarks/accuracy.py."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAMES = {"bpic2012": "bpic2012", "maven": "maven_crm"}
"""Source, and the folder of its files."""


@dataclass(frozen=True, kw_only=True)
class JudgedDeals:
    """A training of the deal model on one set.

    Args:
        name: The source.
        metrics: Figures on all test rows.
        protocols: Figures by stage, beside the stage's own win rate, and further ones.
        promoted: Whether the gate let it in.
        reason: Why or why not.
        cases: File with one row per test case.
    """

    name: str
    metrics: Mapping[str, Any]
    protocols: Mapping[str, Mapping[str, Any]]
    promoted: bool
    reason: str
    cases: Path


def judge_deals(name: str, opened: Any, *, trials: int, cases: Path) -> JudgedDeals:
    """Train on a set as a user would, and write down what the model says of each test case.

    Args:
        name: The source.
        opened: Settings, source, workspace, warehouse and repository of a fresh workspace.
        trials: Trials of the studies.
        cases: Folder for the cases.
    """
    from training.deal import deal_recipe, train_deal
    from training.registry import ModelRegistry
    from training.scorer import Scorer
    from training.train import training_context, training_rows

    settings, source, workspace, warehouse, repository = opened
    outcome = train_deal(
        repository, warehouse, ModelRegistry(settings), source, trials=trials, settings=settings, progress=None
    )
    context = training_context(deal_recipe(source), workspace, warehouse, trials=trials, settings=settings)
    frame, partition, _ = training_rows(context, repository, warehouse)
    scorer = Scorer.load(outcome.bundle, threads=2)
    columns = {entry: frame.columns[entry][partition.test] for entry in scorer.manifest.feature_names}
    probability = scorer.label_probability(scorer.encode(columns))
    stages = frame.columns["stage"][partition.test]
    rows = zip(
        frame.entity[partition.test].tolist(),
        frame.as_of[partition.test].astype(str).tolist(),
        stages.tolist(),
        partition.test_label.astype(int).tolist(),
        probability.tolist(),
        strict=True,
    )
    path = cases / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "as_of", "stage", "y", "p"])
        writer.writerows(rows)
    return JudgedDeals(
        name=name,
        metrics=outcome.metrics,
        protocols=outcome.protocols,
        promoted=outcome.decision.promoted,
        reason=outcome.decision.reason,
        cases=path,
    )
