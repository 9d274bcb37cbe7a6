"""What the gate says: each check with its figures and words, and whether the challenger may take the place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that the gate looked at.

    Args:
        name: `log_loss`, `value`, `calibration`, `segments`, `signal` or `latency`.
        passed: Whether it speaks for letting the challenger in, or at least not against it.
        words: What was found, as part of a sentence.
        figures: The figures behind it.
    """

    name: str
    passed: bool
    words: str
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a test of a challenger against the champion came to.

    Args:
        promoted: Whether the challenger becomes champion.
        reason: Why, in a sentence.
        evidence: Figures behind the reason.
        checks: What was looked at, one by one.
    """

    promoted: bool
    reason: str
    evidence: Mapping[str, float] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()


def refused(reason: str) -> Verdict:
    """The verdict where nothing could be judged: the challenger stays out."""
    return Verdict(promoted=False, reason=f"could not be evaluated: {reason}")
