"""Snapshots of deals with their outcomes, and the rows per period that the two models of competing risks learn from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from training.deals.attribution import with_period_entry
from training.deals.outcomes import Outcomes
from training.deals.periods import PersonPeriods, expand, known_at, with_period
from training.fit_rows import fit_rows, rows_of
from training.manifest import FeatureEntry
from training.models import FitData
from training.splits import Entities, slice_past

Vector = NDArray[np.float64]

MAX_FIT_ROWS = 50_000
"""Weekly rows of one deal say nearly the same: beyond these the fit takes longer and gets no better.

Twice as many were better by no more than another draw of the outcomes told on (one simulated world, 0.0014 and 0.0010
of log-loss over the truth's).
"""


@dataclass(frozen=True, kw_only=True)
class Snapshots:
    """What the models are fitted on.

    Args:
        matrix: Snapshots of deals, shape (n_rows, n_features).
        outcomes: How their deals ended, as known when the past ended.
        as_of: Moment of each snapshot, UTC.
        entity: Its deal.
        entries: The features.
    """

    matrix: Vector
    outcomes: Outcomes
    as_of: NDArray[np.datetime64]
    entity: Entities
    entries: tuple[FeatureEntry, ...]

    def known_at(self, moment: np.datetime64) -> Snapshots:
        """The snapshots with what was known of their outcomes at an earlier moment."""
        outcomes = self.outcomes
        watched = (moment - self.as_of) / np.timedelta64(1, "D") - outcomes.recording_days
        is_later = ~(outcomes.days <= watched)
        known = replace(
            outcomes,
            days=np.where(is_later, np.nan, outcomes.days),
            won=np.where(is_later, np.nan, outcomes.won),
            final_usd=np.where(is_later, np.nan, outcomes.final_usd),
            watched_days=np.minimum(outcomes.watched_days, watched),
        )
        return replace(self, outcomes=known)

    def take(self, rows: NDArray[np.int64]) -> Snapshots:
        """Some of the snapshots."""
        return replace(
            self,
            matrix=self.matrix[rows],
            outcomes=self.outcomes.take(rows),
            as_of=self.as_of[rows],
            entity=self.entity[rows],
        )

    def deals(self, won: float) -> int:
        """How many deals were won (1.0) or lost (0.0)."""
        return len(set(self.entity[self.outcomes.won == won].tolist()))

    def pieces(self, *, seed: int, closing_rows: int = MAX_FIT_ROWS) -> dict[str, Piece]:
        """The rows of both models.

        Args:
            seed: Seed of the draw where there are too many.
            closing_rows: Most rows of the model of ends.
        """
        periods = expand(self.outcomes)
        ended = periods.where(periods.closed > 0)
        return {
            "closing": Piece.of(self, periods, periods.closed, seed=seed, most=closing_rows, signs=False),
            "winning": Piece.of(self, ended, ended.won, seed=seed, most=MAX_FIT_ROWS, signs=True),
        }


@dataclass(frozen=True, kw_only=True)
class Piece:
    """The rows of one of the two models.

    Args:
        periods: Snapshot and period of each row.
        data: What is fitted.
        when: Moment at which each row's answer was there, UTC.
        entity: Its deal.
    """

    periods: PersonPeriods
    data: FitData
    when: NDArray[np.datetime64]
    entity: Entities

    @classmethod
    def of(
        cls, snapshots: Snapshots, periods: PersonPeriods, label: Vector, *, seed: int, most: int, signs: bool
    ) -> Piece:
        """At most so many rows of one model, its label, and whether the business's signs of the features hold."""
        chosen = np.arange(len(label))
        if len(chosen) > most:
            chosen = np.sort(np.random.default_rng(seed).choice(chosen, most, replace=False))
        rows, outcome = periods.where(chosen), label[chosen]
        # The moment that an answer was there orders the rows: what is judged was not known when it was foretold.
        when = known_at(snapshots.as_of, rows)
        data = fit_rows(
            with_period(snapshots.matrix, rows.row, rows.period),
            outcome,
            with_period_entry(snapshots.entries),
            when=when,
        )
        # The period is no feature that drifts: later answers are simply about periods further ahead.
        steady = tuple(at for at in data.drifting if at < len(snapshots.entries))
        data = replace(data, drifting=steady, monotone=data.monotone if signs else ())
        return cls(periods=rows, data=data, when=when, entity=snapshots.entity[rows.row])

    def origins(self) -> tuple[FitData, ...]:
        """What is fitted before each of the study's moments, and the rows after it that judge."""
        label = self.data.label
        slices = slice_past(self.when, self.entity, np.arange(len(label)), label=label)
        return tuple(rows_of(self.data, piece.train, judge=piece.judge) for piece in slices.origins)
