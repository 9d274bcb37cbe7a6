"""How well the deal model tells which deals are won, beside the truth and beside what could be learned at all.

The bound of all that could be learned is the best possible reader of a CRM (deal_filter.py): beside the model on the
same rows, and as the truth expects it over all Mondays of the world, without the luck of single deals.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from benchmarks.deal_filter import Reading
from benchmarks.deals_world import HORIZON_WEEKS, Later, Trained

_DAYS = 7.0 * HORIZON_WEEKS
_LEAST = 20


def won_in_time(later: Later) -> tuple[np.ndarray, np.ndarray]:
    """Rows watched for the whole horizon, and which of all rows were won within it."""
    outcomes = later.outcomes
    usable = (outcomes.watched_days >= _DAYS) & ~outcomes.is_decided
    return usable, ((outcomes.won == 1.0) & (outcomes.days <= _DAYS)).astype(float)


def show_ability(trained: Trained, later: Later, others: Mapping[str, np.ndarray]) -> list[float]:
    """AUC by stage as a share of the oracle's, log-loss and accuracy; gives the model's shares.

    Args:
        trained: The model.
        later: Rows after the split.
        others: Other answers for the same rows, by name: what could be reached.
    """
    usable, label = won_in_time(later)
    answers = {"model": trained.scorer.futures(later.matrix).by(_DAYS)[0], **others}
    oracle = later.won[:, -1]
    stages = [
        name
        for name in [*sorted(set(later.stage.tolist())), "all"]
        if _LEAST < label[_of(later, usable, name)].sum() < _of(later, usable, name).sum() - _LEAST
    ]
    print(f"\nwon within {HORIZON_WEEKS} weeks: {int(usable.sum()):,} Monday snapshots of "
          f"{len(set(later.entity[usable].tolist())):,} deals, from {trained.split} on")  # fmt: skip
    print("AUC as a share of the oracle's (95 % interval over deals)")
    width = max(len(name) for name in answers) + 2
    print(" " * width + "".join(f"{name:>22}" for name in stages))
    print(f"{'oracle':<{width}}" + "".join(f"{_auc(label, oracle, _of(later, usable, s)):>22.3f}" for s in stages))
    shares: list[float] = []
    for name, said in answers.items():
        found = [_share(later, label, said, oracle, _of(later, usable, stage)) for stage in stages]
        shares = shares or [value for value, _, _ in found]
        print(f"{name:<{width}}" + "".join(f"{v:>8.3f} ({low:.3f}-{high:.3f})" for v, low, high in found))
    _show_losses(later, label, answers["model"], oracle, stages, usable)
    return shares


def _of(later: Later, usable: np.ndarray, stage: str) -> np.ndarray:
    return np.asarray(usable & ((later.stage == stage) | (stage == "all")))


def _auc(label: np.ndarray, said: np.ndarray, rows: np.ndarray) -> float:
    from training.evaluation import auc

    return float(auc(label[rows], said[rows], np.ones((int(rows.sum()), 1)))[0])


def _share(
    later: Later, label: np.ndarray, said: np.ndarray, oracle: np.ndarray, rows: np.ndarray
) -> tuple[float, float, float]:
    """AUC over the oracle's, and the ends of its interval: whole deals are drawn."""
    from training.evaluation import auc, draw_weights

    weights = draw_weights(later.entity[rows], replicates=200, seed=1)
    drawn = auc(label[rows], said[rows], weights) / auc(label[rows], oracle[rows], weights)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return _auc(label, said, rows) / _auc(label, oracle, rows), float(low), float(high)


def _show_losses(
    later: Later, label: np.ndarray, said: np.ndarray, oracle: np.ndarray, stages: list[str], usable: np.ndarray
) -> None:
    from training.evaluation import log_loss

    print(f"\n{'stage':<16}{'rows':>7}{'won':>7}{'log-loss':>10}{'oracle':>8}{'accuracy at 0.5':>17}{'oracle':>8}")
    for stage in stages:
        rows = _of(later, usable, stage)
        losses = [float(log_loss(label[rows], p[rows], np.ones((int(rows.sum()), 1)))[0]) for p in (said, oracle)]
        right = [float(((p[rows] >= 0.5) == (label[rows] == 1)).mean()) for p in (said, oracle)]
        print(f"{stage:<16}{int(rows.sum()):>7}{label[rows].mean():>7.3f}{losses[0]:>10.4f}{losses[1]:>8.4f}"
              f"{right[0]:>17.3f}{right[1]:>8.3f}")  # fmt: skip


def answers_of(reading: Reading, later: Later) -> np.ndarray:
    """What the best reader says of the rows."""
    keys = zip(reading.opportunity_id.tolist(), reading.as_of.astype(np.int64).tolist(), strict=True)
    said = dict(zip(keys, reading.said.tolist(), strict=True))
    moments = later.as_of.astype("datetime64[us]").astype(np.int64).tolist()
    return np.array([said[key] for key in zip(later.entity.tolist(), moments, strict=True)])


def show_bound(reading: Reading, *, bar: float) -> None:
    """Print what the truth expects of the best reader, over all Mondays of all deals, and whether it reaches the bar.

    Args:
        reading: What it says.
        bar: Share of the oracle's AUC that is asked for at each stage.
    """
    from training.evaluation import auc, draw_weights, log_loss
    from warehouse.simulator.parameters import STAGES

    weights = draw_weights(reading.opportunity_id, replicates=200, seed=1)
    weights[:, 0] = 1.0
    print(f"\nthe best reader of a CRM, as the truth expects it: {len(reading.said):,} Mondays of "
          f"{len(set(reading.opportunity_id.tolist())):,} deals, of which the truth expects {reading.truth.mean():.2%} "
          f"to be won within {HORIZON_WEEKS} weeks, the reader {reading.said.mean():.2%}")  # fmt: skip
    print(f"{'stage':<16}{'rows':>8}{'AUC':>8}{'oracle':>8}  {'share (95 %)':<22}{'log-loss':>9}{'oracle':>8}  bar")
    for number, stage in [*enumerate(STAGES), (None, "all")]:
        rows = np.full(len(reading.said), True) if number is None else reading.stage == number
        truth, drawn = reading.truth[rows], weights[rows]
        areas, losses = ([found(truth, p, drawn) for p in (reading.said[rows], truth)] for found in (auc, log_loss))
        share = areas[0] / areas[1]
        low, high = np.quantile(share[1:], [0.025, 0.975])
        verdict = "within reach" if share[0] >= bar else f"{bar} is out of reach"
        print(f"{stage:<16}{int(rows.sum()):>8,}{areas[0][0]:>8.3f}{areas[1][0]:>8.3f}  "
              f"{share[0]:.3f} ({low:.3f}-{high:.3f})   {losses[0][0]:>9.4f}{losses[1][0]:>8.4f}  "
              f"{verdict}")  # fmt: skip
    _show_calibration(reading)


def _show_calibration(reading: Reading) -> None:
    """The reader's probabilities beside the truth's mean, by tenth: equal, or it is no exact reader."""
    tenths = np.array_split(np.argsort(reading.said, kind="stable"), 10)
    for name, values in (("the reader says", reading.said), ("the truth there", reading.truth)):
        print(f"{name:<16}" + "".join(f"{values[rows].mean():>8.3f}" for rows in tenths))
