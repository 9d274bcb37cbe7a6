"""What the first screen of a model's page says: what is wrong, since when, what it costs, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitoring.checks import Check, State
from monitoring.decisions import DECISION, EVALUATION, RETRAINING, Step
from monitoring.look import Look

_HEADLINES = {
    "RETRAIN": ("Retrain", "bad"),
    "ROLLBACK": ("Roll back", "bad"),
    "HOLD": ("Hold", "unsure"),
    "IGNORE": ("Nothing to do", "good"),
}
_NOT_KNOWN = ("Wait: not known yet", "unsure")
# Nothing is wrong: labels of newer times have come.
_REFRESH = ("Refresh", "good")


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What the first screen says.

    Args:
        headline: Two or three words.
        mark: Colour of it.
        wrong: Is anything wrong, in a sentence.
        since: Since when.
        cost: What it costs.
        recommended: What the policy says, and why.
        decided: What was decided or done last.
        commands: What to type, if anything.
    """

    headline: str
    mark: str
    wrong: str
    since: str
    cost: str
    recommended: str
    decided: str
    commands: tuple[str, ...]


def standing(
    looks: Sequence[Look], steps: Sequence[Step], promotions: Sequence[Mapping[str, Any]], *, source: str
) -> Standing:
    """The first screen's answers."""
    newest = looks[-1]
    failing = [check for check in newest.checks if check.state == State.FAILS]
    noticed = [check for check in newest.checks if check.state == State.NOTICE]
    record = _last(steps, newest.look_id, EVALUATION)
    persons = _last(steps, newest.look_id, DECISION)
    trained = next(
        (step for step in reversed(steps) if step.step == RETRAINING and step.report_id == newest.look_id), None
    )
    decision = str(record["decision"]) if record else "HOLD"
    headline, mark = _HEADLINES[decision]
    is_refresh = bool(record and record["inputs"].get("refresh"))
    if decision == "RETRAIN" and is_refresh:
        headline, mark = _REFRESH
    if decision == "IGNORE" and _guess(newest) is not None:
        headline, mark = _NOT_KNOWN
    if persons:
        headline, mark = f"{persons['decision'].capitalize()}, decided", "good"
    if trained:
        headline, mark = _after_training(promoted=bool(trained.record["promoted"]), is_refresh=is_refresh)
    return Standing(
        headline=headline,
        mark=mark,
        wrong=_wrong(failing, noticed, newest),
        since=_since(looks, failing, noticed),
        cost=_cost(failing, noticed),
        recommended="not evaluated yet" if record is None else f"{decision}. {record['reason']}",
        decided=_decided(newest, persons, trained, record, promotions),
        commands=() if trained or persons else _commands(decision, newest, source),
    )


def _after_training(*, promoted: bool, is_refresh: bool) -> tuple[str, str]:
    if promoted:
        return "Retrained", "good"
    return ("Refresh tried, champion stays", "good") if is_refresh else ("Hold: challenger kept out", "unsure")


def _guess(look: Look) -> Check | None:
    """The estimate before labels, where nothing vouches for it."""
    return next((check for check in look.checks if check.is_a_guess), None)


def _wrong(failing: Sequence[Check], noticed: Sequence[Check], look: Look) -> str:
    guess = _guess(look)
    not_known = f" How good the newest answers are cannot be known yet. {guess.says}" if guess is not None else ""
    if failing:
        worst = max(failing, key=lambda check: check.cost_share or 0.0)
        return f"Yes: {', '.join(check.name for check in failing)}. {worst.says}{not_known}"
    unknown = [check.name for check in look.checks if check.state == State.UNKNOWN]
    blind = f"{not_known} Not known: {', '.join(unknown)}." if unknown else not_known
    moved = [check.name for check in noticed if not check.is_a_guess]
    if moved:
        return f"No. {', '.join(moved).capitalize()} moved, which costs next to nothing.{blind}"
    return f"{'No' if guess is None else 'Not that is known'}. Nothing moved beyond chance.{blind}"


def _since(looks: Sequence[Look], failing: Sequence[Check], noticed: Sequence[Check]) -> str:
    """End of the first window of the unbroken run of looks with the newest one's worst finding."""
    names = {check.name for check in failing or noticed}
    if not names:
        return "–"
    wanted = {State.FAILS} if failing else {State.FAILS, State.NOTICE}
    first = looks[-1]
    for look in reversed(looks):
        if not any(check.name in names and check.state in wanted for check in look.checks):
            break
        first = look
    count = sum(look.end >= first.end for look in looks)
    return f"the window until {first.end:%Y-%m-%d}, {count} look{'s' if count > 1 else ''}"


def _cost(failing: Sequence[Check], noticed: Sequence[Check]) -> str:
    costs = [check.cost_share for check in failing or noticed if check.cost_share is not None]
    if not (failing or noticed):
        return "nothing"
    if not costs:
        return "not known"
    return f"{max(costs):.0%} of what the model is worth (its log-loss below the base rate's)"


def _decided(
    look: Look,
    persons: Mapping[str, Any] | None,
    trained: Step | None,
    record: Mapping[str, Any] | None,
    promotions: Sequence[Mapping[str, Any]],
) -> str:
    if trained is not None:
        what = "promoted" if trained.record["promoted"] else "kept out"
        at, version = trained.at[:16].replace("T", " "), trained.record["version"]
        return f"Retrained {at}: version {version} {what}. {trained.record['reason']}"
    if persons is not None:
        return f"{persons['decision']} by {persons['decided_by']}, {persons['decided_at'][:10]}: {persons['reason']}"
    if record is not None:
        last = promotions[-1] if promotions else None
        since = f"; version {look.version} answers" + (f" since {last['at'][:10]}" if last and last["promoted"] else "")
        return f"{record['decision']} by the policy, {record['decided_at'][:16].replace('T', ' ')} UTC{since}"
    return "nothing yet"


def _commands(decision: str, look: Look, source: str) -> tuple[str, ...]:
    tail = f"--model {look.task} --source {source}"
    if decision == "RETRAIN":
        return (
            f'salience decide RETRAIN {tail} --because "the policy says so"',
            f'salience decide IGNORE {tail} --because "…"',
        )
    if decision == "ROLLBACK":
        return (f'salience decide ROLLBACK {tail} --because "…"', f'salience decide HOLD {tail} --because "…"')
    if decision == "HOLD":
        return (f'salience decide HOLD {tail} --because "…"', f'salience decide RETRAIN {tail} --because "…"')
    return ()


def _last(steps: Sequence[Step], look_id: str, kind: str) -> Mapping[str, Any] | None:
    return next((s.record for s in reversed(steps) if s.report_id == look_id and s.step == kind), None)
