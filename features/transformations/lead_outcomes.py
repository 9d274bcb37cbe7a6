"""What became of past leads once all of a cohort are equally old: the rows that rates of conversion are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ibis.expr.types as ir


def lead_outcomes(cohort: ir.Table, reached: ir.Table, *, keys: Sequence[str], days: int) -> ir.Table:
    """One row for each lead that has become mature, and one for its success once that is known.

    A lead counts once it is `days` old, with whether it succeeded within those days: every lead is then equally mature.
    Counting an early success at once, while undecided leads of the same age are still left out, would make every rate
    too high. A success that is recorded late is added when it becomes known.

    Args:
        cohort: One row per lead: lead_id, `keys`, lead_created_at and known_from, from when the lead counts as known.
        reached: Rows (lead_id, event_timestamp, known_from) of what counts as success; several per lead are allowed.
        keys: Columns to count by later on.
        days: Age at which a lead is mature.

    Returns:
        `keys`, mature_at, moment (when the row counts from), leads and conversions (1 and 0, or 0 and 1).
    """
    import ibis

    deadline = cohort.lead_created_at + ibis.interval(days=days)
    matured = cohort.select("lead_id", *keys, deadline=deadline, mature_at=ibis.greatest(deadline, cohort.known_from))
    joined = matured.inner_join(reached.select("lead_id", "event_timestamp", reached_from="known_from"), "lead_id")
    joined = joined.filter(joined.event_timestamp <= joined.deadline)
    joined = joined.group_by("lead_id", *keys, "mature_at").aggregate(reached_from=joined.reached_from.min())
    zero, one = ibis.literal(0).cast("int64"), ibis.literal(1).cast("int64")
    return matured.select(*keys, "mature_at", moment=matured.mature_at, leads=one, conversions=zero).union(
        joined.select(
            *keys,
            "mature_at",
            moment=ibis.greatest(joined.mature_at, joined.reached_from),
            leads=zero,
            conversions=one,
        )
    )


def first_of_each_lead(versions: ir.Table) -> ir.Table:
    """The version of each lead that was known first, of rows of `known_path`."""
    import ibis

    in_order = ibis.window(group_by="lead_id", order_by=["known_from"])
    versions = versions.mutate(place=ibis.row_number().over(in_order))
    return versions.filter(versions.place == 0)
