"""The lead model on public sets and on the simulated world, case by case: what `accuracy.py` prints and writes down."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from lead_filter import best_reader

from training.capacity import AtCapacity, at_capacity, first_rows
from training.classifier import Developed, develop
from training.deals.develop import encode_rows
from training.evaluation import evaluate
from training.frame import Frame, Partition, fit_entries
from training.labels import as_of_times
from training.lead import lead_recipe
from training.recipe import Context
from training.results import Metric
from training.splits import instant
from training.train import training_rows

if TYPE_CHECKING:
    from common.settings import Settings
    from common.workspace import Workspace
    from features.repository import FeatureRepository
    from warehouse.simulator import SimulationConfig
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
TRUTH = "true_probability"


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


@dataclass(frozen=True)
class AgainstTruth:
    """Our figures and the oracle's on the test rows that have a true probability.

    Args:
        matched: How many of the test rows those are.
        rows: Test rows in all.
        oracle: Figures of the true probability.
        ours: Our figures on the same rows.
        taught: Figures on the same rows of trees taught the true probabilities of the past by the same features:
            what these features can show, were every past lead seen a thousand times.
        reader: Figures on the same rows of the best possible reader of a CRM (lead_filter.py): what anything can show.
        excess: Our log-loss less the oracle's, with the paired interval.
        ahead: Conversions among the leads that a team works first, as a multiple of the rule score's on the same
            leads, with the paired interval: of ours on all leads, and of ours, the truth, the taught trees and the
            best reader on those whose first row has a true probability.
        expected: The same on those leads of the conversions that the truth expects instead of those that came: without
            the luck of single leads.
        caught: Conversions that the rule score's order and ours catch.
        worked: Leads worked.
        truth: True probability by test row.
    """

    matched: int
    rows: int
    oracle: Mapping[str, Metric]
    ours: Mapping[str, Metric]
    taught: Mapping[str, Metric]
    reader: Mapping[str, Metric]
    excess: Metric
    ahead: Mapping[str, Metric]
    expected: Mapping[str, Metric]
    caught: Mapping[str, float]
    worked: int
    truth: Mapping[int, float]


def against_truth(
    judged: Judged,
    frame: Frame,
    truth_file: Path,
    *,
    world: SimulationConfig,
    horizon_days: int,
    capacity: float,
    seed: int,
) -> AgainstTruth:
    """Match test rows with the simulator's hidden truth by lead and moment, and compare on these.

    The truth is P(converts in (as_of, as_of + 90 days]); the label of a row is the same event. A lead's first row is
    scored when it was recorded: where that was later than its first contact there is no truth for the moment, and the
    row is left out here.
    """
    import pyarrow.parquet as pq

    table = pq.read_table(truth_file)
    if set(table.column("horizon_days").unique().to_pylist()) != {horizon_days}:
        raise ValueError(f"The truth is not of {horizon_days} days")
    moments = as_of_times(table).astype(np.int64)
    keys = zip(table.column("lead_id").to_pylist(), moments.tolist(), strict=True)
    known = dict(zip(keys, table.column(TRUTH).to_numpy().tolist(), strict=True))
    asked = _keys(judged.entity, judged.as_of)
    truth = {row: known[key] for row, key in enumerate(asked) if key in known}
    rows = np.fromiter(truth, dtype=np.int64)
    oracle = np.fromiter(truth.values(), dtype=np.float64)
    label, entity = judged.partition.test_label[rows], judged.entity[rows]
    ours = judged.developed.probability[rows]
    taught = _taught(frame, judged.partition, known, rows=rows, seed=seed)
    read = best_reader(world, since=judged.as_of.min(), seed=seed)
    reader = np.array([read[asked[row]] for row in rows])
    first = first_rows(judged.entity, judged.as_of)
    mine = {"rule": judged.developed.answers["rule_score"], "ours": judged.developed.probability}
    shared = np.flatnonzero(np.isin(rows, first))
    known_rows = rows[shared]
    all_orders = {name: score[known_rows] for name, score in mine.items()}
    all_orders |= {"truth": oracle[shared], "taught": taught[shared], "reader": reader[shared]}
    first_label, first_entity = judged.partition.test_label[first], judged.entity[first]
    share, ahead = _ahead(first_label, first_entity, {name: s[first] for name, s in mine.items()}, capacity, seed)
    _, ahead_known = _ahead(label[shared], entity[shared], all_orders, capacity, seed)
    _, ahead_expected = _ahead(oracle[shared], entity[shared], all_orders, capacity, seed)
    return AgainstTruth(
        matched=len(rows),
        rows=len(judged.partition.test),
        oracle=evaluate(label, oracle, entity=entity, seed=seed),
        ours=evaluate(label, ours, entity=entity, seed=seed),
        taught=evaluate(label, taught, entity=entity, seed=seed),
        reader=evaluate(label, reader, entity=entity, seed=seed),
        excess=_excess(label, ours, oracle, entity, seed=seed),
        ahead={"all": ahead["ours"], **ahead_known},
        expected=ahead_expected,
        caught={name: share.by_order[name].caught.value for name in mine},
        worked=share.count,
        truth=truth,
    )


def _ahead(
    label: Any, entity: Any, orders: Mapping[str, Any], capacity: float, seed: int
) -> tuple[AtCapacity, dict[str, Metric]]:
    """What working leads by each order catches, and as a multiple of the rule's, its interval paired."""
    found: dict[str, Metric] = {}
    for name in orders:
        pair = {name: orders[name], "rule": orders["rule"]}
        share = at_capacity(label, pair, entity=entity, shares=(capacity,), seed=seed)[0]
        rule = max(share.by_order["rule"].caught.value, 1.0)
        more = share.ahead.get("rule", Metric(0.0, 0.0, 0.0))
        ends = [None if end is None else 1.0 + end / rule for end in (more.low, more.high)]
        found[name] = Metric(1.0 + more.value / rule, *ends)
    return at_capacity(label, orders, entity=entity, shares=(capacity,), seed=seed)[0], found


def _keys(entity: Any, as_of: Any) -> list[tuple[str, int]]:
    moments = as_of.astype("datetime64[us]").astype(np.int64).tolist()
    return list(zip(entity.tolist(), moments, strict=True))


def _taught(frame: Frame, partition: Partition, known: Mapping[tuple[str, int], float], *, rows: Any, seed: int) -> Any:
    """Probabilities of test rows, from trees taught the true probabilities of the past by the same features."""
    import lightgbm

    entries = fit_entries(frame, partition.past, partition.past_label)
    past = _keys(frame.entity[partition.past], frame.as_of[partition.past])
    has_truth = [row for row, key in enumerate(past) if key in known]
    learned = partition.past[has_truth]
    data = lightgbm.Dataset(
        encode_rows(frame, entries, learned),
        label=np.array([known[past[row]] for row in has_truth]),
        categorical_feature=[at for at, entry in enumerate(entries) if entry.dtype == "category"],
    )
    params = {
        "objective": "cross_entropy",
        "learning_rate": 0.04,
        "num_leaves": 24,
        "min_data_in_leaf": 100,
        "feature_fraction": 0.4,
        "verbosity": -1,
        "seed": seed,
        "num_threads": 2,
    }
    model = lightgbm.train(params, data, num_boost_round=700)
    return np.asarray(model.predict(encode_rows(frame, entries, partition.test[rows])))


def _excess(label: Any, ours: Any, oracle: Any, entity: Any, *, seed: int) -> Metric:
    """Mean difference of the two log-losses, and its interval over leads drawn with their rows."""
    from training.calibration import log_loss_rows
    from training.evaluation import draw_weights

    difference = log_loss_rows(label, ours) - log_loss_rows(label, oracle)
    weights = draw_weights(entity, replicates=200, seed=seed)
    drawn = np.einsum("i,ij->j", difference, weights) / weights.sum(axis=0)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Metric(float(difference.mean()), float(low), float(high))
