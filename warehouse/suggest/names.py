"""Which canonical column a column of a user's file may be: by its name, and by what its values look like."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache

from warehouse.contracts import CONTRACTS, Column
from warehouse.suggest.columns import Profile

LEAST_CONFIDENCE = 0.6
"""A weaker likeness is only told as an alternative."""

SYNONYMS: dict[str, dict[str, tuple[str, ...]]] = {
    "accounts": {
        "account_id": ("account id", "company id", "customer id", "record id", "id", "account", "organization id"),
        "name": ("account name", "company name", "name", "company", "account", "customer", "organization"),
        "industry": ("industry", "sector", "vertical", "business segment"),
        "employee_count": ("number of employees", "employees", "no of employees", "headcount", "company size"),
        "annual_revenue_usd": ("annual revenue", "revenue", "turnover", "annual revenue usd"),
        "country": ("country", "billing country", "country region", "office location", "nation"),
        "region": ("region", "sales region", "state region", "territory region"),
        "territory_id": ("territory id", "territory"),
        "rep_id": ("owner id", "account owner", "company owner", "owner", "sales rep", "account manager", "rep id"),
        "is_deleted": ("is deleted", "deleted"),
    },
    "contacts": {
        "contact_id": ("contact id", "record id", "id", "person id"),
        "account_id": ("account id", "company id", "associated company id", "account", "company"),
        "name": ("full name", "name", "contact name"),
        "email": ("email", "e mail", "email address", "mail"),
        "title": ("title", "job title", "position", "role"),
        "is_deleted": ("is deleted", "deleted"),
    },
    "reps": {
        "rep_id": ("rep id", "user id", "employee id", "sales agent", "agent", "rep", "salesperson", "id", "owner id"),
        "name": ("name", "full name", "rep name", "sales agent", "user name", "agent"),
        "team": ("team", "sales team", "department"),
        "region": ("region", "regional office", "office", "division"),
        "territory_id": ("territory id", "territory"),
        "manager_id": ("manager id", "manager", "supervisor", "reports to"),
        "hired_at": ("hired at", "hire date", "start date", "joined"),
        "is_active": ("is active", "active"),
        "is_deleted": ("is deleted", "deleted"),
    },
    "leads": {
        "lead_id": ("lead id", "prospect id", "mql id", "record id", "id", "lead number", "lead", "contact id"),
        "lead_created_at": (
            "created date",
            "create date",
            "created on",
            "created at",
            "first contact date",
            "lead date",
            "date created",
            "first contact",
            "created",
        ),
        "status": ("status", "lead status", "stage", "lead stage", "lifecycle stage", "converted", "is converted"),
        "source": ("source", "lead source", "origin", "original source", "channel", "lead origin", "utm source"),
        "campaign_id": ("campaign id", "campaign", "source campaign", "utm campaign"),
        "landing_page": ("landing page", "landing page id", "first page seen", "first page"),
        "company_name": ("company", "company name", "account name", "organization"),
        "industry": ("industry", "sector", "vertical"),
        "employee_count": ("number of employees", "employees", "no of employees", "headcount", "company size"),
        "country": ("country", "country region", "nation"),
        "region": ("region", "state", "sales region", "state region"),
        "title": ("title", "job title", "position", "role", "current occupation"),
        "email": ("email", "e mail", "email address", "mail"),
        "rep_id": (
            "owner id",
            "lead owner",
            "contact owner",
            "owner",
            "owner employee id",
            "sales rep",
            "rep id",
            "assigned to",
        ),
        "account_id": ("converted account id", "converted account", "account id"),
        "opportunity_id": ("converted opportunity id", "converted opportunity", "opportunity id", "deal id"),
        "disqualified_reason": (
            "disqualified reason",
            "disqualification reason",
            "lost reason",
            "unqualified reason",
            "reason lost",
        ),
        "is_deleted": ("is deleted", "deleted"),
    },
    "opportunities": {
        "opportunity_id": ("opportunity id", "deal id", "record id", "id", "oppty id", "opportunity", "case id"),
        "opened_at": (
            "created date",
            "create date",
            "created on",
            "created at",
            "opened at",
            "open date",
            "engage date",
            "date opened",
            "created",
        ),
        "status": ("status", "state", "deal status", "is won", "won", "outcome", "result", "is accepted", "accepted"),
        "stage": ("stage", "deal stage", "stage name", "sales stage", "pipeline phase", "pipeline stage"),
        "pipeline": ("pipeline", "process", "sales process", "record type"),
        "account_id": (
            "account id",
            "company id",
            "account",
            "customer",
            "company",
            "potential customer",
            "associated company id",
            "account name",
        ),
        "lead_id": ("lead id", "originating lead", "mql id"),
        "rep_id": (
            "owner id",
            "deal owner",
            "opportunity owner",
            "owner",
            "sales agent",
            "sales rep",
            "rep id",
            "owner employee id",
            "rep",
        ),
        "product_id": ("product id", "product", "main product", "product name"),
        "source": ("lead source", "source", "original source", "origin", "campaign source"),
        "deal_type": ("type", "deal type", "opportunity type"),
        "amount_usd": (
            "amount",
            "deal value",
            "value",
            "close value",
            "est revenue",
            "estimated revenue",
            "deal amount",
            "amount usd",
            "revenue",
        ),
        "close_date": (
            "close date",
            "expected close date",
            "est close date",
            "estimated close date",
            "closing date",
            "decision date",
        ),
        "crm_probability": ("probability", "deal probability", "win probability", "probability percent"),
        "forecast_category": ("forecast category", "forecast category name", "forecast"),
        "competitor": ("competitor", "main competitor", "competitors"),
        "next_step_date": ("next step date", "next activity date", "next step due date", "next contact date"),
        "lost_reason": ("lost reason", "closed lost reason", "loss reason", "reason lost", "status reason"),
        "is_deleted": ("is deleted", "deleted"),
    },
    "products": {
        "product_id": ("product id", "product code", "sku", "product", "id"),
        "name": ("product name", "name", "product"),
        "family": ("product family", "family", "series", "category", "product line"),
        "list_price_usd": ("list price", "price", "sales price", "unit price"),
    },
    "campaigns": {
        "campaign_id": ("campaign id", "id", "campaign"),
        "name": ("campaign name", "name", "campaign"),
        "channel": ("channel", "campaign type", "type", "medium"),
        "cost_usd": ("actual cost", "cost", "spend", "budgeted cost", "budget"),
        "starts_on": ("start date", "starts on", "campaign start"),
        "ends_on": ("end date", "ends on", "campaign end"),
    },
    "quotas": {
        "quota_id": ("quota id", "id"),
        "level": ("level",),
        "entity_id": ("rep id", "owner id", "entity id", "user id", "team", "region"),
        "period_start": ("period start", "start date", "quarter start", "period"),
        "period_end": ("period end", "end date", "quarter end"),
        "amount_usd": ("quota amount", "quota", "target", "amount", "target amount"),
    },
    "territories": {
        "territory_id": ("territory id", "id", "territory"),
        "name": ("territory name", "name", "territory"),
        "region": ("region", "parent territory"),
    },
    "activities": {
        "activity_id": ("activity id", "record id", "id", "task id", "event id", "call id"),
        "kind": ("activity type", "type", "kind", "task subtype"),
        "opportunity_id": ("opportunity id", "deal id", "what id", "regarding", "associated deal id"),
        "lead_id": ("lead id", "who id"),
        "account_id": ("account id", "company id", "associated company id"),
        "contact_id": ("contact id", "associated contact id"),
        "rep_id": ("owner id", "owner", "assigned to", "activity assigned to", "rep id"),
        "direction": ("direction", "call direction", "call type"),
        "outcome": ("outcome", "call outcome", "meeting outcome", "result", "call result", "call disposition"),
        "duration_minutes": ("duration", "duration minutes", "duration in minutes", "call duration"),
        "participant_count": ("participants", "attendees", "participant count"),
    },
    "lead_events": {
        "event_id": ("event id", "id"),
        "lead_id": ("lead id", "prospect id", "contact id", "visitor id"),
        "kind": ("event type", "event", "type", "kind"),
        "subject": ("page", "url", "subject", "content"),
        "campaign_id": ("campaign id", "campaign"),
        "duration_seconds": ("duration seconds", "time on page", "duration"),
    },
    "transactions": {
        "transaction_id": ("transaction id", "order id", "invoice id", "booking id", "order number", "id"),
        "opportunity_id": ("opportunity id", "deal id"),
        "account_id": ("customer id", "account id", "company id", "customer", "account"),
        "rep_id": ("rep id", "owner id", "salesperson"),
        "product_id": ("product id", "product", "sku"),
        "amount_usd": ("amount", "dollar value", "total", "value", "amount usd", "price", "revenue"),
        "kind": ("type", "kind", "transaction type"),
    },
}
"""Names by which the canonical columns go in CRMs and exports, the surest first."""

_EMAIL = re.compile(r"^[^@\s]+@[^@\s]+\.[^@\s]+$")
_NUMBERS = frozenset({"int", "float"})


@dataclass(frozen=True)
class Match:
    """A file's column taken for a canonical one.

    Args:
        profile: The file's column.
        confidence: How sure, from 0 to 1.
        alternatives: The next two that it might be, with their confidence.
    """

    profile: Profile
    confidence: float
    alternatives: tuple[tuple[str, float], ...]


def words(name: str) -> str:
    """A column's name as small words: `OwnerEmployeeId` and `owner_employee_id` are "owner employee id"."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name.removeprefix("(Do Not Modify) "))
    return " ".join(re.sub(r"[^a-z0-9]+", " ", spaced.lower()).split())


def is_named(name: str, other: str) -> bool:
    """Whether two names are the same words, also where one is written without spaces: `createdon`."""
    return name.replace(" ", "") == other.replace(" ", "")


def likenesses(table: str, profiles: Mapping[str, Profile]) -> dict[str, list[tuple[str, float]]]:
    """For each canonical column of a table the file's columns that may be it, the likeliest first."""
    columns = [column for column in CONTRACTS[table].columns if column.name in SYNONYMS[table]]
    found: dict[str, list[tuple[str, float]]] = {}
    for column in columns:
        scores = [(name, likeness(table, column, profile)) for name, profile in profiles.items()]
        found[column.name] = sorted(((n, s) for n, s in scores if s >= 0.3), key=lambda pair: (-pair[1], pair[0]))
    return found


def likeness(table: str, column: Column, profile: Profile) -> float:
    """How likely a column of a file is the canonical one, from 0 to 1: its name, held against its values."""
    named = max(
        (_name_likeness(words(profile.header), other) - 0.02 * place)
        for place, other in enumerate((words(column.name), *SYNONYMS[table][column.name]))
    )
    return round(max(0.0, min(1.0, named * _value_factor(table, column, profile))), 2)


@cache
def _name_likeness(name: str, other: str) -> float:
    if is_named(name, other):
        return 1.0
    own, theirs = set(name.split()), set(other.split())
    shared = len(own & theirs) / len(own | theirs)
    # Words in common count most; likeness of letters catches plurals and typing errors.
    letters = SequenceMatcher(None, name, other).ratio()
    return 0.9 * max(shared, letters - 0.15)


def _value_factor(table: str, column: Column, profile: Profile) -> float:
    """What the values say about a name's promise: 1 if they agree, less if they do not, 0 if they cannot be it."""
    if profile.type == "empty":
        return 0.0
    if column.dtype in {"timestamp", "date"}:
        return 1.0 if profile.is_time else 0.0
    if column.dtype in _NUMBERS:
        return 1.0 if profile.type in _NUMBERS and profile.epoch is None else 0.0
    if column.dtype == "bool":
        return 1.0 if profile.type == "bool" or {value for value, _ in profile.values} <= {"0", "1"} else 0.0
    if column.name == CONTRACTS[table].key:
        return 1.0 if profile.is_unique else 0.4
    if column.name == "email":
        looked_at = [value for value, _ in profile.values[:100]]
        return 1.0 if sum(bool(_EMAIL.match(value)) for value in looked_at) > len(looked_at) / 2 else 0.2
    if profile.is_time:
        return 0.0
    if column.name in {"status", "stage", "kind", "direction"}:
        return 1.0 if len(profile.values) <= 60 else 0.3
    return 1.0 if profile.type != "float" else 0.3
