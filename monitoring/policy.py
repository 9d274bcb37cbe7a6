"""From alarms to a verdict and a recommendation, in words. Pure; what cannot be told is said so and changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from common.errors import shorten
from monitoring.columns import PREDICTION
from monitoring.decisions import Recommendation, Verdict

FEWEST_CURRENT_ROWS = 30
FEWEST_REFERENCE_ROWS = 100
# Drift in columns that together carry less of the model than this is not worth a retraining.
LEAST_IMPORTANCE = 0.05
# Where the cost can be estimated: drift that costs less than this share of what the model is worth pages nobody.
LEAST_LOSS_SHARE = 0.05
# Values that went missing on this share of the batch speak of a broken feed, not of a changed market.
BROKEN_SHARE = 0.5


@dataclass(frozen=True, kw_only=True)
class ColumnDrift:
    """What the comparison found in one column.

    Args:
        name: Column.
        about: What it is, in words.
        kind: numeric or categorical.
        statistic: Distance between reference and current values; None where there is too little to compare.
        typical: Median of that distance when nothing has changed.
        threshold: Largest distance that does not ring.
        p_value: Family-wise chance of such a distance when nothing has changed.
        values_ring: Whether the distance is beyond its threshold.
        missing_reference: Share of reference rows without a value.
        missing_current: Share of current rows without a value.
        missing_threshold: Largest change of that share that does not ring; None where nothing is missing.
        missing_rings: Whether the change is beyond its threshold.
        unseen: Categories that the reference lacks, with their row counts in the current batch.
        importance: Share of the model's importance (0 to 1); None if not given.
        cost: What the drift may cost: excess over typical, in units of the threshold, times importance where given.
        loss: Estimated cost in log-loss a row (`monitoring.cost`); None where no labels were given.
        loss_share: The same as a share of what the model is better by than the base rate; None as above.
    """

    name: str
    about: str
    kind: str
    statistic: float | None
    typical: float | None
    threshold: float | None
    p_value: float
    values_ring: bool
    missing_reference: float
    missing_current: float
    missing_threshold: float | None
    missing_rings: bool
    unseen: tuple[tuple[str, int], ...]
    importance: float | None
    cost: float
    loss: float | None = None
    loss_share: float | None = None

    @property
    def drifted(self) -> bool:
        """Whether values or missing share are beyond their thresholds."""
        return self.values_ring or self.missing_rings

    @property
    def feed_is_broken(self) -> bool:
        """Whether most values have gone missing."""
        return self.missing_rings and self.missing_current - self.missing_reference >= BROKEN_SHARE


def judge(
    columns: Sequence[ColumnDrift], *, reference_rows: int, current_rows: int
) -> tuple[Verdict, Recommendation, str]:
    """Verdict, recommendation and the reason for both in one or two sentences."""
    for side, rows, least in (
        ("current", current_rows, FEWEST_CURRENT_ROWS),
        ("reference", reference_rows, FEWEST_REFERENCE_ROWS),
    ):
        if rows < least:
            reason = f"The {side} side has {rows} rows; below {least} no alarm and no all-clear can be trusted."
            return Verdict.CANNOT_TELL, Recommendation.HOLD, reason
    if not any(column.statistic is not None or column.missing_threshold is not None for column in columns):
        return Verdict.CANNOT_TELL, Recommendation.HOLD, "No column has enough values on both sides to be compared."
    drifted = [column for column in columns if column.drifted]
    if not drifted:
        reason = f"None of {len(columns)} columns moved beyond what chance does to a batch of {current_rows} rows."
        return Verdict.OK, Recommendation.IGNORE, reason
    return Verdict.DRIFT, *_recommend(columns, drifted)


def _recommend(columns: Sequence[ColumnDrift], drifted: Sequence[ColumnDrift]) -> tuple[Recommendation, str]:
    moved = f"{len(drifted)} of {len(columns)} columns moved beyond chance ({shorten(c.name for c in drifted)})."
    broken = [column.name for column in drifted if column.feed_is_broken]
    if broken:
        return (
            Recommendation.HOLD,
            f"{moved} Values went missing in {shorten(broken)}: mend the feed before any retraining.",
        )
    known = [column for column in drifted if column.loss_share is not None]
    if known:
        return _by_loss(moved, known)
    if any(column.name == PREDICTION for column in drifted):
        return Recommendation.RETRAIN, f"{moved} The model's own answers moved with them."
    weights = [column.importance for column in drifted if column.importance is not None]
    if weights and sum(weights) < LEAST_IMPORTANCE:
        return Recommendation.IGNORE, f"{moved} They carry {sum(weights):.1%} of the model, and its answers stayed."
    carried = f"They carry {sum(weights):.0%} of the model." if weights else "Their weight in the model was not given."
    return Recommendation.RETRAIN, f"{moved} {carried}"


def _by_loss(moved: str, drifted: Sequence[ColumnDrift]) -> tuple[Recommendation, str]:
    """By the costliest column: columns move together, so their costs do not add up."""
    worst = max(drifted, key=lambda column: column.loss_share or 0.0)
    share, loss = worst.loss_share or 0.0, worst.loss or 0.0
    if share < LEAST_LOSS_SHARE:
        return Recommendation.IGNORE, (
            f"{moved} By the labels known so far that costs next to nothing: {share:.1%} of what the model is worth."
        )
    return Recommendation.RETRAIN, (
        f"{moved} Estimated cost: {loss:.4f} of log-loss a row through {worst.name}, "
        f"{share:.0%} of what the model is worth."
    )
