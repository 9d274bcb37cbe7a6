"""The whole world, in order: organisation, then cell by cell leads, deals, money and files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from warehouse.simulator.accounts import Accounts, account_versions, contact_versions, meet
from warehouse.simulator.config import Cell, SimulationConfig
from warehouse.simulator.deal_activities import deal_activities
from warehouse.simulator.deal_records import booked_amount, deal_versions
from warehouse.simulator.deals import Deals, plan_deals
from warehouse.simulator.lead_behaviour import lead_events
from warehouse.simulator.lead_contacts import correspond, lead_activities
from warehouse.simulator.lead_records import Touches, lead_versions, touch
from warehouse.simulator.leads import LeadPaths, Leads, arrive, live
from warehouse.simulator.moments import NEVER, Calendar
from warehouse.simulator.money import Ledger, bookings, ledger, quota_versions, revenue_truth, transactions
from warehouse.simulator.organisation import (
    SOBER,
    Campaigns,
    Reps,
    campaign_versions,
    hire,
    plan_campaigns,
    product_versions,
    rep_versions,
    territory_versions,
)
from warehouse.simulator.pursuit import DealHistory, customer_since, pursue
from warehouse.simulator.replacement import replacing
from warehouse.simulator.truth import DealTruth, lead_truth
from warehouse.simulator.writer import Columns, ids, stack, words, write_table, write_truth

Progress = Callable[[str, int, int], None]
_PREFIXES = {"lead_events": "E", "activities": "V", "transactions": "X"}
_EVENT_NUMBERS = 100_000_000
"""Distance between the numbers of two cells' first events."""
_STEPS = ("leads", "deals", "records", "truths", "files")


def simulate(
    config: SimulationConfig, *, landing: Path, truth: Path, progress: Progress | None = None
) -> dict[str, int]:
    """Write a simulated CRM's history and its hidden truths; the same configuration gives the same bytes.

    Nothing in `landing` happened or became known after `config.end`. The truths go to another folder, because no
    feature may read them: `lead_truth` (lead_id, as_of, true_probability within 90 days), `deal_truth`
    (opportunity_id, as_of: opening and every Monday 00:00 UTC while open; true_probability of ever being won, and
    within 180 days), `customer_truth` (since when an account has been a customer and when it leaves), `rep_truth`
    (skill, habit, diligence) and `revenue_truth`.

    A world of several cells (`config.cells()`) is made one cell at a time, so that memory stays bounded: the tables
    that grow with it become folders `<table>/part-00000.parquet`, a part per cell; in a world of one cell, every
    table is `<table>.parquet`. Rows of a file are in the order in which they became known.

    Everything is written beside the folders and takes their place at the end: until then, and after an interruption,
    they hold what they held before.

    Args:
        config: Span, size, seed, scenario.
        landing: Folder for the tables, made if absent; the simulator's files in it are replaced.
        truth: Folder for the truths, in the same way.
        progress: Called with what is being made, steps done, steps in total; the steps of a large world are its
            cells, and what is said counts the events so far.

    Returns:
        Rows written per canonical table.

    Raises:
        InputError: if one of the folders holds something that is not the simulator's.
    """
    cells = config.cells()
    with replacing(landing, truth) as (tables, truths):
        shared = _Shared.of(config)
        rows, entries = dict.fromkeys(_TABLES, 0), Ledger.empty(shared.calendar, shared.reps)
        for cell in cells:
            say = _steps(progress, cell, len(cells), rows)
            part = None if len(cells) == 1 else f"part-{cell.number:05d}"
            found = _make(shared, cell, tables=tables, truths=truths, part=part, say=say)
            rows = {table: count + found.rows.get(table, 0) for table, count in rows.items()}
            entries = entries.plus(found.entries)
        for table, columns in _shared_tables(shared, entries).items():
            rows[table] = write_table(table, columns, file=tables / f"{table}.parquet", end=shared.calendar.end)
        write_truth(revenue_truth(shared.calendar, entries), file=truths / "revenue_truth.parquet")
        write_truth(_rep_truth(shared.reps), file=truths / "rep_truth.parquet")
    if progress is not None:
        total = len(_STEPS) if len(cells) == 1 else len(cells)
        progress(_STEPS[-1] if len(cells) == 1 else _so_far(rows), total, total)
    return rows


_TABLES = (
    "reps",
    "territories",
    "products",
    "campaigns",
    "accounts",
    "contacts",
    "leads",
    "lead_events",
    "opportunities",
    "activities",
    "transactions",
    "quotas",
)


def _so_far(rows: dict[str, int]) -> str:
    return f"{(rows['lead_events'] + rows['activities']) / 1e6:.1f} million events"


def _steps(progress: Progress | None, cell: Cell, cells: int, rows: dict[str, int]) -> Callable[[int], None]:
    """What a cell's steps report: themselves in a world of one cell, the events so far at the first step of others."""

    def say(step: int) -> None:
        if progress is None:
            return
        if cells == 1:
            progress(_STEPS[step], step, len(_STEPS))
        elif step == 0:
            progress(_so_far(rows), cell.number, cells)

    return say


@dataclass(frozen=True)
class _Shared:
    """What all cells share."""

    config: SimulationConfig
    calendar: Calendar
    reps: Reps
    campaigns: Campaigns

    @classmethod
    def of(cls, config: SimulationConfig) -> _Shared:
        calendar = Calendar.of(config)
        return cls(config, calendar, hire(config, calendar), plan_campaigns(config))


@dataclass(frozen=True)
class _People:
    """The leads of a cell and what became of them, its deals and its accounts."""

    leads: Leads
    paths: LeadPaths
    touches: Touches
    deals: Deals
    accounts: Accounts
    history: DealHistory
    truth: DealTruth


@dataclass(frozen=True)
class _Made:
    """What is kept of a cell once its files are written."""

    rows: dict[str, int]
    entries: Ledger


def _make(
    shared: _Shared, cell: Cell, *, tables: Path, truths: Path, part: str | None, say: Callable[[int], None]
) -> _Made:
    """Make one cell and write its files."""
    people = _live(shared, cell, say)
    say(2)
    records, money = _records(shared, cell, people)
    say(3)
    for name, columns in _truths(shared, people).items():
        write_truth(columns, file=_file(truths, name, part))
    entries = ledger(shared.calendar, people.deals, people.history, people.truth, money, people.accounts, shared.reps)
    say(4)
    rows = {}
    for table in list(records):
        rows[table] = write_table(
            table,
            records.pop(table),
            file=_file(tables, table, part),
            end=shared.calendar.end,
            id_prefix=_PREFIXES.get(table),
            first=cell.number * _EVENT_NUMBERS,
        )
    return _Made(rows=rows, entries=entries)


def _live(shared: _Shared, cell: Cell, say: Callable[[int], None]) -> _People:
    """Let the years go by: who comes, what they want, what becomes of it."""
    calendar, reps = shared.calendar, shared.reps
    say(0)
    leads = arrive(cell, calendar, reps, shared.campaigns)
    paths = live(cell, calendar, leads)
    touches = touch(cell, leads, paths, reps)
    say(1)
    deals, accounts = plan_deals(cell, calendar, leads, paths, reps)
    history = pursue(cell, calendar, deals, accounts, reps)
    truth = DealTruth(calendar, deals, history)
    return _People(leads, paths, touches, deals, accounts, history, truth)


def _records(shared: _Shared, cell: Cell, people: _People) -> tuple[dict[str, Columns], Columns]:
    """The tables of a cell, as a CRM would hold them, and its money as numbers."""
    calendar, reps = shared.calendar, shared.reps
    leads, paths, touches = people.leads, people.paths, people.touches
    deals, accounts, history = people.deals, people.accounts, people.history
    contacts = meet(cell, accounts)
    letters = correspond(cell, leads, paths, touches)
    booked = booked_amount(cell, calendar, history)
    money = bookings(cell, calendar, deals, history, accounts, reps, booked=booked)
    worked = deal_activities(cell, calendar, deals, history, accounts, contacts, reps)
    rows = len(worked["event_timestamp"])
    return {
        "accounts": account_versions(cell, calendar, accounts, reps),
        "contacts": contact_versions(cell, leads, accounts, contacts),
        "leads": lead_versions(cell, calendar, leads, paths, touches, deals, accounts, reps),
        "lead_events": lead_events(cell, calendar, leads, paths, letters, deal_activities=rows),
        "opportunities": deal_versions(
            cell, calendar, deals, history, people.truth, leads, accounts, reps, booked=booked
        ),
        "activities": _together(lead_activities(cell, leads, letters, reps), worked),
        "transactions": transactions(cell, money, deals, accounts),
    }, money


def _truths(shared: _Shared, people: _People) -> dict[str, Columns]:
    return {
        "lead_truth": lead_truth(shared.calendar, people.leads, people.paths),
        "deal_truth": people.truth.columns(),
        "customer_truth": _customer_truth(shared.calendar, people.deals, people.history, people.accounts),
    }


def _file(folder: Path, name: str, part: str | None) -> Path:
    return folder / f"{name}.parquet" if part is None else folder / name / f"{part}.parquet"


def _shared_tables(shared: _Shared, entries: Ledger) -> dict[str, Columns]:
    config, calendar, reps = shared.config, shared.calendar, shared.reps
    return {
        "reps": rep_versions(config, calendar, reps),
        "territories": territory_versions(calendar),
        "products": product_versions(config, calendar),
        "campaigns": campaign_versions(config, calendar, shared.campaigns),
        "quotas": quota_versions(config, calendar, entries.sales, reps),
    }


def _together(of_leads: Columns, of_deals: Columns) -> Columns:
    """Activities of leads and of deals as one table; what one lacks is null there."""
    n = len(of_leads["event_timestamp"])
    filled = {name: of_leads.get(name, pa.nulls(n, pa.string())) for name in of_deals}
    lead_id = pa.concat_arrays([of_leads["lead_id"], pa.nulls(len(of_deals["event_timestamp"]), pa.string())])
    return stack([filled, of_deals]) | {"lead_id": lead_id}


def _customer_truth(calendar: Calendar, deals: Deals, history: DealHistory, accounts: Accounts) -> Columns:
    """Customers by the end: since when, and when they leave (null: not within the span)."""
    since = customer_since(calendar, deals, history, accounts)
    customer = np.flatnonzero(since < calendar.end)
    left = since[customer] + accounts.patience[customer]
    return {
        "account_id": accounts.ids(customer),
        "customer_since_at": since[customer],
        "left_at": np.where(left < calendar.end, left, NEVER),
    }


def _rep_truth(reps: Reps) -> Columns:
    return {
        "rep_id": ids("R", np.arange(1, reps.count + 1), width=3),
        "skill": reps.skill,
        "optimism": reps.optimism,
        "habit": words(("sober", "sandbagger", "optimist"), reps.habit - SOBER),
        "diligence": reps.diligence,
    }
