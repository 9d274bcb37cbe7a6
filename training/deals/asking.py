"""Questions about deals: everything about one of them, as of now or of a moment in the past; and all that are open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from common.clock import utc
from common.errors import ContractError, NotFoundError
from training.deals.scorer import DealScorer
from training.deals.waterfall import waterfall
from training.scorer import Scorer

if TYPE_CHECKING:
    from common.workspace import Workspace
    from features.repository import FeatureRepository
    from training.registry import ModelRegistry
    from warehouse.store import Warehouse

KEY = "opportunity_id"
TREND_WEEKS = 8
SINCE = timedelta(days=28)
_FEW_DEALS = "stage_rates"


@dataclass(frozen=True, kw_only=True)
class Answerer:
    """The model that answers questions about deals.

    Args:
        scorer: The model.
        version: Its version.
        notes: What a reader has to know about it.
    """

    scorer: DealScorer
    version: str
    notes: tuple[str, ...]


def deal_answerer(registry: ModelRegistry, workspace: Workspace, *, threads: int = 2) -> Answerer:
    """The champion; where nothing has passed the gate for want of data, the newest stage rates, and that is said.

    Raises:
        NotFoundError: if there is neither.
        ContractError: if the champion is a deal model of an earlier kind.
    """
    name = workspace.model_name("deal")
    champion = registry.champion(name)
    model = champion or registry.model(name, "challenger")
    if model is None:
        raise NotFoundError(f"No deal model in '{workspace.name}'", next_step=_train(workspace))
    scorer = Scorer.load(model.bundle, threads=threads)
    if not isinstance(scorer, DealScorer):
        raise ContractError(
            f"Version {model.version} of '{name}' knows no months, dates or amounts: it is of an earlier kind",
            next_step=_train(workspace),
        )
    is_rates = scorer.deals.winning.model.library == _FEW_DEALS
    if champion is None and not is_rates:
        raise NotFoundError(
            f"No version of '{name}' has passed the gate",
            next_step=f"see why: salience models history --model deal --source {workspace.name}",
        )
    notes: tuple[str, ...] = ()
    if is_rates:
        notes = (
            "Too few deals have ended for a model (40 won and 40 lost are needed): these are shrunken stage rates, "
            "the same for every deal in a stage.",
        )
    return Answerer(scorer=scorer, version=model.version, notes=notes)


def _train(workspace: Workspace) -> str:
    return f"train one: salience train deal --source {workspace.name}"


@dataclass(frozen=True, kw_only=True)
class OpenDeals:
    """All deals open at a moment, scored.

    Args:
        records: Score records.
        columns: Feature columns and the deals' keys, in the order of the records.
        notes: What a reader has to know.
    """

    records: Sequence[Mapping[str, Any]]
    columns: Mapping[str, Sequence[Any]]
    notes: tuple[str, ...]


def open_deals(
    repository: FeatureRepository,
    warehouse: Warehouse,
    registry: ModelRegistry,
    workspace: Workspace,
    *,
    at: datetime,
) -> OpenDeals:
    """Score every deal that was known to be open at a moment.

    Args:
        repository: Features.
        warehouse: History; only what was known at `at` is read.
        registry: Models.
        workspace: Whose models.
        at: The moment, aware.

    Raises:
        NotFoundError: if there is no model.
    """
    from features.spines import open_deal_spine

    answerer = deal_answerer(registry, workspace)
    table = _features(repository, answerer.scorer, open_deal_spine(warehouse, at))
    columns = {name: table[name].to_pylist() for name in table.column_names}
    records = answerer.scorer.record(columns, ids=columns[KEY], at=at)
    return OpenDeals(records=records, columns=columns, notes=answerer.notes + _hindsight(answerer.scorer, at))


def deal_story(
    repository: FeatureRepository,
    warehouse: Warehouse,
    registry: ModelRegistry,
    workspace: Workspace,
    *,
    deal_id: str,
    at: datetime,
    since: datetime | None = None,
) -> dict[str, Any]:
    """Everything that can be said about one deal at a moment, with what was known then.

    Args:
        repository: Features.
        warehouse: History; only what was known at `at` is read.
        registry: Models.
        workspace: Whose models.
        deal_id: The deal.
        at: The moment, aware.
        since: Earlier moment that the change is told from; four weeks before unless given, or the first that the deal
            was open at.

    Returns:
        `record` (as of `at`), `known` (the features by name), `trend` (win probability week by week), `change` (what
        moved it), `notes`.

    Raises:
        NotFoundError: if there is no model, or the deal was not known to be open at `at`.
    """
    answerer = deal_answerer(registry, workspace, threads=1)
    scorer = answerer.scorer
    weeks = [utc(at) - timedelta(weeks=week) for week in range(TREND_WEEKS, 0, -1)]
    earlier = utc(since) if since is not None else utc(at) - SINCE
    spine = _spine_of(warehouse, deal_id, [*weeks, earlier, utc(at)])
    moments = spine["as_of"].to_pylist()
    if not moments or utc(moments[-1]) != utc(at):
        raise NotFoundError(
            f"Deal '{deal_id}' was not known to be open on {utc(at):%Y-%m-%d %H:%M} UTC",
            next_step="ask about a moment at which it was open, with --as-of; or check the number",
        )
    table = _features(repository, scorer, spine)
    columns = {name: table[name].to_pylist() for name in table.column_names}
    matrix = scorer.encode(columns)
    last = {name: values[-1:] for name, values in columns.items()}
    record = scorer.record(last, ids=[deal_id], at=at, exact=True)[0]
    probability = scorer.probability(matrix)
    trend = [
        {"at": utc(moment).isoformat(), "win_probability": round(float(value), 6)}
        for moment, value in zip(moments, probability, strict=True)
        if utc(moment) in weeks or utc(moment) == utc(at)
    ]
    first = min(moments.index(moment) for moment in moments if utc(moment) >= min(earlier, utc(at)))
    return {
        "record": record,
        "known": {name: values[0] for name, values in last.items()},
        "trend": trend,
        "change": _change(scorer, matrix[[first, -1]], probability[[first, -1]], since=utc(moments[first])),
        "notes": list(answerer.notes + _hindsight(scorer, at)),
    }


def _change(
    scorer: DealScorer, rows: np.ndarray[Any, Any], probability: np.ndarray[Any, Any], *, since: datetime
) -> dict[str, Any]:
    steps, rest = waterfall(rows, scorer.contributions(rows), probability, scorer.manifest.features)
    return {
        "since": since.isoformat(),
        "before": round(float(probability[0]), 6),
        "after": round(float(probability[1]), 6),
        "steps": [step.to_dict() for step in steps],
        "rest": round(rest, 6),
    }


def _spine_of(warehouse: Warehouse, deal_id: str, moments: Sequence[datetime]) -> pa.Table:
    """The moments at which the deal was known to be open, oldest first."""
    import pyarrow.compute as pc

    from features.spines import DEAL_SPINE, open_deal_spine

    parts = []
    for moment in sorted(set(moments)):
        spine = open_deal_spine(warehouse, moment)
        parts.append(spine.filter(pc.equal(spine[KEY], deal_id)))
    return pa.concat_tables(parts) if parts else DEAL_SPINE.empty_table()


def _features(repository: FeatureRepository, scorer: DealScorer, spine: pa.Table) -> pa.Table:
    service = scorer.manifest.feature_service
    repository.build(service, spine)
    return repository.training_frame(service, spine)


def _hindsight(scorer: DealScorer, at: datetime) -> tuple[str, ...]:
    until = datetime.fromisoformat(scorer.manifest.trained_until)
    if utc(at) >= utc(until):
        return ()
    return (
        f"What is said of the deal rests on what was known at that moment; the model itself has learned from deals "
        f"until {utc(until):%Y-%m-%d}, so it knows more than anybody did then.",
    )
