"""Expressions that several views share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from features.transformations.history import known_events
from warehouse.contracts import EXTENSION_PREFIX, Contract

if TYPE_CHECKING:
    import ibis.expr.types as ir

SECONDS_PER_DAY = 86_400
CENTS = 100

UNSEEN = "(unseen)"
"""Key that stands for a rep or a part of a segment that the history does not hold."""

PART_SEPARATOR = "|"


def whole_seconds(moment: ir.TimestampValue) -> ir.IntegerValue:
    """Seconds since 1970, without fractions: DuckDB would keep them, Spark does not."""
    return moment.epoch_seconds().floor()


def days_between(later: ir.TimestampValue, earlier: ir.TimestampValue) -> ir.FloatingValue:
    """Days from `earlier` to `later` with fractions, to the second."""
    return (whole_seconds(later) - whole_seconds(earlier)) / SECONDS_PER_DAY


def within_days(moment: ir.TimestampValue, as_of: ir.TimestampValue, days: int) -> ir.BooleanValue:
    """Whether `moment` lies in the `days` days that end at `as_of`: later than as_of - days."""
    import ibis

    return moment > as_of - ibis.interval(days=days)


def hour_if_known(moment: ir.TimestampValue) -> ir.IntegerValue:
    """Hour of the day, UTC; null at exactly midnight, which is what a source that knows only the day says."""
    import ibis

    is_day_only = (moment.hour() == 0) & (moment.minute() == 0) & (moment.second() == 0)
    return is_day_only.ifelse(ibis.null("int64"), moment.hour().cast("int64"))


def own_fields(table: ir.Table) -> tuple[str, ...]:
    """The source's own fields among the columns of a canonical table."""
    return tuple(name for name in table.columns if name.startswith(EXTENSION_PREFIX))


def days_since_second(as_of: ir.TimestampValue, second: ir.IntegerValue) -> ir.FloatingValue:
    """Days from a moment in whole seconds since 1970 to `as_of`."""
    return (whole_seconds(as_of) - second) / SECONDS_PER_DAY


def smoothed(part: ir.NumericValue, whole: ir.NumericValue, *, prior: ir.FloatingValue, weight: int) -> Any:
    """`part / whole`, drawn towards `prior` as if `weight` more had shown it; null where the prior is unknown."""
    return (part + weight * prior) / (whole + weight)


def thousandths(value: ir.FloatingValue) -> ir.IntegerValue:
    """`value` in whole thousandths: whole numbers add up to the same sum in any order, on every path."""
    return (value * 1000).round().cast("int64")


def seen_rows(spine: ir.Table, rows: ir.Table, *, key: str) -> ir.Table:
    """All rows of `rows` that a spine row could know: the same key, both times at or before its as_of.

    Returns:
        The spine's `key` and `as_of` beside the columns of `rows`; spine rows without any are absent.
    """
    moments = spine.select(key, "as_of")
    joined = moments.inner_join(
        rows,
        [
            moments[key] == rows[key],
            rows.event_timestamp <= moments.as_of,
            rows.created_timestamp <= moments.as_of,
        ],
        rname="{name}_of_row",
    )
    return joined.select(key, "as_of", *(name for name in rows.columns if name != key))


def seen_events(spine: ir.Table, events: ir.Table, contract: Contract, *, key: str, columns: Sequence[str]) -> ir.Table:
    """Every event that a spine row could know, once, as last corrected by then.

    Args:
        spine: Rows with `key` and `as_of`.
        events: An event table.
        contract: Its contract.
        key: Join key that the events carry.
        columns: Columns of the events to keep, `event_timestamp` among them.

    Returns:
        The spine's `key` and `as_of` beside `columns`; spine rows without any event are absent.
    """
    moments = spine.select(key, "as_of")
    # A window or an order over all events would cost more than the features of the few that are asked for.
    asked = events.semi_join(moments.select(key).distinct(), key)
    known = known_events(asked, contract, key=key).select(key, *columns, "known_from", "known_until")
    is_known = [
        moments[key] == known[key],
        known.known_from <= moments.as_of,
        known.known_until.isnull() | (known.known_until > moments.as_of),
    ]
    seen = moments.inner_join(known, is_known, rname="{name}_of_event")
    return seen.select(key, "as_of", *columns)


def segment_of(source: ir.StringValue, landing_page: ir.StringValue) -> ir.StringValue:
    """Identifier of a lead's segment: its source and its landing page, joined by '|'; never null."""
    import ibis

    return source.fill_null(ibis.literal("")) + ibis.literal("|") + landing_page.fill_null(ibis.literal(""))


def source_of_segment(segment_id: ir.StringValue) -> ir.StringValue:
    """The source in a segment's identifier."""
    return first_part(segment_id)


def stage_key(pipeline: ir.StringValue, stage: ir.StringValue) -> ir.StringValue:
    """Identifier of a stage: its pipeline and its name, joined by '|'; null where the stage is."""
    import ibis

    return pipeline.fill_null(ibis.literal("")) + ibis.literal(PART_SEPARATOR) + stage


def first_part(key: ir.StringValue) -> ir.StringValue:
    """What comes before the first '|': the level above in a key of two parts."""
    # Not by split(): Spark takes the separator for a regular expression.
    return key.re_extract(r"^([^|]*)", 1)
