"""Power: weeks from a change to the first alarm, beside Evidently's defaults on the same rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.monitoring_alarms import REFERENCE_WEEKS, evidently_rings, ringing
from benchmarks.monitoring_pace import paces
from benchmarks.monitoring_worlds import (
    BANK_CHANGE,
    DATA,
    OLIST_CHANGE,
    OLIST_DAYS,
    bank_frame,
    olist_frame,
    simulated_warehouse,
)

SCENARIOS = ("steady", "recession", "new-product", "process-change")
NAMES = ("bank", "olist", *SCENARIOS)
WEEKS, QUICK_WEEKS = 26, 8
# Of the reference's weeks, for the ordinary difference between weeks.
FEWEST_WEEKS = 18

Test = Callable[[pd.DataFrame, pd.DataFrame, np.ndarray], list[str]]
# Weeks before the change that are looked at too: what rings there is false, or the change began earlier.
BEFORE = 8
OUTCOME = "outcome"


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a test found.

    Args:
        first: Weeks from the change to the first alarm; None: none.
        early: Beginning of each week before it that rang, and at which columns.
    """

    first: int | None
    early: list[tuple[datetime, list[str]]]

    def __str__(self) -> str:
        return f"{self.first or 'none'} ({len(self.early)})"


def first_alarm(frame: pd.DataFrame, change: datetime, *, weeks: int, test: Test) -> Found:
    """The first alarm after the change, and those in the eight weeks before."""
    early: list[tuple[datetime, list[str]]] = []
    reference_end = change - timedelta(weeks=BEFORE)
    reference = frame[
        (frame["as_of"] > reference_end - timedelta(weeks=REFERENCE_WEEKS)) & (frame["as_of"] <= reference_end)
    ]
    back = (reference_end - reference["as_of"]).dt.total_seconds().to_numpy() / 604_800
    for week in range(-BEFORE, weeks):
        start = change + timedelta(weeks=week)
        current = frame[(frame["as_of"] > start) & (frame["as_of"] <= start + timedelta(weeks=1))]
        if len(current) < 30:
            continue
        rang = test(reference.drop(columns="as_of"), current.drop(columns="as_of"), np.floor(back).astype(int))
        if rang and week >= 0:
            return Found(first=week + 1, early=early)
        if rang:
            early.append((start, rang))
    return Found(first=None, early=early)


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change that is to be found.

    Args:
        name: What changes.
        frame: One row per thing when it is first scored, with as_of.
        moment: When it changes.
        outcome_days: Days until the outcome of a row is known; its alarms come so much later.
        about: What is known of the change, in a sentence.
        paces: What `paces` found; empty where there is no history of what became of things.
    """

    name: str
    frame: pd.DataFrame
    moment: datetime
    outcome_days: int = 0
    about: str = ""
    paces: list[tuple[float, bool]] = field(default_factory=list)


def power(quick: bool, *, named: Collection[str] = NAMES) -> None:
    """Print weeks to detection of each change, by the inputs, by the outcome once it is known, by the pace."""
    print("Power: weeks from the change to the first alarm (alarms in the eight weeks before)")
    heads = f"{'by inputs':>12}{'by outcome':>12}{'by pace':>12}{'Evidently dataset':>20}{'Evidently any column':>22}"
    print(f"{'change':<34}{'rows a week':>12}{heads}")
    weeks = QUICK_WEEKS if quick else WEEKS
    for change in changes(quick, named=named):
        frame = change.frame.drop(columns=["label"], errors="ignore")
        found = {key: first_alarm(part, change.moment, weeks=weeks, test=test) for key, part, test in _tests(frame)}
        a_week = int(len(frame) / max((frame["as_of"].max() - frame["as_of"].min()).days / 7, 1))
        ours = f"{found['inputs']!s:>12}{_known(found.get(OUTCOME), change):>12}{first_pace(change.paces, weeks):>12}"
        print(f"{change.name:<34}{a_week:>12}{ours}{found['dataset']!s:>20}{found['any']!s:>22}", flush=True)
        for start, columns in (*found["inputs"].early, *(found[OUTCOME].early if OUTCOME in found else ())):
            print(f"    rang before: the week of {start:%Y-%m-%d}, at {', '.join(columns)}")
        if change.about:
            print(f"    {change.about}")
    print()


def _tests(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, Test]]:
    """Name, columns and test: ours by inputs and by the outcome (no input: it is known later), Evidently's by both."""
    theirs: dict[Any, tuple[bool, float]] = {}

    def ours(reference: pd.DataFrame, current: pd.DataFrame, blocks: np.ndarray) -> list[str]:
        return ringing(reference, current, blocks if blocks.max(initial=0) >= FEWEST_WEEKS else None, seed=7)

    def evidently(reference: pd.DataFrame, current: pd.DataFrame) -> tuple[bool, float]:
        week = current.index[0]
        if week not in theirs:
            theirs[week] = evidently_rings(reference, current)
        return theirs[week]

    yield "inputs", frame.drop(columns=OUTCOME, errors="ignore"), ours
    if OUTCOME in frame:
        yield OUTCOME, frame[[OUTCOME, "as_of"]], ours
    yield "dataset", frame, lambda a, b, _: ["dataset"] if evidently(a, b)[0] else []
    yield "any", frame, lambda a, b, _: ["any"] if evidently(a, b)[1] > 0 else []


def _known(found: Found | None, change: Change) -> str:
    """Weeks to the alarm by the outcome, counted to when the outcomes of its week are known."""
    if found is None:
        return "-"
    waits = -(-change.outcome_days // 7)
    return str(Found(first=None if found.first is None else found.first + waits, early=found.early))


def first_pace(found: list[tuple[float, bool]], weeks: int) -> str:
    """Weeks to the first alarm, and how many rang before; `-` where there is nothing to look at."""
    if not found:
        return "-"
    first = next((int(np.ceil(week)) for week, rang in found if rang and 0 < week <= weeks), None)
    return f"{first or 'none'} ({sum(rang for week, rang in found if week <= 0)})"


def changes(quick: bool, *, named: Collection[str]) -> Iterator[Change]:
    """Every change that is named, and the quiet world as it was at that moment."""
    if not DATA.is_dir():
        print(f"Skipped: the public sets are not at {DATA}")
    if DATA.is_dir() and "bank" in named:
        bank, label = bank_frame()
        bank = bank.assign(outcome=np.where(label > 0, "yes", "no"))
        yield Change(name="bank, base rate rises (2009-03)", frame=bank, moment=BANK_CHANGE)
    if DATA.is_dir() and "olist" in named:
        frame = olist_frame()
        yield Change(
            name="olist, 2018-01",
            frame=frame,
            moment=OLIST_CHANGE,
            outcome_days=OLIST_DAYS,
            about=olist_beginning(frame),
        )
    for scenario in SCENARIOS:
        if scenario in named:
            yield from scenario_changes(scenario, quick)


def olist_beginning(frame: pd.DataFrame) -> str:
    """When olist's leads began to be won: an alarm in the weeks before 2018-01 is false unless it had begun."""
    won = (frame[OUTCOME] == "yes").to_numpy()
    first = frame["as_of"][won].min()
    ages = (OLIST_CHANGE - frame["as_of"]).dt.total_seconds().to_numpy() / 604_800
    told = []
    for oldest, newest in ((28, 8), (8, 6), (6, 4), (4, 2), (2, 0), (0, -2)):
        rows = (ages > newest) & (ages <= oldest)
        told.append(f"{won[rows].sum()} of {rows.sum()} in weeks {-oldest} to {-newest}")
    return f"won within {OLIST_DAYS} days: {', '.join(told)}; the first was contacted on {first:%Y-%m-%d}"


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
