"""The deal model's scorer: the same face as `training.scorer.Scorer`, with all that a deal's record tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from common.clock import utc
from training.attribution import Attribution
from training.deals.actions import suggest
from training.deals.attribution import DealAttribution
from training.deals.columns import numbers
from training.deals.dates import slip_probability
from training.deals.hazards import Futures
from training.deals.model import LogOdds, as_competing_risks
from training.manifest import FeatureEntry, Manifest
from training.models import Matrix, Model, bulk_threads
from training.scorer import Scorer

MONTHS_SHOWN = 12
_CLOSE_DATE = "days_to_close_date"
_MICROSECONDS = 86_400e6


class DealScorer(Scorer):
    """A deal model's bundle, ready to answer.

    `probability` is P(won ever); `label_probability` is P(won within the manifest's horizon), which outcomes can be
    compared with; `futures` gives everything by period, and by any day.

    Args:
        manifest: What the bundle says about itself.
        model: Its model, a `CompetingRisks`.
        attribution: What gives the reasons fast.
        threads: Threads for batches.
    """

    def __init__(self, manifest: Manifest, model: Model, attribution: Attribution, *, threads: int = 1) -> None:
        super().__init__(manifest, model, attribution, threads=threads)
        self.deals = as_competing_risks(model)

    def log_odds(self, matrix: Matrix) -> LogOdds:
        """What the two models say of each period."""
        return self.deals.log_odds(matrix, threads=bulk_threads(len(matrix), self.threads))

    def futures(self, matrix: Matrix) -> Futures:
        """What becomes of deals: P(won) and P(lost) by period, by month, by any day; see `Futures`."""
        return self.log_odds(matrix).futures

    def probability(self, matrix: Matrix) -> Matrix:
        """P(won ever), shape (n_rows,)."""
        return self.futures(matrix).won_ever

    def label_probability(self, matrix: Matrix) -> Matrix:
        """P(won within the manifest's horizon), shape (n_rows,)."""
        return self.futures(matrix).by(float(self.manifest.horizon_days))[0]

    def answers(self, matrix: Matrix, *, at: datetime, exact: bool = False) -> tuple[dict[str, list[Any]], Matrix]:
        """Everything a record says besides its reasons, column by column, and the contributions of the reasons.

        Args:
            matrix: Rows.
            at: Moment that dates are counted from, UTC.
            exact: Whether the library itself computes the contributions.
        """
        odds = self.log_odds(matrix)
        futures = odds.futures
        won = futures.won_ever
        within = futures.by(float(self.manifest.horizon_days))[0]
        columns = self.decode(matrix)
        parts: dict[str, list[Any]] = {
            "win_probability": _rounded(won),
            "win_probability_in_horizon": _rounded(within),
            "risk_level": self._graded(won),
            "risk_score": np.round(100.0 * (1.0 - won), 2).tolist(),
            **self._months(futures),
            **self._dates(futures, columns, at),
            **self._amounts(columns, won),
            "actions": suggest(self.deals.facts.associations, columns, won),
            "confidence": np.round(self.confidence(matrix, within), 4).tolist(),
        }
        if exact or not isinstance(self._attribution, DealAttribution):
            return parts, self._exact(matrix)
        return parts, self._attribution.columns_of(matrix, odds)

    def decode(self, matrix: Matrix) -> dict[str, Sequence[Any]]:
        """The columns behind a matrix; a category that training had not seen is None."""
        found: dict[str, Sequence[Any]] = {}
        for place, entry in enumerate(self.manifest.features):
            values: Any = matrix[:, place]
            found[entry.name] = _names(values, entry) if entry.dtype == "category" else values
        return found

    def _months(self, futures: Futures) -> dict[str, list[Any]]:
        won, lost = futures.months(MONTHS_SHOWN)
        still = np.clip(1.0 - np.cumsum(won + lost, axis=1), 0.0, 1.0)
        return {
            "loss_probability": _rounded(1.0 - futures.won_ever),
            "won_in_month": np.round(won, 6).tolist(),
            "lost_in_month": np.round(lost, 6).tolist(),
            "open_after_month": np.round(still, 6).tolist(),
        }

    def _dates(self, futures: Futures, columns: Mapping[str, Sequence[Any]], at: datetime) -> dict[str, list[Any]]:
        expected, earliest, latest = self.deals.facts.dates.expect(futures)
        due = numbers(columns, _CLOSE_DATE, len(expected))
        return {
            "expected_close_date": _days(at, expected),
            "close_date_earliest": _days(at, earliest),
            "close_date_latest": _days(at, latest),
            "slip_probability": _rounded(slip_probability(futures, due)),
        }

    def _amounts(self, columns: Mapping[str, Sequence[Any]], won: Matrix) -> dict[str, list[Any]]:
        expected, low, high = self.deals.facts.amounts.expect(columns, len(won))
        return {
            "expected_amount_usd": _money(expected),
            "amount_low_usd": _money(low),
            "amount_high_usd": _money(high),
            "expected_value_usd": _money(expected * won),
        }

    def _fill(self, matrix: Matrix, as_of: datetime, *, exact: bool) -> tuple[dict[str, list[Any]], Matrix, Matrix]:
        parts, columns = self.answers(matrix, at=as_of, exact=exact)
        return parts, columns, np.array(parts["win_probability"])


def _names(codes: Matrix, entry: FeatureEntry) -> list[str | None]:
    names = np.array([*entry.categories, None], dtype=object)
    is_known = (codes >= 0) & (codes < len(entry.categories))
    found: list[str | None] = names[np.where(is_known, codes, len(entry.categories)).astype(np.int64)].tolist()
    return found


def _rounded(values: Matrix, digits: int = 6) -> list[float | None]:
    rounded: list[float | None] = np.round(values, digits).tolist()
    for place in np.flatnonzero(np.isnan(values)).tolist():
        rounded[place] = None
    return rounded


def _money(values: Matrix) -> list[float | None]:
    return _rounded(values, 2)


def _days(at: datetime, ahead: Matrix) -> list[str]:
    begins = np.datetime64(utc(at).replace(tzinfo=None), "us")
    moments = begins + np.rint(np.round(ahead, 3) * _MICROSECONDS).astype("timedelta64[us]")
    days: list[str] = np.datetime_as_string(moments, unit="D").tolist()
    return days
