"""The policy: from the looks at a model to RETRAIN, IGNORE, HOLD or ROLLBACK, with the reason. Data in, words out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.errors import InputError, NotFoundError, shorten
from common.workspace import Workspace
from monitoring.checks import Check, State
from monitoring.decisions import Recommendation, Verdict

DEFAULT_FILE = Path(__file__).with_name("policy.yaml")
# What stands between a failing model and its retraining: new trees do not mend a feed.
TO_MEND_FIRST = ("data quality", "missing features", "stale features", "online skew")
MEASURED = ("real quality", "calibration")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class RetrainPolicy(_Part):
    """When to retrain."""

    failing: int = Field(2, ge=1, description="So many of the last looks must fail, the newest among them.")
    of_last: int = Field(3, ge=1, description="How many looks are the last ones.")
    cool_down_days: float = Field(28, ge=0, description="Days between two retrainings.")
    least_new_labels: int = Field(
        100, ge=0, description="Leads or deals with labels the champion has not learned from."
    )


class RefreshPolicy(_Part):
    """When a model is retrained although nothing fails."""

    every_days: float | None = Field(84, gt=0, description="Days since the last try; unset: never.")
    least_new_labels: int = Field(300, ge=1, description="Leads or deals whose labels became known since then.")


class TrustPolicy(_Part):
    """What must hold before a finding is acted on."""

    least_data_quality: float = Field(60, ge=0, le=100, description="Score of the quality report.")
    most_stale_share: float = Field(0.2, ge=0, le=1, description="Share of answers given from expired features.")
    least_days_of_log: float = Field(1, ge=0, description="A younger prediction log is not judged.")


class RollbackPolicy(_Part):
    """When the one before is put back."""

    within_days: float = Field(28, ge=0, description="Days after its promotion.")
    cost_share: float = Field(0.25, gt=0, le=1, description="Measured loss, as a share of what the model is worth.")


class Policy(_Part):
    """All of it."""

    every_days: float = Field(7, gt=0, description="Days between two looks.")
    least_cost_share: float = Field(0.05, gt=0, le=1, description="Cost below which a finding pages nobody.")
    retrain: RetrainPolicy = RetrainPolicy()
    refresh: RefreshPolicy = RefreshPolicy()
    trust: TrustPolicy = TrustPolicy()
    rollback: RollbackPolicy = RollbackPolicy()


def read_policy(path: Path) -> Policy:
    """Read a policy from YAML.

    Raises:
        NotFoundError: if there is no such file.
        InputError: naming every value that is unknown or out of range.
    """
    import yaml

    if not path.is_file():
        raise NotFoundError(f"There is no policy {path}", next_step=f"copy {DEFAULT_FILE} and change it")
    try:
        return Policy.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not YAML", got=str(error).replace("\n", " ")) from error
    except ValidationError as error:
        wrong = [f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors()]
        raise InputError(
            f"The policy {path} has {len(wrong)} mistakes", got=shorten(wrong), next_step=f"compare with {DEFAULT_FILE}"
        ) from error


def policy_of(workspace: Workspace, *, named: Path | None = None) -> Policy:
    """The policy that the settings name, else the workspace's own, else the product's."""
    own = workspace.root / "monitoring.yaml"
    return read_policy(named or (own if own.is_file() else DEFAULT_FILE))


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the policy has to know besides the looks.

    Args:
        now: Moment the policy decides for, UTC.
        last_retraining: When the last retraining began, on the same clock; None if never.
        promoted_at: When the champion took its place; None if not known.
        predecessor_is_better: Whether there is a champion before it that does surely better on the newest labels.
        new_labels: Leads or deals with mature labels that the champion has not learned from; None: not asked.
        last_try: When the newest training went before the gate, or else this version was first looked at; None at
            that first look.
        fresh_labels: Leads or deals whose labels became known since then; None: not asked.
        standing: What a person decided on the same cause, and who and why, if it still stands.
    """

    now: datetime
    last_retraining: datetime | None = None
    promoted_at: datetime | None = None
    predecessor_is_better: bool = False
    new_labels: int | None = 0
    last_try: datetime | None = None
    fresh_labels: int | None = None
    standing: tuple[Recommendation, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What the policy says.

    Args:
        verdict: OK, DRIFT or CANNOT TELL.
        decision: What is to be done.
        reason: Why.
        failing: Names of the checks that fail.
        cause: What they hang on.
        cost_share: The largest cost among them, as a share of what the model is worth; None if not known.
        conditions: Each condition of a retraining, or where nothing fails of a refresh, with whether it holds and the
            figures, in the policy's order; empty where none was asked.
        is_refresh: Whether it says RETRAIN, or what a person said instead, although nothing fails.
    """

    verdict: Verdict
    decision: Recommendation
    reason: str
    failing: tuple[str, ...]
    cause: str
    cost_share: float | None
    conditions: tuple[dict[str, Any], ...] = ()
    is_refresh: bool = False


def fails(checks: Sequence[Check]) -> bool:
    """Whether a look fails: something costs enough to matter."""
    return any(check.state == State.FAILS for check in checks)


def evaluate(looks: Sequence[Sequence[Check]], facts: Facts, policy: Policy) -> Evaluation:
    """Decide.

    Args:
        looks: Checks of the last looks at this version, newest last; at least one.
        facts: What else is known.
        policy: The policy.
    """
    newest = looks[-1]
    failing = [check for check in newest if check.state == State.FAILS]
    cause = "; ".join(dict.fromkeys(f"{check.name}: {check.cause or check.name}" for check in failing))
    costs = [check.cost_share for check in failing if check.cost_share is not None]
    verdict = _verdict(newest)
    decision, reason, conditions = _decide(looks, failing, facts, policy, verdict)
    is_due = not failing and bool(conditions) and all(condition["holds"] for condition in conditions)
    return Evaluation(
        verdict=verdict,
        decision=decision,
        reason=reason,
        failing=tuple(check.name for check in failing),
        cause=cause,
        cost_share=max(costs) if costs else None,
        conditions=conditions,
        is_refresh=is_due,
    )


def _verdict(checks: Sequence[Check]) -> Verdict:
    if any(check.state in (State.FAILS, State.NOTICE) for check in checks):
        return Verdict.DRIFT
    drift = [check for check in checks if check.name in ("input drift", "forecast accuracy")]
    if all(check.state == State.UNKNOWN for check in drift):
        return Verdict.CANNOT_TELL
    return Verdict.OK


def _decide(
    looks: Sequence[Sequence[Check]], failing: Sequence[Check], facts: Facts, policy: Policy, verdict: Verdict
) -> tuple[Recommendation, str, tuple[dict[str, Any], ...]]:
    if verdict == Verdict.CANNOT_TELL:
        why = next((check.says for check in looks[-1] if check.state == State.UNKNOWN), "nothing could be compared")
        return Recommendation.HOLD, f"Too little to tell: {why}", ()
    if not failing:
        return _refresh_or_ignore(looks[-1], facts, policy)
    broken = [check for check in failing if check.name in TO_MEND_FIRST]
    if broken:
        return Recommendation.HOLD, f"Mend this before any retraining: {broken[0].says}", ()
    if facts.standing is not None:
        return facts.standing[0], f"{facts.standing[1]} (the same cause still stands)", ()
    rollback = _rollback(failing, facts, policy)
    if rollback is not None:
        return Recommendation.ROLLBACK, rollback, ()
    conditions = _conditions(looks, facts, policy)
    missing = [condition for condition in conditions if not condition["holds"]]
    worst = max(failing, key=lambda check: check.cost_share or 0.0)
    if missing:
        return Recommendation.HOLD, f"{worst.says} Not yet retrained: {missing[0]['says']}.", tuple(conditions)
    return Recommendation.RETRAIN, f"{worst.says} {conditions[0]['says'].capitalize()}.", tuple(conditions)


def _refresh_or_ignore(
    checks: Sequence[Check], facts: Facts, policy: Policy
) -> tuple[Recommendation, str, tuple[dict[str, Any], ...]]:
    """Nothing fails: a refresh where one is due, which is no alarm; else nothing."""
    conditions = tuple(_refresh_conditions(checks, facts, policy))
    if conditions and all(condition["holds"] for condition in conditions):
        if facts.standing is not None:
            return facts.standing[0], f"{facts.standing[1]} (of a refresh, which is still due)", conditions
        says = "; ".join(condition["says"] for condition in conditions[:2])
        return Recommendation.RETRAIN, f"Nothing fails, but a refresh is due: {says}.", conditions
    return Recommendation.IGNORE, _nothing(checks), conditions


def _nothing(checks: Sequence[Check]) -> str:
    noticed = [check for check in checks if check.state == State.NOTICE]
    if noticed and all(check.is_a_guess for check in noticed):
        return f"Nothing that is known costs anything. A guess: {noticed[0].says}"
    noticed = [check for check in noticed if not check.is_a_guess]
    if noticed:
        return f"It costs next to nothing: {noticed[0].says}"
    return "Nothing moved beyond chance and the ordinary difference between weeks."


def _refresh_conditions(checks: Sequence[Check], facts: Facts, policy: Policy) -> list[dict[str, Any]]:
    """What a refresh hangs on; nothing where it is switched off, or where no labels are asked."""
    asked = policy.refresh
    if asked.every_days is None or facts.fresh_labels is None:
        return []
    tries = [moment for moment in (facts.last_try, facts.last_retraining) if moment is not None]
    waited = (facts.now - max(tries)) / timedelta(days=1) if tries else None
    wait = max(asked.every_days, policy.retrain.cool_down_days)
    quality = next((check.state for check in checks if check.name == "data quality"), State.UNKNOWN)
    return [
        {
            "condition": "last try",
            "holds": waited is not None and waited >= wait,
            "says": "this version is looked at for the first time"
            if waited is None
            else f"the last try was {waited:.0f} days ago, and {wait:g} are waited",
        },
        {
            "condition": "fresh labels",
            "holds": facts.fresh_labels >= asked.least_new_labels,
            "says": f"{facts.fresh_labels} have labels that became known since; {asked.least_new_labels} are needed",
        },
        {
            "condition": "data quality",
            "holds": quality == State.OK,
            "says": "data quality passed" if quality == State.OK else "data quality is not known to be good enough",
        },
    ]


def _rollback(failing: Sequence[Check], facts: Facts, policy: Policy) -> str | None:
    """Only measured loss of a version that is still young puts the one before back, and only if that mends it."""
    measured = [c for c in failing if c.name in MEASURED and (c.cost_share or 0.0) >= policy.rollback.cost_share]
    young = facts.promoted_at is not None and facts.now - facts.promoted_at <= timedelta(
        days=policy.rollback.within_days
    )
    if not measured or not young or not facts.predecessor_is_better:
        return None
    return (
        f"Promoted {facts.promoted_at:%Y-%m-%d}, and already: {measured[0].says} The version before does surely better "
        "on the newest labels."
    )


def _conditions(looks: Sequence[Sequence[Check]], facts: Facts, policy: Policy) -> list[dict[str, Any]]:
    asked = policy.retrain
    last = looks[-asked.of_last :]
    count = sum(fails(look) for look in last)
    waited = None if facts.last_retraining is None else (facts.now - facts.last_retraining) / timedelta(days=1)
    return [
        {
            "condition": "looks",
            "holds": count >= asked.failing,
            "says": f"{count} of the last {len(last)} looks fail and the newest does; {asked.failing} are needed",
        },
        {
            "condition": "cool-down",
            "holds": waited is None or waited >= asked.cool_down_days,
            "says": "never retrained by the policy before"
            if waited is None
            else f"retrained {waited:.0f} days ago; {asked.cool_down_days:g} are waited",
        },
        {
            "condition": "new labels",
            "holds": facts.new_labels is None or facts.new_labels >= asked.least_new_labels,
            "says": "labels are not asked of a forecast"
            if facts.new_labels is None
            else f"{facts.new_labels} with labels it has not learned from; {asked.least_new_labels} are needed",
        },
    ]
