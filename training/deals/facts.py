"""What else than its two models a deal model has learned of past deals: amounts, days of closing, actions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from training.deals.actions import Association, learn_associations
from training.deals.amounts import Amounts, learn_amounts
from training.deals.dates import Dates, learn_dates

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from training.deals.fitting import Fitted
    from training.deals.outcomes import Outcomes
    from training.frame import Frame
    from training.manifest import FeatureEntry


@dataclass(frozen=True, kw_only=True)
class DealFacts:
    """What was learned.

    Args:
        amounts: About amounts.
        dates: About days of closing.
        associations: What goes with more wins among like deals.
    """

    amounts: Amounts = field(default_factory=Amounts)
    dates: Dates = field(default_factory=Dates)
    associations: tuple[Association, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "amounts": self.amounts.to_dict(),
            "dates": self.dates.to_dict(),
            "associations": [one.to_dict() for one in self.associations],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DealFacts:
        """The facts that `to_dict` described."""
        return cls(
            amounts=Amounts.from_dict(values["amounts"]),
            dates=Dates.from_dict(values["dates"]),
            associations=tuple(Association(**one) for one in values["associations"]),
        )


def learn_facts(
    frame: Frame,
    entries: tuple[FeatureEntry, ...],
    rows: NDArray[np.int64],
    outcomes: Outcomes,
    fitted: Fitted,
    *,
    seed: int,
) -> DealFacts:
    """Learn from the snapshots that the models were fitted on.

    Args:
        frame: The frame.
        entries: The model's features.
        rows: The snapshots, positions in the frame.
        outcomes: How their deals ended, as known at the split.
        fitted: The models, with what cross-fitted ones say of the snapshots.
        seed: Seed of every draw.
    """
    columns = {name: values[rows] for name, values in frame.columns.items()}
    entity = frame.entity[rows]
    return DealFacts(
        amounts=learn_amounts(columns, entity=entity, won=outcomes.won, final_usd=outcomes.final_usd),
        dates=learn_dates(fitted.crossed, outcomes, entity=entity),
        associations=learn_associations(columns, entries, outcomes, entity=entity, seed=seed),
    )
