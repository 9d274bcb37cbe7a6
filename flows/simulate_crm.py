"""Make up a CRM's history, as files that a source would deliver."""

from __future__ import annotations

from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.display import report_progress
from flows.parts import Platform

SIMULATED = "simulated"


@task(name="simulate", cache_policy=NO_CACHE)
def simulate_files(years: int, leads: int, deals: int, reps: int, seed: int) -> dict[str, Any]:
    """Write the landing files and the hidden truths; give the rows of each table."""
    from warehouse.simulator import SimulationConfig, simulate

    workspace = Platform.open(SIMULATED).workspace
    config = SimulationConfig(years=years, leads=leads, deals=deals, reps=reps, seed=seed)
    rows = simulate(config, landing=workspace.landing, truth=workspace.truth, progress=report_progress)
    files = [str(workspace.landing / f"{table}.parquet") for table in rows]
    return {"rows": rows, "folder": str(workspace.landing), "outputs": files}


@flow(name="simulate-crm", log_prints=False)
def simulate_crm(
    years: int = 3, leads: int = 20_000, deals: int = 6_000, reps: int = 60, seed: int = 7
) -> dict[str, Any]:
    """Make up a CRM's history with known truths.

    Args:
        years: Years of history.
        leads: Leads over all years.
        deals: Deals over all years.
        reps: Reps.
        seed: Seed of every draw; the same seed gives the same files.
    """
    return simulate_files(years, leads, deals, reps, seed)
