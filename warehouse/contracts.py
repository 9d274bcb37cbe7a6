"""The contracts: the single source of the canonical tables' names, types, units, keys, ranges and times of knowledge.

A *versioned* table holds one row per version of a thing: all its columns as they were from `event_timestamp` on. An
*event* table holds one row per thing that happened. Every row also carries `created_timestamp`, when it could first be
known; both times are UTC with microseconds. Late and corrected records are new rows with a later `created_timestamp`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

import pyarrow as pa

from common.errors import ContractError

UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")
TIME_COLUMNS = ("event_timestamp", "created_timestamp")
EXTENSION_PREFIX = "custom_"
"""Name of a source's own field, declared in its mapping and kept beside the canonical columns."""

_ARROW_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "float": pa.float64(),
    "int": pa.int64(),
    "bool": pa.bool_(),
    "timestamp": UTC_MICROSECONDS,
    "date": pa.date32(),
}


class Known(StrEnum):
    """When a column's value is first known."""

    ALWAYS = "always"
    """From the row's `created_timestamp` on."""
    AT_OUTCOME = "at_outcome"
    """Only when the lead or deal is decided: an answer, never a feature."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a canonical table.

    Args:
        name: Canonical name, with its unit as suffix where it has one.
        dtype: Logical type.
        about: What it means, for documentation and error messages.
        required: Whether a row without it breaks the contract.
        minimum: Least valid value, for numbers.
        maximum: Greatest valid value, for numbers.
        allowed: Valid values, for enumerations.
        known: When its value is first known.
        personal: Whether it names or describes a person, or is free text that may; `forget` empties it.
        person: For ids: the kind of person whose id it holds, if it does; `forget` replaces it.
    """

    name: str
    dtype: Literal["string", "float", "int", "bool", "timestamp", "date"]
    about: str
    required: bool = False
    minimum: float | None = None
    maximum: float | None = None
    allowed: tuple[str, ...] | None = None
    known: Known = Known.ALWAYS
    personal: bool = False
    person: Literal["lead", "contact"] | None = None

    @property
    def arrow_type(self) -> pa.DataType:
        """Arrow type of the column."""
        return _ARROW_TYPES[self.dtype]


@dataclass(frozen=True, kw_only=True)
class Contract:
    """The contract of one canonical table.

    Args:
        table: Name of the table.
        kind: `versioned` or `event`.
        key: Column that names the thing (versioned) or the event.
        about: What a row stands for.
        columns: Its columns without the two times, which every table has.
    """

    table: str
    kind: Literal["versioned", "event"]
    key: str
    about: str
    columns: tuple[Column, ...]

    @property
    def arrow_schema(self) -> pa.Schema:
        """Schema of the stored table: the columns, then the two times, not null."""
        fields = [pa.field(column.name, column.arrow_type) for column in self.columns]
        return pa.schema(fields + [pa.field(name, UTC_MICROSECONDS) for name in TIME_COLUMNS])

    @property
    def extension(self) -> tuple[Column, ...]:
        """The source's own fields: columns named `custom_…`."""
        return tuple(column for column in self.columns if column.name.startswith(EXTENSION_PREFIX))

    def extended(self, columns: Sequence[Column]) -> Contract:
        """This contract with a source's own fields after its columns; fields it has already stay as they are.

        Raises:
            ContractError: if a field is not named `custom_…`, is required, or is there with another type.
        """
        held = {column.name: column for column in self.columns}
        for column in columns:
            if not column.name.startswith(EXTENSION_PREFIX) or column.required:
                raise ContractError(
                    f"'{column.name}' cannot extend {self.table}",
                    expected=f"an optional field named {EXTENSION_PREFIX}…",
                )
            if column.name in held and held[column.name].dtype != column.dtype:
                raise ContractError(
                    f"{self.table}.{column.name} was declared before with another type",
                    expected=held[column.name].dtype,
                    got=column.dtype,
                    next_step="give the field another name in the mapping's extension",
                )
        return replace(self, columns=self.columns + tuple(column for column in columns if column.name not in held))

    @property
    def outcome_columns(self) -> tuple[str, ...]:
        """Columns that are known only when the lead or deal is decided."""
        return tuple(column.name for column in self.columns if column.known is Known.AT_OUTCOME)

    def column(self, name: str) -> Column:
        """The column `name`.

        Raises:
            KeyError: if the table has no such column.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"Column '{name}' is not in {self.table}. Columns: {[c.name for c in self.columns]}.")


LEAD_STATUSES = ("new", "working", "qualified", "converted", "disqualified")
OPEN_LEAD_STATUSES = LEAD_STATUSES[:3]
DEAL_STATUSES = ("open", "won", "lost")
LEAD_EVENT_KINDS = (
    "page_view",
    "pricing_view",
    "email_open",
    "email_click",
    "email_reply",
    "content_download",
    "webinar",
    "demo_request",
    "form_submission",
    "social",
)
ACTIVITY_KINDS = ("email", "call", "meeting", "demo", "task")


def _text(name: str, about: str, **extra: object) -> Column:
    return Column(name=name, dtype="string", about=about, **extra)  # type: ignore[arg-type]


def _number(name: str, about: str, **extra: object) -> Column:
    return Column(name=name, dtype="float", about=about, **extra)  # type: ignore[arg-type]


def _count(name: str, about: str, **extra: object) -> Column:
    return Column(name=name, dtype="int", about=about, **extra)  # type: ignore[arg-type]


def _key(name: str, about: str, **extra: object) -> Column:
    return _text(name, about, required=True, **extra)


_DELETED = Column(name="is_deleted", dtype="bool", about="True in the version that deletes the thing.")

ACCOUNTS = Contract(
    table="accounts",
    kind="versioned",
    key="account_id",
    about="A company that buys or may buy.",
    columns=(
        _key("account_id", "Identifier of the account."),
        _text("name", "Name of the company."),
        _text("industry", "Industry."),
        _count("employee_count", "Number of employees.", minimum=0),
        _number("annual_revenue_usd", "Revenue of the last year, in US dollars.", minimum=0),
        _text("country", "Country, ISO 3166 alpha-2 or the source's own name."),
        _text("region", "Sales region."),
        _text("territory_id", "Territory."),
        _text("rep_id", "Rep who owns the account."),
        _DELETED,
    ),
)
CONTACTS = Contract(
    table="contacts",
    kind="versioned",
    key="contact_id",
    about="A person at an account.",
    columns=(
        _key("contact_id", "Identifier of the person.", person="contact"),
        _text("account_id", "Account the person belongs to."),
        _text("name", "Full name.", personal=True),
        _text("email", "E-mail address.", personal=True),
        _text("title", "Job title.", personal=True),
        _DELETED,
    ),
)
REPS = Contract(
    table="reps",
    kind="versioned",
    key="rep_id",
    about="A salesperson, or a named resource that does a salesperson's work.",
    columns=(
        _key("rep_id", "Identifier of the rep."),
        _text("name", "Full name."),
        _text("team", "Team."),
        _text("region", "Sales region."),
        _text("territory_id", "Territory."),
        _text("manager_id", "Rep who leads this one."),
        Column(name="hired_at", dtype="timestamp", about="First working day, UTC."),
        Column(name="is_active", dtype="bool", about="False once the rep has left."),
        _DELETED,
    ),
)
LEADS = Contract(
    table="leads",
    kind="versioned",
    key="lead_id",
    about="Somebody who may become a customer, from first contact to conversion or disqualification.",
    columns=(
        _key("lead_id", "Identifier of the lead.", person="lead"),
        Column(name="lead_created_at", dtype="timestamp", about="First contact, UTC.", required=True),
        _text("status", "State of the lead from this version on.", required=True, allowed=LEAD_STATUSES),
        _text("source", "Where the lead came from (channel or origin)."),
        _text("campaign_id", "Campaign that brought it."),
        _text("landing_page", "Page of first contact."),
        _text("company_name", "Company as the lead wrote it.", personal=True),
        _text("industry", "Industry."),
        _count("employee_count", "Number of employees of the lead's company.", minimum=0),
        _text("country", "Country."),
        _text("region", "Sales region."),
        _text("title", "Job title of the person.", personal=True),
        _text("email", "E-mail address of the person.", personal=True),
        _text("rep_id", "Rep who works the lead."),
        _text("account_id", "Account it became.", known=Known.AT_OUTCOME),
        _text("opportunity_id", "Deal it became.", known=Known.AT_OUTCOME),
        _text("disqualified_reason", "Why it was given up.", known=Known.AT_OUTCOME),
        _DELETED,
    ),
)
OPPORTUNITIES = Contract(
    table="opportunities",
    kind="versioned",
    key="opportunity_id",
    about="A deal, from opening to won or lost; the stage history is the list of its versions.",
    columns=(
        _key("opportunity_id", "Identifier of the deal."),
        Column(name="opened_at", dtype="timestamp", about="When the deal was opened, UTC.", required=True),
        _text("status", "open, won or lost from this version on.", required=True, allowed=DEAL_STATUSES),
        _text("stage", "Stage in the source's own words.", required=True),
        _text("pipeline", "Pipeline the stages belong to."),
        _text("account_id", "Account."),
        _text("lead_id", "Lead it came from.", person="lead"),
        _text("rep_id", "Rep who owns the deal."),
        _text("product_id", "Main product."),
        _text("source", "Where the deal came from."),
        _text("deal_type", "new, expansion or renewal, or the source's own word."),
        _number("amount_usd", "Amount as entered, in US dollars.", minimum=0),
        Column(name="close_date", dtype="date", about="Expected date of closing, as entered."),
        _number("crm_probability", "The CRM's own win probability.", minimum=0, maximum=1),
        _text("forecast_category", "The rep's own call: commit, best_case, pipeline, omitted."),
        _text("competitor", "Main competitor, as far as known."),
        Column(name="next_step_date", dtype="date", about="Date of the agreed next step."),
        _text("lost_reason", "Why it was lost.", known=Known.AT_OUTCOME),
        _DELETED,
    ),
)
PRODUCTS = Contract(
    table="products",
    kind="versioned",
    key="product_id",
    about="Something sold.",
    columns=(
        _key("product_id", "Identifier of the product."),
        _text("name", "Name."),
        _text("family", "Product family."),
        _number("list_price_usd", "List price, in US dollars.", minimum=0),
        _DELETED,
    ),
)
CAMPAIGNS = Contract(
    table="campaigns",
    kind="versioned",
    key="campaign_id",
    about="A marketing campaign.",
    columns=(
        _key("campaign_id", "Identifier of the campaign."),
        _text("name", "Name."),
        _text("channel", "Channel."),
        _number("cost_usd", "Cost so far, in US dollars.", minimum=0),
        Column(name="starts_on", dtype="date", about="First day."),
        Column(name="ends_on", dtype="date", about="Last day."),
        _DELETED,
    ),
)
QUOTAS = Contract(
    table="quotas",
    kind="versioned",
    key="quota_id",
    about="What a rep, team or region is to sell in a quarter.",
    columns=(
        _key("quota_id", "Identifier of the quota."),
        _text("level", "rep, team, region or company.", required=True, allowed=("rep", "team", "region", "company")),
        _text("entity_id", "Rep, team or region it is for.", required=True),
        Column(name="period_start", dtype="date", about="First day of the quarter.", required=True),
        Column(name="period_end", dtype="date", about="Last day of the quarter.", required=True),
        _number("amount_usd", "Quota, in US dollars.", required=True, minimum=0),
        _DELETED,
    ),
)
TERRITORIES = Contract(
    table="territories",
    kind="versioned",
    key="territory_id",
    about="A part of the market.",
    columns=(
        _key("territory_id", "Identifier of the territory."),
        _text("name", "Name."),
        _text("region", "Sales region."),
        _DELETED,
    ),
)
LEAD_EVENTS = Contract(
    table="lead_events",
    kind="event",
    key="event_id",
    about="Something a lead did.",
    columns=(
        _key("event_id", "Identifier of the event."),
        _text("lead_id", "Lead that acted.", required=True, person="lead"),
        _text("kind", "What was done.", required=True, allowed=LEAD_EVENT_KINDS),
        _text("subject", "Page, mail or content it was about.", personal=True),
        _text("campaign_id", "Campaign that caused it."),
        _number("duration_seconds", "How long it lasted.", minimum=0),
    ),
)
ACTIVITIES = Contract(
    table="activities",
    kind="event",
    key="activity_id",
    about="Something the sales team did with a lead, deal or account.",
    columns=(
        _key("activity_id", "Identifier of the activity."),
        _text("kind", "Kind of activity.", required=True, allowed=ACTIVITY_KINDS),
        _text("opportunity_id", "Deal it was about."),
        _text("lead_id", "Lead it was about.", person="lead"),
        _text("account_id", "Account it was about."),
        _text("contact_id", "Person on the other side.", person="contact"),
        _text("rep_id", "Who did it."),
        _text("direction", "inbound or outbound.", allowed=("inbound", "outbound")),
        _text("outcome", "Result in the source's own words.", personal=True),
        _number("duration_minutes", "How long it lasted.", minimum=0),
        _count("participant_count", "People who took part.", minimum=0),
    ),
)
TRANSACTIONS = Contract(
    table="transactions",
    kind="event",
    key="transaction_id",
    about="Money booked.",
    columns=(
        _key("transaction_id", "Identifier of the booking."),
        _text("opportunity_id", "Deal it came from."),
        _text("account_id", "Account that pays."),
        _text("rep_id", "Rep who is credited."),
        _text("product_id", "Product."),
        _number("amount_usd", "Amount, in US dollars; negative for a credit.", required=True),
        _text("kind", "booking, renewal, expansion or credit."),
    ),
)
SERIES_VALUES = Contract(
    table="series_values",
    kind="event",
    key="value_id",
    about="One value of a business series for which no deals are known: the start of a period and its total.",
    columns=(
        _key("value_id", "Identifier: series and period."),
        _text("series_id", "Bottom series: its levels joined by '/'.", required=True),
        _text("level_1", "Highest grouping below the total, such as state."),
        _text("level_2", "Next grouping, such as region."),
        _text("level_3", "Lowest grouping, such as purpose."),
        Column(name="period_start", dtype="date", about="First day of the period.", required=True),
        _text("frequency", "MS (monthly) or QS (quarterly).", required=True, allowed=("MS", "QS")),
        _number("value", "Total of the period, in the series' own unit.", required=True),
    ),
)

CONTRACTS: dict[str, Contract] = {
    contract.table: contract
    for contract in (
        ACCOUNTS,
        CONTACTS,
        REPS,
        LEADS,
        OPPORTUNITIES,
        PRODUCTS,
        CAMPAIGNS,
        QUOTAS,
        TERRITORIES,
        LEAD_EVENTS,
        ACTIVITIES,
        TRANSACTIONS,
        SERIES_VALUES,
    )
}
