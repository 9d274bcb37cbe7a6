"""Monitoring: false alarms, power, estimates before labels, and what a report over a million rows costs.

    python benchmarks/monitoring.py [--quick] [--check] [--only alarms,quiet,power,estimates,million]

alarms     simulated weeks without any shift, at four batch sizes, rows independent and rows of a week alike; beside
           Evidently's defaults on the same weeks (fewer of them, for its time). A week rings by its columns or by the
           pace of as many open things. Bar: at most 5 % of weeks ring.
quiet      the same for the pace of what becomes of open things, over the last year of three quiet simulated worlds.
power      weeks from a change to the first alarm: the simulator's regime changes and the quiet world, bank's base-rate
           rise, olist's 2018-01; by inputs and by the pace of what becomes of open things, beside Evidently's defaults
           on the same rows.
estimates  AUC estimated before labels against the later truth. Bars: within 0.03, and inside the interval; beside it
           whether earlier windows' estimates missed by more than chance, which the report then says.
million    one report over a million rows a side and 40 columns: seconds and memory, beside Evidently as it comes, and
           beside the time to read the file once (the limit). Bar: a minute and 2 GB.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
SIZES = (50, 150, 1_000, 20_000)
WEEKS, QUICK_WEEKS = 200, 10
REFERENCE_WEEKS = 52
EVIDENTLY_WEEKS = 10
MOST_FALSE, MOST_ERROR, MOST_SECONDS, MOST_GB = 0.05, 0.03, 60.0, 2.0
COLUMNS = 15
START = datetime(2024, 1, 1, tzinfo=UTC)


# --- alarms ------------------------------------------------------------------------------------------------------


def population(random: np.random.Generator, weeks: int, a_week: int, *, week: float) -> pd.DataFrame:
    """Fifteen columns as a CRM has them; `week` moves what the rows of one week have in common (0: nothing)."""
    rows = weeks * a_week
    lift, tilt = (np.repeat(random.normal(0, week, weeks), a_week) for _ in range(2))
    base = random.normal(lift, 1)
    mix = np.exp(np.outer(tilt, [1.0, 0, 0, -1, 0.5])) * np.array([0.35, 0.25, 0.2, 0.15, 0.05])
    edges = np.cumsum(mix, axis=1) / mix.sum(axis=1, keepdims=True)
    source = (random.random((rows, 1)) > edges[:, :-1]).sum(axis=1)
    columns: dict[str, Any] = {
        "amount": np.exp(1.2 * base + 8),
        "age": random.gamma(2, 10, rows),
        "employees": np.exp(random.normal(4, 1.5, rows)),
        "emails": random.poisson(np.exp(0.4 * base + 0.3)),
        "calls": random.poisson(0.3, rows),
        "days_since": np.where(random.random(rows) < 0.25, np.nan, random.exponential(12, rows)),
        "sessions": np.where(random.random(rows) < 0.6, 0, random.poisson(3, rows)),
        "share": random.beta(2, 5, rows),
        "score": 1 / (1 + np.exp(-(0.6 * base - 2 + random.normal(0, 0.5, rows)))),
        "trend": base + random.normal(0, 1, rows),
        "source": np.array(["web", "event", "partner", "ad", "other"], dtype=object)[source],
        "industry": np.array([f"industry {place}" for place in range(14)], dtype=object)[random.integers(0, 14, rows)],
        "stage": np.array(["new", "working", "qualified"], dtype=object)[random.integers(0, 3, rows)],
        "rare": np.where(random.random(rows) < 0.01, "yes", "no").astype(object),
        "city": random.integers(0, 400, rows).astype(str).astype(object),
    }
    return pd.DataFrame(columns)


def features_of(frame: pd.DataFrame) -> list[SimpleNamespace]:
    kinds = {True: "category", False: "float"}
    return [SimpleNamespace(name=name, dtype=kinds[frame[name].dtype == object], about="") for name in frame]


def rings(reference: pd.DataFrame, current: pd.DataFrame, blocks: np.ndarray | None, *, seed: int) -> bool:
    """Whether our alarm rings."""
    from monitoring.columns import pair_columns
    from monitoring.thresholds import calibrate

    pairs = pair_columns(reference, current, features=features_of(reference))
    pooled = None if blocks is None else np.r_[blocks, np.full(len(current), -1)]
    return any(alarm.rings for alarm in calibrate(pairs, seed=seed, blocks=pooled))


def evidently_rings(reference: pd.DataFrame, current: pd.DataFrame) -> tuple[bool, float]:
    """Whether Evidently's default dataset alarm rings (half of the columns), and the share of columns it flags."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        from evidently import Dataset, Report
        from evidently.metrics import DriftedColumnsCount

        # It raises where a column has no value on one side.
        full = [name for name in reference if reference[name].notna().any() and current[name].notna().any()]
        reference, current = reference[full], current[full]
        report = Report([DriftedColumnsCount()])
        snapshot = report.run(Dataset.from_pandas(current), Dataset.from_pandas(reference))
        value = json.loads(snapshot.json())["metrics"][0]["value"]
    return value["share"] >= 0.5, float(value["share"])


def false_alarms(weeks: int, sizes: Sequence[int] = SIZES) -> bool:
    """Weeks without shift that ring."""
    print(f"False alarms over {weeks} weeks without shift, {COLUMNS} columns, a year of weeks as reference")
    heads = (
        f"{'rows':>7}  {'weeks alike':>20}{'weeks differ':>20}   Evidently's defaults: dataset rings, columns flagged"
    )
    print(heads)
    good = True
    for rows in sizes:
        began = time.process_time()
        counts, by_pace, theirs, flagged = {0.0: 0, 0.1: 0}, {0.0: 0, 0.1: 0}, 0, []
        compared = min(weeks, EVIDENTLY_WEEKS)
        for week_effect in counts:
            random, of_pace = np.random.default_rng(rows), np.random.default_rng([rows, 1])
            for week in range(weeks):
                a_week = max(20, min(rows, 20_000 // REFERENCE_WEEKS))
                reference = population(random, REFERENCE_WEEKS, a_week, week=week_effect)
                current = population(random, 1, rows, week=week_effect)
                blocks = np.repeat(np.arange(REFERENCE_WEEKS), a_week)
                paced = pace_rings(of_pace, rows, week=week_effect)
                by_pace[week_effect] += paced
                counts[week_effect] += paced or rings(reference, current, blocks, seed=week)
                if week_effect == 0.0 and week < compared:
                    drifted, share = evidently_rings(reference, current)
                    theirs += drifted
                    flagged.append(share)
        good &= all(count <= MOST_FALSE * weeks for count in counts.values())
        ours = "".join(
            f"{f'{counts[effect]} = {counts[effect] / weeks:.1%} ({by_pace[effect]})':>20}" for effect in counts
        )
        spent = f"{time.process_time() - began:.0f} s of CPU"
        print(
            f"{rows:>7}  {ours}   {theirs} of {compared} weeks, {np.mean(flagged):.0%} of columns; {spent}", flush=True
        )
    print(f"{'PASS' if good else 'FAIL'}: at most {MOST_FALSE:.0%} of weeks ring at every size\n")
    return good


# --- pace --------------------------------------------------------------------------------------------------------

# What a thing does in a week (moved, won, lost) in two places, as deals of the simulator do.
PACE = np.array([[0.16, 0.01, 0.06], [0.10, 0.06, 0.05]])
QUIET_SEEDS = (7, 8, 9)


def pace_population(random: np.random.Generator, weeks: int, things: int, *, week: float) -> Any:
    """What becomes of so many open things, week by week; `week` moves what the things of one week have in common."""
    from monitoring.pace import Weeks

    rates = np.clip(PACE * np.exp(random.normal(0, week, (weeks, 1, 3))), 0, 0.3)
    rates = np.concatenate([rates, 1 - rates.sum(axis=2, keepdims=True)], axis=2)
    return Weeks(things=np.full((weeks, 2), things / 2), events=random.multinomial(things // 2, rates)[:, :, :3] * 1.0)


def pace_rings(random: np.random.Generator, things: int, *, week: float) -> bool:
    """Whether the pace of a week without shift rings, with a year and a half of weeks as reference."""
    from monitoring.pace import compare_pace

    past, newest = (pace_population(random, count, things, week=week) for count in (80, 8))
    pace = compare_pace(past, newest)
    return pace is not None and pace.rings


def quiet_weeks(*, quick: bool) -> bool:
    """Weeks of quiet simulated worlds whose pace rings."""
    good = True
    for task in ("deal", "lead"):
        seeds = QUIET_SEEDS[: 1 if quick else None]
        rung = [rang for seed in seeds for rang in quiet_paces(seed, task, quick=quick)]
        share = sum(rung) / len(rung)
        print(
            f"Pace of the quiet simulator's {task}s, seeds {seeds}: {sum(rung)} of {len(rung)} weeks = {share:.1%} ring"
        )
        good &= share <= MOST_FALSE
    print(f"{'PASS' if good else 'FAIL'}: at most {MOST_FALSE:.0%}\n")
    return good


def quiet_paces(seed: int, task: str, *, quick: bool) -> list[bool]:
    """Whether each week of the last year of a quiet world rings."""
    from warehouse.simulator import SimulationConfig

    config = SimulationConfig(years=3, seed=seed, leads=6_000 if quick else 20_000, deals=1_800 if quick else 6_000)
    with simulated_warehouse(config) as (_, warehouse, _):
        return [rang for _, rang in paces(warehouse, task, change=config.change, end=config.end)]


def paces(warehouse: Any, task: str, *, change: datetime, end: datetime) -> list[tuple[float, bool]]:
    """Weeks from the change to the end of each week, from eight weeks before it, and whether the week's pace rings."""
    from monitoring.pace import MOST_WEEKS, compare_pace, split_weeks, weekly_pace

    weeks, found = weekly_pace(warehouse, task=task, end=end, most=MOST_WEEKS + 60), []
    learned_until = change - timedelta(weeks=8)
    for ago in range(59, -1, -1):
        at = end - timedelta(weeks=ago)
        if at > learned_until:
            known = weeks.rows(slice(None, len(weeks) - ago))
            past, newest = split_weeks(known, end=at, learned_until=learned_until)
            pace = compare_pace(past, newest)
            found.append(((at - change) / timedelta(weeks=1), pace is not None and pace.rings))
    return found


# --- power -------------------------------------------------------------------------------------------------------


def first_alarm(
    frame: pd.DataFrame, change: datetime, *, weeks: int, test: Callable[[pd.DataFrame, pd.DataFrame, np.ndarray], bool]
) -> tuple[int | None, int]:
    """Weeks from the change to the first alarm (None: none), and how many of the eight weeks before rang."""
    before, first = 0, None
    reference_end = change - timedelta(weeks=8)
    reference = frame[
        (frame["as_of"] > reference_end - timedelta(weeks=REFERENCE_WEEKS)) & (frame["as_of"] <= reference_end)
    ]
    back = (reference_end - reference["as_of"]).dt.total_seconds().to_numpy() / 604_800
    for week in range(-8, weeks):
        start = change + timedelta(weeks=week)
        current = frame[(frame["as_of"] > start) & (frame["as_of"] <= start + timedelta(weeks=1))]
        if len(current) < 30:
            continue
        rang = test(reference.drop(columns="as_of"), current.drop(columns="as_of"), np.floor(back).astype(int))
        before += rang and week < 0
        if rang and week >= 0 and first is None:
            first = week + 1
            break
    return first, before


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change that is to be found.

    Args:
        name: What changes.
        frame: One row per thing when it is first scored, with as_of.
        moment: When it changes.
        paces: What `paces` found; empty where there is no history of what became of things.
    """

    name: str
    frame: pd.DataFrame
    moment: datetime
    paces: list[tuple[float, bool]] = field(default_factory=list)


def power(quick: bool) -> None:
    print("Power: weeks from the change to the first alarm (alarms in the eight weeks before)")
    heads = f"{'by inputs':>12}{'by pace':>12}{'Evidently dataset':>20}{'Evidently any column':>22}"
    print(f"{'change':<34}{'rows a week':>12}{heads}")
    for change in changes(quick):
        frame = change.frame.drop(columns=["label"], errors="ignore")
        theirs: dict[Any, tuple[bool, float]] = {}

        def evidently(
            reference: pd.DataFrame, current: pd.DataFrame, theirs: dict[Any, tuple[bool, float]] = theirs
        ) -> tuple[bool, float]:
            week = current.index[0]
            if week not in theirs:
                theirs[week] = evidently_rings(reference, current)
            return theirs[week]

        tests: dict[str, Callable[..., bool]] = {
            "ours": lambda a, b, blocks: rings(a, b, blocks if blocks.max(initial=0) >= 18 else None, seed=7),
            "dataset": lambda a, b, _, theirs=evidently: theirs(a, b)[0],
            "any": lambda a, b, _, theirs=evidently: theirs(a, b)[1] > 0,
        }
        weeks = 8 if quick else 26
        found = {key: first_alarm(frame, change.moment, weeks=weeks, test=test) for key, test in tests.items()}
        shown = {key: f"{week or 'none'} ({early})" for key, (week, early) in found.items()}
        a_week = int(len(frame) / max((frame["as_of"].max() - frame["as_of"].min()).days / 7, 1))
        ours = f"{shown['ours']:>12}{first_pace(change.paces, weeks):>12}"
        print(f"{change.name:<34}{a_week:>12}{ours}{shown['dataset']:>20}{shown['any']:>22}", flush=True)
    print()


def first_pace(found: list[tuple[float, bool]], weeks: int) -> str:
    """Weeks to the first alarm, and how many rang before; `-` where there is nothing to look at."""
    if not found:
        return "-"
    first = next((int(np.ceil(week)) for week, rang in found if rang and 0 < week <= weeks), None)
    return f"{first or 'none'} ({sum(rang for week, rang in found if week <= 0)})"


def changes(quick: bool) -> Iterator[Change]:
    """Every change, and the quiet world as it was at that moment."""
    if DATA.is_dir():
        bank, label = bank_frame()
        bank = bank.assign(outcome=np.where(label > 0, "yes", "no"))
        yield Change(name="bank, base rate rises (2009-03)", frame=bank, moment=BANK_CHANGE)
        yield Change(name="olist, 2018-01", frame=olist_frame(), moment=datetime(2018, 1, 1, tzinfo=UTC))
    else:
        print(f"Skipped: the public sets are not at {DATA}")
    for scenario in ("steady", "recession", "new-product", "process-change"):
        yield from scenario_changes(scenario, quick)


BANK_CHANGE = datetime(2009, 3, 1, tzinfo=UTC)


def bank_frame() -> tuple[pd.DataFrame, np.ndarray]:
    """Bank's calls in their order, days by the months they are in; without `duration`."""
    frame = pd.read_csv(DATA / "bank_additional" / "bank-additional-full.csv.gz", sep=";")
    number = frame["month"].map({name: place for place, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"))})  # fmt: skip
    year = 2008 + (number.diff() < 0).cumsum()
    month = pd.to_datetime({"year": year, "month": number + 1, "day": 1}, utc=True)
    place = frame.groupby(month, sort=False).cumcount() / frame.groupby(month, sort=False)["age"].transform("size")
    as_of = month + pd.to_timedelta(place * 30, unit="D")
    label = (frame["y"] == "yes").to_numpy(dtype=float)
    inputs = frame.drop(columns=["y", "duration", "month", "day_of_week"])
    return inputs.assign(as_of=as_of.to_numpy()).assign(as_of=lambda f: pd.to_datetime(f["as_of"], utc=True)), label


def olist_frame() -> pd.DataFrame:
    leads = pd.read_csv(next((DATA / "olist").glob("*qualified_leads*")))
    deals = pd.read_csv(next((DATA / "olist").glob("*closed_deals*")))
    frame = leads.merge(deals[["mql_id", "won_date"]], on="mql_id", how="left")
    as_of = pd.to_datetime(frame["first_contact_date"], utc=True)
    won = (pd.to_datetime(frame["won_date"], utc=True) - as_of).dt.days.le(60)
    return pd.DataFrame({"origin": frame["origin"], "landing": frame["landing_page_id"].str[:4],
                         "outcome": np.where(won, "yes", "no"), "as_of": as_of})  # fmt: skip


@contextmanager
def simulated_warehouse(config: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Feature repository, warehouse and workspace of a simulated world, until the end of the block."""
    from common.settings import Settings
    from common.workspace import Workspace
    from features.repository import FeatureRepository
    from warehouse.ingest import ingest
    from warehouse.simulator import simulate
    from warehouse.sources import load_source
    from warehouse.store import Warehouse

    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder))
        workspace = Workspace.of(settings, "simulated")
        simulate(config, landing=workspace.landing, truth=workspace.truth)
        warehouse = Warehouse(workspace.warehouse)
        ingest(load_source("simulated"), workspace.landing, warehouse)
        repository = FeatureRepository(workspace, warehouse, settings.online_store)
        repository.apply()
        yield repository, warehouse, workspace


def deal_truth(workspace: Any, change: datetime) -> str:
    """What really changed at the deals: those opened in the half year after, beside the same months a year before."""
    true = pd.read_parquet(workspace.truth / "deal_truth.parquet")
    true = true[true["is_opening"]].set_index("opportunity_id")
    deals = pd.read_parquet(workspace.landing / "opportunities.parquet").sort_values("event_timestamp")
    deals = deals.groupby("opportunity_id").agg(
        opened=("opened_at", "first"),
        usd=("amount_usd", "first"),
        status=("status", "last"),
        end=("event_timestamp", "last"),
    )
    told = []
    for start in (change - timedelta(days=365), change):
        chosen = deals[(deals["opened"] >= start) & (deals["opened"] < start + timedelta(days=182))]
        ended = chosen[chosen["status"].isin(["won", "lost"])]
        chance = true["true_probability"].reindex(chosen.index).mean()
        days = (ended["end"] - ended["opened"]).dt.days.median()
        told.append(f"{len(chosen)} opened, P(won) {chance:.3f}, {days:.0f} days, {chosen['usd'].median():,.0f} USD")
    return f"{told[0]} before; {told[1]} after"


def scenario_changes(scenario: Any, quick: bool) -> Iterator[Change]:
    """Leads and deals when first scored, in a simulated world whose regime changes two thirds through."""
    from features.catalogue import views_of
    from features.spines import deal_history_spine, lead_history_spine
    from monitoring.windows import split_features
    from warehouse.simulator import SimulationConfig

    config = SimulationConfig(
        years=3, scenario=scenario, leads=6_000 if quick else 20_000, deals=1_800 if quick else 6_000
    )
    with simulated_warehouse(config) as (repository, warehouse, workspace):
        print(f"  truth, {scenario} deals: {deal_truth(workspace, config.change)}")
        spines = {
            "lead": ("lead_score_v1", lead_history_spine(warehouse, mode="creation", until=config.end)),
            "deal": ("deal_win_v1", deal_history_spine(warehouse, mode="stage_entries", until=config.end)),
        }
        for task, (service, spine) in spines.items():
            repository.build(service, spine)
            table = repository.training_frame(service, spine)
            specs = [feature for view in views_of(service, warehouse.tables()) for feature in view.features]
            compared, _ = split_features(specs)
            frame = table.select([*(feature.name for feature in compared), "as_of"]).to_pandas()
            for feature in compared:
                kind = object if feature.dtype == "category" else "float64"
                frame[feature.name] = frame[feature.name].astype(kind)
            yield Change(
                name=f"simulated {scenario}, {task}s",
                frame=frame.loc[:, frame.notna().any()],
                moment=config.change,
                paces=paces(warehouse, task, change=config.change, end=config.end),
            )


# --- estimates ---------------------------------------------------------------------------------------------------


def estimates(quick: bool) -> bool:
    """AUC before labels against the later truth: labels are known up to the change or cut, and none after."""
    import lightgbm as lgb

    from monitoring.estimating import Labelled, estimate_quality
    from training.calibration import fit_calibration
    from training.evaluation import auc

    print(
        f"{'AUC before labels':<34}{'rows':>8}{'estimated':>11}{'95 % interval':>18}"
        f"{'truth':>8}{'error':>8}{'inside':>8}{'earlier misses':>16}"
        f"{'said to be a guess':>20}  rows no label reaches"
    )
    good, covers = True, True
    for name, matrix, label, compared, parts in estimated_sets(quick):
        train, check, test = parts
        model = lgb.LGBMClassifier(
            n_estimators=150,
            learning_rate=0.05,
            num_leaves=15,
            min_child_samples=50,
            verbose=-1,
            n_jobs=2,
            random_state=7,
        ).fit(matrix.iloc[train], label[train])
        margin = model.predict(matrix, raw_score=True)
        half = len(check) // 2
        told = fit_calibration("platt", margin[check[:half]], label[check[:half]]).apply(margin)
        held = check[half:]
        columns = {column: matrix[column].to_numpy() for column in compared}
        known = Labelled(
            probability=told[held],
            label=label[held],
            entity=held.astype(str),
            until=datetime.now(UTC),
            columns={column: values[held] for column, values in columns.items()},
        )
        now = {column: values[test] for column, values in columns.items()}
        estimate = estimate_quality(told[test], known, seed=7, columns=now)
        figure = estimate.figures["auc"]
        truth = float(auc(label[test], told[test], np.ones((len(test), 1)))[0])
        error, inside = figure.value - truth, figure.low <= truth <= figure.high
        good &= abs(error) <= MOST_ERROR
        covers &= inside
        earlier = {None: "too few", True: "as chance does", False: "beyond chance"}[estimate.is_steady]
        reach = "none" if estimate.reach is None else f"{estimate.reach.share:.0%} ({estimate.reach.column})"
        interval = f"{figure.low:.3f} to {figure.high:.3f}"
        print(
            f"{name:<34}{len(test):>8,}{figure.value:>11.3f}{interval:>18}{truth:>8.3f}{error:>+8.3f}{inside!s:>8}"
            f"{earlier:>16}{'yes' if estimate.is_a_guess else 'no':>20}  {reach}",
            flush=True,
        )
    print(f"{'PASS' if good else 'FAIL'}: within {MOST_ERROR} everywhere")
    print(f"{'PASS' if covers else 'FAIL'}: every interval holds the later truth\n")
    return good and covers


# Name; matrix; label; columns that may be compared; rows that train, that have labels when the estimate is made, and
# that are tested.
EstimatedSet = tuple[str, pd.DataFrame, np.ndarray, list[str], tuple[np.ndarray, ...]]


def estimated_sets(quick: bool) -> Iterator[EstimatedSet]:
    """What is estimated."""
    if DATA.is_dir():
        frame, label = bank_frame()
        count = len(frame)
        cuts = [0, int(0.5 * count), int(0.8 * count), count]
        rows = tuple(np.arange(low, high) for low, high in pairwise(cuts))
        matrix = _matrix(frame.drop(columns="as_of"))
        yield "bank, last fifth", matrix, label, list(matrix), rows
    for scenario in ("recession", "new-product", "process-change"):
        yield _scenario_set(scenario, quick)


def _scenario_set(scenario: Any, quick: bool) -> EstimatedSet:
    """Leads of a simulated world: labels up to the change; the half year after it is estimated."""
    from features.spines import lead_history_spine
    from monitoring.windows import split_features
    from training.frame import column_values
    from training.labels import LEAD_CONVERTED, as_of_times, label_spine
    from warehouse.simulator import SimulationConfig

    config = SimulationConfig(years=3, scenario=scenario, leads=6_000 if quick else 20_000)
    with simulated_warehouse(config) as (repository, warehouse, _):
        spine = lead_history_spine(warehouse, mode="creation", until=config.end)
        repository.build("lead_score_v1", spine)
        table = repository.training_frame("lead_score_v1", spine)
        specs = [feature for view in repository.views("lead_score_v1") for feature in view.features]
        label = label_spine(spine, warehouse, outcome=LEAD_CONVERTED, horizon_days=90, cut=config.end).value
        frame = pd.DataFrame({spec.name: column_values(table[spec.name], spec.dtype) for spec in specs})
    as_of = pd.to_datetime(pd.Series(as_of_times(spine)), utc=True)
    # What is labelled at the change was scored ninety days before it.
    matured, change = config.change - timedelta(days=90), config.change
    usable = ~np.isnan(label)
    train = np.flatnonzero(usable & (as_of < matured - timedelta(days=270)))
    check = np.flatnonzero(usable & (as_of >= matured - timedelta(days=270)) & (as_of < matured))
    test = np.flatnonzero(usable & (as_of >= change) & (as_of < change + timedelta(days=182)))
    compared = [feature.name for feature in split_features(specs)[0]]
    return f"simulated {scenario}, leads", _matrix(frame), np.nan_to_num(label), compared, (train, check, test)


def _matrix(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.apply(lambda column: column.astype("category") if column.dtype == object else column)


# --- a million rows ----------------------------------------------------------------------------------------------

_WORK = """
import sys, time, resource, json
from pathlib import Path
folder, which, rows = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
sys.path.insert(0, sys.argv[4])
from common.telemetry import disable_telemetry
disable_telemetry()
import warnings; warnings.simplefilter("ignore")
import pyarrow.parquet as pq
began = time.perf_counter()
if which == "read":
    for side in ("reference", "current"):
        pq.read_table(folder / f"{side}.parquet")
elif which == "ours":
    from datetime import datetime, UTC, timedelta
    from types import SimpleNamespace
    from common.workspace import Workspace
    from monitoring.drift import report_drift
    import pyarrow as pa
    tables = {side: pq.read_table(folder / f"{side}.parquet") for side in ("reference", "current")}
    schema = tables["current"].schema
    features = [SimpleNamespace(name=f.name, dtype="category" if f.type == pa.string() else "float", about="")
                for f in schema if f.name != "as_of"]
    end = datetime(2025, 1, 6, tzinfo=UTC)
    report = report_drift(tables["reference"], tables["current"], features=features, task="lead",
        workspace=Workspace("bench", folder), window=(end - timedelta(days=7), end), model_version="1", seed=7,
        reference_window=(end - timedelta(days=371), end - timedelta(days=7)), stretch=timedelta(days=7),
        with_evidently="--evidently" in sys.argv)
else:
    from evidently import Dataset, Report
    from evidently.presets import DataDriftPreset
    frames = [pq.read_table(folder / f"{side}.parquet").drop_columns(["as_of"]).to_pandas()
              for side in ("reference", "current")]
    snapshot = Report([DataDriftPreset()]).run(Dataset.from_pandas(frames[1]), Dataset.from_pandas(frames[0]))
    snapshot.save_html(str(folder / "evidently.html"))
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([time.perf_counter() - began, used.ru_maxrss / 2**20, used.ru_utime + used.ru_stime]))
"""


def million(rows: int, *, peer_rows: int) -> bool:
    """A report over `rows` rows a side and 40 columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        for count in {rows, peer_rows}:
            (folder / str(count)).mkdir()
            for side in ("reference", "current"):
                columns: dict[str, Any] = {f"n{place}": random.normal(size=count) for place in range(32)}
                kinds = pa.array([f"kind {place}" for place in range(12)])
                columns |= {f"c{place}": kinds.take(pa.array(random.integers(0, 12, count))) for place in range(8)}
                back = random.uniform(0, 364, count) if side == "reference" else random.uniform(-7, 0, count)
                moments = (datetime(2024, 12, 30, tzinfo=UTC).timestamp() - back * 86_400) * 1e6
                columns["as_of"] = pa.array(moments.astype("int64")).cast(pa.timestamp("us", tz="UTC"))
                pq.write_table(pa.table(columns), folder / str(count) / f"{side}.parquet")
        found = {
            "limit: read both files once": (rows, _run(folder / str(rows), "read", rows)),
            "ours, verdict and page": (rows, _run(folder / str(rows), "ours", rows)),
            "ours, with Evidently's pages": (rows, _run(folder / str(rows), "ours", rows, "--evidently")),
            "peer: Evidently's preset, HTML": (peer_rows, _run(folder / str(peer_rows), "evidently", peer_rows)),
        }
    print(f"{'40 columns':<34}{'rows a side':>12}{'seconds':>10}{'of CPU':>9}{'GB':>7}{'CPU against ours':>18}")
    ours = found["ours, with Evidently's pages"][1]
    for name, (count, (seconds, size, cpu)) in found.items():
        print(f"{name:<34}{count:>12,}{seconds:>10.1f}{cpu:>9.1f}{size:>7.2f}{cpu / ours[2]:>18.2f}")
    good = ours[0] <= MOST_SECONDS and ours[1] <= MOST_GB
    print(f"{'PASS' if good else 'FAIL'}: within {MOST_SECONDS:.0f} s and {MOST_GB:.0f} GB\n")
    return good


def _run(folder: Path, which: str, rows: int, *more: str) -> tuple[float, float, float]:
    root = str(Path(__file__).resolve().parents[1])
    command = [sys.executable, "-c", _WORK, str(folder), which, str(rows), root, *more]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    seconds, size, cpu = json.loads(done.stdout.strip().splitlines()[-1])
    return seconds, size, cpu


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_WEEKS} weeks, smaller worlds, 100 000 rows")
    parser.add_argument("--check", action="store_true", help="exit 1 where a bar is missed")
    parser.add_argument("--only", default="alarms,quiet,power,estimates,million", help="parts to run")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="batch sizes of `alarms`")
    options = parser.parse_args()
    parts: Sequence[str] = options.only.split(",")
    began, good = time.perf_counter(), True
    if "million" in parts:
        rows = 100_000 if options.quick else 1_000_000
        # Evidently's preset needs 5 GB and minutes for a million rows a side; a tenth shows how it grows.
        good &= million(rows, peer_rows=20_000 if options.quick else 100_000)
    if "estimates" in parts:
        good &= estimates(options.quick)
    if "power" in parts:
        power(options.quick)
    sizes = [int(size) for size in options.sizes.split(",")]
    if "quiet" in parts:
        good &= quiet_weeks(quick=options.quick)
    if "alarms" in parts:
        good &= false_alarms(QUICK_WEEKS if options.quick else WEEKS, sizes)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{time.perf_counter() - began:.0f} s, {peak:.1f} GB at most")
    return 1 if options.check and not good else 0


if __name__ == "__main__":
    # This file's folder is first on the path, and has a warehouse.py and a features.py of its own.
    sys.path.pop(0)
    from common.telemetry import disable_telemetry

    disable_telemetry()
    sys.exit(main())
