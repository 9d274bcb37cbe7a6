"""What a training report says. These classes are its JSON: `docs/training-report.schema.json` is made from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from training.brier import Bin, Decomposition, Period
from training.capacity import AtCapacity
from training.replay import Replay
from training.results import Metric
from training.segment_bias import BiasNote, SegmentFigures

Status = Literal["ready", "usable with care", "not ready", "no signal found"]

# The sentence under each field becomes its description in the JSON Schema.
_DOCUMENTED: Any = {"use_attribute_docstrings": True, "extra": "forbid"}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The report in words."""

    __pydantic_config__ = _DOCUMENTED

    status: Status
    """Whether the model can be worked with."""
    sentences: tuple[str, ...]
    """Why, with the numbers; three to six sentences."""
    actions: tuple[str, ...]
    """What to do."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The figures of one answer to the test rows, the model's own or a baseline's."""

    __pydantic_config__ = _DOCUMENTED

    name: str
    """`model`, or the baseline's or protocol's name."""
    words: str
    """The name in words."""
    figures: Mapping[str, Metric]
    """Figures with 95 % intervals, by name; one that cannot be computed is left out."""


@dataclass(frozen=True, kw_only=True)
class Against:
    """The model against one baseline on the same rows."""

    __pydantic_config__ = _DOCUMENTED

    name: str
    """The baseline."""
    words: str
    """The baseline in words."""
    log_loss: Metric
    """Log-loss of the model less the baseline's; below 0 the model is better. Interval paired, by entity."""
    auc: Metric
    """AUC of the model less the baseline's; above 0 the model is better."""


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What the order is worth to a team that cannot work everything."""

    __pydantic_config__ = _DOCUMENTED

    team_share: float
    """Share of the leads or deals that the team can work, from the settings."""
    setting: float
    """The setting itself: below 1 a share, from 1 on a number a week."""
    entities: int
    """Leads or deals, each at its first row of the test period."""
    outcomes: int
    """Those with the outcome."""
    value_unit: str | None
    """Unit of `value`; null where each outcome counts 1."""
    orders: Mapping[str, str]
    """Orders compared, `model` first, in words."""
    tables: tuple[AtCapacity, ...]
    """Several shares, the team's own among them."""
    curve_shares: tuple[float, ...]
    """Shares worked, for the curves."""
    curves: Mapping[str, tuple[float, ...]]
    """Share of all outcomes found, by order."""


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """How many test rows have which probability."""

    __pydantic_config__ = _DOCUMENTED

    width: float
    """Width of each bar, from 0 on."""
    counts: tuple[int, ...]
    """Rows in each bar."""


@dataclass(frozen=True, kw_only=True)
class Grade:
    """One grade and what came of the rows that had it."""

    __pydantic_config__ = _DOCUMENTED

    name: str
    """`hot`, `warm`, `cold`; for deals the risk."""
    least: float
    """Least probability of the grade."""
    rows: int
    """Test rows with the grade."""
    predicted: float | None
    """Their mean probability; null where there are none."""
    observed: Metric | None
    """Share with the outcome, 95 % interval by entity."""


@dataclass(frozen=True, kw_only=True)
class SegmentNote:
    """A segment that is served worse than the rest, in words."""

    __pydantic_config__ = _DOCUMENTED

    note: BiasNote
    """The figures."""
    sentence: str
    """What it means."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """How much a feature, a group of features or a theme moves the answers."""

    __pydantic_config__ = _DOCUMENTED

    name: str
    """Feature, group or theme."""
    about: str
    """What it means."""
    share: float
    """Share of the mean absolute contribution, 0 to 1."""
    direction: str
    """Which way it works, in words."""
    theme: str = ""
    """For a feature: its theme."""
    group: str = ""
    """For a feature: its group."""


@dataclass(frozen=True, kw_only=True)
class ShapeBin:
    """Test rows with like values of a feature."""

    __pydantic_config__ = _DOCUMENTED

    label: str
    """The values."""
    rows: int
    """Rows."""
    predicted: float
    """Mean probability."""
    observed: float
    """Share with the outcome."""
    observed_low: float
    """Lower end of its 95 % interval."""
    observed_high: float
    """Upper end."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Expected and observed rate along the values of one feature."""

    __pydantic_config__ = _DOCUMENTED

    name: str
    """Feature."""
    about: str
    """What it means."""
    bins: tuple[ShapeBin, ...]
    """Bins in order of the values; the missing last."""


@dataclass(frozen=True, kw_only=True)
class Leak:
    """What a leak probe found in one field."""

    __pydantic_config__ = _DOCUMENTED

    feature: str
    """Field."""
    severity: Literal["certain", "likely"]
    """How sure the probe is."""
    probe: str
    """Which probe."""
    evidence: str
    """The evidence, one sentence."""
    advice: str
    """What to do."""
    accepted_by: str | None
    """Who said that the field is honest; null where nobody did."""
    accepted_at: str | None
    """When."""
    accepted_why: str | None
    """Why."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What one kind of model reached in the study."""

    __pydantic_config__ = _DOCUMENTED

    library: str
    """Kind of model."""
    trials: int
    """Trials of it."""
    pruned: int
    """Trials stopped early because others were ahead."""
    best_log_loss: float | None
    """Best log-loss on the judging rows, of a trial stopped early the last one seen; null where there is none."""
    seconds: float
    """Time its trials took together."""
    is_winner: bool
    """Whether the model comes from it."""


@dataclass(frozen=True, kw_only=True)
class StudyFacts:
    """The search for the model."""

    __pydantic_config__ = _DOCUMENTED

    kinds: tuple[Kind, ...]
    """What each kind reached, best first."""
    trials: int
    """Trials in all."""
    reused: int
    """Trials that an earlier run had made."""
    params: Mapping[str, str]
    """The winner's parameters."""
    calibrations: Mapping[str, float]
    """Log-loss forward in time of each calibration method."""
    calibration: str
    """The method chosen."""


@dataclass(frozen=True, kw_only=True)
class BacktestPoint:
    """The recipe at one earlier cutoff: trained on what was known then, tested on what came next."""

    __pydantic_config__ = _DOCUMENTED

    cutoff: str
    """What was known at this moment trained, ISO 8601."""
    end: str
    """Rows before this moment were tested, ISO 8601."""
    past_rows: int
    """Rows that trained."""
    rows: int
    """Rows tested."""
    calibration: str
    """Calibration method chosen."""
    figures: Mapping[str, Metric]
    """Figures of the model."""
    baselines: Mapping[str, Mapping[str, Metric]]
    """The same of the baselines, by name."""


@dataclass(frozen=True, kw_only=True)
class ReportContents:
    """Everything the report shows."""

    __pydantic_config__ = _DOCUMENTED

    schema_version: Literal[1]
    """Version of this form."""
    model: str
    """Name of the registered model."""
    task: str
    """`lead` or `deal`."""
    made_at: str
    """When, ISO 8601 UTC."""
    verdict: Verdict
    """The verdict in words."""
    warnings: tuple[str, ...]
    """What a reader must know besides, such as a history that is too short."""
    facts: Mapping[str, str]
    """The run: source, split, rows, versions, fingerprint."""
    answers: tuple[Answer, ...]
    """Figures of the model and of the baselines on the test rows."""
    against: tuple[Against, ...]
    """Paired differences to every baseline, the best baseline first."""
    protocols: tuple[Answer, ...]
    """Figures on other splits of a public set, and by stage."""
    capacity: Capacity
    """Value at the team's capacity."""
    replay: Replay | None
    """The newest quarter replayed; null where the test period is shorter than two weeks."""
    grades: tuple[Grade, ...]
    """Grades and their realised rates."""
    bins: tuple[Bin, ...]
    """The reliability curve."""
    histogram: Histogram
    """Test rows by probability."""
    brier: Decomposition
    """The Brier score taken apart."""
    gap: Metric
    """Observed rate less mean probability over the whole test period."""
    months: tuple[Period, ...]
    """Expected and observed rate by month."""
    segments: Mapping[str, tuple[SegmentFigures, ...]]
    """Figures by segment, by kind of segment."""
    notes: tuple[SegmentNote, ...]
    """Segments that are served worse than the rest."""
    features: tuple[Part, ...]
    """Importance and direction of the features, largest first."""
    groups: tuple[Part, ...]
    """The same of the groups of features."""
    themes: tuple[Part, ...]
    """The same of the themes that reasons are told in."""
    shapes: tuple[Shape, ...]
    """Expected and observed rate by value of the most important features."""
    leaks: tuple[Leak, ...]
    """What the leak probes found."""
    backtest: tuple[BacktestPoint, ...]
    """The recipe at earlier cutoffs, oldest first."""
    study: StudyFacts
    """The search for the model."""
    reasons: Mapping[str, float]
    """Agreement of the fast reasons with the exact ones, by measure; empty where it was not measured."""
    rebuild: tuple[str, ...]
    """Commands that make the model anew."""
