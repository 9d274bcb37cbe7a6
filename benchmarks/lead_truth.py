"""The lead model on a simulated world beside the truth, what its features can show, and readers that know the rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from lead_cases import Judged
from lead_filter import read

from training.capacity import AtCapacity, at_capacity, first_rows
from training.deals.develop import encode_rows
from training.evaluation import evaluate
from training.frame import Frame, Partition, fit_entries
from training.labels import as_of_times
from training.results import Metric

if TYPE_CHECKING:
    from warehouse.simulator import SimulationConfig

TRUTH = "true_probability"


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
        readers: Figures on the same rows of each reader that knows the world's rates, by its name in lead_filter.py.
        excess: Our log-loss less the oracle's, with the paired interval.
        ahead: Conversions among the leads that a team works first, as a multiple of the rule score's on the same
            leads, with the paired interval: of ours on all leads ("all"), and of ours, the truth, the taught trees and
            each reader on those whose first row has a true probability.
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
    readers: Mapping[str, Mapping[str, Metric]]
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
    said = read(world, since=judged.as_of.min(), seed=seed)
    readers = {name: np.array([says[asked[row]] for row in rows]) for name, says in said.items()}
    first = first_rows(judged.entity, judged.as_of)
    mine = {"rule": judged.developed.answers["rule_score"], "ours": judged.developed.probability}
    shared = np.flatnonzero(np.isin(rows, first))
    known_rows = rows[shared]
    all_orders = {name: score[known_rows] for name, score in mine.items()}
    all_orders |= {"truth": oracle[shared], "taught": taught[shared]}
    all_orders |= {name: says[shared] for name, says in readers.items()}
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
        readers={name: evaluate(label, says, entity=entity, seed=seed) for name, says in readers.items()},
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
