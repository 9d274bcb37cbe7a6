"""The lead model developed on a split, case by case: what `accuracy.py` prints and writes down."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training.classifier import Developed, develop
from training.frame import Frame, Partition
from training.lead import lead_recipe
from training.recipe import Context
from training.splits import instant
from training.train import training_rows

if TYPE_CHECKING:
    from common.settings import Settings
    from common.workspace import Workspace
    from features.repository import FeatureRepository
    from warehouse.sources import Source
    from warehouse.store import Warehouse

# Folder, and the reference's figures on the published split (../shared/data/README.md); NaN where none is given.
PUBLIC: dict[str, tuple[str, dict[str, float]]] = {
    "olist": ("olist", {"auc": 0.641, "pr_auc": 0.152, "log_loss": 0.350}),
    "marketstar": ("marketstar", {"auc": 0.537, "pr_auc": 0.031, "log_loss": 0.119}),
    "xedu": ("xedu_leads", {"auc": 0.877, "pr_auc": 0.841, "log_loss": 0.426}),
    "bank": ("bank_additional", {"auc": 0.658, "log_loss": 0.788}),
}
PUBLISHED, HONEST = "published split", "known then"


@dataclass(frozen=True)
class Judged:
    """One model on one split.

    Args:
        split: How past and test were cut.
        developed: The model and its figures.
        partition: The split.
        entity: Lead of each test row.
        as_of: Moment of each test row.
    """

    split: str
    developed: Developed
    partition: Partition
    entity: Any
    as_of: Any


def prepared(
    source: Source, workspace: Workspace, warehouse: Warehouse, repository: FeatureRepository, *, settings: Settings
) -> tuple[Frame, Partition]:
    """The frame of a source's lead model and its honest split."""
    context = Context(
        recipe=lead_recipe(source),
        settings=settings,
        name=workspace.model_name("lead"),
        workspace=workspace.name,
        cut=warehouse.cut(),
        journal=workspace.root / "unused.journal",
        trials=1,
        accepted={},
        progress=None,
    )
    frame, partition, _ = training_rows(context, repository, warehouse)
    return frame, partition


def judge(frame: Frame, partition: Partition, *, split: str, folder: Path, trials: int, settings: Settings) -> Judged:
    """Develop a model on one split."""
    training = settings.training
    developed = develop(
        frame,
        partition,
        journal=folder / "studies" / f"{split.replace(' ', '-')}.journal",
        trials=trials,
        threads=training.threads,
        seed=training.seed,
        n_windows=0,
    )
    test = partition.test
    return Judged(split, developed, partition, frame.entity[test], frame.as_of[test])


def public_splits(source: Source, frame: Frame, honest: Partition) -> Iterator[tuple[str, Partition]]:
    """The published split, and ours with the same test rows where it differs.

    Published: every older row trains, with its label as known today. Ours: only rows whose label was known when the
    test begins. A share is counted out to the row; rows of one moment keep the order of the numbers in their ids.
    """
    protocol = source.lead
    final = frame.label_at(frame.cut)
    usable = np.flatnonzero(~np.isnan(final))
    if protocol is None or protocol.test_share is None:
        is_test = frame.as_of[usable] >= instant(honest.moment)
        past, test = usable[~is_test], usable[is_test]
    else:
        number = np.array([int("".join(c for c in str(e) if c.isdigit()) or 0) for e in frame.entity[usable]])
        ordered = usable[np.lexsort((number, frame.as_of[usable]))]
        begin = round(len(ordered) * (1.0 - protocol.test_share))
        past, test = np.sort(ordered[:begin]), np.sort(ordered[begin:])
    moment = frame.as_of[test].min()
    about = "published protocol: every older row trains, labels as known today"
    yield (
        PUBLISHED,
        Partition(
            about=about,
            moment=honest.moment,
            past=past,
            past_label=final[past],
            test=test,
            test_label=final[test],
        ),
    )
    known = frame.label_at(moment.astype("datetime64[us]").item().replace(tzinfo=honest.moment.tzinfo))
    then = past[~np.isnan(known[past]) & (frame.as_of[past] < moment)]
    if len(then) < len(past):
        yield (
            HONEST,
            Partition(
                about="the same test rows; only labels known when the test begins train",
                moment=honest.moment,
                past=then,
                past_label=known[then],
                test=test,
                test_label=final[test],
            ),
        )


def write_cases(judged: Judged, path: Path, *, truth: Mapping[int, float] | None = None) -> Path:
    """One row per test case: id, as_of, y, p, and the true probability where it is known."""
    path.parent.mkdir(parents=True, exist_ok=True)
    label, probability = judged.partition.test_label, judged.developed.probability
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "as_of", "y", "p", *([] if truth is None else ["true_p"])])
        for row in range(len(label)):
            known = [] if truth is None else [f"{truth[row]:.6f}" if row in truth else ""]
            moment = np.datetime_as_string(judged.as_of[row], unit="s") + "Z"
            writer.writerow([judged.entity[row], moment, int(label[row]), f"{probability[row]:.6f}", *known])
    return path
