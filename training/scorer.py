"""Scorer: reads a classifier's bundle and answers. Light imports: numpy and the bundle's own library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.clock import utc
from common.errors import ContractError
from training.calibration import Calibration
from training.encoding import encode_columns
from training.explanation import Reason, explain_row
from training.manifest import Manifest
from training.models import Model, bulk_threads, load_model

Matrix = NDArray[np.float64]

LEAD_GROUPS = ("behavioral", "demographic", "engagement", "intent", "fit")
OUTCOME_VERBS = {"lead": "convert", "deal": "are won"}
_CHUNK_ROWS = 4_096


class Scorer:
    """A bundle, ready to answer: `encode`, then `probability` or `reasons`; or `record` for all at once.

    One row is scored by one thread (two are slower); batches may use more.

    Args:
        manifest: What the bundle says about itself.
        model: Its model.
        threads: Threads for batches.
    """

    def __init__(self, manifest: Manifest, model: Model, *, threads: int = 1) -> None:
        self.manifest = manifest
        self.threads = threads
        self._model = model
        self._calibration = Calibration.from_dict(manifest.calibration)
        importance = np.array([entry.importance for entry in manifest.features])
        self._importance = importance / importance.sum() if importance.sum() > 0 else importance
        self._quantiles = {name: np.array(points) for name, points in manifest.quantiles.items()}
        self._groups = {
            group: [index for index, entry in enumerate(manifest.features) if entry.group == group]
            for group in LEAD_GROUPS
        }

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
        return cls(manifest, load_model(manifest.library, folder), threads=threads)

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

    def contributions(self, matrix: Matrix) -> Matrix:
        """Shapley values of the uncalibrated log-odds, shape (n_rows, n_features); without the expected value."""
        threads = bulk_threads(len(matrix), self.threads)
        return self._model.contributions(matrix, threads=threads)[:, :-1]

    def reasons(self, matrix: Matrix, *, top: int = 5) -> list[list[Reason]]:
        """The strongest reasons of each row, at most `top` for and `top` against, strongest first."""
        return self._reasons(matrix, self.contributions(matrix), top=top)

    def _reasons(self, matrix: Matrix, contributions: Matrix, *, top: int) -> list[list[Reason]]:
        manifest = self.manifest
        verb = OUTCOME_VERBS.get(manifest.task, "come true")
        return [
            explain_row(row, parts, manifest.features, base_rate=manifest.base_rate, top=top, outcome=verb)
            for row, parts in zip(matrix, contributions, strict=True)
        ]

    def confidence(self, matrix: Matrix, probability: Matrix) -> Matrix:
        """How far to trust each probability, 0 to 1.

        The product of two shares: how well the test period pins down the outcome rate of rows with such a probability
            (1 minus half the width of its 95 % interval, relative to the rate), and how much of what the model reads is
            known for the row (by importance).
        """
        certainty = np.array([_certainty(self.manifest, p) for p in probability.tolist()])
        known = (~np.isnan(matrix)) @ self._importance
        return np.asarray(np.clip(certainty * known, 0.0, 1.0), dtype=np.float64)

    def grade(self, probability: float) -> str:
        """Grade of a probability by the manifest's thresholds: the highest one it reaches."""
        reached = [(least, name) for name, least in self.manifest.thresholds.items() if probability >= least]
        return max(reached)[1]

    def record(
        self, columns: Mapping[str, Sequence[Any]], *, ids: Sequence[str], at: datetime, top: int = 5
    ) -> list[dict[str, Any]]:
        """Score records as the documents describe them, one per row.

        Args:
            columns: Feature columns.
            ids: Lead or deal ids, one per row.
            at: Moment of scoring; any time zone, answered in UTC.
            top: Most reasons per side.

        Returns:
            For leads: the six scores 0 to 100 (a component is None where the model reads no feature of it),
                probability, grade, confidence, factors for and against. For deals: win probability, risk, factors. For
                both: version and validity.

        Raises:
            ContractError: if the ids are not one per row.
        """
        matrix = self.encode(columns)
        if len(ids) != len(matrix):
            raise ContractError("Ids and rows differ in number", expected=f"{len(matrix)} ids", got=f"{len(ids)}")
        records: list[dict[str, Any]] = []
        for start in range(0, len(matrix), _CHUNK_ROWS):
            part = slice(start, start + _CHUNK_ROWS)
            records += self._records(matrix[part], ids[part], utc(at), top)
        return records

    def _records(self, matrix: Matrix, ids: Sequence[str], at: datetime, top: int) -> list[dict[str, Any]]:
        probability = self.probability(matrix)
        contributions = self.contributions(matrix)
        confidence = self.confidence(matrix, probability)
        reasons = self._reasons(matrix, contributions, top=top)
        describe = self._lead if self.manifest.task == "lead" else self._deal
        scores = self._scores(contributions, probability) if self.manifest.task == "lead" else {}
        meta = {
            "horizon_days": self.manifest.horizon_days,
            "model_version": self.manifest.version,
            "scored_at": at,
            "valid_until": at + timedelta(hours=self.manifest.valid_for_hours),
        }
        rows = []
        for row, (identifier, p) in enumerate(zip(ids, probability.tolist(), strict=True)):
            parts = {name: values[row] for name, values in scores.items()}
            answer = describe(identifier, p, parts)
            answer["confidence"] = round(float(confidence[row]), 4)
            answer["scoring_factors"] = _factors(reasons[row])
            rows.append({**answer, **meta})
        return rows

    def _scores(self, contributions: Matrix, probability: Matrix) -> dict[str, list[float | None]]:
        n_rows = len(probability)
        scores: dict[str, list[float | None]] = {"composite": _percentile(self._quantiles["probability"], probability)}
        for group, positions in self._groups.items():
            if positions:
                parts = contributions[:, positions].sum(axis=1)
                scores[group] = _percentile(self._quantiles[group], parts)
            else:
                scores[group] = [None] * n_rows
        return scores

    def _lead(self, identifier: str, probability: float, scores: Mapping[str, float | None]) -> dict[str, Any]:
        return {
            "lead_id": identifier,
            "composite_score": scores["composite"],
            **{f"{group}_score": scores[group] for group in LEAD_GROUPS},
            "conversion_probability": round(probability, 6),
            "grade": self.grade(probability),
        }

    def _deal(self, identifier: str, probability: float, _: Mapping[str, float | None]) -> dict[str, Any]:
        return {
            "opportunity_id": identifier,
            "win_probability": round(probability, 6),
            "risk_level": self.grade(probability),
            "risk_score": round(100.0 * (1.0 - probability), 2),
        }


def _factors(reasons: Sequence[Reason]) -> dict[str, list[dict[str, Any]]]:
    return {
        "for": [reason.to_dict() for reason in reasons if reason.contribution > 0],
        "against": [reason.to_dict() for reason in reasons if reason.contribution < 0],
    }


def _percentile(points: Matrix, values: Matrix) -> list[float | None]:
    """Rank among the reference rows, 0 to 100; ties take the middle of their ranks."""
    low = np.searchsorted(points, values, side="left")
    high = np.searchsorted(points, values, side="right")
    inside = np.interp(values, points, np.arange(len(points), dtype=np.float64))
    rank = np.where(high > low, (low + high - 1) / 2.0, inside)
    return [round(float(score), 2) for score in np.clip(100.0 * rank / (len(points) - 1), 0.0, 100.0)]


def _certainty(manifest: Manifest, probability: float) -> float:
    for band in manifest.bands:
        if probability < band.high or band is manifest.bands[-1]:
            half_width = (band.rate_high - band.rate_low) / 2.0
            return max(0.0, 1.0 - half_width / max(band.rate, manifest.base_rate, 1e-9))
    return 0.0


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
