"""False alarms: simulated weeks without any shift, by the columns and by the pace, beside Evidently's defaults."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.monitoring_pace import MOST_FALSE, pace_rings

SIZES = (50, 150, 1_000, 20_000)
REFERENCE_WEEKS = 52
EVIDENTLY_WEEKS = 10
COLUMNS = 15


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
    return bool(ringing(reference, current, blocks, seed=seed))


def ringing(reference: pd.DataFrame, current: pd.DataFrame, blocks: np.ndarray | None, *, seed: int) -> list[str]:
    """The columns at which our alarm rings."""
    from monitoring.columns import pair_columns
    from monitoring.thresholds import calibrate

    pairs = pair_columns(reference, current, features=features_of(reference))
    pooled = None if blocks is None else np.r_[blocks, np.full(len(current), -1)]
    return sorted({alarm.column for alarm in calibrate(pairs, seed=seed, blocks=pooled) if alarm.rings})


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
