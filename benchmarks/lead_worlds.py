"""The lead model on simulated worlds, beside the truth and readers that know the rates: rows of `accuracy.py`."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from lead_cases import Judged, judge, prepared, write_cases
from lead_filter import READERS
from lead_truth import AgainstTruth, against_truth
from quality_rows import FIGURES, Row, opened, span

from warehouse.simulator import SimulationConfig

if TYPE_CHECKING:
    from training.results import Metric

ORACLE_AUC, ORACLE_LOSS, MOST_ECE, RULE_RATIO = 0.97, 1.03, 0.02, 1.3
_READERS = {name: reader.about for name, reader in READERS.items()}
_WHO = {"ours": "ours", "taught": "taught the truth", **_READERS, "truth": "the truth"}


def simulated_rows(*, trials: int, cases: Path, worlds: int) -> Iterator[Row]:
    """Every figure of the world that is shipped, with its bars, and the means over `worlds` worlds, its own first."""
    config = SimulationConfig()
    judged, shipped = _judged(config, trials=trials, cases=cases / "simulated.csv")
    yield from _quality(judged, shipped)
    yield from _working_the_best(shipped)
    if worlds > 1:
        seeds = range(config.seed + 1, config.seed + worlds)
        others = [
            _judged(replace(config, seed=seed), trials=trials, cases=cases / f"simulated-{seed}.csv")[1]
            for seed in seeds
        ]
        yield from _over_worlds([shipped, *others])


def _judged(config: SimulationConfig, *, trials: int, cases: Path) -> tuple[Judged, AgainstTruth]:
    """One world's lead model, developed as a training develops it, and how it stands to the truth."""
    with tempfile.TemporaryDirectory(prefix="salience-accuracy-") as scratch:
        folder = Path(scratch)
        settings, source, workspace, *rest = opened("simulated", folder=folder, world=config)
        frame, partition = prepared(source, workspace, *rest, settings=settings)
        judged = judge(frame, partition, split="simulated", folder=folder, trials=trials, settings=settings)
        found = against_truth(
            judged,
            frame,
            workspace.truth / "lead_truth.parquet",
            world=config,
            horizon_days=frame.horizon_days,
            capacity=settings.gate.capacity,
            seed=settings.training.seed,
        )
    path = write_cases(judged, cases, truth=found.truth)
    print(
        f"simulated, seed {config.seed}: {found.matched:,} of {found.rows:,} test rows have a true probability;"
        f" cases in {path}",
        flush=True,
    )
    return judged, found


def _quality(judged: Judged, found: AgainstTruth) -> Iterator[Row]:
    """The figures of the probabilities, ours by the truth's."""
    naive = judged.developed.baselines
    bars = {
        "auc": (ORACLE_AUC * found.oracle["auc"].value, 1),
        "log_loss": (ORACLE_LOSS * found.oracle["log_loss"].value, -1),
        "ece": (MOST_ECE, -1),
    }
    for figure, limit in FIGURES.items():
        metric, oracle = found.ours[figure], found.oracle[figure].value
        bar, side = bars.get(figure, (math.nan, 0))
        held = None if side == 0 else side * (metric.value - bar) >= 0
        const, logistic = naive["const"][figure].value, naive["logistic_regression"][figure].value
        name = f"simulated {figure.replace('_', ' ')}"
        yield Row(name, oracle, limit, metric.value, span(metric), bar, held, logistic, const)
    for name, figures in (("taught", found.taught), *found.readers.items()):
        who = _WHO[name]
        for figure in ("auc", "log_loss"):
            beside, oracle = figures[figure], found.oracle[figure].value
            name = f"simulated {figure.replace('_', ' ')}, {who}"
            yield Row(name, oracle, FIGURES[figure], beside.value, span(beside), math.nan, None)
    excess = found.excess
    held = excess.high is not None and excess.high >= 0.0
    yield Row("simulated log loss above truth's", 0.0, 0.0, excess.value, span(excess), 0.0, held)


def _working_the_best(found: AgainstTruth) -> Iterator[Row]:
    """Conversions among the leads that a team works first, by the rule score's."""
    most = found.ahead["all"]
    what = f"conversions of the first {found.worked} leads, times the rule's ({found.caught['rule']:.0f})"
    yield Row(what, 1.0, math.nan, most.value, span(most), RULE_RATIO, most.value >= RULE_RATIO)
    for what, figures in (("the same where the truth is known", found.ahead), ("as the truth expects", found.expected)):
        for name, who in _WHO.items():
            yield Row(f"{what}, {who}", 1.0, math.nan, figures[name].value, span(figures[name]))


def _over_worlds(found: Sequence[AgainstTruth]) -> Iterator[Row]:
    """Means over worlds of the shares of the truth and of the multiples of the rule, each with its interval."""
    several = f"mean of {len(found)} worlds"
    for figure, what in (("auc", "AUC by the truth's"), ("log_loss", "log loss by the truth's")):
        for name, who in _WHO.items():
            if name != "truth":
                yield _mean_row(f"{several}: {what}, {who}", found, _share(name, figure))
    yield _mean_row(f"{several}: conversions by the rule's, ours", found, lambda one: one.ahead["all"].value)
    for name, who in _WHO.items():
        yield _mean_row(f"{several}: as the truth expects, {who}", found, _expected(name))


def _share(name: str, figure: str) -> Callable[[AgainstTruth], float]:
    def share(one: AgainstTruth) -> float:
        figures: Mapping[str, Metric] = one.readers[name] if name in one.readers else getattr(one, name)
        return figures[figure].value / one.oracle[figure].value

    return share


def _expected(name: str) -> Callable[[AgainstTruth], float]:
    return lambda one: one.expected[name].value


def _mean_row(what: str, found: Sequence[AgainstTruth], value: Callable[[AgainstTruth], Any]) -> Row:
    """A mean over worlds; its 95 % interval is Student's, since a few worlds are all there are."""
    from scipy.stats import t

    values = np.array([value(one) for one in found])
    reach = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return Row(what, 1.0, math.nan, float(values.mean()), f"[{values.mean() - reach:.3f}, {values.mean() + reach:.3f}]")
