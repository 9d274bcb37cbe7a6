"""People's figures spread over reps and months so that everything still adds up to the cent.

What is booked stays where it is: a figure's remainder is spread in proportion to what is still expected, equally where
nothing is, in whole cents by the largest remainder. A figure inside another one is kept inside its sum. Figures that
overlap without one holding the other (a team's quarter and the company's month) are met together by iterative
proportional fitting (Deming and Stephan 1940), then rounded by a small integer program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.errors import InputError, NotFoundError, shorten
from training.forecast.frame import Cents
from training.forecast.history import UNASSIGNED
from training.forecast.periods import Period

Mask = NDArray[np.bool_]
_ROUNDS = 5_000
_CLOSE_CENTS = 0.25
_MOST_STEPS = 4
_HALF = 0.5


class ConflictError(InputError):
    """Figures that cannot all hold.

    Args:
        what: What is wrong.
        culprits: Positions of the figures that stand against each other.
        expected: What would have been right.
        got: What was found.
        next_step: What to do.
    """

    http_status = 409
    title = "Overrides in conflict"

    def __init__(self, what: str, *, culprits: Sequence[int], expected: str, got: str, next_step: str) -> None:
        super().__init__(what, expected=expected, got=got, next_step=next_step, field="value")
        self.culprits = tuple(culprits)


@dataclass(frozen=True, kw_only=True)
class Want:
    """A figure that has to hold.

    Args:
        level: Level of the entity.
        entity_id: Whose figure.
        period: For when.
        cents: The figure, hundredths of the unit.
    """

    level: str
    entity_id: str
    period: Period
    cents: int

    @property
    def name(self) -> str:
        """Whose and when, in words."""
        whose = self.entity_id if self.level == self.entity_id else f"{self.level} {self.entity_id}"
        return f"{whose} in {self.period.name}"


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The forecast's smallest cells: reps by base periods that are not over.

    Args:
        base: Base periods, in order.
        entities: Entity that each cell belongs to, by level, shape (n_reps, n_base); the last level is the rep's.
        expected: Expected value of each cell.
        fixed: What is booked in each already.
        before: What a level's entity had booked in the part of a period that is over, by (level, entity, period).
    """

    base: tuple[Period, ...]
    entities: Mapping[str, NDArray[np.str_]]
    expected: Cents
    fixed: Cents
    before: Mapping[tuple[str, str, str], int]

    def mask(self, level: str, entity_id: str, period: Period) -> Mask:
        """Cells of an entity and period.

        Raises:
            NotFoundError: if the entity is not in the forecast.
            InputError: if no cell lies in the period.
        """
        if level not in self.entities:
            raise NotFoundError(
                f"The forecast has no level '{level}'", expected=f"one of {', '.join(self.entities)}", field="level"
            )
        mine = self.entities[level] == entity_id
        if not mine.any():
            known = shorten(sorted(set(self.entities[level].ravel().tolist())))
            raise NotFoundError(
                f"The forecast has no {level} '{entity_id}'", expected=f"one of {known}", field="entity_id"
            )
        months = set(period.months)
        inside = np.array([months.issuperset(part.months) for part in self.base])
        found: Mask = mine & inside
        if not found.any():
            raise InputError(
                f"The period {period.name} has no part that is still to come",
                expected=f"a period from {self.base[0].name} to {self.base[-1].name}",
                field="period",
            )
        return found

    def value(self, level: str, entity_id: str, period: Period, cells: Cents | None = None) -> int:
        """The cents of an entity and period, from these `cells` in place of the expected ones."""
        mask = self.mask(level, entity_id, period)
        inside = int((self.expected if cells is None else cells)[mask].sum())
        return inside + self.before.get((level, entity_id, period.name), 0)


def spread(grid: Grid, wants: Sequence[Want]) -> Cents:
    """The cells in which every figure holds, as near to the expected ones as their proportions allow.

    Args:
        grid: The cells as forecast.
        wants: The figures.

    Returns:
        Cents, shape of `grid.expected`; cells that no figure is about are as they were.

    Raises:
        ConflictError: if they cannot all hold; it names those in the way.
        NotFoundError: if an entity is not in the forecast.
        InputError: if a period has no part still to come.
    """
    if not wants:
        return grid.expected.copy()
    masks = np.stack([grid.mask(want.level, want.entity_id, want.period).ravel() for want in wants])
    floor = np.minimum(grid.fixed, grid.expected).ravel()
    weight = grid.expected.ravel() - floor
    targets = [
        _open_target(grid, want, mask, floor, at) for at, (want, mask) in enumerate(zip(wants, masks, strict=True))
    ]
    cells = floor + weight
    free = (grid.entities[list(grid.entities)[-1]] != UNASSIGNED).ravel()
    for mask, total in _parts(wants, masks, targets, weight):
        cells[mask] = floor[mask] + split(total, _weights(weight[mask], free[mask]))
    found: Cents = cells.reshape(grid.expected.shape)
    return found


def split(total: int, weights: Sequence[int]) -> Cents:
    """Whole cents in proportion to the weights, the rest by the largest remainder (ties: the earlier one).

    Args:
        total: What to split, at least 0.
        weights: Whole numbers, at least 0; equal shares where all are 0.

    Example:
        >>> split(100, [1, 1, 1]).tolist()
        [34, 33, 33]
    """
    plain = [int(weight) for weight in weights]
    if sum(plain) == 0:
        plain = [1] * len(plain)
    whole = sum(plain)
    # Python's integers: a product of two amounts in cents does not fit into 64 bits.
    parts, rests = zip(*(divmod(total * weight, whole) for weight in plain), strict=True)
    missing = total - sum(parts)
    order = sorted(range(len(plain)), key=lambda place: (-rests[place], place))
    found = np.array(parts, dtype=np.int64)
    found[order[:missing]] += 1
    return found


def _weights(weight: Cents, free: Mask) -> Sequence[int]:
    """What is still expected of each cell; where that is nothing, equal shares of those who are somebody."""
    if weight.any() or not free.any():
        return [int(value) for value in weight]
    return [int(value) for value in free]


def _open_target(grid: Grid, want: Want, mask: Mask, floor: Cents, at: int) -> int:
    booked = grid.before.get((want.level, want.entity_id, want.period.name), 0) + int(floor[mask].sum())
    if want.cents < booked:
        raise ConflictError(
            f"{_money(want.cents)} for {want.name} is less than is booked already",
            culprits=[at],
            expected=f"at least {_money(booked)}",
            got=_money(want.cents),
            next_step="say a figure that holds what is booked",
        )
    return want.cents - booked


def _parts(
    wants: Sequence[Want], masks: NDArray[np.bool_], targets: Sequence[int], weight: Cents
) -> list[tuple[Mask, int]]:
    """Cells that share a fate, and what they get together."""
    overlap = masks.astype(np.int64) @ masks.astype(np.int64).T
    size = np.diag(overlap)
    holds = overlap == np.minimum(size[:, None], size[None, :])
    is_nested = bool((holds | (overlap == 0)).all())
    return _nested(wants, masks, targets) if is_nested else _fitted(wants, masks, targets, weight)


def _nested(wants: Sequence[Want], masks: NDArray[np.bool_], targets: Sequence[int]) -> list[tuple[Mask, int]]:
    order = sorted(range(len(wants)), key=lambda at: (-int(masks[at].sum()), at))
    children: dict[int, list[int]] = {at: [] for at in order}
    for place, at in enumerate(order):
        # Sorted by size, so the last one before it that holds it is its nearest parent.
        around = [other for other in order[:place] if (masks[other] & masks[at]).any()]
        if around:
            children[around[-1]].append(at)
    found = []
    for at in order:
        inside = children[at]
        rest_mask = masks[at] & ~masks[inside].any(axis=0) if inside else masks[at]
        rest = targets[at] - sum(targets[child] for child in inside)
        if rest < 0 or (rest > 0 and not rest_mask.any()):
            raise _contradiction(wants, at, inside, targets, rest=rest)
        if rest_mask.any():
            found.append((rest_mask, rest))
    return found


def _contradiction(
    wants: Sequence[Want], at: int, inside: Sequence[int], targets: Sequence[int], *, rest: int
) -> ConflictError:
    booked = wants[at].cents - targets[at]
    least = booked + sum(targets[child] for child in inside)
    named = shorten(f"{wants[child].name} ({_money(wants[child].cents)})" for child in inside)
    which = "more" if rest < 0 else "less"
    return ConflictError(
        f"The overrides inside {wants[at].name} need {which} than its own {_money(wants[at].cents)}: {named}",
        culprits=[at, *inside],
        expected=f"{'at least ' if rest < 0 else ''}{_money(least)} for {wants[at].name}",
        got=_money(wants[at].cents),
        next_step="change one of them, or withdraw it: salience forecast override … --withdraw",
    )


def _fitted(
    wants: Sequence[Want], masks: NDArray[np.bool_], targets: Sequence[int], weight: Cents
) -> list[tuple[Mask, int]]:
    touched = masks.any(axis=0)
    patterns, member = np.unique(masks[:, touched], axis=1, return_inverse=True)
    member = member.ravel()
    held = weight[touched].astype(np.float64)
    # A part in which nothing is expected takes something only where nothing else can.
    mass: NDArray[np.float64] = np.bincount(member, held, patterns.shape[1]) + 1e-9 * np.bincount(member)
    inside = patterns.astype(np.float64)
    goal = np.array(targets, dtype=np.float64)
    for _ in range(_ROUNDS):
        for row, wanted in zip(inside, goal, strict=True):
            now = float(row @ mass)
            mass = np.where(row > 0, mass * (wanted / now if now > 0 else 0.0), mass)
        if np.abs(inside @ mass - goal).max() < _CLOSE_CENTS:
            break
    cents = _rounded(inside, mass, targets)
    if cents is None:
        raise ConflictError(
            f"The overrides overlap and cannot all hold: {shorten(want.name for want in wants)}",
            culprits=list(range(len(wants))),
            expected="figures that leave something for each other's parts",
            got=shorten(_money(want.cents) for want in wants),
            next_step="change one of them, or withdraw it: salience forecast override … --withdraw",
        )
    places = np.nonzero(touched)[0]
    found = []
    for part, total in enumerate(cents):
        mask = np.zeros(masks.shape[1], dtype=bool)
        mask[places[member == part]] = True
        found.append((mask, total))
    return found


def _rounded(inside: NDArray[np.float64], mass: NDArray[np.float64], targets: Sequence[int]) -> list[int] | None:
    """Whole cents near `mass` that meet the targets exactly; None where there are none."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    low = np.floor(mass).astype(np.int64)
    missing = np.array([target - int((row * low).sum()) for row, target in zip(inside, targets, strict=True)])
    if np.abs(missing).max() > _MOST_STEPS * inside.shape[1]:
        return None
    answer = milp(
        c=_HALF - (mass - low),
        constraints=LinearConstraint(inside, missing, missing),
        bounds=Bounds(-np.minimum(low, _MOST_STEPS), _MOST_STEPS),
        integrality=np.ones(len(mass)),
    )
    if answer.x is None:
        return None
    cents = low + np.rint(answer.x).astype(np.int64)
    is_exact = all(int(cents[row > 0].sum()) == target for row, target in zip(inside, targets, strict=True))
    return cents.tolist() if is_exact else None


def _money(cents: int) -> str:
    return f"{cents / 100:,.2f}"
