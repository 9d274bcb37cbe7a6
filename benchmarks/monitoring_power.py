"""Power: weeks from a change to the first alarm, beside Evidently's defaults on the same rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.monitoring_alarms import REFERENCE_WEEKS, evidently_rings, rings
from benchmarks.monitoring_pace import paces
from benchmarks.monitoring_worlds import BANK_CHANGE, DATA, bank_frame, olist_frame, simulated_warehouse


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
