"""Make up a CRM's history, as files that a source would deliver."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.display import report_progress
from flows.parts import Platform

if TYPE_CHECKING:
    from warehouse.simulator import SimulationConfig

SIMULATED = "simulated"
_EVENTS = ("lead_events", "activities")


def check_world(*, size: str, years: int, seed: int, scenario: str, **numbers: float | None) -> SimulationConfig:
    """The world that the parameters describe.

    Raises:
        InputError: if one is unknown or outside its range.
    """
    from dataclasses import replace

    from warehouse.simulator import SimulationConfig

    config = SimulationConfig.of_size(size, years=years, seed=seed, scenario=scenario)  # type: ignore[arg-type]
    return replace(config, **{name: number for name, number in numbers.items() if number is not None})


@task(name="simulate", cache_policy=NO_CACHE)
def simulate_files(**world: Any) -> dict[str, Any]:
    """Write the landing files and the hidden truths; give the rows of each table and the rate."""
    from warehouse.simulator import simulate

    workspace = Platform.open(SIMULATED).workspace
    began = time.monotonic()
    config = check_world(**world)
    rows = simulate(config, landing=workspace.landing, truth=workspace.truth, progress=report_progress)
    events = sum(rows[table] for table in _EVENTS)
    seconds = time.monotonic() - began
    return {
        "rows": rows,
        "rate": f"{events:,} events in {seconds:,.0f} s, {events / seconds:,.0f} a second",
        "folder": str(workspace.landing),
        "outputs": [str(path) for path in sorted(workspace.landing.rglob("*.parquet"))],
    }


@flow(name="simulate-crm", log_prints=False)
def simulate_crm(
    size: str = "small",
    years: int = 3,
    seed: int = 7,
    scenario: str = "steady",
    leads: int | None = None,
    deals: int | None = None,
    reps: int | None = None,
    events_per_lead: float | None = None,
) -> dict[str, Any]:
    """Make up a CRM's history with known truths.

    Args:
        size: `small` (20 000 leads in three years), `medium` (ten times that) or `large` (1 million leads and 50
            million events a year).
        years: Years of history.
        seed: Seed of every draw; the same seed gives the same files.
        scenario: What changes two thirds of the way through: `steady`, `recession`, `new-product` or `process-change`.
        leads: Leads over all years, instead of the size's.
        deals: Deals over all years, instead of the size's.
        reps: Reps, instead of the size's.
        events_per_lead: Events per lead, instead of the size's.
    """
    return simulate_files(
        size=size,
        years=years,
        seed=seed,
        scenario=scenario,
        leads=leads,
        deals=deals,
        reps=reps,
        events_per_lead=events_per_lead,
    )
