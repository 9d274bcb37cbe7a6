"""From a study's candidates to the model: one kind, or a blend of the best of each; and how it is fitted anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.blend import blend_of, choose_blend
from training.choosing import PLAINEST
from training.models import FitData, Model
from training.search import Candidate, fit_candidate
from training.side_by_side import side_by_side
from training.study import TRIAL_ROWS, StudyResult
from training.trial import common_best, loss_curve

Vector = NDArray[np.float64]
BLEND = "blend"
# With up to so many times the rows of a trial its rounds stay.
_FEW_MORE = 1.5


@dataclass(frozen=True, kw_only=True)
class Winner:
    """What is fitted.

    Args:
        parts: The candidates; one, or those of a blend.
        weights: Weight of each part's log-odds.
        shift: Added to the log-odds.
        candidates: The best of each kind, the study's winner first.
    """

    parts: tuple[Candidate, ...]
    weights: tuple[float, ...] = (1.0,)
    shift: float = 0.0
    candidates: tuple[Candidate, ...] = ()

    @property
    def library(self) -> str:
        """Kind of the model that `fit` makes."""
        return self.parts[0].kind if len(self.parts) == 1 else BLEND

    @property
    def params(self) -> dict[str, Any]:
        """Parameters, for records: of a blend with the kind before each name."""
        if len(self.parts) == 1:
            return dict(self.parts[0].params)
        values: dict[str, Any] = {}
        for part, weight in zip(self.parts, self.weights, strict=True):
            values |= {f"{part.kind}_{name}": value for name, value in part.params.items()}
            values[f"{part.kind}_weight"] = round(weight, 4)
        return values

    def fit(self, data: FitData, *, threads: int, seed: int) -> Model:
        """Fit the model on all of `data`."""
        return self.fit_on_each([lambda: data], threads=threads, seed=seed)[0]

    def fit_on_each(self, rows: Sequence[Callable[[], FitData]], *, threads: int, seed: int) -> list[Model]:
        """Fit the model on each of several sets of rows, side by side.

        Args:
            rows: What makes each set: it is made when its turn has come, so that not all of them lie in memory at once.
            threads: Threads of all fits together.
            seed: Seed of every fit.
        """
        jobs = [partial(_fit, part, made, seed) for made in rows for part in self.parts]
        models = side_by_side(jobs, threads=threads)
        count = len(self.parts)
        return [self._joined(models[at : at + count]) for at in range(0, len(models), count)]

    def _joined(self, models: Sequence[Model]) -> Model:
        return models[0] if len(models) == 1 else blend_of(models, self.weights, self.shift)


def _fit(part: Candidate, make_rows: Callable[[], FitData], seed: int, threads: int) -> Model:
    return fit_candidate(part.kind, part.params, make_rows(), rounds=part.rounds, threads=threads, seed=seed)


def choose_winner(
    study: StudyResult, slices: Sequence[FitData], *, threads: int, seed: int, together: bool = False
) -> Winner:
    """The study's best, or a blend of the best of each kind where it does better on later rows.

    Args:
        study: What the study found.
        slices: The slices that judged it, newest first.
        threads: Threads of a fit.
        seed: Seed of every fit.
        together: Whether the kinds stand in equal parts unless one alone does clearly better.
    """
    # A record from before the kinds were kept apart names the winner alone.
    candidates = study.best_of or (
        Candidate(kind=study.library, params=study.params, rounds=study.rounds, log_loss=study.log_loss),
    )
    chosen = _blend(candidates, slices, together=together, threads=threads, seed=seed)
    weights, shift = chosen if chosen is not None else ((1.0, *(0.0 for _ in candidates[1:])), 0.0)
    kept = [(candidate, w) for candidate, w in zip(candidates, weights, strict=True) if w > 0]
    parts = tuple(_with_rounds(candidate, slices, threads=threads, seed=seed) for candidate, _ in kept)
    return Winner(parts=parts, weights=tuple(w for _, w in kept), shift=shift, candidates=candidates)


def with_regression(winner: Winner, slices: Sequence[FitData], *, threads: int, seed: int) -> Winner:
    """The winner; where it is one kind alone, the best trees and the regression in equal parts (docs/adr/0037).

    Args:
        winner: What the study came to.
        slices: The slices that judged it, newest first.
        threads: Threads of a fit.
        seed: Seed of every fit.
    """
    trees = next((each for each in winner.candidates if each.kind != PLAINEST), None)
    plain = next((each for each in winner.candidates if each.kind == PLAINEST), None)
    if len(winner.parts) > 1 or trees is None or plain is None:
        return winner
    parts = tuple(_with_rounds(each, slices, threads=threads, seed=seed) for each in (trees, plain))
    return replace(winner, parts=parts, weights=(0.5, 0.5), shift=0.0)


def _blend(
    candidates: Sequence[Candidate], slices: Sequence[FitData], *, together: bool, threads: int, seed: int
) -> tuple[tuple[float, ...], float] | None:
    if len(candidates) < 2:
        return None
    judged = [data for data in reversed(slices) if data.stop_matrix is not None]
    jobs = [partial(_later_margin, candidate, data, seed) for data in judged for candidate in candidates]
    margins = side_by_side(jobs, threads=threads)
    count = len(candidates)
    table = [np.column_stack(margins[at : at + count]) for at in range(0, len(margins), count)]
    labels = [data.stop_label for data in judged if data.stop_label is not None]
    return choose_blend(np.concatenate(table), np.concatenate(labels), best=0, together=together)


def _later_margin(candidate: Candidate, data: FitData, seed: int, threads: int) -> Vector:
    """Log-odds of the rows that judge a slice, fitted on a part of those before."""
    if data.stop_matrix is None:
        raise ValueError("A slice without later rows judges nothing.")
    model = _fit(candidate, lambda: _sampled(data, seed=seed), seed, threads)
    return model.margin(data.stop_matrix, threads=threads)


def _sampled(data: FitData, *, seed: int) -> FitData:
    """At most as many rows to fit on as a trial had; nothing that stops the fit."""
    bare = replace(data, stop_matrix=None, stop_label=None)
    if len(data.label) <= TRIAL_ROWS:
        return bare
    chosen = np.sort(np.random.default_rng(seed).choice(len(data.label), TRIAL_ROWS, replace=False))
    age_days, weight = (None if each is None else each[chosen] for each in (data.age_days, data.weight))
    return replace(bare, matrix=data.matrix[chosen], label=data.label[chosen], age_days=age_days, weight=weight)


def _with_rounds(candidate: Candidate, slices: Sequence[FitData], *, threads: int, seed: int) -> Candidate:
    """The candidate with the rounds that suit all rows, where the study had seen a small part of them.

    One number of rounds for all slices, as in the study: the newest slice alone, where there was little to learn, took
    154 rounds for 69 (marketstar), and the order of the leads went.
    """
    if candidate.rounds == 0 or len(slices[0].label) <= _FEW_MORE * TRIAL_ROWS:
        return candidate
    jobs = [partial(_curve, candidate, data, seed) for data in slices]
    curves = side_by_side(jobs, threads=threads)
    judged = [0 if data.stop_label is None else len(data.stop_label) for data in slices]
    return replace(candidate, rounds=common_best(curves, judged)[1])


def _curve(candidate: Candidate, data: FitData, seed: int, threads: int) -> Vector:
    return loss_curve(candidate.kind, candidate.params, data, threads=threads, seed=seed)


def losses_by_kind(candidates: Sequence[Candidate]) -> Mapping[str, float]:
    """Shifted log-loss of the best of each kind on the later slices of the past."""
    return {candidate.kind: candidate.log_loss for candidate in candidates}
