"""The gate: a model changes only when a paired test on the newest rows says so; and the log of every decision.

The challenger and the champion answer the same rows, the newest whose labels are known, which the challenger never saw.
The difference of their log-loss is resampled by entity; the challenger is promoted when even the pessimistic end of the
95 % one-sided interval is better. Whatever cannot be evaluated keeps things as they are, with the reason. Without a
champion, the challenger has to beat the base rate.
"""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import ContractError, NotFoundError, SalienceError
from training.calibration import log_loss_rows
from training.evaluation import draw_weights
from training.registry import ModelRegistry
from training.results import RegisteredModel
from training.scorer import Scorer

Vector = NDArray[np.float64]

PROMOTIONS_FILE = "promotions.jsonl"
MIN_OUTCOMES = 10
REPLICATES = 1_000
_ONE_SIDED = 0.95
_GENESIS = "0" * 64
# What a test or a registry may raise when it cannot do its work; anything else is a defect and stops the run.
_NOT_EVALUATED = (SalienceError, OSError, ValueError, KeyError)

# Whether to promote, why, and the figures behind it.
Finding = tuple[bool, str, Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class Holdout:
    """The newest rows with known labels, which the challenger has not seen.

    Args:
        columns: Feature columns by name, one value per row.
        label: 0 or 1.
        entity: Lead or deal of each row.
        base_rate: Outcome rate of the rows the challenger was trained on.
        until: Newest as_of, ISO 8601.
    """

    columns: Mapping[str, Sequence[Any]]
    label: Vector
    entity: NDArray[np.object_] | NDArray[np.str_]
    base_rate: float
    until: str = ""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the gate said.

    Args:
        name: Registered model.
        version: Version in question.
        promoted: Whether it became champion.
        reason: Why, in a sentence.
        champion_before: Version that was champion; None where there was none, or it is not known.
        evidence: Figures behind the reason.
        who: Who asked.
        at: When, ISO 8601 UTC.
    """

    name: str
    version: str
    promoted: bool
    reason: str
    champion_before: str | None = None
    evidence: Mapping[str, float] = field(default_factory=dict)
    who: str = ""
    at: str = ""


class PromotionLog:
    """Append-only log of decisions; each line carries the hash of the one before, so that a changed line shows.

    Args:
        path: The file; made on the first decision.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, decision: Decision) -> None:
        """Add a decision. Two processes may do so at once."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            lines = file.read().splitlines()
            previous = json.loads(lines[-1])["hash"] if lines else _GENESIS
            entry = {"sequence": len(lines) + 1, **asdict(decision), "previous_hash": previous}
            file.write(json.dumps({**entry, "hash": _digest(entry)}) + "\n")

    def entries(self) -> list[dict[str, Any]]:
        """All decisions, oldest first.

        Raises:
            ContractError: naming the first line that was changed, added or taken away.
        """
        if not self.path.is_file():
            return []
        found: list[dict[str, Any]] = []
        previous = _GENESIS
        for number, line in enumerate(self.path.read_text(encoding="utf-8").splitlines(), start=1):
            entry = _parse(line)
            body = {name: value for name, value in entry.items() if name != "hash"}
            intact = body.get("sequence") == number and body.get("previous_hash") == previous
            if not intact or entry.get("hash") != _digest(body):
                raise ContractError(
                    f"Line {number} of the promotion log {self.path} was changed after it was written",
                    expected="each line to carry the hash of its content and of the line before",
                    next_step="restore the file from a backup; do not trust its history until then",
                )
            found.append(entry)
            previous = str(entry["hash"])
        return found


def promotion_log(registry: ModelRegistry) -> PromotionLog:
    """The log beside MLflow's home."""
    return PromotionLog(registry.home / PROMOTIONS_FILE)


def decide(
    challenger: RegisteredModel,
    holdout: Holdout,
    *,
    registry: ModelRegistry,
    seed: int,
    who: str | None = None,
) -> Decision:
    """Test a challenger against the champion on the newest rows, promote it if it is better, and log the decision.

    Args:
        challenger: The version in question.
        holdout: The newest rows with known labels.
        registry: Where the champion is looked up and set.
        seed: Seed of the bootstrap.
        who: Who asked; the user of this process unless given.

    Returns:
        The decision. It is never an error: what cannot be evaluated is not promoted.
    """

    def test(champion: RegisteredModel | None) -> Finding:
        return _test(challenger, champion, holdout, seed=seed)

    return put_to_gate(challenger, test, registry=registry, who=who)


def put_to_gate(
    challenger: RegisteredModel,
    test: Callable[[RegisteredModel | None], Finding],
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
    evidence: Mapping[str, float] = {}
    try:
        champion = registry.champion(challenger.name)
        champion_before = champion.version if champion else None
        promoted, reason, evidence = test(champion)
    except _NOT_EVALUATED as error:
        promoted, reason = False, f"could not be evaluated: {error}"
    decision = Decision(
        name=challenger.name,
        version=challenger.version,
        promoted=promoted,
        reason=reason,
        champion_before=champion_before,
        evidence=evidence,
        who=who or _user(),
        at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    log = promotion_log(registry)
    log.append(decision)
    if decision.promoted:
        try:
            registry.set_champion(challenger.name, challenger.version)
        except _NOT_EVALUATED as error:
            decision = replace(decision, promoted=False, reason=f"the alias could not be moved: {error}")
            log.append(decision)
    return decision


def appoint(registry: ModelRegistry, name: str, version: str, *, why: str, who: str | None = None) -> Decision:
    """Make a version champion by hand, such as to put the old one back; logged like the gate's own decisions.

    Raises:
        NotFoundError: if the version does not exist.
        UnavailableError: if the registry cannot be reached.
    """
    champion = registry.champion(name)
    registry.set_champion(name, version)
    decision = Decision(
        name=name,
        version=version,
        promoted=True,
        reason=f"by hand: {why}",
        champion_before=champion.version if champion else None,
        who=who or _user(),
        at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    promotion_log(registry).append(decision)
    return decision


def compare(
    challenger: Vector, champion: Vector, label: Vector, entity: NDArray[np.object_] | NDArray[np.str_], *, seed: int
) -> dict[str, float]:
    """Paired bootstrap of the log-loss difference, challenger minus champion; entities are drawn with replacement.

    Returns:
        `log_loss_challenger`, `log_loss_champion`, `difference`, and `difference_upper`, below which it lies with 95 %.
    """
    ours, theirs = log_loss_rows(label, challenger), log_loss_rows(label, champion)
    names, cluster = np.unique(np.asarray(entity).astype(str), return_inverse=True)
    sums = np.bincount(cluster, ours - theirs, minlength=len(names))
    sizes = np.bincount(cluster, minlength=len(names)).astype(np.float64)
    weights = draw_weights(names, replicates=REPLICATES, seed=seed)
    drawn = (sums @ weights) / (sizes @ weights)
    return {
        "log_loss_challenger": float(ours.mean()),
        "log_loss_champion": float(theirs.mean()),
        "difference": float((ours - theirs).mean()),
        "difference_upper": float(np.quantile(drawn, _ONE_SIDED)),
        "rows": float(len(label)),
        "entities": float(len(names)),
    }


def _test(
    challenger: RegisteredModel, champion: RegisteredModel | None, holdout: Holdout, *, seed: int
) -> tuple[bool, str, dict[str, float]]:
    refusal = _unusable(holdout)
    if refusal is not None:
        return False, f"could not be evaluated: {refusal}", {}
    if champion is not None and champion.version == challenger.version:
        return False, "it is the champion already", {}
    ours = _answers(challenger, holdout)
    if champion is None:
        theirs, rival = np.full(len(holdout.label), holdout.base_rate), "the base rate"
    else:
        theirs, rival = _answers(champion, holdout), f"champion {champion.version}"
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return False, "could not be evaluated: a model answered something that is no probability", {}
    evidence = compare(ours, theirs, holdout.label, holdout.entity, seed=seed)
    promoted = evidence["difference_upper"] < 0.0
    figures = (
        f"log-loss {evidence['log_loss_challenger']:.4f} against {evidence['log_loss_champion']:.4f} on the newest "
        f"{len(holdout.label)} rows; difference {evidence['difference']:+.4f}, "
        f"at most {evidence['difference_upper']:+.4f} with 95 %"
    )
    verdict = f"better than {rival}" if promoted else f"not surely better than {rival}"
    return promoted, f"{verdict}: {figures}", evidence


def _unusable(holdout: Holdout) -> str | None:
    if len(holdout.label) == 0:
        return "the holdout is empty"
    positives = int((holdout.label == 1).sum())
    fewest = min(positives, len(holdout.label) - positives)
    if fewest == 0:
        return "the holdout has one class only"
    if fewest < MIN_OUTCOMES:
        return f"the holdout has {fewest} rows of one class and needs {MIN_OUTCOMES}"
    if not 0.0 < holdout.base_rate < 1.0:
        return "the base rate is 0 or 1"
    return None


def _answers(model: RegisteredModel, holdout: Holdout) -> Vector:
    """Probabilities of a version, read back from its bundle as the services would.

    Raises:
        NotFoundError: if the holdout lacks a feature that the version reads.
    """
    scorer = Scorer.load(model.bundle, threads=2)
    lacking = [name for name in scorer.manifest.feature_names if name not in holdout.columns]
    if lacking:
        raise NotFoundError(
            f"The holdout lacks {len(lacking)} features that version {model.version} reads (first: {lacking[0]})"
        )
    return scorer.probability(scorer.encode(holdout.columns))


def _parse(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _digest(entry: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
