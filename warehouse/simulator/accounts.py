"""Accounts and contacts: customers from the first day, companies of converted leads, companies that reps approach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from warehouse.simulator import parameters as p
from warehouse.simulator.config import Cell
from warehouse.simulator.leads import Leads
from warehouse.simulator.moments import DAY, NEVER, Calendar, Draws, Floats, Ints, late
from warehouse.simulator.names import (
    Companies,
    companies,
    country_text,
    employee_count,
    industry_text,
    people,
    with_typos,
)
from warehouse.simulator.organisation import Reps
from warehouse.simulator.writer import Columns, handovers, ids, joined, stack, words

YEAR = 365 * DAY


@dataclass(frozen=True)
class Accounts:
    """The accounts in order of creation, the `base` first-day customers first.

    `rep` is the first owner; an account may be given to `moved_to` at `moved_at` (NEVER: it is not). `appetite` and
    `patience` are latent: how readily a customer buys again, and how long it stays one (microseconds). `number` is
    the number before that of the first account.
    """

    number: int
    created: Ints
    company: Companies
    rep: Ints
    lead: Ints
    base: int
    moved_at: Ints
    moved_to: Ints
    appetite: Floats
    patience: Ints

    @property
    def count(self) -> int:
        """Number of accounts."""
        return len(self.created)

    def ids(self, index: Ints) -> Any:
        """Identifiers of the accounts `index`; null where it is negative."""
        return ids("A", np.where(index >= 0, index + self.number + 1, -1), width=5)

    def owner_at(self, account: Ints, moments: Ints, reps: Reps) -> Ints:
        """Who owns each account, and its open deals, at a moment."""
        first = np.where(moments >= self.moved_at[account], self.moved_to[account], self.rep[account])
        return reps.owner_at(first, moments)

    def handovers(self, account: Ints, reps: Reps, *, since: Ints, until: Ints) -> tuple[Ints, Ints, Ints]:
        """When a thing of each account, alive in (since, until), gets another owner; NEVER where it does not.

        Because the first owner leaves, because the account is moved, because its new owner leaves.
        """
        moved = self.moved_at[account]
        inside = np.where((moved > since) & (moved < until), moved, NEVER)
        before = reps.handover(self.rep[account], since=since, until=np.minimum(until, moved))
        heir = np.where(moved < NEVER, self.moved_to[account], 0)
        after = reps.handover(heir, since=np.maximum(since, moved), until=until)
        return before, inside, np.where(moved < NEVER, after, NEVER)


def found(
    cell: Cell,
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
    draw = Draws(cell, "accounts")
    base = max(10, round(p.INSTALLED_BASE_SHARE * cell.deals))
    before = (draw("known before").exponential(18.0, len(approached)) * DAY).astype(np.int64)
    own = np.concatenate([np.full(base, calendar.start), np.maximum(approached - before, calendar.start)])
    others = companies(Draws(cell, "account companies"), len(own), cell=cell.number)
    rep = reps.assign(draw("rep"), regions=others.region, moments=own)
    theirs = reps.owner_at(leads.rep[converted], at)
    created, rep = (np.concatenate([left[:base], right, left[base:]]) for left, right in ((own, at), (rep, theirs)))
    company = _in_order(others, leads.company.take(converted), base=base)
    lead = np.concatenate([np.full(base, -1), converted, np.full(len(approached), -1)])
    order = np.argsort(created, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    created, company, rep = created[order], company.take(order), rep[order]
    moved_at, moved_to = _moves(draw, calendar, reps, created=created, company=company, rep=rep)
    accounts = Accounts(
        number=cell.first,
        created=created,
        company=company,
        rep=rep,
        lead=lead[order],
        base=base,
        moved_at=moved_at,
        moved_to=moved_to,
        appetite=draw("appetite").gamma(p.APPETITE_SHAPE, 1.0, len(order)) + 1e-6,
        patience=(draw("patience").exponential(1 / p.LEAVING_PER_YEAR, len(order)) * YEAR).astype(np.int64),
    )
    return accounts, place[base : base + len(converted)], place[base + len(converted) :]


def _moves(
    draw: Draws, calendar: Calendar, reps: Reps, *, created: Ints, company: Companies, rep: Ints
) -> tuple[Ints, Ints]:
    """Territories are cut anew as each year begins: some accounts go to another rep of their region, once at most."""
    begins, n = calendar.years_begin(), len(created)
    hit = draw("moved").random((n, max(len(begins), 1)))[:, : len(begins)] < p.MOVED_ACCOUNTS
    hit &= created[:, None] < begins
    moves = hit.any(axis=1)
    at = np.where(moves, begins[np.argmax(hit, axis=1)] if len(begins) else NEVER, NEVER)
    to = reps.assign(draw("moved to"), regions=company.region, moments=np.where(moves, at, created))
    moves &= to != reps.owner_at(rep, at)
    return np.where(moves, at, NEVER), np.where(moves, to, -1)


def _in_order(others: Companies, theirs: Companies, *, base: int) -> Companies:
    """First-day customers, companies of leads, approached companies."""

    def merge(name: str) -> Any:
        left, right = getattr(others, name), getattr(theirs, name)
        pieces = [left[:base], right, left[base:]]
        return pa.concat_arrays(pieces) if isinstance(left, pa.Array) else np.concatenate(pieces)

    return Companies(**{name: merge(name) for name in ("industry", "employees", "country", "region", "name", "domain")})


def account_versions(cell: Cell, calendar: Calendar, accounts: Accounts, reps: Reps) -> Columns:
    """Versions of the accounts: when created, and when they get another owner."""
    draw = Draws(cell, "account versions")
    n = accounts.count
    company = accounts.company
    number = np.arange(n, dtype=np.int64)
    revenue = company.employees * draw("revenue").lognormal(11.9, 0.5, n)
    lazy = reps.laziness[accounts.rep]
    rows: Columns = {
        "account_id": accounts.ids(number),
        "name": with_typos(draw("typos"), company.name),
        "industry": industry_text(draw("industry"), company.industry, missing=p.MISSING_INDUSTRY / 3 * lazy),
        "employee_count": employee_count(draw("employees"), company.employees, missing=p.MISSING_EMPLOYEES / 3 * lazy),
        "annual_revenue_usd": np.where(
            draw("no revenue").random(n) < p.MISSING_REVENUE * lazy, np.nan, np.round(revenue, -4)
        ),
        "country": country_text(draw("country"), company.country),
        "region": words(p.REGIONS, company.region),
        "territory_id": ids(
            "T", company.region * p.TERRITORIES_PER_REGION + company.country % p.TERRITORIES_PER_REGION + 1, width=2
        ),
        "event_timestamp": accounts.created,
        "created_timestamp": accounts.created,
    }
    parts, owned = [rows], [number]
    for at in accounts.handovers(number, reps, since=accounts.created, until=np.full(n, NEVER)):
        copies, who = handovers(rows, thing=number, at=at, origin=calendar.start)
        parts.append(copies)
        owned.append(who)
    versions = stack(parts)
    owner = accounts.owner_at(np.concatenate(owned), versions["event_timestamp"], reps)
    return versions | {"rep_id": ids("R", owner + 1, width=3)}


@dataclass(frozen=True)
class Contacts:
    """People at accounts: account of each contact, and each account's first contact and number of contacts."""

    number: int
    account: Ints
    first: Ints
    per_account: Ints

    def ids(self, index: Ints) -> Any:
        """Identifiers of the contacts `index`; null where it is negative."""
        return ids("K", np.where(index >= 0, index + self.number + 1, -1), width=5)


def meet(cell: Cell, accounts: Accounts) -> Contacts:
    """One to four people per account."""
    count = 1 + Draws(cell, "contacts")("count").binomial(3, 0.35, accounts.count)
    return Contacts(
        number=cell.first,
        account=np.repeat(np.arange(accounts.count), count),
        first=np.cumsum(count) - count,
        per_account=count,
    )


def contact_versions(cell: Cell, leads: Leads, accounts: Accounts, contacts: Contacts) -> Columns:
    """Versions of the contacts; the first contact of a converted lead's account is the lead."""
    draw = Draws(cell, "contact versions")
    account = contacts.account
    n = len(account)
    names, local = people(draw("names"), n)
    email = joined(local, "@", accounts.company.domain.take(pa.array(account)))
    title = draw("title").integers(0, len(p.TITLES) - 2, n)
    is_first = contacts.first[account] == np.arange(n)
    lead = np.where(is_first, accounts.lead[account], -1)
    is_lead, at = pa.array(lead >= 0), pa.array(lead.clip(0))
    later = (draw("later").exponential(25.0, n) * DAY).astype(np.int64)
    event = accounts.created[account] + np.where(is_first, 0, later)
    return {
        "contact_id": contacts.ids(np.arange(n)),
        "account_id": accounts.ids(account),
        "name": pc.if_else(is_lead, leads.person.take(at), names),
        "email": pc.if_else(is_lead, leads.email.take(at), email),
        "title": words([name for name, _, _ in p.TITLES], np.where(lead >= 0, leads.title[lead], title)),
        "event_timestamp": event,
        "created_timestamp": event + late(draw("lag"), n, chance=0.1, days=5.0, minutes=1.0),
    }
