"""How long the next quarter's forecast takes at all levels, and how it grows with the open deals."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

REPS, DEALS_A_YEAR, YEARS = 63, 2_500, 2
TABLES = ("opportunities", "transactions", "reps", "quotas", "leads")
_IDS = ("opportunity_id", "transaction_id", "account_id", "quota_id", "lead_id")


@dataclass(frozen=True)
class Timing:
    """Seconds on the clock, but for the last two.

    Args:
        open_deals: Open deals.
        reps: Reps.
        read: Reading the states of the deals from the warehouse's tables.
        learn: Learning from them.
        answer: Expected values, paths and ranges of the next quarter at all levels.
        answer_cpu: The same in processor seconds of all threads; less than `answer` where others use the machine too.
        whole_cpu: Processor seconds of all three.
    """

    open_deals: int
    reps: int
    read: float
    learn: float
    answer: float
    answer_cpu: float
    whole_cpu: float

    @property
    def whole(self) -> float:
        """All of it."""
        return self.read + self.learn + self.answer


def median_of(timings: Sequence[Timing]) -> Timing:
    """The run whose whole took as long as half of the others did."""
    return sorted(timings, key=lambda timing: timing.whole)[len(timings) // 2]


def read_world(landing: Path) -> dict[str, pa.Table]:
    """The tables that the forecast needs, as simulated."""
    import pyarrow.parquet as pq

    def place(name: str) -> Path:
        folder = landing / name
        return folder if folder.is_dir() else landing / f"{name}.parquet"

    return {name: pq.read_table(place(name)) for name in TABLES}


def make_small_world(home: Path, *, seed: int) -> dict[str, pa.Table]:
    """The world that is copied to get many deals."""
    from warehouse.simulator import SimulationConfig, simulate

    deals = DEALS_A_YEAR * YEARS
    config = SimulationConfig(years=YEARS, reps=REPS, leads=2 * deals, deals=deals, seed=seed)
    simulate(config, landing=home / "landing", truth=home / "truth")
    return read_world(home / "landing")


def copied(tables: dict[str, pa.Table], *, times: int, rep_groups: int) -> dict[str, pa.Table]:
    """The same deals `times` over under other ids, owned by `rep_groups` copies of the reps."""
    found = {}
    for name, rows in tables.items():
        count = rep_groups if name in ("reps", "quotas") else times
        found[name] = pa.concat_tables([_renamed(rows, number, rep_groups) for number in range(count)])
    return found


def _renamed(rows: pa.Table, number: int, rep_groups: int) -> pa.Table:
    for column in ("rep_id", "manager_id", *_IDS):
        if column in rows.column_names:
            suffix = number % rep_groups if column in ("rep_id", "manager_id") else number
            values = pc.binary_join_element_wise(rows[column].cast(pa.string()), str(suffix), "-")
            rows = rows.set_column(rows.column_names.index(column), column, values)
    return rows


def time_forecast(tables: dict[str, pa.Table], *, n_paths: int) -> Timing:
    """One forecast of the next quarter, as a user who asks for it waits."""
    from training.forecast.frame import summarise
    from training.forecast.history import PipelineHistory
    from training.forecast.learning import learn_pipeline
    from training.forecast.periods import month_number, parse_period
    from training.forecast.pipeline import forecast_pipeline
    from warehouse.views import memory_tables

    at = datetime(2023 + YEARS - 1, 10, 1, tzinfo=UTC)
    quarter = parse_period(f"{at.year}Q4")
    history = PipelineHistory(memory_tables(tables))
    began = time.process_time()
    marks = [time.monotonic()]
    for ask in (history.first_known, history.outcomes, history.transactions, history.reps):
        ask(at)
    marks.append(time.monotonic())
    options: dict[str, Any] = {"at": at, "season_length": 12, "seed": 7}
    learned = learn_pipeline(history, **options)
    marks.append(time.monotonic())
    cpu = time.process_time()
    months = range(month_number(at) // 12 * 12, quarter.first_month + 3)
    made = forecast_pipeline(history, months=months, n_paths=n_paths, learned=learned, **options)
    summarise(made.bottom, [quarter])
    marks.append(time.monotonic())
    read, learn, answer = np.diff(marks).tolist()
    ended = time.process_time()
    return Timing(len(learned.deals), len(learned.reps) - 1, read, learn, answer, ended - cpu, ended - began)
