"""What a feature, a feature view and a feature service are here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import pyarrow as pa

if TYPE_CHECKING:
    import ibis.expr.types as ir

Transformation: TypeAlias = "Callable[[ir.Table, Mapping[str, ir.Table]], ir.Table]"
"""A pure function: a spine (join key, as_of) and the warehouse's tables in, the spine with feature columns out."""

Group = Literal[
    "behavioral",
    "demographic",
    "engagement",
    "intent",
    "fit",
    "state",
    "activity",
    "rep",
    "account",
    "segment",
    "time",
]

_ARROW_TYPES: dict[str, pa.DataType] = {
    "float": pa.float64(),
    "int": pa.int64(),
    "bool": pa.bool_(),
    "category": pa.string(),
}


@dataclass(frozen=True, kw_only=True)
class FeatureSpec:
    """One feature.

    Args:
        name: Aggregation, thing, window: `count_pricing_view_30d`.
        dtype: Logical type; a category is text, a missing value of any type is null.
        about: What it means, as known at as_of.
        unit: Unit of its values: `days`, `usd`, `events`, `share`, `category`, ...
        window: Length of history it looks at, such as `30d`; None where it is a state or uses all history.
        group: What kind of evidence it is; the lead's component scores add up by it.
        direction: Sign the business knows (more is better for the outcome: 1), for monotone constraints; 0 where
            unknown.
        phrase: The reason in words, with `{value}`.
    """

    name: str
    dtype: Literal["float", "int", "bool", "category"]
    about: str
    unit: str
    window: str | None = None
    group: Group
    direction: Literal[-1, 0, 1] = 0
    phrase: str

    @property
    def arrow_type(self) -> pa.DataType:
        """Arrow type of the feature's column."""
        return _ARROW_TYPES[self.dtype]


@dataclass(frozen=True, kw_only=True)
class ViewSpec:
    """One feature view: features of one join key, computed together.

    Args:
        name: Name of the view.
        about: What the view tells.
        join_key: Column that names the entity.
        ttl_days: Days after which a value read online counts as missing.
        tables: Canonical tables the maths needs; without rows in all of them the view is left out.
        features: The features, in order.
        transformation: The maths.
        foreign_keys: Text columns the maths adds beside the features, with the join key that each fills: what the
            online path reads first, to know where to read next.
        unseen: For views read through a foreign key: the keys to fall back on, in order, when a key was never seen;
            they are materialized with it, so that training and serving treat a new rep or segment alike.
    """

    name: str
    about: str
    join_key: str
    ttl_days: int
    tables: tuple[str, ...]
    features: tuple[FeatureSpec, ...]
    transformation: Transformation
    foreign_keys: tuple[tuple[str, str], ...] = ()
    unseen: Callable[[str], tuple[str, ...]] | None = None

    @property
    def schema(self) -> pa.Schema:
        """Schema of the stored view: join key, features, foreign keys, the two times."""
        time = pa.timestamp("us", tz="UTC")
        fields: list[Any] = [pa.field(self.join_key, pa.string())]
        fields += [pa.field(feature.name, feature.arrow_type) for feature in self.features]
        fields += [pa.field(column, pa.string()) for column, _ in self.foreign_keys]
        return pa.schema([*fields, pa.field("event_timestamp", time), pa.field("created_timestamp", time)])


@dataclass(frozen=True, kw_only=True)
class ServiceSpec:
    """What a model version reads.

    Args:
        name: Name of the feature service.
        about: Which model reads it.
        join_key: Column that names the scored thing.
        views: Names of its views, the scored thing's own first.
    """

    name: str
    about: str
    join_key: str
    views: tuple[str, ...]
