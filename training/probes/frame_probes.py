"""All probes over one frame: a table with a label, an order if it has one, and candidate fields."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import ContractError, TooLittleDataError, shorten
from training.encoding import is_missing
from training.probes import artefacts, single
from training.probes.fields import Cells, Field, as_numbers, field_of, number_field, plain_cells
from training.probes.findings import Finding, ProbeReport, in_order

Vector = NDArray[np.float64]

MIN_OUTCOMES = 20
_TEST_SHARE = 0.3


def probe_frame(
    columns: Mapping[str, Cells],
    label: Vector,
    *,
    order: Sequence[Any] | None = None,
    order_name: str = "order",
    identifier: str | None = None,
    known_early: Collection[str] = (),
    has_load_marks: bool = True,
    seed: int = 0,
) -> ProbeReport:
    """Look at each field of a frame against the outcome.

    Args:
        columns: Cells by field: text as in a file, numbers, truths; None and NaN are missing.
        label: 1, 0, or NaN where the outcome is not known: such rows are left out.
        order: What the rows were created by: numbers, ISO dates; None if nothing says so.
        order_name: Its name.
        identifier: Field that names the rows; it is looked at for marks of a load only.
        known_early: Fields of which the source says that they are known at the moment to be scored: their names are
            not held against them.
        has_load_marks: Whether rows come from a file, where jobs leave marks; computed features are empty at first by
            nature.
        seed: Seed of the folds.

    Raises:
        ContractError: if the columns differ in length.
        TooLittleDataError: if there are fewer than 20 rows of either outcome.
    """
    cells, label, moments = _ready(columns, label, order)
    fields, notes = _fields({name: values for name, values in cells.items() if name != identifier})
    tests = max(len(fields), 1)
    findings: list[Finding] = []
    for field in fields:
        alone = single.ability(field, label, tests=tests, seed=seed)
        meant = None if field.name in known_early else single.probe_meaning(field, alone)
        told = (single.probe_ability(field, alone), *single.probe_values(field, label, tests=tests), meant)
        findings += [finding for finding in told if finding is not None]
        if has_load_marks and moments is not None:
            switched = artefacts.probe_fill_switch(field, label, tests=tests, seed=seed)
            findings += [switched] if switched is not None else []
    named = {finding.feature for finding in findings}
    if has_load_marks:
        findings += _order_findings(cells, label, moments, order_name, identifier, seed=seed)
        notes += artefacts.note_batches(moments) if moments is not None else ()
    if moments is not None:
        twins = _twins({f.name: cells[f.name] for f in fields if f.name not in named and not f.is_identifier}, label)
        findings += [twins] if twins is not None else []
    return ProbeReport(in_order(findings), notes, tuple(field.name for field in fields), len(label), int(label.sum()))


def _ready(
    columns: Mapping[str, Cells], label: Vector, order: Sequence[Any] | None
) -> tuple[dict[str, list[Any] | Vector], Vector, list[Any] | None]:
    """Plain cells, label and order of the rows with a known outcome, in that order."""
    wrong = [name for name, values in columns.items() if len(values) != len(label)]
    if wrong or (order is not None and len(order) != len(label)):
        raise ContractError(
            "The columns have different lengths", expected=f"{len(label)} rows", got=", ".join(wrong) or "another order"
        )
    kept = np.flatnonzero(~np.isnan(label))
    outcomes = [int((label == outcome).sum()) for outcome in (1, 0)]
    if min(outcomes) < MIN_OUTCOMES:
        raise TooLittleDataError(
            "The probes need rows of both outcomes",
            expected=f"at least {MIN_OUTCOMES} of each",
            got=f"{outcomes[0]} with the outcome, {outcomes[1]} without",
            next_step="name the column and the value of the outcome: --label COLUMN --positive VALUE",
        )
    moments = None
    if order is not None:
        plain = plain_cells([order[row] for row in kept.tolist()])
        numbers = as_numbers(plain)
        sortable = [str(cell or "") for cell in plain] if numbers is None else numbers
        place = np.argsort(np.array(sortable), kind="stable")
        kept, moments = kept[place], [plain[row] for row in place.tolist()]
    cells: dict[str, list[Any] | Vector] = {}
    for name, values in columns.items():
        if isinstance(values, np.ndarray) and values.dtype.kind == "f":
            cells[name] = values[kept]
        else:
            cells[name] = plain_cells([values[row] for row in kept.tolist()])
    return cells, label[kept], moments


def _fields(cells: Mapping[str, Any]) -> tuple[list[Field], tuple[str, ...]]:
    """Fields that can say something, and notes on those that cannot."""
    fields = [field_of(name, values) for name, values in cells.items()]
    empty = [field.name for field in fields if not field.is_filled.any()]
    constant = [field.name for field in fields if field.distinct == 1 and field.is_filled.all()]
    named = {
        "Empty": empty,
        "The same in every row": constant,
        "Identifiers, to be left out of the features": [field.name for field in fields if field.is_identifier],
    }
    notes = [f"{what}: {shorten(names)}" for what, names in named.items() if names]
    return [field for field in fields if field.name not in {*empty, *constant}], tuple(notes)


def _order_findings(
    cells: Mapping[str, Any],
    label: Vector,
    moments: Sequence[Any] | None,
    order_name: str,
    identifier: str | None,
    *,
    seed: int,
) -> list[Finding]:
    """Marks of a load in the order of the rows and in their ids."""
    found: list[Finding | None] = []
    if moments is not None and len(set(moments)) == len(moments):
        found.append(artefacts.probe_order(order_name, label, tests=2, what=f"In the order of '{order_name}'"))
    if identifier is not None:
        found += _identifier_findings(identifier, cells[identifier], label, seed=seed)
    return [finding for finding in found if finding is not None]


def _identifier_findings(name: str, ids: Sequence[Any], label: Vector, *, seed: int) -> list[Finding | None]:
    """An id's number, the outcomes in its order, and its shape: three ways in which it may follow the outcome."""
    digits = [None if cell is None else "".join(filter(str.isdigit, str(cell))) or None for cell in ids]
    numbers = as_numbers(digits)
    place = np.argsort(np.array([str(cell) for cell in ids]) if numbers is None else numbers, kind="stable")
    found = [artefacts.probe_order(name, label[place], tests=3, what=f"In the order of '{name}'")]
    looks = [artefacts.shape_field(name, ids), *([] if numbers is None else [number_field(name, numbers)])]
    for look in looks:
        found.append(single.probe_ability(look, single.ability(look, label, tests=3, seed=seed)))
        found += single.probe_values(look, label, tests=3)
    return found


def _twins(honest: Mapping[str, Any], label: Vector) -> Finding | None:
    if not honest:
        return None
    is_test = np.arange(len(label)) >= (1 - _TEST_SHARE) * len(label)
    columns = [[None if is_missing(cell) else cell for cell in values] for values in honest.values()]
    return artefacts.probe_twins(artefacts.twin_keys(columns), label, is_test)
