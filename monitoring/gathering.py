"""The rows that one look at a classifier needs, as they were known at the window's end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from common.clock import parse_moment, utc
from common.errors import NotFoundError
from common.settings import Settings
from common.workspace import Workspace
from monitoring.columns import PREDICTION
from monitoring.estimating import Labelled
from monitoring.matured import Matured
from monitoring.windows import Windows, choose_windows, history_spine, rows_within, widen_reference
from training.batch import KEYS
from training.frame import column_values
from training.labels import DEAL_WON, LEAD_CONVERTED, as_of_times, label_spine
from training.manifest import Manifest
from training.results import RegisteredModel
from training.scorer import Scorer
from training.splits import instant

if TYPE_CHECKING:
    from features.repository import FeatureRepository
    from training.registry import ModelRegistry
    from warehouse.sources import Source
    from warehouse.store import Warehouse

Vector = NDArray[np.float64]
Progress = Callable[[str, int, int], None]

OUTCOMES = {"lead": LEAD_CONVERTED, "deal": DEAL_WON}
# Rows of a side beyond this add time and no answer.
MOST_ROWS = 20_000


@dataclass(frozen=True, kw_only=True)
class Material:
    """What a look at one model works on.

    Args:
        task: lead or deal.
        end: End of the current window, UTC; nothing known later is in it.
        champion: The version looked at.
        scorer: The same, loaded.
        windows: Current and reference window.
        reference: Frame of the reference rows, with `probability` and `as_of`.
        recent: Frame of rows after what the model learned from, up to `end`; of a recalibrated one, all that its trees
            have not learned from.
        label: Label of each recent row as known at `end`; NaN where it is not known or the model learned from it.
        known: The same, but for rows that only the level of a recalibrated model has learned from, known too.
    """

    task: str
    end: datetime
    champion: RegisteredModel
    scorer: Scorer
    windows: Windows
    reference: pa.Table
    recent: pa.Table
    label: Vector
    known: Vector

    @property
    def key(self) -> str:
        """Column that names the thing."""
        return KEYS[self.task]

    @property
    def current(self) -> pa.Table:
        """Rows of the current window."""
        return rows_within(self.recent, self.windows.current)

    @property
    def horizon(self) -> timedelta:
        """How long a label takes to be known for certain."""
        return timedelta(days=self.scorer.manifest.horizon_days)

    @property
    def as_of(self) -> NDArray[np.datetime64]:
        """Moments of the recent rows."""
        return as_of_times(self.recent)

    @property
    def entity(self) -> NDArray[np.object_]:
        """Lead or deal of each recent row."""
        return np.array(self.recent[self.key].to_pylist(), dtype=object)

    @property
    def probability(self) -> Vector:
        """What the model answers to each recent row."""
        return np.asarray(self.recent[PREDICTION].to_numpy(zero_copy_only=False), dtype=np.float64)

    def columns(self, table: pa.Table) -> dict[str, NDArray[np.generic]]:
        """Feature columns of a frame as the model wants them."""
        return {entry.name: column_values(table[entry.name], entry.dtype) for entry in self.scorer.manifest.features}

    @property
    def worth(self) -> float | None:
        """What the model was proven to be worth: its log-loss below the base rate's on its test period."""
        manifest = self.scorer.manifest
        const, own = manifest.baselines.get("const", {}).get("log_loss"), manifest.metrics.get("log_loss")
        return None if const is None or own is None else const - own

    def score(self, columns: Mapping[str, NDArray[np.generic]]) -> Vector:
        """The model."""
        return self.scorer.label_probability(self.scorer.encode(cast("Mapping[str, Any]", columns)))

    def matured(self) -> Matured:
        """Recent rows whose labels are mature, oldest first."""
        known = np.flatnonzero(~np.isnan(self.label))
        known = known[np.argsort(self.as_of[known], kind="stable")]
        table = self.recent.take(pa.array(known))
        categories = [entry.name for entry in self.scorer.manifest.features if entry.dtype == "category"]
        return Matured(
            as_of=self.as_of[known],
            entity=self.entity[known],
            label=self.label[known],
            probability=self.probability[known],
            groups={name: np.array(table[name].cast(pa.string()).to_pylist(), dtype=object) for name in categories},
        )

    def labelled(self) -> Labelled:
        """The same with features, for estimates of cost and quality; also rows that only a level was learned from."""
        known = np.flatnonzero(~np.isnan(self.known))
        known = known[np.argsort(self.as_of[known], kind="stable")]
        table = self.recent.take(pa.array(known))
        times = self.as_of[known]
        return Labelled(
            probability=self.probability[known],
            label=self.known[known],
            entity=self.entity[known],
            until=None if not len(known) else parse_moment(f"{times[-1].astype('datetime64[s]')}Z"),
            columns=self.columns(table),
        )


def gather(
    repository: FeatureRepository,
    warehouse: Warehouse,
    registry: ModelRegistry,
    source: Source,
    *,
    task: str,
    at: datetime,
    settings: Settings,
    progress: Progress | None = None,
) -> Material:
    """Gather the newest rows before `at`, those the task's champion learned from, and labels known at `at`.

    Args:
        repository: Features; rows not yet built are.
        warehouse: History; only what was known at each row's moment is read.
        registry: Models.
        source: Names the workspace and the spine's protocol.
        task: lead or deal.
        at: End of the current window, UTC.
        settings: Seed and folders.
        progress: Told what is being done.

    Raises:
        NotFoundError: if the task has no champion.
        InputError: if the source does not feed the task.
    """
    at = utc(at)
    name = Workspace.of(settings, source.name).model_name(task)
    champion = registry.champion(name)
    if champion is None:
        raise NotFoundError(f"No champion of '{name}'", next_step=f"salience train {task} --source {source.name}")
    scorer = Scorer.load(champion.bundle, threads=2)
    learned_until = parse_moment(scorer.manifest.trained_until)
    spine = history_spine(warehouse, source, task=task, until=at)
    current, reference = choose_windows(spine, key=KEYS[task], at=at, learned_until=learned_until)
    windows = widen_reference(spine, key=KEYS[task], current=current, reference=reference)
    seed = settings.training.seed
    trees_until = min(learned_until, _trees_until(registry, champion))
    since = min(trees_until, current[0])
    rows = {
        "reference": thin(rows_within(spine, windows.reference), most=MOST_ROWS, seed=seed),
        "recent": _with_current_whole(rows_within(spine, (since, at)), current, seed=seed),
    }
    frames = {side: scored_frame(repository, scorer, table, progress=progress) for side, table in rows.items()}
    recent = frames["recent"]
    label = label_spine(
        recent.select([KEYS[task], "as_of"]),
        warehouse,
        outcome=OUTCOMES[task],
        horizon_days=scorer.manifest.horizon_days,
        cut=at,
    ).value
    return Material(
        task=task,
        end=at,
        champion=champion,
        scorer=scorer,
        windows=windows,
        reference=frames["reference"],
        recent=recent,
        # A row the model learned from must not judge it; where the current window reaches back that far, it has none.
        label=_after(learned_until, recent, label),
        known=_after(trees_until, recent, label),
    )


def _after(moment: datetime, frame: pa.Table, label: Vector) -> Vector:
    """Labels of the rows after a moment; NaN before."""
    return np.where(as_of_times(frame) > instant(moment), label, np.nan)


def _trees_until(registry: ModelRegistry, champion: RegisteredModel) -> datetime:
    """Newest moment that the model itself learned from: of a recalibrated one, that of the version it comes from."""
    version = champion
    try:
        while (earlier := registry.run(version.run_id).params.get("recalibrated_from")) is not None:
            version = registry.version(champion.name, earlier)
    except NotFoundError:
        # Somebody deleted one of them: what came after the oldest that is left is unlearned for certain.
        pass
    return parse_moment(Manifest.read(version.bundle).trained_until)


def thin(spine: pa.Table, *, most: int, seed: int) -> pa.Table:
    """At most `most` rows, drawn at random, in their order."""
    if spine.num_rows <= most:
        return spine
    chosen = np.sort(np.random.default_rng(seed).choice(spine.num_rows, most, replace=False))
    return spine.take(pa.array(chosen))


def _with_current_whole(spine: pa.Table, current: tuple[datetime, datetime], *, seed: int) -> pa.Table:
    """The rows of the current window, at most `MOST_ROWS`, and as many of those before it."""
    older = thin(
        rows_within(spine, (datetime.min.replace(tzinfo=current[0].tzinfo), current[0])), most=MOST_ROWS, seed=seed
    )
    return pa.concat_tables([older, thin(rows_within(spine, current), most=MOST_ROWS, seed=seed)])


def scored_frame(
    repository: FeatureRepository, scorer: Scorer, spine: pa.Table, *, progress: Progress | None
) -> pa.Table:
    """Features of the rows, and what the champion answers for them."""
    service = scorer.manifest.feature_service
    repository.build(service, spine, progress=progress)
    frame = repository.training_frame(service, spine)
    if frame.num_rows == 0:
        return frame.append_column(PREDICTION, pa.array([], type=pa.float64()))
    columns = {entry.name: column_values(frame[entry.name], entry.dtype) for entry in scorer.manifest.features}
    return frame.append_column(PREDICTION, pa.array(scorer.label_probability(scorer.encode(columns))))
