"""The verdict: whether a model can be worked with, why, and what to do, in words a sales leader reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from training.capacity import CHANCE
from training.probes.findings import OVER_MODEL_PROBE
from training.reporting.contents import Against, Answer, Capacity, Leak, SegmentNote, Status, Verdict
from training.results import Metric

_WELL, _FAIRLY = 0.75, 0.65
_FEW_OUTCOMES = 100
_GAP_OF_RATE = 0.15
"""A gap between expected and observed rate that is beyond noise and beyond this share of the rate is worth a word."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the verdict rests on.

    Args:
        task: `lead` or `deal`.
        answers: Figures of the model (first) and the baselines.
        against: Paired differences, the best baseline first.
        gap: Observed rate less mean probability.
        capacity: Value at the team's capacity.
        notes: Segments served worse.
        leaks: What the probes found.
        cautions: Further things a reader must know, as sentences.
    """

    task: str
    answers: Sequence[Answer]
    against: Sequence[Against]
    gap: Metric
    capacity: Capacity
    notes: Sequence[SegmentNote] = ()
    leaks: Sequence[Leak] = ()
    cautions: Sequence[str] = ()


def judge(evidence: Evidence) -> Verdict:
    """The verdict on a model from its figures on rows it never saw."""
    concerns = _concerns(evidence)
    status = _status(evidence, concerns)
    sentences = [_ranking(evidence), _probabilities(evidence), _at_capacity(evidence), _expected_and_came(evidence)]
    sentences += concerns[: 6 - len(sentences)]
    return Verdict(status=status, sentences=tuple(sentences), actions=tuple(_actions(evidence, status)))


def _status(evidence: Evidence, concerns: Sequence[str]) -> Status:
    area, const = evidence.answers[0].figures["auc"], _named(evidence.against, "const")
    is_better = _surely_below(const.log_loss)
    if _is_backwards(area):
        return "not ready"
    if _is_chance(area):
        # Better probabilities than the base rate's, in an order that tells nothing, are a better guess of the level.
        return "not ready" if is_better else "no signal found"
    if _surely_above(const.log_loss) or _surely_above(evidence.against[0].log_loss):
        return "not ready"
    if any(leak.severity == "certain" and leak.accepted_by is None for leak in evidence.leaks):
        return "not ready"
    if not is_better or concerns:
        return "usable with care"
    return "ready"


def _concerns(evidence: Evidence) -> list[str]:
    """Whatever keeps a model from being simply ready, gravest first."""
    found = []
    suspects, ahead = _suspects(evidence.leaks)
    if suspects:
        found.append(f"{_listed(suspects)} may know the outcome; see the leak probes below.")
    if ahead:
        found.append(
            f"{_listed(ahead)} alone rank{'s' if len(ahead) == 1 else ''} the later rows better than the whole model: "
            "what it learned may no longer hold."
        )
    if _is_off(evidence):
        found.append("The gap between what it expected and what came is beyond noise.")
    best = evidence.against[0]
    if best.log_loss.value >= 0:
        found.append(f"A simpler answer is as good or better: {best.words}.")
    if evidence.notes:
        named = [f"{note.note.segment} ({note.note.kind})" for note in evidence.notes]
        found.append(f"It serves {_listed(dict.fromkeys(named))} worse than the rest, beyond noise.")
    outcomes = evidence.capacity.outcomes
    if outcomes < _FEW_OUTCOMES:
        found.append(
            f"Only {outcomes} of the {_things(evidence.task)} tested had the outcome, so all figures are wide."
        )
    return [*found, *evidence.cautions]


def _ranking(evidence: Evidence) -> str:
    area = evidence.answers[0].figures["auc"]
    one, did, did_not = ("lead", "converted", "did not") if evidence.task == "lead" else ("deal", "was won", "was not")
    pair = f"of a {one} that {did} and one that {did_not} it puts the right one first in {area.value:.0%} of the cases"
    how = "well" if area.value >= _WELL else "fairly" if area.value >= _FAIRLY else "weakly"
    said = f"{pair} ({_span(area)})"
    if _is_backwards(area):
        return _spaced(f"It ranks {_things(evidence.task)} the wrong way round: {said}; tossing a coin gives 50%.")
    if _is_chance(area):
        return _spaced(f"It cannot tell {_things(evidence.task)} apart: {said}; tossing a coin gives 50%.")
    return _spaced(f"It ranks {_things(evidence.task)} {how}: {said}.")


def _probabilities(evidence: Evidence) -> str:
    const, best = _named(evidence.against, "const"), evidence.against[0]
    figures = {answer.name: answer.figures["log_loss"].value for answer in evidence.answers}
    said = f"Its probabilities are {_compared(const)} always answering the base rate"
    said += f" (log-loss {figures['model']:.4f} against {figures['const']:.4f})"
    if best.name != "const":
        said += f", and {_compared(best)} the best simple answer, {best.words} ({figures[best.name]:.4f})"
    return said + "."


def _compared(against: Against) -> str:
    if _surely_below(against.log_loss):
        return "surely better than"
    if _surely_above(against.log_loss):
        return "surely worse than"
    return "better, but not surely, than" if against.log_loss.value < 0 else "no better than"


def _at_capacity(evidence: Evidence) -> str:
    capacity = evidence.capacity
    table = min(capacity.tables, key=lambda each: abs(each.share - capacity.team_share))
    ours = table.by_order["model"]
    things = _things(evidence.task)
    said = (
        f"A team that works {table.share:.0%} of the {things} ({table.count:,} of {capacity.entities:,}) would have "
        f"found {ours.caught.value:,.0f} of {capacity.outcomes:,} "
        f"{'conversions' if evidence.task == 'lead' else 'wins'}"
    )
    rivals = [name for name in capacity.orders if name not in ("model", CHANCE)]
    parts = [f"{capacity.orders[name]} {table.by_order[name].caught.value:,.0f}" for name in rivals[:1]]
    parts.append(f"chance {table.by_order[CHANCE].caught.value:,.0f}")
    return _spaced(f"{said}; {', '.join(parts)}.")


def _expected_and_came(evidence: Evidence) -> str:
    figures = evidence.answers[0].figures
    came, expected = figures["outcome_rate"].value, figures["mean_probability"].value
    is_within = not (_surely_below(evidence.gap) or _surely_above(evidence.gap))
    ending = "within noise" if is_within else f"it expected too {'little' if evidence.gap.value > 0 else 'much'}"
    return f"It expected {_percent(expected)} on average and {_percent(came)} came: {ending}."


def _actions(evidence: Evidence, status: Status) -> list[str]:
    if status == "no signal found":
        return [
            "Do not work by this score. Load more history, or fields that say more (activities, mails, visits).",
            "Then train again; a score that beats chance says so here.",
        ]
    actions = []
    if _is_backwards(evidence.answers[0].figures["auc"]):
        actions.append("Do not work by this score: what it learned has turned round since. Look at the months below.")
    elif _is_chance(evidence.answers[0].figures["auc"]):
        actions.append(
            "Do not work by this score: on the newest rows its order tells nothing. Train again as newer outcomes "
            "become known."
        )
    elif status == "ready":
        actions.append("Work by it. The gate compares it with the champion on the same rows before it answers anybody.")
    elif _is_off(evidence) or status == "not ready":
        actions.append(
            "Use the order if you must, not the percentages, and train again as newer outcomes become known."
        )
    else:
        actions.append("Work by it, and look at what is said above first.")
    if _suspects(evidence.leaks)[0]:
        actions.append("Find out when the suspected fields are written, then drop them or accept them by name.")
    if evidence.notes:
        actions.append("Do not compare scores across the segments named below until that is understood.")
    if evidence.against[0].log_loss.value >= 0:
        actions.append("Give the study more trials, or use the simpler answer.")
    return actions


def _is_off(evidence: Evidence) -> bool:
    rate = evidence.answers[0].figures["outcome_rate"].value
    beyond_noise = _surely_below(evidence.gap) or _surely_above(evidence.gap)
    return beyond_noise and abs(evidence.gap.value) > _GAP_OF_RATE * max(rate, 1e-9)


def _named(against: Sequence[Against], name: str) -> Against:
    return next(each for each in against if each.name == name)


def _surely_below(metric: Metric) -> bool:
    return metric.high is not None and metric.high < 0


def _surely_above(metric: Metric) -> bool:
    return metric.low is not None and metric.low > 0


def _suspects(leaks: Sequence[Leak]) -> tuple[list[str], list[str]]:
    """Fields nobody accepted: those that may know the outcome, and those that only outdo the model on later rows."""
    open_ones = [leak for leak in leaks if leak.accepted_by is None]
    suspects = list(dict.fromkeys(leak.feature for leak in open_ones if leak.probe != OVER_MODEL_PROBE))
    ahead = [leak.feature for leak in open_ones if leak.probe == OVER_MODEL_PROBE and leak.feature not in suspects]
    return suspects, list(dict.fromkeys(ahead))


def _is_backwards(area: Metric) -> bool:
    """What went with the outcome once goes against it now."""
    return area.high is not None and area.high < 0.5


def _is_chance(area: Metric) -> bool:
    """The order may well be that of a coin."""
    return area.low is None or area.low <= 0.5


def _things(task: str) -> str:
    return "leads" if task == "lead" else "deals"


def _listed(names: Iterable[str]) -> str:
    shown = list(names)
    rest = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
    return ", ".join(shown[:3]) + rest


def _span(metric: Metric) -> str:
    if metric.low is None or metric.high is None:
        return "no interval"
    return f"{metric.low:.0%} to {metric.high:.0%}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _spaced(text: str) -> str:
    """Percent signs set off, as everywhere on our pages."""
    return text.replace("%", " %").replace("  %", " %")
