"""Why a forecast changed between two moments: parts that add up to the difference to the cent.

Every deal's part is what it brings now (booked in between, or still expected) less what it was expected to bring; what
became of the deal names the part. What no deal accounts for is the business not yet created, the renewals, and the
rest: the model, its rates and the passing of time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pandas as pd

STEPS = (
    "won",
    "lost",
    "slipped",
    "slipped in",
    "pulled in",
    "amount changed",
    "stage moved",
    "new deals",
    "handed over",
    "renewals and other bookings",
    "business not yet created",
    "model or rates",
)
_TOP = 3
_REST = "model or rates"


@dataclass(frozen=True, kw_only=True)
class Side:
    """A forecast of one entity and period at one moment, deal by deal, in cents.

    Args:
        expected: The whole.
        new: Of business not yet created.
        renewal: Of renewals still to come.
        open: What each open deal is expected to bring, by opportunity_id.
        booked: What is booked, by opportunity_id; "" for what belongs to no deal.
        deals: All deals known: `status`, `stage`, `amount_usd`, `close_date`, by opportunity_id.
        owned: Deals that belong to the entity's reps.
    """

    expected: int
    new: int
    renewal: int
    open: Mapping[str, int]
    booked: Mapping[str, int]
    deals: pd.DataFrame
    owned: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Step:
    """A part of the change.

    Args:
        name: One of `STEPS`.
        cents: What it adds.
        deals: Deals it is about.
        top: The deals that add most, either way: (opportunity_id, cents, what happened).
    """

    name: str
    cents: int
    deals: int = 0
    top: tuple[tuple[str, int, str], ...] = field(default_factory=tuple)

    def to_dict(self) -> dict[str, Any]:
        """JSON values, amounts in the forecast's unit."""
        top = [{"opportunity_id": deal, "change": cents / 100, "what": what} for deal, cents, what in self.top]
        return {"step": self.name, "change": self.cents / 100, "deals": self.deals, "top": top}


def explain_change(before: Side, after: Side, *, first_day: date) -> list[Step]:
    """The parts of the change, in the order of `STEPS`; those that are 0 and about no deal are left out.

    Args:
        before: The earlier forecast.
        after: The later one, of the same entity and period.
        first_day: First day of the period: a deal that was to close before it, and now later, slips in.

    Returns:
        Steps whose cents sum to `after.expected - before.expected`.
    """
    found: dict[str, list[tuple[str, int, str]]] = {name: [] for name in STEPS}
    sums = dict.fromkeys(STEPS, 0)
    names = (set(before.open) | set(after.open) | set(after.booked) | set(before.booked)) - {""}
    states = _states(before.deals, after.deals, sorted(names))
    for deal in sorted(names):
        booked = after.booked.get(deal, 0) - before.booked.get(deal, 0)
        was, now = before.open.get(deal, 0), after.open.get(deal, 0)
        if booked == 0 and was == 0 and now == 0:
            continue
        for name, cents, what in _of_deal(deal, (was, now, booked), states[deal], before, after, first_day=first_day):
            sums[name] += cents
            if cents:
                found[name].append((deal, cents, what))
    other = after.booked.get("", 0) - before.booked.get("", 0)
    sums["renewals and other bookings"] += other + after.renewal - before.renewal
    sums["business not yet created"] += after.new - before.new
    sums[_REST] += after.expected - before.expected - sum(sums.values())
    steps = [Step(name=name, cents=sums[name], deals=len(found[name]), top=_top(found[name])) for name in STEPS]
    return [step for step in steps if step.cents or step.deals]


@dataclass(frozen=True, kw_only=True)
class _State:
    """A deal at both moments; None where it was not known."""

    status: tuple[str | None, str | None]
    stage: tuple[str | None, str | None]
    amount: tuple[float, float]
    close: tuple[Any, Any]


def _of_deal(
    deal: str, cents: tuple[int, int, int], state: _State, before: Side, after: Side, *, first_day: date
) -> list[tuple[str, int, str]]:
    was, now, booked = cents
    change = now + booked - was
    if state.status[0] is None:
        return [("new deals", change, _worth(now, booked))]
    if state.status[0] != "open":
        return [("renewals and other bookings", change, _worth(now, booked))]
    if (deal in before.owned) != (deal in after.owned):
        return [("handed over", change, "came from somebody else" if deal in after.owned else "went to somebody else")]
    if state.status[1] == "won":
        return [("won", change, f"{booked / 100:,.0f} booked in the period, {was / 100:,.0f} was expected")]
    if state.status[1] != "open":
        return [("lost", change, f"{was / 100:,.0f} was expected")]
    return _of_open(was, change, state, first_day=first_day)


def _of_open(was: int, change: int, state: _State, *, first_day: date) -> list[tuple[str, int, str]]:
    old, new = state.amount
    parts = []
    if old > 0 and new > 0 and old != new:
        by_amount = round(was * (new / old - 1.0))
        parts.append(("amount changed", by_amount, f"{old:,.0f} → {new:,.0f}"))
        change -= by_amount
    first, second = state.close
    is_dated = pd.notna(first) and pd.notna(second)
    if is_dated and second != first:
        begins = pd.Timestamp(first_day)
        name = "pulled in" if second < first else "slipped in" if first < begins <= second else "slipped"
        parts.append((name, change, f"closes {first:%Y-%m-%d} → {second:%Y-%m-%d}"))
    elif state.stage[0] != state.stage[1]:
        parts.append(("stage moved", change, f"{state.stage[0]} → {state.stage[1]}"))
    else:
        parts.append((_REST, change, "the deal is as it was"))
    return parts


def _worth(now: int, booked: int) -> str:
    return f"{booked / 100:,.0f} booked" if booked else f"{now / 100:,.0f} expected"


def _states(before: pd.DataFrame, after: pd.DataFrame, names: list[str]) -> dict[str, _State]:
    old, new = before.reindex(names), after.reindex(names)
    columns = {
        name: list(zip(old[name].tolist(), new[name].tolist(), strict=True))
        for name in ("status", "stage", "amount_usd", "close_date")
    }
    return {
        deal: _State(
            status=_words(columns["status"][place]),
            stage=_words(columns["stage"][place]),
            amount=tuple(float(value) if pd.notna(value) else 0.0 for value in columns["amount_usd"][place]),  # type: ignore[arg-type]
            close=columns["close_date"][place],
        )
        for place, deal in enumerate(names)
    }


def _words(pair: tuple[Any, Any]) -> tuple[str | None, str | None]:
    first, second = (None if pd.isna(value) else str(value) for value in pair)
    return first, second


def _top(parts: list[tuple[str, int, str]]) -> tuple[tuple[str, int, str], ...]:
    return tuple(sorted(parts, key=lambda part: (-abs(part[1]), part[0]))[:_TOP])
