"""Accounts and contacts: customers from the first day, companies of converted leads, companies that reps approach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from warehouse.simulator import parameters as p
from warehouse.simulator.config import SimulationConfig
from warehouse.simulator.leads import Leads
from warehouse.simulator.moments import DAY, NEVER, Calendar, Ints, late, stream
from warehouse.simulator.names import Companies, companies, country_text, employee_count, industry_text, people
from warehouse.simulator.organisation import Reps
from warehouse.simulator.writer import Columns, handovers, ids, joined, stack, words


@dataclass(frozen=True)
class Accounts:
    """The accounts in order of creation, the `base` first-day customers first; `rep` is the first owner."""

    created: Ints
    company: Companies
    rep: Ints
    lead: Ints
    base: int

    @property
    def count(self) -> int:
        """Number of accounts."""
        return len(self.created)


def found(
    config: SimulationConfig,
    calendar: Calendar,
    leads: Leads,
    reps: Reps,
    *,
    converted: Ints,
    at: Ints,
    approached: Ints,
) -> tuple[Accounts, Ints, Ints]:
    """Make the accounts: first-day customers, the companies of `converted` leads (`at` that moment), `approached` ones.

    `approached` holds when each deal without a lead was opened with a company that was no customer.

    Returns:
        The accounts, the account of each converted lead, and the account of each approached company.
    """
    rng = stream(config, "accounts")
    base = max(10, round(p.INSTALLED_BASE_SHARE * config.deals))
    before = (rng.exponential(18.0, len(approached)) * DAY).astype(np.int64)
    created = np.concatenate([np.full(base, calendar.start), at, np.maximum(approached - before, calendar.start)])
    others = companies(rng, base + len(approached))
    theirs = leads.company.take(converted)
    company = _in_order(others, theirs, base=base)
    lead = np.concatenate([np.full(base, -1), converted, np.full(len(approached), -1)])
    rep = reps.assign(rng, regions=company.region, moments=created)
    rep = np.where(lead >= 0, reps.owner_at(leads.rep[lead], created), rep)
    order = np.argsort(created, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    accounts = Accounts(
        created=created[order], company=company.take(order), rep=rep[order], lead=lead[order], base=base
    )
    return accounts, place[base : base + len(converted)], place[base + len(converted) :]


def _in_order(others: Companies, theirs: Companies, *, base: int) -> Companies:
    """First-day customers, companies of leads, approached companies."""

    def merge(name: str) -> Any:
        left, right = getattr(others, name), getattr(theirs, name)
        pieces = [left[:base], right, left[base:]]
        return pa.concat_arrays(pieces) if isinstance(left, pa.Array) else np.concatenate(pieces)

    return Companies(**{name: merge(name) for name in ("industry", "employees", "country", "region", "name", "domain")})


def account_versions(config: SimulationConfig, calendar: Calendar, accounts: Accounts, reps: Reps) -> Columns:
    """Versions of the accounts: when created, and when the owner leaves."""
    rng = stream(config, "account versions")
    n = accounts.count
    company = accounts.company
    number = np.arange(n, dtype=np.int64)
    revenue = company.employees * rng.lognormal(11.9, 0.5, n)
    rows: Columns = {
        "account_id": ids("A", number + 1, width=5),
        "name": company.name,
        "industry": industry_text(rng, company.industry, missing=p.MISSING_INDUSTRY / 3),
        "employee_count": employee_count(rng, company.employees, missing=p.MISSING_EMPLOYEES / 3),
        "annual_revenue_usd": np.where(rng.random(n) < 0.3, np.nan, np.round(revenue, -4)),
        "country": country_text(rng, company.country),
        "region": words(p.REGIONS, company.region),
        "territory_id": ids(
            "T", company.region * p.TERRITORIES_PER_REGION + company.country % p.TERRITORIES_PER_REGION + 1, width=2
        ),
        "event_timestamp": accounts.created,
        "created_timestamp": accounts.created,
    }
    at = reps.handover(accounts.rep, since=accounts.created, until=np.full(n, NEVER))
    extra = handovers(rows, thing=number, at=at, origin=calendar.start)
    owner = np.concatenate([number, np.flatnonzero(at < NEVER)])
    versions = stack([rows, extra])
    versions["rep_id"] = ids("R", reps.owner_at(accounts.rep[owner], versions["event_timestamp"]) + 1, width=3)
    return versions


@dataclass(frozen=True)
class Contacts:
    """People at accounts: account of each contact, and each account's first contact and number of contacts."""

    account: Ints
    first: Ints
    per_account: Ints


def meet(config: SimulationConfig, accounts: Accounts) -> Contacts:
    """One to four people per account."""
    count = 1 + stream(config, "contacts").binomial(3, 0.35, accounts.count)
    return Contacts(
        account=np.repeat(np.arange(accounts.count), count), first=np.cumsum(count) - count, per_account=count
    )


def contact_versions(config: SimulationConfig, leads: Leads, accounts: Accounts, contacts: Contacts) -> Columns:
    """Versions of the contacts; the first contact of a converted lead's account is the lead."""
    rng = stream(config, "contact versions")
    account = contacts.account
    n = len(account)
    names, local = people(rng, n)
    email = joined(local, "@", accounts.company.domain.take(pa.array(account)))
    title = rng.integers(0, len(p.TITLES) - 2, n)
    lead = np.where(contacts.first[account] == np.arange(n), accounts.lead[account], -1)
    is_lead, at = pa.array(lead >= 0), pa.array(lead.clip(0))
    later = (rng.exponential(25.0, n) * DAY).astype(np.int64)
    event = accounts.created[account] + np.where(contacts.first[account] == np.arange(n), 0, later)
    return {
        "contact_id": ids("K", np.arange(1, n + 1), width=5),
        "account_id": ids("A", account + 1, width=5),
        "name": pc.if_else(is_lead, leads.person.take(at), names),
        "email": pc.if_else(is_lead, leads.email.take(at), email),
        "title": words([name for name, _, _ in p.TITLES], np.where(lead >= 0, leads.title[lead], title)),
        "event_timestamp": event,
        "created_timestamp": event + late(rng, n, chance=0.1, days=5.0, minutes=1.0),
    }
