"""Expressions that several views share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ibis.expr.types as ir

SECONDS_PER_DAY = 86_400

UNSEEN = "(unseen)"
"""Key that stands for a rep or a part of a segment that the history does not hold."""


def days_between(later: ir.TimestampValue, earlier: ir.TimestampValue) -> ir.FloatingValue:
    """Days from `earlier` to `later` with fractions, to the second."""
    return (later.epoch_seconds() - earlier.epoch_seconds()) / SECONDS_PER_DAY


def within_days(moment: ir.TimestampValue, as_of: ir.TimestampValue, days: int) -> ir.BooleanValue:
    """Whether `moment` lies in the `days` days that end at `as_of`: later than as_of - days."""
    import ibis

    return moment > as_of - ibis.interval(days=days)


def hour_if_known(moment: ir.TimestampValue) -> ir.IntegerValue:
    """Hour of the day, UTC; null at exactly midnight, which is what a source that knows only the day says."""
    import ibis

    is_day_only = (moment.hour() == 0) & (moment.minute() == 0) & (moment.second() == 0)
    return is_day_only.ifelse(ibis.null("int64"), moment.hour().cast("int64"))


def thousandths(value: ir.FloatingValue) -> ir.IntegerValue:
    """`value` in whole thousandths: whole numbers add up to the same sum in any order, on every path."""
    return (value * 1000).round().cast("int64")


def seen_rows(spine: ir.Table, rows: ir.Table, *, key: str) -> ir.Table:
    """All rows of `rows` that a spine row could know: the same key, both times at or before its as_of.

    Returns:
        The spine's `key` and `as_of` beside the columns of `rows`; spine rows without any are absent.
    """
    moments = spine.select(key, "as_of")
    return moments.inner_join(
        rows,
        [
            moments[key] == rows[key],
            rows.event_timestamp <= moments.as_of,
            rows.created_timestamp <= moments.as_of,
        ],
        rname="{name}_of_row",
    ).drop(f"{key}_of_row")


def segment_of(source: ir.StringValue, landing_page: ir.StringValue) -> ir.StringValue:
    """Identifier of a lead's segment: its source and its landing page, joined by '|'; never null."""
    import ibis

    return source.fill_null(ibis.literal("")) + ibis.literal("|") + landing_page.fill_null(ibis.literal(""))


def source_of_segment(segment_id: ir.StringValue) -> ir.StringValue:
    """The source in a segment's identifier."""
    return segment_id.split("|")[0]
