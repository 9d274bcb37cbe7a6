"""View `series_history`: what a company, region, team or rep booked lately, as known at as_of."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import TYPE_CHECKING

from features.specs import FeatureSpec, ViewSpec
from features.transformations.expressions import CENTS
from features.transformations.history import attach, end_of_window, enter_and_leave, known_events, running_totals
from warehouse.as_known import versions_on_spine
from warehouse.contracts import CONTRACTS

if TYPE_CHECKING:
    import ibis.expr.types as ir

COMPANY = "company"

# feature -> (days from a booking until it enters the window, days until it leaves it)
_WINDOWS: dict[str, tuple[int, int]] = {
    "booked_usd_30d": (0, 30),
    "booked_usd_90d": (0, 90),
    "booked_usd_365d": (0, 365),
    "booked_usd_year_ago_90d": (275, 365),
}
_ABOUT = {
    "booked_usd_30d": "in the last 30 days",
    "booked_usd_90d": "in the last 90 days",
    "booked_usd_365d": "in the last 365 days",
    "booked_usd_year_ago_90d": "a year ago in the 90 days that come next",
}

FEATURES = (
    *(
        FeatureSpec(
            name=name,
            dtype="float",
            unit="usd",
            window=f"{leaves - enters}d",
            group="account",
            about=f"Revenue booked {_ABOUT[name]}.",
            phrase=f"{{value}} US dollars were booked {_ABOUT[name]}",
        )
        for name, (enters, leaves) in _WINDOWS.items()
    ),
    FeatureSpec(
        name="count_bookings_90d",
        dtype="int",
        unit="bookings",
        window="90d",
        group="account",
        about="Number of bookings in the last 90 days.",
        phrase="{value} bookings in 90 days",
    ),
)


def series_bookings(tables: Mapping[str, ir.Table]) -> ir.Table:
    """Every booking once per series it belongs to: the company, and the region, team and rep credited.

    The team and region are those of the rep as known when the booking became known.

    Returns:
        `series_id` (`company`, `region:…`, `team:…`, `rep:…`), `amount_usd`, `event_timestamp`, and the interval from
        `known_from` until `known_until` in which the booking was known to be so.
    """
    import ibis

    money = known_events(tables["transactions"], CONTRACTS["transactions"], key=None)
    money = money.select("rep_id", "amount_usd", "known_until", booked_at=money.event_timestamp, as_of=money.known_from)
    credited = versions_on_spine(money, tables["reps"], CONTRACTS["reps"], key="rep_id")
    levels = {"region": credited.region, "team": credited.team, "rep": credited.rep_id}
    columns = {
        "amount_usd": credited.amount_usd,
        "event_timestamp": credited.booked_at,
        "known_from": credited.as_of,
        "known_until": credited.known_until,
    }
    rows = [credited.select(series_id=ibis.literal(COMPANY), **columns)]
    rows += [
        credited.filter(name.notnull()).select(series_id=ibis.literal(f"{level}:") + name, **columns)
        for level, name in levels.items()
    ]
    return reduce(lambda left, right: left.union(right), rows)


def series_history(spine: ir.Table, tables: Mapping[str, ir.Table]) -> ir.Table:
    """Sum the bookings that were known at as_of over windows that end there."""
    import ibis

    points = spine.select("series_id", "as_of")
    bookings = series_bookings(tables)
    cents = (bookings.amount_usd * CENTS).round().cast("int64")
    joined = points
    for name, (enters, leaves) in _WINDOWS.items():
        enters_at = ibis.greatest(bookings.known_from, bookings.event_timestamp + ibis.interval(days=enters))
        rows = bookings.select(
            "series_id",
            cents=cents,
            bookings=ibis.literal(1, "int64"),
            enters=enters_at,
            leaves=end_of_window(bookings, enters_at, days=leaves),
        )
        measures = ("cents", "bookings")
        increments = enter_and_leave(rows, enters="enters", leaves="leaves", measures=measures)
        totals = running_totals(points, increments, key="series_id", measures=measures)
        totals = totals.select("series_id", "as_of", **{f"cents_{name}": "cents", f"bookings_{name}": "bookings"})
        joined = attach(joined, totals, key="series_id")
    return joined.select(
        "series_id",
        "as_of",
        **{name: joined[f"cents_{name}"].cast("float64") / CENTS for name in _WINDOWS},
        count_bookings_90d=joined.bookings_booked_usd_90d,
    )


SERIES_HISTORY = ViewSpec(
    name="series_history",
    about="What a company, region, team or rep booked.",
    join_key="series_id",
    ttl_days=31,
    tables=("transactions", "reps"),
    features=FEATURES,
    transformation=series_history,
)
