"""View `account_history`: who the account is, and how its earlier deals went, as known at as_of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from features.specs import FeatureSpec, ViewSpec
from features.transformations.closings import YEAR_DAYS, deal_path, first_closings, open_spells
from features.transformations.expressions import CENTS, UNSEEN, days_since_second, smoothed, whole_seconds
from features.transformations.history import (
    attach,
    end_of_window,
    enter_and_leave,
    known_events,
    newest_before,
    running_totals,
)
from warehouse.as_known import versions_on_spine
from warehouse.contracts import CONTRACTS

if TYPE_CHECKING:
    import ibis.expr.types as ir

PRIOR_DEALS = 5
"""How many deals the company's win rate weighs in an account's smoothed win rate."""


def _count(name: str, about: str, phrase: str, *, unit: str = "deals", needs: str | None = None) -> FeatureSpec:
    window = "365d" if name.endswith("_365d") else None
    return FeatureSpec(
        name=name, dtype="int", unit=unit, window=window, group="account", about=about, phrase=phrase, needs=needs
    )


def _number(
    name: str, unit: str, about: str, phrase: str, *, window: str | None = None, needs: str | None = None
) -> FeatureSpec:
    return FeatureSpec(
        name=name, dtype="float", unit=unit, window=window, group="account", about=about, phrase=phrase, needs=needs
    )


def _profile(name: str, about: str, phrase: str) -> FeatureSpec:
    return FeatureSpec(
        name=name, dtype="category", unit="category", group="account", about=about, phrase=phrase, needs="accounts"
    )


FEATURES = (
    _count(
        "count_won_deals_account", "Number of the account's deals that were won.", "{value} deals were won here before"
    ),
    _count("count_lost_deals_account", "Number of the account's deals that were lost.", "{value} deals were lost here"),
    FeatureSpec(
        name="win_rate_account",
        dtype="float",
        unit="share",
        group="account",
        direction=1,
        about="Share of the account's closed deals that were won, drawn towards the share of all deals.",
        phrase="{value} of the account's earlier deals were won",
    ),
    _count("count_open_deals_account", "Number of deals open with the account.", "{value} deals are open here"),
    _number(
        "won_usd_account_365d",
        "usd",
        "Amount of the account's deals won in the last 365 days; a deal without an amount adds nothing.",
        "deals of {value} US dollars were won here in a year",
        window="365d",
    ),
    _number(
        "days_since_won_account",
        "days",
        "Days since the account's last deal was won; null where none was.",
        "the last deal here was won {value} days ago",
    ),
    _number(
        "days_since_lost_account",
        "days",
        "Days since the account's last deal was lost; null where none was.",
        "the last deal here was lost {value} days ago",
    ),
    FeatureSpec(
        name="is_customer_account",
        dtype="bool",
        unit="yes or no",
        group="account",
        about="Whether a deal of the account was won before.",
        phrase="is a customer already: {value}",
    ),
    _number(
        "booked_usd_account_365d",
        "usd",
        "Revenue booked with the account in the last 365 days.",
        "{value} US dollars were booked here in a year",
        window="365d",
        needs="transactions",
    ),
    _count(
        "count_bookings_account_365d",
        "Number of bookings with the account in the last 365 days.",
        "{value} bookings here in a year",
        unit="bookings",
        needs="transactions",
    ),
    _number(
        "days_since_booking_account",
        "days",
        "Days since the account's last booking; null where there was none.",
        "the last booking here was {value} days ago",
        needs="transactions",
    ),
    _profile("account_industry", "Industry of the account.", "the account works in {value}"),
    _profile("account_country", "Country of the account.", "the account is in {value}"),
    _profile("account_region", "Sales region of the account.", "the account belongs to region {value}"),
    FeatureSpec(
        name="account_employee_count",
        dtype="int",
        unit="employees",
        group="account",
        about="Employees of the account.",
        phrase="the account has {value} employees",
        needs="accounts",
    ),
    _number(
        "account_revenue_usd",
        "usd",
        "The account's own revenue of the last year.",
        "the account's revenue is {value} US dollars",
        needs="accounts",
    ),
)

_DEALS = ("closed", "won", "open", "won_cents")
_BOOKINGS = ("cents", "bookings")
_PROFILE = (
    "account_id",
    "industry",
    "country",
    "region",
    "employee_count",
    "annual_revenue_usd",
    "is_deleted",
    "event_timestamp",
    "created_timestamp",
)


def unseen_accounts(account_id: str) -> tuple[str, ...]:  # noqa: ARG001 - one fallback for every account
    """Account to fall back on: one without history."""
    return (UNSEEN,)


def account_history(spine: ir.Table, tables: Mapping[str, ir.Table]) -> ir.Table:
    """Compute the view from the outcomes, open deals and bookings that were known at as_of."""
    points = spine.select("account_id", "as_of")
    account = _with_deals(points, deal_path(tables["opportunities"]))
    account = _with_bookings(account, points, tables["transactions"])
    account = versions_on_spine(account, tables["accounts"].select(*_PROFILE), CONTRACTS["accounts"], key="account_id")
    prior = account.all_won.cast("float64") / account.all_closed.nullif(0)
    return account.select(
        "account_id",
        "as_of",
        count_won_deals_account=account.won,
        count_lost_deals_account=account.closed - account.won,
        win_rate_account=smoothed(account.won, account.closed, prior=prior, weight=PRIOR_DEALS),
        count_open_deals_account=account.open,
        won_usd_account_365d=account.won_cents.cast("float64") / CENTS,
        days_since_won_account=days_since_second(account.as_of, account.won_second),
        days_since_lost_account=days_since_second(account.as_of, account.lost_second),
        is_customer_account=account.won > 0,
        booked_usd_account_365d=account.cents.cast("float64") / CENTS,
        count_bookings_account_365d=account.bookings,
        days_since_booking_account=days_since_second(account.as_of, account.booked_second),
        account_industry=account.industry,
        account_country=account.country,
        account_region=account.region,
        account_employee_count=account.employee_count,
        account_revenue_usd=account.annual_revenue_usd,
    )


def _with_deals(points: ir.Table, path: ir.Table) -> ir.Table:
    import ibis

    zero = ibis.literal(0).cast("int64")
    closings, spells = first_closings(path), open_spells(path)
    mine = closings.filter(closings.account_id.notnull())
    amount = (mine.amount_usd.fill_null(0) * CENTS).round().cast("int64") * mine.won
    for_ever = mine.select("account_id", "closed", "won", open=zero, won_cents=zero, moment="enters")
    in_year = mine.select("account_id", "enters", "leaves", closed=zero, won=zero, open=zero, won_cents=amount)
    spells = spells.filter(spells.account_id.notnull()).select(
        "account_id", "enters", "leaves", "open", closed=zero, won=zero, won_cents=zero
    )
    increments = [for_ever]
    for rows in (in_year, spells):
        increments += enter_and_leave(rows, enters="enters", leaves="leaves", measures=_DEALS)
    totals = running_totals(points, increments, key="account_id", measures=_DEALS)
    everyone = closings.select("closed", "won", moment="enters")
    company = running_totals(points.select("as_of").distinct(), [everyone], key=None, measures=("closed", "won"))
    totals = attach(totals, company.rename(all_closed="closed", all_won="won"), key=None)
    for name, won in (("won_second", 1), ("lost_second", 0)):
        ended = mine.filter(mine.won == won)
        second = whole_seconds(ended.event_timestamp)
        ended = ended.select("account_id", moment="enters", **{name: second})
        totals = attach(totals, newest_before(points, ended, key="account_id", value=name), key="account_id")
    return totals


def _with_bookings(account: ir.Table, points: ir.Table, transactions: ir.Table) -> ir.Table:
    import ibis

    money = known_events(transactions, CONTRACTS["transactions"], key="account_id")
    rows = money.select(
        "account_id",
        cents=(money.amount_usd * CENTS).round().cast("int64"),
        bookings=ibis.literal(1).cast("int64"),
        enters=money.known_from,
        leaves=end_of_window(money, money.known_from, days=YEAR_DAYS),
    )
    increments = enter_and_leave(rows, enters="enters", leaves="leaves", measures=_BOOKINGS)
    totals = running_totals(points, increments, key="account_id", measures=_BOOKINGS)
    booked_second = whole_seconds(money.event_timestamp)
    booked = money.select("account_id", booked_second=booked_second, moment="known_from")
    newest = newest_before(points, booked, key="account_id", value="booked_second")
    return attach(attach(account, totals, key="account_id"), newest, key="account_id")


ACCOUNT_HISTORY = ViewSpec(
    name="account_history",
    about="Who the account is, and how its deals and bookings went so far.",
    join_key="account_id",
    ttl_days=30,
    tables=("opportunities",),
    features=FEATURES,
    transformation=account_history,
    unseen=unseen_accounts,
)
