"""What a feature, a feature view and a feature service are here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import pyarrow as pa

from warehouse.contracts import EXTENSION_PREFIX, Column

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

DType = Literal["float", "int", "bool", "category"]

OWN_FIELD_TYPES: dict[str, DType] = {"string": "category", "float": "float", "int": "int", "bool": "bool"}
"""Types of a source's own fields that can be features, and the type of the feature; times and days cannot."""

DEFAULT_OWNER = "sales analytics"

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
        needs: Table the feature needs beside those of its view; without rows in it the feature is left out.
    """

    name: str
    dtype: DType
    about: str
    unit: str
    window: str | None = None
    group: Group
    direction: Literal[-1, 0, 1] = 0
    phrase: str
    needs: str | None = None

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
        own_rows_only: Whether a row rests on nothing but rows that carry its own join key (a lead's versions and
            events), and not on a comparison with others; the stream then reads these alone. A test holds it to that.
        extends: Table whose own fields of the source (`custom_…`) are features of this view too; None for none.
        own_fields: Those fields, once a warehouse is known: see `on`.
        owner: Who answers for the definitions.
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
    own_rows_only: bool = False
    extends: str | None = None
    own_fields: tuple[Column, ...] = ()
    owner: str = DEFAULT_OWNER

    def on(self, tables: Collection[str], own_fields: Sequence[Column] = ()) -> ViewSpec:
        """This view as a warehouse can fill it.

        Args:
            tables: Tables with rows; features that need another are left out.
            own_fields: The source's own fields of the table `extends` that may be features; they come last.
        """
        held = tuple(feature for feature in self.features if feature.needs is None or feature.needs in tables)
        held += tuple(_own_feature(column) for column in own_fields)
        return replace(self, features=held, own_fields=tuple(own_fields))

    @property
    def read_tables(self) -> tuple[str, ...]:
        """Every table that the view's values can depend on."""
        needed = (feature.needs for feature in self.features if feature.needs is not None)
        return tuple(dict.fromkeys([*self.tables, *needed]))

    @property
    def schema(self) -> pa.Schema:
        """Schema of the stored view: join key, features, foreign keys, the two times."""
        time = pa.timestamp("us", tz="UTC")
        fields: list[Any] = [pa.field(self.join_key, pa.string())]
        fields += [pa.field(feature.name, feature.arrow_type) for feature in self.features]
        fields += [pa.field(column, pa.string()) for column, _ in self.foreign_keys]
        return pa.schema([*fields, pa.field("event_timestamp", time), pa.field("created_timestamp", time)])


def _own_feature(column: Column) -> FeatureSpec:
    words = column.name.removeprefix(EXTENSION_PREFIX).replace("_", " ")
    return FeatureSpec(
        name=column.name,
        dtype=OWN_FIELD_TYPES[column.dtype],
        unit="as in the source",
        group="fit",
        about=f"The source's own field: {column.about.rstrip('.') or words}.",
        phrase=f"its {words} is {{value}}",
    )


@dataclass(frozen=True, kw_only=True)
class ServiceSpec:
    """What a model version reads.

    Args:
        name: Name of the feature service.
        about: Which model reads it.
        join_key: Column that names the scored thing.
        views: Names of its views, the scored thing's own first.
        owner: Who answers for it.
    """

    name: str
    about: str
    join_key: str
    views: tuple[str, ...]
    owner: str = DEFAULT_OWNER
