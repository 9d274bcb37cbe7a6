"""How features differ between two moments: of one entity, and of everything open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from common.clock import utc
from common.errors import NotFoundError, TooLittleDataError
from features.catalogue import service_of, views_of
from features.explaining import is_same
from features.specs import FeatureSpec
from warehouse.contracts import UTC_MICROSECONDS

if TYPE_CHECKING:
    import pyarrow as pa

    from warehouse.store import Warehouse

_BINS = 10
_LEAST_SHARE = 1e-4
"""Shares below this count as this in the PSI, which has no value for an empty bin."""


@dataclass(frozen=True)
class Value:
    """A feature of an entity at a moment."""

    feature: FeatureSpec
    value: Any


@dataclass(frozen=True)
class Change:
    """A feature of one entity that differs between two moments."""

    feature: FeatureSpec
    before: Any
    after: Any


@dataclass(frozen=True)
class Movement:
    """How a feature of everything open moved between two moments.

    Args:
        feature: The feature.
        psi: Population stability index of its distribution, over tenths of the first moment or over categories;
            below 0.1 is quiet, above 0.25 is a lot.
        changed_share: Of the entities open at both moments, the share whose value differs; None without any.
    """

    feature: FeatureSpec
    psi: float
    changed_share: float | None


def features_at(warehouse: Warehouse, service: str, keys: Sequence[str], at: datetime) -> pa.Table:
    """All features of a service for some entities at a moment, computed from the warehouse.

    Args:
        warehouse: The histories.
        service: Feature service.
        keys: Ids; each once.
        at: The moment, aware.

    Returns:
        The join key, as_of, and one column per feature, in the order of `keys`.
    """
    import pyarrow as pa

    from features.transform import compute
    from features.verifying import by_row, moments_of

    key = service_of(service).join_key
    times = pa.array([utc(at)] * len(keys), UTC_MICROSECONDS)
    spine = frame = pa.table({key: pa.array(list(keys), pa.string()), "as_of": times})
    with warehouse.duckdb() as connection:
        for view in views_of(service, warehouse.tables()):
            if view.join_key not in spine.column_names:
                continue
            rows = by_row(view, spine, compute(view, moments_of(spine, view), connection))
            for feature in view.features:
                frame = frame.append_column(feature.name, rows[feature.name])
            for column, other in view.foreign_keys:
                if other not in spine.column_names:
                    spine = spine.append_column(other, rows[column])
    return frame


def compare_entity(warehouse: Warehouse, service: str, key: str, *, before: datetime, after: datetime) -> list[Change]:
    """What changed about one entity between two moments.

    Raises:
        NotFoundError: if nothing was known of it at the later one.
    """
    rows = [features_at(warehouse, service, [key], at).to_pylist()[0] for at in (before, after)]
    specs = _specs(warehouse, service)
    first = views_of(service, warehouse.tables())[0].features[0].name
    if rows[1][first] is None and all(rows[1][name] in (None, 0) for name in specs):
        raise NotFoundError(
            f"Nothing is known of '{key}' at {utc(after).isoformat()}", next_step="check the id and the moments"
        )
    return [
        Change(spec, rows[0][name], rows[1][name])
        for name, spec in specs.items()
        if not is_same(spec, rows[0][name], rows[1][name])
    ]


def compare_open(warehouse: Warehouse, service: str, *, before: datetime, after: datetime) -> list[Movement]:
    """Which features of everything open moved most between two moments, the most first.

    Raises:
        TooLittleDataError: if nothing was open at one of them.
    """
    frames = []
    for at in (before, after):
        keys = _open(warehouse, service, at)
        if not keys:
            raise TooLittleDataError(f"Nothing was open at {utc(at).isoformat()}", next_step="choose another moment")
        frames.append(features_at(warehouse, service, keys, at))
    key = service_of(service).join_key
    places = {name: place for place, name in enumerate(frames[1][key].to_pylist())}
    both = [(place, places[name]) for place, name in enumerate(frames[0][key].to_pylist()) if name in places]
    moved = []
    for name, spec in _specs(warehouse, service).items():
        one, two = (frame[name].to_pylist() for frame in frames)
        changed = sum(not is_same(spec, one[here], two[there]) for here, there in both)
        moved.append(Movement(spec, stability_index(spec, one, two), changed / len(both) if both else None))
    return sorted(moved, key=lambda each: -each.psi)


def stability_index(feature: FeatureSpec, reference: Sequence[Any], current: Sequence[Any]) -> float:
    """Population stability index of two samples; missing is a bin of its own.

    Source: Siddiqi, Credit Risk Scorecards (2006): sum of (q - p) ln(q / p) over bins.
    """
    import numpy as np

    old, new = _shares(feature, reference, current)
    old, new = np.maximum(old, _LEAST_SHARE), np.maximum(new, _LEAST_SHARE)
    return float(np.sum((new - old) * np.log(new / old)))


def _shares(feature: FeatureSpec, reference: Sequence[Any], current: Sequence[Any]) -> tuple[Any, Any]:
    import numpy as np

    if feature.dtype in ("category", "bool"):
        names = sorted({str(value) for value in [*reference, *current]})
        counted = [[sum(str(value) == name for value in sample) for name in names] for sample in (reference, current)]
    else:
        known = [value for value in reference if value is not None]
        edges = np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1)[1:-1])) if known else np.array([])
        counted = [
            [
                *np.bincount(
                    np.searchsorted(edges, [value for value in sample if value is not None], side="right"),
                    minlength=len(edges) + 1,
                ),
                sum(value is None for value in sample),
            ]
            for sample in (reference, current)
        ]
    old, new = (np.asarray(counts, dtype="float64") / sum(counts) for counts in counted)
    return old, new


def _specs(warehouse: Warehouse, service: str) -> dict[str, FeatureSpec]:
    return {each.name: each for view in views_of(service, warehouse.tables()) for each in view.features}


def _open(warehouse: Warehouse, service: str, at: datetime) -> list[str]:
    from features.spines import open_deal_spine, open_lead_spine

    key = service_of(service).join_key
    spine = open_lead_spine(warehouse, at) if key == "lead_id" else open_deal_spine(warehouse, at)
    return list(dict.fromkeys(spine[key].to_pylist()))
