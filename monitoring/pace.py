"""What became of open leads or deals within a week, against what became of such ones before.

A label takes a horizon to be known; that deals are lost faster, or move on faster, shows within weeks. So every Monday
the things known to be open are counted by where they stand (stage and age), and seven days later by what is known to
have become of them: moved to another stage, won, lost, or nothing. The reference weeks say how many of each kind were
to be expected of a week's things; what is left over is tested. No model and no feature takes part, and nothing
is counted before it was known: a closing that is entered late counts in the week in which it was entered, in the
reference weeks too.

Sums over the newest 1, 4 and 8 weeks are tested, because a change that is small in one week is plain in eight. Weeks
differ by more than chance (season, quarter ends), so what sums differ by is taken from the reference's own sums of as
many consecutive weeks, and the test is Hotelling's (The Generalization of Student's Ratio, 1931): it is wider where
there are few of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from common.clock import utc
from monitoring.checks import Check, State, unknown

if TYPE_CHECKING:
    from warehouse.store import Warehouse

Vector = NDArray[np.float64]

EVENTS = ("moved", "won", "lost")
LENGTHS = (1, 4, 8)
"""Newest weeks that are summed."""
ALPHA = 0.01
"""Chance that a week without any change rings."""
MOST_WEEKS = 104
FEWEST_WEEKS = 26
_AGES_DAYS = (0, 7, 28, 84, 182, 364)
# Ages of things that a history begins with are not known; most of these have ended by then.
_LEFT_OUT_DAYS = 84
_WEEK = timedelta(days=7)
# What one thing does in a week is known only when a few have done it.
_FEWEST_EVENTS = 50

_TABLES = {
    "lead": ("leads", "lead_id", "status", ("new", "working", "qualified"), "converted"),
    "deal": ("opportunities", "opportunity_id", "stage", ("open",), "won"),
}
_SQL = """
    WITH path AS ({path}),
    first_known AS (SELECT {key} AS thing, min(known_from) AS since FROM path GROUP BY ALL),
    mondays AS (SELECT unnest($mondays) AS monday),
    at_start AS (
        SELECT monday, {key} AS thing, coalesce({state}, '') AS state
        FROM mondays JOIN path ON known_from <= monday AND (known_until IS NULL OR monday < known_until)
        WHERE list_contains($open, status) AND NOT coalesce(is_deleted, FALSE)
    ),
    at_end AS (
        SELECT monday, {key} AS thing, status, coalesce({state}, '') AS state
        FROM mondays JOIN path
            ON known_from <= monday + INTERVAL 7 DAY
            AND (known_until IS NULL OR monday + INTERVAL 7 DAY < known_until)
        WHERE NOT coalesce(is_deleted, FALSE)
    )
    SELECT
        s.monday, s.state,
        len(list_filter($ages, lambda days : s.monday >= f.since + days * INTERVAL 1 DAY)) AS age,
        count(*) AS things,
        count_if(list_contains($open, e.status) AND e.state != s.state) AS moved,
        count_if(e.status = $won) AS won,
        count_if(e.status IS NOT NULL AND e.status != $won AND NOT list_contains($open, e.status)) AS lost
    FROM at_start s LEFT JOIN at_end e USING (monday, thing) JOIN first_known f USING (thing)
    WHERE s.monday >= (SELECT min(since) FROM first_known) + $left_out * INTERVAL 1 DAY
    GROUP BY ALL ORDER BY ALL
"""


@dataclass(frozen=True, kw_only=True)
class Weeks:
    """What became of the things open each Monday.

    Args:
        things: How many stood where, shape (n_weeks, n_places); oldest week first.
        events: How many of them did what, shape (n_weeks, n_places, len(EVENTS)).
    """

    things: Vector
    events: Vector

    def __len__(self) -> int:
        return len(self.things)

    def rows(self, chosen: slice) -> Weeks:
        """Some of the weeks."""
        return Weeks(things=self.things[chosen], events=self.events[chosen])


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How the newest weeks compare.

    Args:
        length: Weeks summed where the change is least likely chance.
        p_value: Chance of a week this strange when nothing has changed, all lengths looked at taken into account.
        counted: How many things did each of `EVENTS` in those weeks.
        expected: How many were to be expected.
        z: What is left over of each, in the standard deviations of as many weeks.
        rings: Whether it is beyond chance.
    """

    length: int
    p_value: float
    counted: Vector
    expected: Vector
    z: Vector
    rings: bool


def weekly_pace(warehouse: Warehouse, *, task: str, end: datetime, most: int) -> Weeks:
    """Count what became of open things, week by week up to `end`.

    The first weeks of a history are left out: the ages of things that were loaded with it are not known.

    Args:
        warehouse: History; a week's counts are what was known as it began and ended.
        task: lead or deal.
        end: Nothing known later is counted; weeks are counted back from here, so that the newest is whole.
        most: Newest weeks that are wanted.
    """
    from features.transform import canonical_tables, duckdb_sql
    from features.transformations.history import known_path
    from warehouse.contracts import CONTRACTS

    table, key, state, opened, won = _TABLES[task]
    path = duckdb_sql(known_path(canonical_tables()[table], CONTRACTS[table]))
    mondays = [utc(end) - place * _WEEK for place in range(most, 0, -1)]
    values = {
        "mondays": mondays,
        "open": list(opened),
        "won": won,
        "ages": list(_AGES_DAYS),
        "left_out": _LEFT_OUT_DAYS,
    }
    connection = warehouse.duckdb()
    try:
        found = connection.sql(_SQL.format(path=path, key=key, state=state), params=values).fetchall()
    finally:
        connection.close()
    places = {place: number for number, place in enumerate(sorted({row[1:3] for row in found}))}
    oldest = min((mondays.index(utc(row[0])) for row in found), default=most)
    things = np.zeros((most - oldest, max(len(places), 1)))
    events = np.zeros((*things.shape, len(EVENTS)))
    for monday, *place, of_them, moved, gained, lost in found:
        at = mondays.index(utc(monday)) - oldest, places[tuple(place)]
        things[at], events[at] = of_them, (moved, gained, lost)
    return Weeks(things=things, events=events)


def split_weeks(weeks: Weeks, *, end: datetime, learned_until: datetime) -> tuple[Weeks, Weeks]:
    """Reference weeks, and the newest ones since: at least `max(LENGTHS)` of them, which then reach further back.

    Args:
        weeks: Weeks up to `end`.
        end: Their end, UTC.
        learned_until: Newest moment the model learned from; what came later is no reference.
    """
    since = -int((utc(learned_until) - utc(end)) // _WEEK)
    cut = max(0, len(weeks) - max(since, *LENGTHS))
    return weeks.rows(slice(max(0, cut - MOST_WEEKS), cut)), weeks.rows(slice(cut, None))


def compare_pace(past: Weeks, newest: Weeks, *, alpha: float = ALPHA) -> Pace | None:
    """Hold the newest weeks to the weeks before; None where these are too few to tell.

    Args:
        past: Reference weeks, oldest first.
        newest: Weeks under review, at least one; the newest `max(LENGTHS)` are used.
        alpha: Chance of an alarm when nothing has changed.
    """
    if len(past) < FEWEST_WEEKS or not len(newest) or past.events.sum() < _FEWEST_EVENTS:
        return None
    rates = past.events.sum(axis=0) / np.maximum(past.things.sum(axis=0), 1.0)[:, None]
    left_over, expected = _left_over(past, rates), np.einsum("wp,pe->we", past.things, rates)
    is_told = expected.sum(axis=0) >= _FEWEST_EVENTS / 2
    tested = [
        _test(past, newest, rates, left_over, length, is_told)
        for length in LENGTHS
        if length <= len(newest) and len(past) >= 4 * length
    ]
    best = min(tested, key=lambda pace: pace.p_value)
    p_value = min(1.0, best.p_value * len(tested))
    return Pace(
        length=best.length, p_value=p_value, counted=best.counted, expected=best.expected, z=best.z,
        rings=p_value <= alpha,
    )  # fmt: skip


def _left_over(weeks: Weeks, rates: Vector) -> Vector:
    """Events beyond those expected of each week's things, in Pearson's units, shape (n_weeks, len(EVENTS))."""
    expected = np.einsum("wp,pe->we", weeks.things, rates)
    return np.asarray((weeks.events.sum(axis=1) - expected) / np.sqrt(np.maximum(expected, 1.0)))


def _test(
    past: Weeks, newest: Weeks, rates: Vector, left_over: Vector, length: int, is_told: NDArray[np.bool_]
) -> Pace:
    """Distance of the newest `length` weeks' mean from the reference, in what means of as many weeks differ by."""
    from scipy.stats import f

    weeks = newest.rows(slice(len(newest) - length, None))
    now = _left_over(weeks, rates).mean(axis=0)
    sums = np.cumsum(np.vstack([np.zeros(left_over.shape[1]), left_over]), axis=0)
    means = ((sums[length:] - sums[:-length]) / length)[:, is_told]
    single = np.atleast_2d(np.cov(left_over[:, is_told], rowvar=False)) / length
    # How kinds go together is taken from single weeks, of which there are many; how much more than single weeks make
    # likely their sums differ, from the sums.
    kinds, apart = int(is_told.sum()), len(past) / length
    inflated = np.maximum(means.var(axis=0) * apart / (apart - 1) / np.diag(single), 1.0)
    spread, freedom = single * np.sqrt(np.outer(inflated, inflated)), kinds * (apart - 1)
    # The rates come from the same weeks, and are as uncertain as their mean.
    spread = spread * (1.0 + length / len(past))
    squared = float(now[is_told] @ np.linalg.solve(spread + 1e-9 * np.eye(kinds), now[is_told]))
    deviations = np.zeros(len(EVENTS))
    deviations[is_told] = now[is_told] / np.sqrt(np.diag(spread))
    return Pace(
        length=length,
        p_value=float(f.sf(squared / kinds, kinds, freedom)),
        counted=weeks.events.sum(axis=(0, 1)),
        expected=np.einsum("wp,pe->e", weeks.things, rates),
        z=deviations,
        rings=False,
    )


def check_pace(past: Weeks, newest: Weeks, *, things: str) -> Check:
    """The check: notes, never fails; what it costs is known only when labels are mature.

    Args:
        past: Reference weeks.
        newest: Weeks since.
        things: What they are, for the text: "leads" or "deals".
    """
    pace = compare_pace(past, newest)
    if pace is None:
        return unknown("pace", f"{len(past)} reference weeks of open {things}; {FEWEST_WEEKS} are needed to compare.")
    told = _told(pace, things)
    figures: dict[str, Any] = {
        "weeks": pace.length,
        "p_value": pace.p_value,
        "events": [
            {
                "event": name,
                "counted": float(pace.counted[at]),
                "expected": float(pace.expected[at]),
                "z": float(pace.z[at]),
            }
            for at, name in enumerate(EVENTS)
        ],
    }
    if not pace.rings:
        says = f"What became of open {things} within a week is as it was ({told})."
        return Check(name="pace", state=State.OK, says=says, figures=figures)
    cause = ", ".join(_moved_kinds(pace))
    return Check(name="pace", state=State.NOTICE, says=f"Beyond chance: {told}.", cause=cause, figures=figures)


def _moved_kinds(pace: Pace) -> Sequence[str]:
    """The events that differ most; at least one."""
    most = float(np.abs(pace.z).max())
    return [name for name, z in zip(EVENTS, pace.z, strict=True) if abs(z) >= max(2.0, most / 2) or abs(z) == most]


def _told(pace: Pace, things: str) -> str:
    parts = [
        f"{pace.counted[at]:.0f} {name} where {pace.expected[at]:.0f} were to be expected"
        for at, name in enumerate(EVENTS)
    ]
    weeks = "the newest week" if pace.length == 1 else f"the newest {pace.length} weeks"
    return f"of {things} in {weeks}, {', '.join(parts)}"
