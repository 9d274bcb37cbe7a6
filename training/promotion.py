"""Promotion: what the gate's verdict, or a person's word, does to the registry; every decision goes to the log first.

The gate itself (`training.gate`) only judges. Here its verdict is logged, and then the alias `champion` moves, or does
not. Whatever cannot be evaluated keeps things as they are, with the reason.
"""

from __future__ import annotations

import getpass
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from common.errors import InputError, NotFoundError, SalienceError, UnavailableError
from common.settings import GateSettings
from training.gate.holdout import Holdout as Holdout
from training.gate.judging import judge
from training.gate.verdict import Verdict, refused
from training.promotion_log import (
    BY_HAND,
    NOT_MOVED,
    PROMOTIONS_FILE,
    ROLLBACK,
    Decision,
    PromotionLog,
    reigns,
)
from training.results import RegisteredModel

if TYPE_CHECKING:
    from training.registry import ModelRegistry

logger = logging.getLogger(__name__)

# What a test or a registry may raise when it cannot do its work; anything else is a defect and stops the run.
_NOT_EVALUATED = (SalienceError, OSError, ValueError, KeyError)
_LEAST_WORDS = 2


def promotion_log(registry: ModelRegistry) -> PromotionLog:
    """The log beside MLflow's home."""
    return PromotionLog(registry.home / PROMOTIONS_FILE)


def decide(
    challenger: RegisteredModel,
    holdout: Holdout,
    *,
    registry: ModelRegistry,
    seed: int,
    limits: GateSettings | None = None,
    who: str | None = None,
) -> Decision:
    """Test a challenger against the champion on the newest rows, promote it if it is better, and log the decision.

    Args:
        challenger: The version in question.
        holdout: The newest rows with known labels.
        registry: Where the champion is looked up and set.
        seed: Seed of the bootstrap.
        limits: Bounds and budget of the gate; the settings' defaults unless given.
        who: Who asked; the user of this process unless given.

    Returns:
        The decision. It is never an error: what cannot be evaluated is not promoted.
    """
    bounds = limits or GateSettings()

    def test(champion: RegisteredModel | None) -> Verdict:
        return judge(challenger, champion, holdout, limits=bounds, seed=seed)

    return put_to_gate(challenger, test, registry=registry, who=who)


def put_to_gate(
    challenger: RegisteredModel,
    test: Callable[[RegisteredModel | None], Verdict],
    *,
    registry: ModelRegistry,
    who: str | None = None,
) -> Decision:
    """Run a test against the champion and do what it says, if it could be run at all.

    The decision is logged before the alias moves: no model changes without a record, and a move that fails is recorded
    as one that did not happen.

    Args:
        challenger: The version in question.
        test: Given the champion, or None where there is none, says whether to promote, why, and on which figures.
        registry: Where the champion is looked up and set.
        who: Who asked; the user of this process unless given.

    Returns:
        The decision. It is never an error: what cannot be evaluated is not promoted.
    """
    champion_before: str | None = None
    try:
        champion = registry.champion(challenger.name)
        champion_before = champion.version if champion else None
        verdict = test(champion)
    except _NOT_EVALUATED as error:
        verdict = refused(str(error))
    decision = Decision(
        name=challenger.name,
        version=challenger.version,
        promoted=verdict.promoted,
        reason=verdict.reason,
        champion_before=champion_before,
        evidence=verdict.evidence,
        checks=verdict.checks,
        who=who or _user(),
        at=_now(),
    )
    return _carry_out(decision, registry)


def appoint(registry: ModelRegistry, name: str, version: str, *, why: str, who: str | None = None) -> Decision:
    """Make a version champion by hand; logged like the gate's own decisions.

    Args:
        registry: Where the alias moves.
        name: Registered model.
        version: The version.
        why: The reason, in words.
        who: Who asked; the user of this process unless given.

    Raises:
        InputError: if there is no reason.
        NotFoundError: if the version does not exist.
        UnavailableError: if the registry cannot be reached.
    """
    if len(why.split()) < _LEAST_WORDS:
        raise InputError(
            f"Version {version} of '{name}' is promoted by hand only for a reason",
            expected="--because with a sentence that others will understand later",
            got=f"'{why}'",
            field="because",
        )
    return _by_hand(registry, name, version, reason=f"by hand: {why.strip()}", kind=BY_HAND, who=who)


def roll_back(registry: ModelRegistry, name: str, *, why: str = "", who: str | None = None) -> Decision:
    """Put the champion before the present one back in its place, as the log tells it; twice goes back two.

    Args:
        registry: Where the alias moves.
        name: Registered model.
        why: The reason, if one is given.
        who: Who asked; the user of this process unless given.

    Raises:
        NotFoundError: if the log knows no champion before.
        ContractError: if the log was changed or cut short.
        UnavailableError: if the registry cannot be reached.
    """
    entries = promotion_log(registry).checked(registry.seals())
    champion = registry.champion(name)
    ruled = reigns(entries, name)
    present = champion.version if champion else None
    while ruled and ruled[-1] == present:
        ruled.pop()
    if not ruled:
        raise NotFoundError(
            f"The log knows no champion of '{name}' before {f'version {present}' if present else 'now'}",
            next_step="choose one: salience models list, then salience models promote VERSION --because …",
        )
    reason = f"rolled back from version {present}" + (f": {why.strip()}" if why.strip() else "")
    return _by_hand(registry, name, ruled[-1], reason=reason, kind=ROLLBACK, who=who)


def _by_hand(registry: ModelRegistry, name: str, version: str, *, reason: str, kind: str, who: str | None) -> Decision:
    registry.version(name, version)
    champion = registry.champion(name)
    decision = Decision(
        name=name,
        version=version,
        promoted=True,
        reason=reason,
        champion_before=champion.version if champion else None,
        who=who or _user(),
        at=_now(),
        kind=kind,
    )
    done = _carry_out(decision, registry)
    if not done.promoted:
        raise UnavailableError(
            f"Version {version} of '{name}' was not promoted: {done.reason}", next_step="run the same command again"
        )
    return done


def _carry_out(decision: Decision, registry: ModelRegistry) -> Decision:
    """Log a decision, and move the alias if it says so; a move that fails is logged too."""
    _record(decision, registry)
    if not decision.promoted:
        return decision
    try:
        registry.set_champion(decision.name, decision.version)
    except _NOT_EVALUATED as error:
        decision = replace(
            decision, promoted=False, kind=NOT_MOVED, reason=f"the alias could not be moved: {error}", at=_now()
        )
        _record(decision, registry)
    return decision


def _record(decision: Decision, registry: ModelRegistry) -> None:
    """Log a decision and seal it; where the registry is away, the next decision's seal covers this line too."""
    seal = promotion_log(registry).append(decision)
    try:
        registry.seal(decision.name, seal)
    except (UnavailableError, NotFoundError) as error:
        logger.warning("the decision about %s %s is logged, but not sealed: %s", decision.name, decision.version, error)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
