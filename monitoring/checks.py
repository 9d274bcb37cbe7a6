"""What one look at a model found, in one shape for the policy, the page, the terminal and the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """How a check came out."""

    OK = "ok"
    NOTICE = "notice"
    """Something moved that costs next to nothing: written down, pages nobody."""
    FAILS = "fails"
    """It costs something, or stops something from being trusted."""
    UNKNOWN = "unknown"
    """There is too little to tell; never counted as ok."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at.

    Args:
        name: What: `input drift`, `prediction drift`, `missing features`, `estimated quality`, `pace`, `label drift`,
            `real quality`, `calibration`, `segments`, `data quality`, `stale features`, `online skew`, `service` or
            `forecast accuracy`.
        state: How it came out.
        says: What was found, one or two sentences.
        cause: What it hangs on, such as the columns at fault; the same cause is alerted once.
        cost_share: Estimated or measured cost as a share of what the model is worth, 0 to 1; None if not known.
        figures: Numbers and tables behind it, JSON values.
    """

    name: str
    state: State
    says: str
    cause: str = ""
    cost_share: float | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_a_guess(self) -> bool:
        """Whether it is an estimate that no label can vouch for: neither moved nor free of cost, but not known."""
        return bool(self.figures.get("is_a_guess"))

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {**asdict(self), "state": str(self.state)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Check:
        """The check that `as_dict` described."""
        return cls(**{**values, "state": State(values["state"])})


def unknown(name: str, why: str) -> Check:
    """A check that could not be made, and why."""
    return Check(name=name, state=State.UNKNOWN, says=why)
