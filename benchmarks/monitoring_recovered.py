"""What a loop's model is worth beside one that learned the new regime: per world, and over several worlds.

Each figure is the loop's model relative to the new regime's, on the same rows: log-loss above it, AUC below it. It is
taken twice: as the leads' outcomes say, and as the simulator's hidden truth expects those outcomes, which takes the
luck of the leads out. Intervals are paired and by lead (whole leads are drawn with replacement); what is left out of
them is the luck of training, which the spread between worlds holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

MOST_LOST = 0.02
REPLICATES = 500
LEADS, TRUTH = "as the leads did", "as the truth expects"
LOSS, AREA = "log-loss above", "AUC below"
_LEVELS = (0.025, 0.975)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A world's later rows and what each model answers to them.

    Args:
        label: Outcome of each row.
        truth: True probability of that outcome; NaN where the simulator kept none for the moment.
        entity: Lead of each row.
        answers: By model; the last but one is the loop's, the last one the new regime's.
    """

    label: np.ndarray
    truth: np.ndarray
    entity: np.ndarray
    answers: Mapping[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class World:
    """What a world came to: by (figure, by which outcomes) the ratio, and after it those of the replicates."""

    name: str
    ratios: Mapping[tuple[str, str], np.ndarray]


def rows_to_judge(place: Any, bundles: Mapping[str, Path], *, since: datetime, end: datetime) -> Judged:
    """Rows whose moment is after `since` and whose labels are mature at `end`, answered by each model."""
    from features.spines import lead_history_spine
    from monitoring.gathering import scored_frame
    from monitoring.windows import rows_within
    from training.labels import LEAD_CONVERTED, label_spine
    from training.scorer import Scorer

    horizon_days = place.source.lead.horizon_days
    spine = lead_history_spine(place.warehouse, mode=place.source.lead.spine, until=end)
    spine = rows_within(spine, (since, end - timedelta(days=horizon_days)))
    label = label_spine(spine, place.warehouse, outcome=LEAD_CONVERTED, horizon_days=horizon_days, cut=end).value
    known = ~np.isnan(label)
    answers = {
        name: np.asarray(scored_frame(place.repository, Scorer.load(bundle), spine, progress=None)["probability"])[
            known
        ]
        for name, bundle in bundles.items()
    }
    truth = true_probability(spine, place.workspace.truth / "lead_truth.parquet", horizon_days=horizon_days)
    entity = np.array(spine["lead_id"].to_pylist(), dtype=object)
    return Judged(label=label[known], truth=truth[known], entity=entity[known], answers=answers)


def true_probability(spine: Any, file: Path, *, horizon_days: int) -> np.ndarray:
    """P(converts within the horizon) of each row of a spine; NaN where the simulator kept none for the moment."""
    import pyarrow.parquet as pq

    from training.labels import as_of_times

    table = pq.read_table(file)
    if set(table.column("horizon_days").unique().to_pylist()) != {horizon_days}:
        raise ValueError(f"The truth is not of {horizon_days} days")
    known = dict(zip(_keys(table, as_of_times), table.column("true_probability").to_pylist(), strict=True))
    return np.array([known.get(key, np.nan) for key in _keys(spine, as_of_times)], dtype=np.float64)


def _keys(table: Any, as_of_times: Any) -> list[tuple[str, int]]:
    moments = as_of_times(table).astype(np.int64)
    return list(zip(table.column("lead_id").to_pylist(), moments.tolist(), strict=True))


def compare(judged: Judged, *, name: str, seed: int) -> World:
    """Print each model's figures in a world, and hold the loop's to the new regime's."""
    ratios: dict[tuple[str, str], np.ndarray] = {}
    leads = len(set(judged.entity.tolist()))
    print(f"{len(judged.label):,} moments of {leads:,} leads, {judged.label.mean():.1%} convert")
    print(f"{'':<34}{LEADS:>24}{TRUTH:>26}\n{'model':<36}{'log-loss':>12}{'AUC':>10}{'log-loss':>16}{'AUC':>10}")
    has_truth = ~np.isnan(judged.truth)
    found = {
        LEADS: _figures(judged.label, judged.entity, judged.answers, seed=seed),
        TRUTH: _figures(
            judged.truth[has_truth],
            judged.entity[has_truth],
            {model: told[has_truth] for model, told in judged.answers.items()}
            | {"the truth itself": judged.truth[has_truth]},
            seed=seed,
        ),
    }
    for model, (loss, area) in found[TRUTH].items():
        own = found[LEADS].get(model)
        print(
            f"{model:<36}{f'{own[0][0]:>12.4f}{own[1][0]:>10.4f}' if own else ' ' * 22}{loss[0]:>16.4f}{area[0]:>10.4f}"
        )
    ours, fresh = list(judged.answers)[-2:]
    for by, figures in found.items():
        ratios[LOSS, by] = figures[ours][0] / figures[fresh][0] - 1
        ratios[AREA, by] = 1 - figures[ours][1] / figures[fresh][1]
    world = World(name=name, ratios=ratios)
    for (what, by), ratio in ratios.items():
        print(f"in use, {what} the new regime's model, {by}: {_with_interval(ratio)}")
    return world


def _figures(
    label: np.ndarray, entity: np.ndarray, answers: Mapping[str, np.ndarray], *, seed: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Log-loss and AUC of each model, first on all rows, then in each replicate; a label may be a probability."""
    from training.evaluation import auc
    from training.resampling import resample

    drawn = resample(entity, replicates=REPLICATES, seed=seed)
    weights = np.column_stack([np.ones(len(label)), drawn.weights[drawn.group]])
    found = {}
    for model, told in answers.items():
        told = np.clip(told, 1e-7, 1 - 1e-7)
        loss = -(label * np.log(told) + (1 - label) * np.log1p(-told))
        found[model] = (loss @ weights / weights.sum(axis=0), auc(label, told, weights))
    return found


def over_worlds(worlds: Sequence[World]) -> bool:
    """Print the mean over worlds of each figure with its intervals, and whether every bar is held."""
    print(f"\nOver {len(worlds)} world{'s' if len(worlds) > 1 else ''}: {', '.join(world.name for world in worlds)}")
    good = True
    for what, by in worlds[0].ratios:
        ratios = np.array([world.ratios[what, by] for world in worlds])
        mean, lows = ratios.mean(axis=0), np.quantile(ratios[:, 1:], _LEVELS[0], axis=1)
        held = bool(mean[0] <= MOST_LOST and (lows <= MOST_LOST).all())
        good &= held
        each = ", ".join(f"{ratio:+.2%}" for ratio in ratios[:, 0])
        print(
            f"{'held  ' if held else 'MISSED'} {what}, {by}: mean {_with_interval(mean)}; each {each}{_spread(ratios)}"
        )
    return good


def _spread(ratios: np.ndarray) -> str:
    """Whether worlds differ by more than the luck of their leads: that would be the luck of training."""
    from scipy.stats import chi2, t

    count = len(ratios)
    if count == 1:
        return ""
    own = ratios[:, 1:].var(axis=1)
    spread = float(ratios[:, 0].std(ddof=1))
    weights = 1 / own
    centre = (weights @ ratios[:, 0]) / weights.sum()
    p_value = chi2.sf(float((weights * (ratios[:, 0] - centre) ** 2).sum()), count - 1)
    half = t.ppf(_LEVELS[1], count - 1) * spread / np.sqrt(count)
    alone = ", ".join(f"{1.96 * np.sqrt(each):.1%}" for each in own)
    return (
        f"\n         one world's leads alone: ±{alone}; worlds as draws: {ratios[:, 0].mean() - half:+.2%} to "
        f"{ratios[:, 0].mean() + half:+.2%} (differ beyond their leads' luck: p {p_value:.2f})"
    )


def _with_interval(ratio: np.ndarray) -> str:
    low, high = np.quantile(ratio[1:], _LEVELS)
    return f"{ratio[0]:+.2%} (95 %: {low:+.2%} to {high:+.2%})"
