"""Scorer: reads a classifier's bundle and answers. Light imports: numpy and the bundle's own library."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.clock import utc
from common.errors import ContractError
from training.attribution import Attribution, load_attribution
from training.calibration import Calibration
from training.confidence import Confidence
from training.encoding import encode_columns
from training.explanation import Explainer, Reason
from training.manifest import Manifest
from training.models import Model, bulk_threads, load_model
from training.trend import WeekAgo, trends

Matrix = NDArray[np.float64]

LEAD_GROUPS = ("behavioral", "demographic", "engagement", "intent", "fit")
_CHUNK_ROWS = 4_096


class Scorer:
    """A bundle, ready to answer: `encode`, then `probability` or `reasons`; or `record` for all at once.

    One row is scored by one thread (two are slower); batches may use more.

    Args:
        manifest: What the bundle says about itself.
        model: Its model.
        attribution: What gives the reasons fast.
        threads: Threads for batches.
    """

    def __init__(self, manifest: Manifest, model: Model, attribution: Attribution, *, threads: int = 1) -> None:
        self.manifest = manifest
        self.threads = threads
        self._model = model
        self._attribution = attribution
        self._calibration = Calibration.from_dict(manifest.calibration)
        self._explainer = Explainer(manifest.features, base_rate=manifest.base_rate, task=manifest.task)
        self._confidence = Confidence(manifest)
        self._quantiles = {name: np.array(points) for name, points in manifest.quantiles.items()}
        self.week_ago: Callable[[], WeekAgo | None] = _never
        self.use_thresholds(manifest.thresholds)

    @classmethod
    def load(cls, folder: Path, *, threads: int = 1) -> Scorer:
        """Read a bundle.

        Args:
            folder: Folder with `manifest.json` and the model.
            threads: Threads for batches.

        Raises:
            NotFoundError: if the folder holds no manifest.
        """
        manifest = Manifest.read(folder)
        model = load_model(manifest.library, folder)
        attribution = load_attribution(folder, model, manifest.features)
        if manifest.library == "competing_risks" and cls is Scorer:
            from training.deals.scorer import DealScorer

            return DealScorer(manifest, model, attribution, threads=threads)
        return cls(manifest, model, attribution, threads=threads)

    def use_thresholds(self, thresholds: Mapping[str, float]) -> None:
        """Grade by these from now on.

        Args:
            thresholds: Least probability of each grade, as `training.grades` checked them.
        """
        ordered = sorted(thresholds.items(), key=lambda pair: pair[1])
        self.thresholds = dict(ordered)
        self._grades = [name for name, _ in ordered]
        self._least = np.array([least for _, least in ordered])

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> Matrix:
        """The model's matrix, float64 (n_rows, n_features): missing is NaN, an unseen category has its own code.

        Raises:
            ContractError: if lengths differ, or a value is no number where one is needed.
        """
        return encode_columns(columns, self.manifest.features)

    def probability(self, matrix: Matrix) -> Matrix:
        """Calibrated probability of the outcome within `manifest.horizon_days`, shape (n_rows,)."""
        threads = bulk_threads(len(matrix), self.threads)
        return self._calibration.apply(self._model.margin(matrix, threads=threads))

    def label_probability(self, matrix: Matrix) -> Matrix:
        """What outcomes within `manifest.horizon_days` are to be compared with; for most models `probability`."""
        return self.probability(matrix)

    def contributions(self, matrix: Matrix) -> Matrix:
        """Shapley values of the uncalibrated log-odds by the model's own library, shape (n_rows, n_features).

        Exact and dear: some 50 predictions' worth for trees. Without the expected value.
        """
        threads = bulk_threads(len(matrix), self.threads)
        return self._model.contributions(matrix, threads=threads)[:, :-1]

    def attribution(self, matrix: Matrix) -> Matrix:
        """The same from tables, summed by theme within group (`training.attribution.Columns`): (n_rows, n_columns)."""
        return self._attribution.columns(matrix)

    def reasons(self, matrix: Matrix, *, top: int = 5, exact: bool = False) -> list[list[Reason]]:
        """The strongest reasons of each row, at most `top` for and `top` against, strongest first.

        Args:
            matrix: Rows.
            top: Most reasons per side.
            exact: Whether the library itself computes the contributions, instead of the tables.
        """
        columns = self._exact(matrix) if exact else self.attribution(matrix)
        return self._explainer.explain(matrix, columns, top=top)

    def _exact(self, matrix: Matrix) -> Matrix:
        return self._explainer.layout.by_column(self.contributions(matrix))

    def confidence(self, matrix: Matrix, probability: Matrix) -> Matrix:
        """How far to trust each probability, 0 to 1; see `training.confidence`."""
        return self._confidence.of(matrix, probability)

    def grade(self, probability: float) -> str:
        """Grade of a probability: the highest one it reaches."""
        return self._graded(np.array([probability]))[0]

    def _graded(self, probability: Matrix) -> list[str]:
        reached = np.searchsorted(self._least, probability, side="right") - 1
        return [self._grades[place] for place in np.maximum(reached, 0).tolist()]

    def points(self, probability: Matrix) -> Matrix:
        """The score that trends are told by, 0 to 100: the composite of a lead, a deal's probability in percent."""
        if self.manifest.task == "lead":
            return _percentile(self._quantiles["probability"], probability)
        return np.round(100.0 * probability, 2)

    def record(
        self,
        columns: Mapping[str, Sequence[Any]],
        *,
        ids: Sequence[str],
        at: datetime,
        as_of: datetime | None = None,
        top: int = 5,
        exact: bool = False,
    ) -> list[dict[str, Any]]:
        """Score records as the documents describe them, one per row.

        Args:
            columns: Feature columns.
            ids: Lead or deal ids, one per row.
            at: Moment of scoring; any time zone, answered in UTC.
            as_of: Moment that the features stand for: dates ahead are counted from it; None: that of scoring.
            top: Most reasons per side.
            exact: See `reasons`.

        Trends are told where `week_ago` gives scores of this very version.

        Returns:
            For leads: the six scores 0 to 100 (a component is None where the model reads no feature of it),
                probability, grade, confidence, factors for and against. For deals: win probability, risk, factors. For
                both: trend, version and validity.

        Raises:
            ContractError: if the ids are not one per row.
        """
        matrix = self.encode(columns)
        if len(ids) != len(matrix):
            raise ContractError("Ids and rows differ in number", expected=f"{len(matrix)} ids", got=f"{len(ids)}")
        known = self.week_ago()
        week_ago = known if known is not None and known.model_version == self.manifest.version else None
        records: list[dict[str, Any]] = []
        for start in range(0, len(matrix), _CHUNK_ROWS):
            part = slice(start, start + _CHUNK_ROWS)
            records += self._records(
                matrix[part], ids[part], utc(at), top, week_ago, as_of=utc(as_of or at), exact=exact
            )
        return records

    def _records(
        self,
        matrix: Matrix,
        ids: Sequence[str],
        at: datetime,
        top: int,
        week_ago: WeekAgo | None,
        *,
        as_of: datetime,
        exact: bool,
    ) -> list[dict[str, Any]]:
        parts, columns, probability = self._fill(matrix, as_of, exact=exact)
        parts["scoring_factors"] = [_factors(each) for each in self._explainer.explain(matrix, columns, top=top)]
        parts |= trends(self.points(probability).tolist(), ids, week_ago)
        meta = {
            "horizon_days": self.manifest.horizon_days,
            "grade_thresholds": self.thresholds,
            "model_version": self.manifest.version,
            "scored_at": at,
            "valid_until": at + timedelta(hours=self.manifest.valid_for_hours),
        }
        key = "lead_id" if self.manifest.task == "lead" else "opportunity_id"
        names = (key, *parts)
        return [{**dict(zip(names, row, strict=True)), **meta} for row in zip(ids, *parts.values(), strict=True)]

    def _fill(self, matrix: Matrix, as_of: datetime, *, exact: bool) -> tuple[dict[str, list[Any]], Matrix, Matrix]:  # noqa: ARG002
        """A record's own part column by column, the contributions behind its reasons, and the probability."""
        probability = self.probability(matrix)
        columns = self._exact(matrix) if exact else self.attribution(matrix)
        parts = self._lead(probability, columns) if self.manifest.task == "lead" else self._deal(probability)
        parts["confidence"] = np.round(self.confidence(matrix, probability), 4).tolist()
        return parts, columns, probability

    def _lead(self, probability: Matrix, columns: Matrix) -> dict[str, list[Any]]:
        parts: dict[str, list[Any]] = {"composite_score": self.points(probability).tolist()}
        for group in LEAD_GROUPS:
            name = f"{group}_score"
            if group in self._quantiles:
                values = self._explainer.layout.by_group(columns, group)
                parts[name] = _percentile(self._quantiles[group], values).tolist()
            else:
                parts[name] = [None] * len(probability)
        parts["conversion_probability"] = np.round(probability, 6).tolist()
        parts["grade"] = self._graded(probability)
        return parts

    def _deal(self, probability: Matrix) -> dict[str, list[Any]]:
        return {
            "win_probability": np.round(probability, 6).tolist(),
            "risk_level": self._graded(probability),
            "risk_score": np.round(100.0 * (1.0 - probability), 2).tolist(),
        }


def _never() -> WeekAgo | None:
    return None


def _factors(reasons: Sequence[Reason]) -> dict[str, list[dict[str, Any]]]:
    return {
        "for": [reason.to_dict() for reason in reasons if reason.contribution > 0],
        "against": [reason.to_dict() for reason in reasons if reason.contribution < 0],
    }


def _percentile(points: Matrix, values: Matrix) -> Matrix:
    """Rank among the reference rows, 0 to 100; ties take the middle of their ranks."""
    if len(values) == 1 and not np.isnan(values[0]):
        return np.array([_rank_of(points, float(values[0]))])
    low = np.searchsorted(points, values, side="left")
    high = np.searchsorted(points, values, side="right")
    inside = np.interp(values, points, np.arange(len(points), dtype=np.float64))
    rank = np.where(high > low, (low + high - 1) / 2.0, inside)
    return np.asarray(np.round(np.clip(100.0 * rank / (len(points) - 1), 0.0, 100.0), 2), dtype=np.float64)


def _rank_of(points: Matrix, value: float) -> float:
    """`_percentile` of one value, step for step as numpy does it, in a tenth of its time."""
    low, high = int(points.searchsorted(value)), int(points.searchsorted(value, side="right"))
    last = len(points) - 1
    if high > low:
        rank = (low + high - 1) / 2.0
    elif low == 0 or low > last:
        rank = float(min(low, last))
    else:
        before, after = float(points[low - 1]), float(points[low])
        rank = 1.0 / (after - before) * (value - before) + (low - 1)
    share = min(max(100.0 * rank / last, 0.0), 100.0)
    return float(np.rint(share * 100.0) / 100.0)


class _PyfuncModel:
    """What MLflow calls: a frame in, probabilities out."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> Any:  # noqa: ARG002
        """Probability of each row of a data frame."""
        import pandas as pd

        columns = {name: model_input[name].tolist() for name in model_input.columns}
        probability = self.scorer.probability(self.scorer.encode(columns))
        return pd.DataFrame({"probability": probability}, index=model_input.index)


def _load_pyfunc(path: str) -> _PyfuncModel:
    """MLflow's loader: `path` is the logged bundle."""
    return _PyfuncModel(Scorer.load(Path(path)))
