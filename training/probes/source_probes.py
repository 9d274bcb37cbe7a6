"""The probes over a source's warehouse: its columns as they stand at the export, and what its models read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from common.errors import InputError, TooLittleDataError
from training.labels import DEAL_WON, LEAD_CONVERTED, Outcome, label_spine
from training.probes import history, single
from training.probes.fields import Cells, field_of
from training.probes.findings import Finding, ProbeReport, in_order
from training.probes.frame_probes import MIN_OUTCOMES, probe_frame
from training.probes.matrix_probes import one_row_each

if TYPE_CHECKING:
    from features.repository import FeatureRepository
    from warehouse.contracts import Column
    from warehouse.sources import Source
    from warehouse.store import Warehouse

Vector = NDArray[np.float64]

_PLUMBING = {"is_deleted", "event_timestamp", "created_timestamp"}


@dataclass(frozen=True)
class PlaceReport:
    """What was found in one place.

    Args:
        place: `leads at the export`, `opportunities at the export`, `what the lead model reads`, …
        report: The findings.
        is_model_input: Whether a model reads these fields: a certain leak there stops its training.
        guarded: Fields that the source says are known only at the outcome, which no feature reads.
    """

    place: str
    report: ProbeReport
    is_model_input: bool
    guarded: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Look:
    """What is looked at: a model's things, and where to find them."""

    task: str
    horizon_days: int
    outcome: Outcome
    source: Source
    warehouse: Warehouse
    repository: FeatureRepository
    cut: datetime
    seed: int

    def labels(self, spine: pa.Table) -> Vector:
        """1, 0 or NaN per row of a spine."""
        return label_spine(
            spine, self.warehouse, outcome=self.outcome, horizon_days=self.horizon_days, cut=self.cut
        ).value


def probe_source(
    source: Source, warehouse: Warehouse, repository: FeatureRepository, *, cut: datetime, seed: int = 0
) -> tuple[PlaceReport, ...]:
    """Look at everything a source has on its leads and deals.

    Args:
        source: The source; its protocols say horizons and moments.
        warehouse: Its history.
        repository: Its features; those that are missing are computed.
        cut: Until when anything is known, UTC.
        seed: Seed of folds and draws.

    Returns:
        For leads and for deals: the export's columns, then what the model reads. What has too few outcomes is left out.

    Raises:
        InputError: if the source feeds neither a lead nor a deal model.
        TooLittleDataError: if there is no frame with outcomes of both kinds.
    """
    protocols = [
        (task, protocol.horizon_days, outcome)
        for task, protocol, outcome in (("lead", source.lead, LEAD_CONVERTED), ("deal", source.deal, DEAL_WON))
        if protocol is not None
    ]
    if not protocols:
        raise InputError(
            f"The source '{source.name}' has no leads or deals to probe", next_step="salience probe leaks --frame FILE"
        )
    looks = [
        _Look(task, horizon_days, outcome, source, warehouse, repository, cut, seed)
        for task, horizon_days, outcome in protocols
    ]
    places = (place for look in looks for place in (_at_export(look), _model_input(look)))
    found = tuple(place for place in places if place is not None)
    if not found:
        raise TooLittleDataError(
            f"The source '{source.name}' has too few known outcomes to probe",
            expected=f"{MIN_OUTCOMES} things with the outcome and {MIN_OUTCOMES} without",
            next_step="load more history (salience ingest)",
        )
    return found


def _at_export(look: _Look) -> PlaceReport | None:
    versions = history.read_versions(look.warehouse, look.outcome, cut=look.cut)
    if not versions.spine.num_rows:
        return None
    label = look.labels(versions.spine)
    if not _is_enough(label):
        return None
    contract = look.warehouse.contract(look.outcome.table)
    columns = {
        column.name: column
        for column in (*contract.columns, *contract.extension)
        if column.name in versions.newest.column_names
        and column.name not in {look.outcome.key, *_PLUMBING}
        and column.dtype not in {"timestamp", "date"}
        and versions.newest.column(column.name).null_count < versions.spine.num_rows
    }
    report = probe_versions(versions, label, columns, seed=look.seed)
    guarded = frozenset(name for name, column in columns.items() if column.known.value == "at_outcome")
    return PlaceReport(f"{look.outcome.table} at the export", report, False, guarded)


def probe_versions(versions: history.Versions, label: Vector, columns: dict[str, Column], *, seed: int) -> ProbeReport:
    """Each column of an export: alone, frozen at as_of, and across closing.

    A lead that is young at the export has no newest value yet, and no label either: only rows with a label count.
    """
    kept = np.flatnonzero(~np.isnan(label))
    known, findings = label[kept], []
    for name in columns:
        begun, newest, before = (
            part.column(name).take(pa.array(kept)).to_pylist()
            for part in (versions.begun, versions.newest, versions.before)
        )
        field = field_of(name, newest)
        alone = single.ability(field, known, tests=len(columns), seed=seed)
        told: tuple[Finding | None, ...] = (
            single.probe_ability(field, alone),
            *single.probe_values(field, known, tests=len(columns)),
            history.probe_ablation(name, begun, newest, known, tests=len(columns), seed=seed),
            history.probe_closing(name, before, newest, versions.is_decided[kept], tests=len(columns)),
        )
        findings += [finding for finding in told if finding is not None]
    return ProbeReport(in_order(findings), (), tuple(columns), len(kept), int(known.sum()))


def _model_input(look: _Look) -> PlaceReport | None:
    spine = _history_spine(look)
    if not spine.num_rows:
        return None
    label = look.labels(spine)
    usable = np.flatnonzero(~np.isnan(label))
    entity = np.array(spine.column(look.outcome.key).to_pylist(), dtype=object)
    # Rows of one thing are no independent witnesses.
    rows = usable[one_row_each(entity[usable], seed=look.seed)] if len(usable) else usable
    if not _is_enough(label[rows]):
        return None
    service = {"lead": "lead_score_v1", "deal": "deal_win_v1"}[look.task]
    asked = spine.take(pa.array(rows))
    look.repository.apply()
    look.repository.build(service, asked)
    table = look.repository.training_frame(service, asked)
    names = [name for name in table.column_names if name not in spine.column_names]
    frame = {name: _cells(table.column(name)) for name in names}
    report = probe_frame(
        frame,
        label[rows],
        order=[str(moment) for moment in table.column("as_of").to_pylist()],
        order_name="as_of",
        known_early=names,
        has_load_marks=False,
        seed=look.seed,
    )
    return PlaceReport(f"what the {look.task} model reads", report, True)


def _history_spine(look: _Look) -> pa.Table:
    from features.spines import deal_history_spine, lead_history_spine

    if look.task == "lead" and look.source.lead is not None:
        return lead_history_spine(look.warehouse, mode=look.source.lead.spine, until=look.cut)
    if look.source.deal is not None:
        return deal_history_spine(look.warehouse, mode=look.source.deal.spine, until=look.cut)
    raise InputError(f"The source '{look.source.name}' feeds no {look.task} model")


def _cells(column: pa.ChunkedArray) -> Cells:
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return list(column.to_pylist())
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def _is_enough(label: Vector) -> bool:
    return min(int((label == 1).sum()), int((label == 0).sum())) >= MIN_OUTCOMES
