"""Two versions asked about the newest rows that neither has seen: figures side by side, and how sure they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from common.errors import ContractError, NotFoundError, TooLittleDataError
from common.settings import GateSettings, Settings
from training.evaluation import FIGURES, figure_replicates
from training.gate.answers import Answers, answers_of, manifest_of
from training.gate.holdout import Holdout
from training.gate.judging import segment_pairs, value_pair
from training.gate.paired import REPLICATES, Paired, SegmentPair
from training.recipe import Context, Recipe
from training.record import TrainingRecord
from training.resampling import resample
from training.results import RegisteredModel
from training.splits import instant
from training.study import Progress
from training.train import training_rows
from training.writing import holdout_of
from warehouse.present import known_until

if TYPE_CHECKING:
    from features.repository import FeatureRepository
    from warehouse.store import Warehouse

Vector = NDArray[np.float64]

_MIDDLE = 0.975
# Whether more of a figure is better.
MORE_IS_BETTER = {"auc": True, "pr_auc": True, "top_decile_lift": True, "log_loss": False, "brier": False, "ece": False}
VALUE = "value_at_capacity"


@dataclass(frozen=True, kw_only=True)
class FigurePair:
    """A figure of two versions on the same rows.

    Args:
        name: `auc`, `log_loss`, …, or `value_at_capacity`.
        first: The first version's.
        second: The second version's.
        low: Least of the middle 95 % of second minus first.
        high: Greatest of it.
        more_is_better: Whether more of it is better.
    """

    name: str
    first: float
    second: float
    low: float
    high: float
    more_is_better: bool

    @property
    def better(self) -> str:
        """`first`, `second`, or `neither` where the interval holds 0."""
        if self.low <= 0.0 <= self.high:
            return "neither"
        return "second" if (self.low > 0.0) == self.more_is_better else "first"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two versions side by side.

    Args:
        first: A version.
        second: Another.
        rows: Rows compared on.
        entities: Leads or deals among them.
        since: Oldest as_of, ISO 8601.
        until: Newest as_of, ISO 8601.
        figures: Figures of all rows.
        segments: Log-loss by segment, the challenger being the second version.
    """

    first: str
    second: str
    rows: int
    entities: int
    since: str
    until: str
    figures: tuple[FigurePair, ...]
    segments: tuple[SegmentPair, ...]


def newest_rows(
    recipe: Recipe,
    repository: FeatureRepository,
    warehouse: Warehouse,
    models: Sequence[RegisteredModel],
    *,
    settings: Settings,
    progress: Progress | None = None,
) -> Holdout:
    """The newest rows with known labels that none of some versions was trained on.

    Args:
        recipe: What they were trained for.
        repository: Features of the workspace.
        warehouse: Its history.
        models: The versions.
        settings: What "now" is.
        progress: Told (what, done, total).

    Raises:
        ContractError: if the versions answer about different horizons.
        TooLittleDataError: if there are no such rows yet.
    """
    horizons = {model.version: manifest_of(model).horizon_days for model in models}
    if len(set(horizons.values())) > 1:
        raise ContractError(
            "The versions answer different questions and cannot be compared",
            expected="one horizon",
            got=", ".join(f"version {version}: {days} days" for version, days in horizons.items()),
        )
    workspace = repository.workspace
    context = Context(
        recipe=replace(recipe, horizon_days=next(iter(horizons.values())), scoring=None),
        settings=settings,
        name=workspace.model_name(recipe.task),
        workspace=workspace.name,
        cut=known_until(settings, warehouse),
        journal=workspace.root / "studies" / "none.journal",
        trials=0,
        accepted={},
        progress=progress,
    )
    frame, partition, _ = training_rows(context, repository, warehouse)
    seen = max(_seen_until(model) for model in models)
    later = frame.as_of[partition.test] >= instant(seen)
    if not later.any():
        raise TooLittleDataError(
            f"No row with a known label is newer than what the versions were trained on ({seen:%Y-%m-%d})",
            next_step="load what has happened since: salience ingest",
        )
    chosen = replace(partition, test=partition.test[later], test_label=partition.test_label[later])
    return holdout_of(frame, chosen)


def compare_versions(
    first: RegisteredModel, second: RegisteredModel, holdout: Holdout, *, limits: GateSettings, seed: int
) -> Comparison:
    """Ask both versions about the same rows.

    Args:
        first: A version, such as the champion.
        second: Another, such as a challenger; differences are second minus first.
        holdout: Rows that neither has seen.
        limits: The capacity, and the least size of a segment.
        seed: Seed of the bootstrap.

    Raises:
        TooLittleDataError: if the rows hold too few outcomes to compare anything.
        SalienceError: if a version cannot be asked.
    """
    fault = holdout.fault()
    if fault is not None:
        raise TooLittleDataError(f"The versions cannot be compared: {fault}", next_step="load more history")
    one, other = answers_of(first, holdout), answers_of(second, holdout)
    as_of = holdout.as_of if holdout.as_of is not None else np.array([], dtype="datetime64[us]")
    return Comparison(
        first=first.version,
        second=second.version,
        rows=len(holdout.label),
        entities=len(set(holdout.entity.tolist())),
        since=str(as_of.min()) if len(as_of) else "",
        until=str(as_of.max()) if len(as_of) else holdout.until,
        figures=_figures(one, other, holdout, limits=limits, seed=seed),
        segments=tuple(segment_pairs(other.probability, one.probability, holdout, limits=limits)),
    )


def _figures(
    one: Answers, other: Answers, holdout: Holdout, *, limits: GateSettings, seed: int
) -> tuple[FigurePair, ...]:
    label, sample = holdout.label, resample(holdout.entity, replicates=REPLICATES, seed=seed)
    drawn = [figure_replicates(label, answers.probability, sample) for answers in (one, other)]
    ones = np.ones((len(label), 1))
    found = []
    for name, figure in FIGURES.items():
        points = [float(figure(label, answers.probability, ones)[0]) for answers in (one, other)]
        pair = Paired(points[1], points[0], drawn[1][name] - drawn[0][name])
        found.append(_pair(name, pair, more_is_better=MORE_IS_BETTER[name]))
    value, _ = value_pair(other.probability, one.probability, holdout, capacity=limits.capacity, seed=seed)
    return (*found, _pair(VALUE, value, more_is_better=True))


def _pair(name: str, pair: Paired, *, more_is_better: bool) -> FigurePair:
    return FigurePair(
        name=name,
        first=pair.theirs,
        second=pair.ours,
        low=pair.at_least(_MIDDLE),
        high=pair.at_most(_MIDDLE),
        more_is_better=more_is_better,
    )


def _seen_until(model: RegisteredModel) -> datetime:
    """The moment before which a version may have seen rows."""
    try:
        moment = datetime.fromisoformat(TrainingRecord.read(model.bundle).moment)
    except NotFoundError:
        moment = datetime.fromisoformat(manifest_of(model).trained_until)
    return moment.astimezone(UTC)
