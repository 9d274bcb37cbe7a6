"""The segments of the report: those the gate judges by, and for deals the stage and the age; own fields too."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.encoding import is_missing
from training.frame import Frame, Partition
from training.segments import OTHER, UNKNOWN, segment_rows

Names = NDArray[np.object_]

MOST_KINDS = 10
_STAGES = ("stage", "deal_stage", "current_stage")
_AGES = ("deal_age_days", "lead_age_days")
_AGE_BANDS = ((1, "new"), (7, "1-6 days"), (30, "7-29 days"), (90, "30-89 days"), (180, "90-179 days"))
_OLDEST = "180 days and more"
_MOST_VALUES = 8
_LEAST_KNOWN = 0.5
"""An own field that more of the rows lack says little about anybody."""


def report_segments(frame: Frame, partition: Partition) -> dict[str, Names]:
    """The segment of each test row, by kind; at most `MOST_KINDS`.

    Beside `training.segments`: stage, age in bands, and the source's own category fields with few values, best filled
    first. A kind where all rows are alike is left out.
    """
    rows = partition.test
    columns = {name: values[rows] for name, values in frame.columns.items()}
    found = segment_rows(columns, as_of=frame.as_of[rows])
    stage = next((name for name in _STAGES if name in columns), None)
    if stage is not None:
        found["stage"] = _names(columns[stage])
    age = next((name for name in _AGES if name in columns), None)
    if age is not None:
        found["age"] = np.array([_age(value) for value in columns[age]], dtype=object)
    for name in _own_fields(frame, columns):
        found.setdefault(name.removeprefix("custom_").replace("_", " "), _names(columns[name]))
    varied = {kind: names for kind, names in found.items() if len(set(names.tolist())) > 1}
    return dict(list(varied.items())[:MOST_KINDS])


def _own_fields(frame: Frame, columns: dict[str, Any]) -> list[str]:
    filled: dict[str, float] = {}
    for spec in frame.specs:
        if spec.dtype == "category" and spec.name.startswith("custom_"):
            values = [value for value in columns[spec.name] if not is_missing(value)]
            share = len(values) / max(1, len(columns[spec.name]))
            if share >= _LEAST_KNOWN and len(set(values)) <= 2 * _MOST_VALUES:
                filled[spec.name] = share
    return sorted(filled, key=lambda name: -filled[name])


def _names(values: Any) -> Names:
    names = [UNKNOWN if is_missing(value) else str(value) for value in values]
    kept = {name for name, _ in sorted(Counter(names).items(), key=lambda pair: (-pair[1], pair[0]))[:_MOST_VALUES]}
    return np.array([name if name in kept else OTHER for name in names], dtype=object)


def _age(days: Any) -> str:
    if is_missing(days):
        return UNKNOWN
    return next((name for below, name in _AGE_BANDS if float(days) < below), _OLDEST)
