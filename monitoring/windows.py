"""Which rows a champion's drift report compares: the newest weeks against the last equal stretch it learned from.

Both windows hold the rows of the same history spine, and of each lead or deal one row, drawn at random, stands for
it. Equal lengths matter: a thing that lives for months has more rows in a longer window, so windows of different
lengths differ in what they hold even when nothing has changed. Where the model's past is long enough, the reference
is a year of such stretches, and a thing may stand once in each.

Some features are not compared. Those of a rep, segment or account have one value for all its rows of a moment, so a
batch holds few independent values of them, however many rows it has; and most of them (tenure, counts of a year) move
with the calendar in the quietest of worlds, as do those that name the month.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from common.clock import utc
from common.errors import InputError
from monitoring.thresholds import FEWEST_BLOCKS
from training.batch import KEYS

if TYPE_CHECKING:
    from training.manifest import FeatureEntry
    from warehouse.sources import Source
    from warehouse.store import Warehouse

# The shortest of these that holds enough things; the longest if none does.
WINDOWS_DAYS = (7, 14, 28, 56, 91, 182)
ENOUGH_ENTITIES = 300
# A year of weeks, or two years of anything longer: older rows say little about what is ordinary.
MOST_STRETCHES = 52
_MOST_DAYS = 730

_SHARED_GROUPS = ("rep", "segment", "account")


@dataclass(frozen=True, kw_only=True)
class Windows:
    """The two sides of a comparison.

    Args:
        current: First and last moment of the current rows; a row belongs to it if first < as_of <= last.
        reference: The same of the reference rows.
        stretch: Length of the stretches that the reference consists of; None where it is one, as long as the current.
    """

    current: tuple[datetime, datetime]
    reference: tuple[datetime, datetime]
    stretch: timedelta | None


def history_spine(warehouse: Warehouse, source: Source, *, task: str, until: datetime) -> pa.Table:
    """The spine that the task's training uses, up to `until`.

    Raises:
        InputError: if the source does not feed the task.
    """
    from features.spines import deal_history_spine, lead_history_spine

    if task == "lead" and source.lead is not None:
        return lead_history_spine(warehouse, mode=source.lead.spine, until=until)
    if task == "deal" and source.deal is not None:
        return deal_history_spine(warehouse, mode=source.deal.spine, until=until)
    raise InputError(
        f"Source '{source.name}' has no drift report for '{task}'",
        expected=f"one of {', '.join(t for t in source.tasks if t in KEYS) or 'no task'}",
        field="task",
    )


def choose_windows(
    spine: pa.Table, *, key: str, at: datetime, learned_until: datetime
) -> tuple[tuple[datetime, datetime], tuple[datetime, datetime]]:
    """Current and reference window: equally long, not overlapping, the shortest that holds enough things.

    Args:
        spine: Columns `key` and as_of.
        key: Column that names the thing.
        at: End of the current window.
        learned_until: Newest moment the model learned from; the reference ends there, or where the current one begins.

    Returns:
        (first, last) moment of the current and of the reference window; a row belongs to it if first < as_of <= last.
    """
    at, learned_until = utc(at), utc(learned_until)
    for days in WINDOWS_DAYS:
        length = timedelta(days=days)
        current = (at - length, at)
        end = min(learned_until, current[0])
        reference = (end - length, end)
        held = (pc.count_distinct(rows_within(spine, window)[key]).as_py() for window in (current, reference))
        if min(held) >= ENOUGH_ENTITIES:
            break
    return current, reference


def widen_reference(
    spine: pa.Table, *, key: str, current: tuple[datetime, datetime], reference: tuple[datetime, datetime]
) -> Windows:
    """As many stretches of the current window's length as the model's past has, if they are enough to tell weeks apart.

    Args:
        spine: Columns `key` and as_of.
        key: Column that names the thing.
        current: Current window.
        reference: The newest stretch that the model learned from.
    """
    length = reference[1] - reference[0]
    oldest = pc.min(spine["as_of"]).as_py()
    stretches = 0 if oldest is None else int((reference[1] - utc(oldest)) / length)
    stretches = min(stretches, MOST_STRETCHES, int(timedelta(days=_MOST_DAYS) / length))
    least = ENOUGH_ENTITIES // 10
    while stretches >= FEWEST_BLOCKS:
        first = (reference[1] - stretches * length, reference[1] - (stretches - 1) * length)
        # The first weeks of a history are still filling up.
        if pc.count_distinct(rows_within(spine, first)[key]).as_py() >= least:
            return Windows(current=current, reference=(first[0], reference[1]), stretch=length)
        stretches -= 1
    return Windows(current=current, reference=reference, stretch=None)


def rows_within(spine: pa.Table, window: tuple[datetime, datetime]) -> pa.Table:
    """Rows of a spine with first < as_of <= last."""
    moments = pa.array(window, type=spine.schema.field("as_of").type)
    return spine.filter(pc.and_(pc.greater(spine["as_of"], moments[0]), pc.less_equal(spine["as_of"], moments[1])))


def split_features(features: Sequence[FeatureEntry]) -> tuple[list[FeatureEntry], dict[str, str]]:
    """The features to compare, and the others with the reason why not."""
    left_out: dict[str, str] = {}
    for feature in features:
        if feature.group in _SHARED_GROUPS:
            left_out[feature.name] = f"one value for all rows of a {feature.group} at a moment"
        elif feature.group == "time" and feature.unit.startswith("month"):
            left_out[feature.name] = "moves with the calendar"
    return [feature for feature in features if feature.name not in left_out], left_out
