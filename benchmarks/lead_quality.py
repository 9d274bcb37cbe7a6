"""What a reader believes of a lead's quality before any sign: a few values and the weight of each.

Quality is the sum of the profile's effects, the campaign's, the first rep's skill and a part that no column holds.
Where a reader lacks a summand it has its distribution: of an empty field all values it could have, by their shares.
The sum of what it lacks is put on a few nodes by the Gauss rule of that distribution (Golub and Welsch 1969, by way of
Lanczos), which is exact for every polynomial up to degree 2 n - 1.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any

import numpy as np
from lead_signs import Scene

from warehouse.simulator import parameters as p

NODES = 9
"""Values of the unknown part of a lead's quality that are reckoned with."""
_FINE = 1_500
"""Values to which a distribution is put together before its rule is made."""
_FIT = 0.7
"""How much a company's fit counts (warehouse/simulator/leads.py)."""


def _shares(table: Any, scale: float = 1.0) -> tuple[Any, Any]:
    return scale * np.array([row[2] for row in table]), np.array([row[1] for row in table])


def _size_effect(log_employees: Any) -> Any:
    return _FIT * p.SIZE_FIT[1] * (log_employees - p.BEST_LOG_EMPLOYEES) ** 2


_NORMAL = np.polynomial.hermite_e.hermegauss(41)
FIELDS = (
    _shares(p.INDUSTRIES, _FIT),
    (_size_effect(p.LOG_EMPLOYEES[0] + p.LOG_EMPLOYEES[1] * _NORMAL[0]), _NORMAL[1]),
    _shares(p.TITLES),
)
_MISSING = (p.MISSING_INDUSTRY, p.MISSING_EMPLOYEES, p.MISSING_TITLE)


def drawn_gaps(scene: Scene, rng: np.random.Generator) -> Any:
    """Which of industry, employees and title are empty in the CRM, drawn anew by the same rates; shape (n, 3).

    What a later duplicate tells of the same person and company is known of the first lead too, from the beginning.
    """
    lazy = scene.reps.laziness[scene.leads.rep]
    gaps = np.stack([rng.random(scene.leads.count) < rate * lazy for rate in _MISSING], axis=1)
    repeats = np.flatnonzero(scene.leads.is_duplicate)
    np.logical_and.at(gaps, scene.leads.original[repeats], gaps[repeats])
    return gaps


def profile_effect(scene: Scene, gaps: Any) -> Any:
    """The profile's part of each lead's quality, less that of the fields that are empty."""
    leads = scene.leads
    whole = leads.quality - scene.noise - p.LEAD_SKILL * scene.reps.skill[leads.rep] - campaign_effect(scene)
    of_field = np.stack(
        [
            FIELDS[0][0][leads.company.industry],
            _size_effect(np.log(leads.company.employees)),
            FIELDS[2][0][leads.title],
        ],
        axis=1,
    )
    return whole - np.where(gaps, of_field, 0.0).sum(axis=1)


def campaign_effect(scene: Scene) -> Any:
    """The campaign's part of each lead's quality; 0 where it came by none."""
    return np.where(scene.leads.campaign >= 0, scene.campaigns.effect[scene.leads.campaign], 0.0)


def quality_nodes(known: Any, gaps: Any, spread: Any, *, nodes: int = NODES) -> tuple[Any, Any]:
    """Values of quality and their weights, both (n, nodes).

    Args:
        known: The mean of what is not a gap, shape (n,).
        gaps: Which fields are empty, shape (n, 3).
        spread: Standard deviation of what else is not known, a normal part; taken to two places.
        nodes: Number of values.
    """
    values, weights = np.empty((len(known), nodes)), np.empty((len(known), nodes))
    places = np.round(spread * 100.0).astype(np.int64)
    for pattern in product((False, True), repeat=len(FIELDS)):
        has_pattern = (gaps == pattern).all(axis=1)
        for place in np.unique(places[has_pattern]):
            rows = np.flatnonzero(has_pattern & (places == place))
            offset, weight = _rule(pattern, place / 100.0, nodes)
            values[rows], weights[rows] = known[rows, None] + offset, weight
    return values, weights


@cache
def _rule(pattern: tuple[bool, ...], spread: float, nodes: int) -> tuple[Any, Any]:
    """The Gauss rule of the sum of a normal part and of the effects of empty fields."""
    value, weight = spread * _NORMAL[0], _NORMAL[1] / _NORMAL[1].sum()
    for is_empty, (effect, share) in zip(pattern, FIELDS, strict=True):
        if is_empty:
            value = (value[:, None] + effect).ravel()
            weight = (weight[:, None] * share / share.sum()).ravel()
            value, weight = _together(value, weight)
    return gauss_rule(value, weight, nodes)


def _together(value: Any, weight: Any) -> tuple[Any, Any]:
    """The same distribution on fewer values: those that lie next to each other at their mean."""
    if len(value) <= _FINE:
        return value, weight
    place = np.minimum(((value - value.min()) / np.ptp(value) * _FINE).astype(np.int64), _FINE - 1)
    total = np.bincount(place, weight, minlength=_FINE)
    kept = total > 0.0
    return (np.bincount(place, weight * value, minlength=_FINE)[kept] / total[kept]), total[kept]


def gauss_rule(value: Any, weight: Any, nodes: int) -> tuple[Any, Any]:
    """`nodes` values and weights that have the moments of a discrete distribution up to degree 2 nodes - 1."""
    basis = [np.sqrt(weight / weight.sum())]
    diagonal, beside = np.zeros(nodes), np.zeros(nodes - 1)
    for at in range(nodes):
        vector = value * basis[at]
        diagonal[at] = basis[at] @ vector
        for other in basis + basis:  # twice: once leaves rounding errors that grow
            vector = vector - (other @ vector) * other
        if at < nodes - 1:
            beside[at] = np.linalg.norm(vector)
            basis.append(vector / beside[at])
    values, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))
    return values, vectors[0] ** 2
