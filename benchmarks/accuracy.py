"""Quality on public sets by their protocols, and on the simulated world beside the truth.

    python benchmarks/accuracy.py [--task lead|simulated|deal|forecast] [--worlds 1] [--quick] [--check]
                                   [--cases FOLDER]

Peers (../shared/data/README.md): on public leads and deals an untuned LightGBM on the same honest columns and the same
split; on series the best naive forecast at each level, and AutoETS of every bottom series summed up; on the simulated
world the true probability. The limit is the best possible value of the measure. Beside ours stand the logistic
regression of the baselines and the training base rate, on the same rows.

Bars. Leads: log-loss below the peer's and below the base rate's; AUC not below the peer's beyond noise: the peer is
fitted again (`lead_reference.py`), and the 95 % interval of the difference on the same rows must reach 0. Where our
split knows less than the published one (labels that were not known when the test began), its own rows have the base
rate as their bar. Simulated: AUC at least 0.97 of the truth's, log-loss at most 1.03 of it, never better beyond noise,
calibration error below 0.02, and 1.3 times the conversions of the rule score at the team's capacity; beside it what
readers reach who know every rate of the world (lead_filter.py): the best one knows all but the hidden state, each
further one lacks one thing more, the last one what this CRM does not show. The bars are those of the world that is
shipped; with --worlds, as many are judged, of the seeds that follow its own, and their means are shown beside it, since
one world's best tenth of leads is a small number. Deals (bpic2012): AUC at most 0.02 below the peer at each stage, and
above it on average; log-loss below that of the stage's own win rate on average. maven has no signal: AUC from 0.45 to
0.55, and the gate stays shut. Series (tourism, 8 quarters; stallion, 6 months): WAPE, MASE and pinball loss below the
best naive forecast at every level, and below AutoETS on the mean of the levels; beside that one origin, without a bar,
the rolling origins before it.

Every case is written down: id, as_of, y, p; of series: series, date, level, median, ranges, actual.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from quality_rows import DATA, FIGURES, Row, mean, opened, show, span

if TYPE_CHECKING:
    from lead_cases import Judged

CASES = Path(".salience") / "benchmarks" / "accuracy"
TASKS = ("lead", "simulated", "deal", "forecast")
SERIES = ("tourism", "stallion")
NO_SIGNAL = (0.45, 0.55)
AUC_SLACK = 0.02
BPIC_AUC = {"submitted": 0.628, "preaccepted": 0.607, "accepted": 0.543, "offer_sent": 0.564}
TRIALS, QUICK_TRIALS = 20, 4


def lead_rows(*, trials: int, quick: bool, cases: Path) -> Iterator[Row]:
    """The lead model on the four public sets."""
    from lead_cases import PUBLIC, PUBLISHED, judge, prepared, public_splits, write_cases

    for name, (directory, reference) in PUBLIC.items():
        with tempfile.TemporaryDirectory(prefix="salience-accuracy-") as scratch:
            folder = Path(scratch)
            settings, source, *rest = opened(name, folder=folder, data=DATA / directory)
            frame, honest = prepared(source, *rest, settings=settings)
            for split, partition in public_splits(source, frame, honest):
                judged = judge(frame, partition, split=split, folder=folder, trials=trials, settings=settings)
                write_cases(judged, cases / f"{name}-{split.replace(' ', '-')}.csv")
                yield from public_rows(name, judged, reference)
                if split == PUBLISHED:
                    yield reference_row(name, judged, DATA / directory, seed=settings.training.seed)
                if quick:
                    break


def public_rows(name: str, judged: Judged, reference: Mapping[str, float]) -> Iterator[Row]:
    """All figures of one split."""
    from lead_cases import PUBLISHED

    naive = judged.developed.baselines
    for figure, limit in FIGURES.items():
        metric = judged.developed.metrics[figure]
        const, logistic = naive["const"][figure].value, naive["logistic_regression"][figure].value
        peer = reference.get(figure, math.nan) if judged.split == PUBLISHED else math.nan
        bar, held = math.nan, None
        if figure == "log_loss":
            bar = const if math.isnan(peer) else min(peer, const)
            held = metric.value < bar
        work = f"{name} {figure.replace('_', ' ')}, {judged.split}"
        yield Row(work, peer, limit, metric.value, span(metric), bar, held, logistic, const)


def reference_row(name: str, judged: Judged, folder: Path, *, seed: int) -> Row:
    """Our AUC less that of the reference, which is fitted again and answers the same rows."""
    from lead_reference import auc_difference, fit_reference

    reference = fit_reference(name, folder)
    found = auc_difference(reference, judged.entity, judged.developed.probability, seed=seed)
    held = found.high is not None and found.high >= 0.0
    return Row(f"{name} auc less the peer's ({reference.auc:.3f})", 0.0, math.nan, found.value, span(found), 0.0, held)


def deal_rows(*, trials: int, cases: Path) -> Iterator[Row]:
    """The deal model on bpic2012 at every stage entry, and on maven, where there is nothing to find."""
    from deal_cases import NAMES, judge_deals

    judged = {}
    for name, directory in NAMES.items():
        with tempfile.TemporaryDirectory(prefix="salience-accuracy-") as scratch:
            fresh = opened(name, folder=Path(scratch), data=DATA / directory)
            judged[name] = judge_deals(name, fresh, trials=trials, cases=cases)
        print(f"{name}: {judged[name].reason}; cases in {judged[name].cases}")
    protocols = judged["bpic2012"].protocols
    ours = {stage: protocols[f"@{stage}"] for stage in BPIC_AUC}
    rates = {stage: protocols[f"@{stage}: stage_win_rate"] for stage in BPIC_AUC}
    for stage, reference in BPIC_AUC.items():
        area, bar = ours[stage]["auc"], reference - AUC_SLACK
        yield Row(f"bpic2012 AUC @{stage}", reference, 1.0, area.value, span(area), bar, area.value >= bar)
    for stage in BPIC_AUC:
        loss = ours[stage]["log_loss"]
        yield Row(f"bpic2012 log loss @{stage}, by rate", rates[stage]["log_loss"].value, 0.0, loss.value, span(loss))
    area, peer = mean(figures["auc"].value for figures in ours.values()), mean(BPIC_AUC.values())
    yield Row("bpic2012 AUC, mean of the stages", peer, 1.0, area, "", peer, area > peer)
    loss, rate = (mean(figures["log_loss"].value for figures in each.values()) for each in (ours, rates))
    yield Row("bpic2012 log loss, mean, by stage rate", rate, 0.0, loss, "", rate, loss < rate)
    maven = judged["maven"]
    area = maven.metrics["auc"]
    held = NO_SIGNAL[0] <= area.value <= NO_SIGNAL[1] and not maven.promoted
    yield Row("maven AUC: no signal, not promoted", 0.5, math.nan, area.value, span(area), NO_SIGNAL[1], held)


def series_rows(*, cases: Path) -> Iterator[Row]:
    """The forecast of series at every level, beside the better naive forecast there, and AutoETS summed up."""
    from series_cases import FIGURES, judge_series
    from series_origins import best_naive
    from series_peers import AUTO_ETS, NAIVE

    for name in SERIES:
        with tempfile.TemporaryDirectory(prefix="salience-accuracy-") as scratch:
            judged = judge_series(name, opened(name, folder=Path(scratch)), cases=cases)
        print(f"{name}: {judged.verdict}; cases in {judged.cases}")
        for figure in FIGURES:
            label = figure.upper() if figure != "pinball" else figure
            for level in judged.levels:
                ours = judged.figures["ours"][level][figure]
                bar = min(judged.figures[peer][level][figure] for peer in NAIVE)
                yield Row(f"{name} {label}, {level}, by naive", bar, 0.0, ours, "", bar, ours < bar)
            ours, bar = (
                mean(judged.figures[who][level][figure] for level in judged.levels) for who in ("ours", AUTO_ETS)
            )
            yield Row(f"{name} {label}, mean of levels, by AutoETS", bar, 0.0, ours, "", bar, ours < bar)
        past, count = judged.past, len(judged.past.ours)
        asked = [(f"{level}, by naive", best_naive(past, NAIVE, at), at) for at, level in enumerate(judged.levels)]
        for what, peer, at in [*asked, ("mean of levels, by AutoETS", AUTO_ETS, None)]:
            peers, ours, difference = past.beside(peer, at)
            yield Row(f"{name} WAPE, {count} origins before the test, {what}", peers, 0.0, ours, difference)
        for level in judged.levels:
            for percent in (80, 95):
                share, low, high = judged.coverage[level, percent]
                interval = f"[{low:.3f}, {high:.3f}]"
                yield Row(f"{name} {percent} % range holds, {level}", percent / 100, 1.0, share, interval)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=[*TASKS, "all"], default="all")
    parser.add_argument("--quick", action="store_true", help="four trials, published splits; leads alone unless asked")
    parser.add_argument("--worlds", type=int, default=1, help="simulated worlds to judge the lead model on")
    parser.add_argument("--check", action="store_true", help="exit 1 where a bar is missed")
    parser.add_argument("--cases", type=Path, default=CASES, help=f"folder for the cases, by default {CASES}")
    options = parser.parse_args()
    trials = QUICK_TRIALS if options.quick else TRIALS
    tasks = [options.task] if options.task != "all" else ["lead"] if options.quick else list(TASKS)
    if not DATA.is_dir():
        print(f"The public sets are not at {DATA}; their rows are skipped")
        tasks = [task for task in tasks if task == "simulated"]
    rows: list[Row] = []
    for task in tasks:
        if task == "lead":
            rows += lead_rows(trials=trials, quick=options.quick, cases=options.cases)
            print(f"Cases (id, as_of, y, p) are in {options.cases.absolute()}")
        elif task == "simulated":
            from lead_worlds import simulated_rows

            rows += simulated_rows(trials=trials, cases=options.cases, worlds=options.worlds)
        elif task == "deal":
            rows += deal_rows(trials=trials, cases=options.cases)
        else:
            rows += series_rows(cases=options.cases)
    missed = show(rows)
    return 1 if missed and options.check else 0


if __name__ == "__main__":
    # This file's folder is first on the path, and others in it are named like the packages they measure.
    here = sys.path.pop(0)
    from common.telemetry import disable_telemetry

    disable_telemetry()
    os.environ.setdefault("MPLBACKEND", "Agg")
    import importlib.util

    readers = ("lead_signs", "lead_quality", "lead_chain", "lead_effects", "lead_filter")
    series = ("series_peers", "series_origins", "series_cases")
    for beside in (*readers, *series, "lead_cases", "lead_truth", "lead_worlds", "lead_reference", "deal_cases"):
        spec = importlib.util.spec_from_file_location(beside, Path(here) / f"{beside}.py")
        if spec is None or spec.loader is None:
            raise ImportError(f"benchmarks/{beside}.py is missing")
        sys.modules[beside] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[beside])
    sys.exit(main())
