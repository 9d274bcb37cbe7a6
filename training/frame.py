"""The training frame of a classifier: spine, features and labels side by side, with a fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from training.encoding import fit_categories
from training.labels import Outcome, as_of_times, label_spine
from training.manifest import FeatureEntry
from training.splits import Rows, instant, moment_of

if TYPE_CHECKING:
    from features.specs import FeatureSpec
    from training.deals.outcomes import Outcomes
    from warehouse.store import Warehouse

Vector = NDArray[np.float64]
# (moment) -> labels of all rows as known then, NaN where unusable.
LabelAt = Callable[[datetime], Vector]


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Rows to learn from.

    Args:
        entity: Lead or deal of each row.
        as_of: Moment of each row, UTC.
        columns: Feature columns as Python values or NumPy arrays, by name.
        specs: What the features are, in order.
        horizon_days: Horizon of the label.
        cut: Until when anything is known.
        label_at: Labels of all rows as known at a moment.
        outcomes_at: How the rows' deals ended, as known at a moment; None for a frame of leads.
    """

    entity: NDArray[np.object_]
    as_of: NDArray[np.datetime64]
    columns: dict[str, Any]
    specs: tuple[FeatureSpec, ...]
    horizon_days: int
    cut: datetime
    label_at: LabelAt
    outcomes_at: Callable[[datetime], Outcomes] | None = None

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.entity)


@dataclass(frozen=True, kw_only=True)
class Partition:
    """Past and test of a frame.

    Args:
        about: How it was split, in words.
        moment: Where past and test meet.
        past: Rows that may train, with labels as known then.
        past_label: Their labels.
        test: Rows that test, with labels as known at the cut.
        test_label: Their labels.
    """

    about: str
    moment: datetime
    past: Rows
    past_label: Vector
    test: Rows
    test_label: Vector


def make_frame(
    table: pa.Table,
    warehouse: Warehouse,
    *,
    outcome: Outcome,
    specs: Sequence[FeatureSpec],
    horizon_days: int,
    cut: datetime,
    settle_days: int | None = None,
    judged: NDArray[np.bool_] | None = None,
) -> Frame:
    """The frame of a training table (the spine's columns and the features').

    Args:
        table: Needs the outcome's key, `as_of` and a column per feature.
        warehouse: Holds the outcome's table.
        outcome: What decides.
        specs: The model's features, in order.
        horizon_days: Horizon of the label, in days.
        cut: Until when anything is known.
        settle_days: See `label_spine`.
        judged: Rows that have a label; the others only teach models that need none of the horizon. None: all.
    """
    spine = table.select([outcome.key, "as_of"])
    labels: dict[datetime, Vector] = {}

    def label_at(moment: datetime) -> Vector:
        if moment not in labels:
            value = label_spine(
                spine, warehouse, outcome=outcome, horizon_days=horizon_days, cut=moment, settle_days=settle_days
            ).value
            labels[moment] = value if judged is None else np.where(judged, value, np.nan)
        return labels[moment]

    def outcomes_at(moment: datetime) -> Outcomes:
        from training.deals.outcomes import outcomes_at as ended

        return ended(spine, warehouse, cut=moment)

    return Frame(
        entity=np.array(table.column(outcome.key).to_pylist(), dtype=object),
        as_of=as_of_times(table),
        columns={spec.name: column_values(table.column(spec.name), spec.dtype) for spec in specs},
        specs=tuple(specs),
        horizon_days=horizon_days,
        cut=cut,
        label_at=label_at,
        outcomes_at=None if outcome.table != "opportunities" else outcomes_at,
    )


def column_values(column: pa.ChunkedArray, dtype: str) -> Any:
    """A column as strings (None where missing) for a category, as float64 (NaN where missing) otherwise."""
    if dtype == "category":
        return np.array(column.cast(pa.string()).to_pylist(), dtype=object)
    return column.cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)


def split_at(frame: Frame, *, moment: datetime, by_entity: bool) -> Partition:
    """Split by a moment; the past has the labels that were known then.

    Args:
        frame: The frame.
        moment: Where past and test meet.
        by_entity: Whether an entity belongs to one side only, by its first row (a public set's protocol); otherwise
            each row goes by its own as_of, as in production, where old deals are scored too.
    """
    final, known = frame.label_at(frame.cut), frame.label_at(moment)
    start = _first_rows(frame) if by_entity else frame.as_of
    is_test = ~np.isnan(final) & (start >= instant(moment))
    past = np.flatnonzero(~np.isnan(known) & (start < instant(moment)))
    test = np.flatnonzero(is_test)
    what = "things first seen" if by_entity else "rows"
    about = f"{what} from {moment:%Y-%m-%d} on test; older rows train, with the labels that were known on that day"
    return Partition(about=about, moment=moment, past=past, past_label=known[past], test=test, test_label=final[test])


def moment_of_share(frame: Frame, *, share: float) -> datetime:
    """The day from which on the newest `share` of the entities were first seen."""
    first = np.sort(_first_rows(frame)[_one_row_each(frame)])
    return moment_of(first[int(len(first) * (1.0 - share))].astype("datetime64[D]"))


def split_published(frame: Frame, *, test_from: datetime) -> Partition:
    """The split of a published protocol: every row before `test_from` trains, with today's labels; nothing is purged.

    Only for comparing with published figures: the newest labels that train were not known at `test_from`.
    """
    final = frame.label_at(frame.cut)
    usable = ~np.isnan(final)
    is_test = frame.as_of >= instant(test_from)
    past, test = np.flatnonzero(usable & ~is_test), np.flatnonzero(usable & is_test)
    return Partition(
        about=f"published protocol: rows from {test_from:%Y-%m-%d} on test, all before train, labels as known today",
        moment=test_from,
        past=past,
        past_label=final[past],
        test=test,
        test_label=final[test],
    )


def _first_rows(frame: Frame) -> NDArray[np.datetime64]:
    """as_of of the first row of each row's entity."""
    _, position = np.unique(frame.entity.astype(str), return_inverse=True)
    first = np.full(position.max() + 1, np.datetime64("9999-01-01", "us"))
    np.minimum.at(first, position, frame.as_of)
    return np.asarray(first[position])


def _one_row_each(frame: Frame) -> Rows:
    return np.unique(frame.entity.astype(str), return_index=True)[1]


def fit_entries(frame: Frame, past: Rows, label: Vector) -> tuple[FeatureEntry, ...]:
    """Entries of all features that have a value in the past, with categories fitted on the past alone."""
    entries = []
    for spec in frame.specs:
        values = frame.columns[spec.name][past]
        categories: tuple[str | None, ...] = ()
        other = -1
        if spec.dtype == "category":
            if all(value is None for value in values):
                continue
            categories, other = fit_categories(values, label)
        elif np.isnan(values).all():
            continue
        entries.append(
            FeatureEntry(
                name=spec.name,
                dtype=spec.dtype,
                group=spec.group,
                about=spec.about,
                unit=spec.unit,
                phrase=spec.phrase,
                direction=0 if spec.dtype == "category" else spec.direction,
                categories=categories,
                other_code=other,
            )
        )
    return tuple(entries)


def fingerprint(matrix: Vector, label: Vector, as_of: NDArray[np.datetime64], *, about: str) -> str:
    """Digest of what a model is trained on: values, labels, times, and the words that say how."""
    digest = hashlib.blake2b(about.encode(), digest_size=16)
    for part in (np.ascontiguousarray(matrix), label, as_of.astype(np.int64)):
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()
