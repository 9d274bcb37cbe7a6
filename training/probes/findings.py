"""What a probe found, and what a training does about it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

from common.errors import LeakError, shorten

LEVEL = 0.001
"""Probability that a probe names any honest field of a frame, by its null; divided by the fields and values tested."""

CERTAIN_AUC = 0.95
LIKELY_AUC = 0.9
"""No field that is known before the outcome ranks outcomes this well; one above the first stops the training."""

ODDS_LIMIT = 20.0
"""Most that one value of an honest field moves the odds: a logistic coefficient of 3, a tenth to seven tenths."""

OVER_MODEL = 0.03
"""A single feature that beats the whole model by this much AUC on later rows is suspicious."""

OVER_MODEL_PROBE = "over_model"
"""Name of the probe that says so. A model that the world has left behind is outdone by honest fields too."""

Severity = Literal["certain", "likely"]
_DROP = "drop the field, or say in the mapping that it is `known: at_outcome`"


@dataclass(frozen=True)
class Finding:
    """What a probe found in one feature.

    Args:
        feature: Name.
        severity: `certain` stops the training, `likely` warns.
        evidence: One sentence with the figures.
        probe: Which probe: `single_field`, `deciding_value`, `presence`, `meaning`, `fill_switch`, `identifier`,
            `row_order`, `twins`, `changed_after_closing`, `as_of_ablation`, `over_model`.
        value: The figure that was tested: an AUC, an odds ratio, a share.
        low: Lower end of its interval at the probe's level, corrected for the number of tests.
        high: Upper end.
        advice: What to do.
    """

    feature: str
    severity: Severity
    evidence: str
    probe: str = "single_field"
    value: float | None = None
    low: float | None = None
    high: float | None = None
    advice: str = _DROP


@dataclass(frozen=True)
class ProbeReport:
    """What the probes found in a frame.

    Args:
        findings: Certain ones first, then by field.
        notes: What is odd without being a leak: constants, empty columns, batch loads.
        fields: Names of the fields looked at.
        rows: Rows with a known label.
        outcomes: Rows with the outcome.
    """

    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    rows: int = 0
    outcomes: int = 0
    named: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        """Collect the names of the fields with a finding."""
        object.__setattr__(self, "named", frozenset(finding.feature for finding in self.findings))


def in_order(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Findings, the certain ones first, otherwise in the order given."""
    return tuple(sorted(findings, key=lambda finding: finding.severity != "certain"))


def stop_on_leak(findings: Sequence[Finding], *, accepted: Collection[str] = ()) -> None:
    """Stop the training where a leak is certain.

    Args:
        findings: What the probes found.
        accepted: Names of fields that a person accepted, with a reason on record (`accepted_leaks`).

    Raises:
        LeakError: naming the fields and the evidence.
    """
    certain = [finding for finding in findings if finding.severity == "certain" and finding.feature not in accepted]
    if certain:
        names = list(dict.fromkeys(finding.feature for finding in certain))
        raise LeakError(
            f"{len(names)} of the features know the outcome: {shorten(names)}",
            got="; ".join(finding.evidence for finding in certain[:3]),
            next_step="drop the field from the mapping or the feature view, or correct when it is first known; "
            f'who is sure that it is honest says so: salience probe leaks --accept {names[0]} --reason "…"',
            field=names[0],
        )
