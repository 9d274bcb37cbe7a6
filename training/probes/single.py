"""Probes of one field against the outcome: its ability, its values, its presence, its name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.probes.fields import Field
from training.probes.findings import CERTAIN_AUC, LEVEL, LIKELY_AUC, ODDS_LIMIT, Finding
from training.probes.intervals import auc_interval, odds_ratio_bounds
from training.probes.meaning import late_meaning

Vector = NDArray[np.float64]

# Presence that is *certain*: of the rows with the other outcome at most this share is filled.
_EMPTY = 0.001
_MIN_OUTCOMES = 20


def ability(field: Field, label: Vector, *, tests: int, seed: int) -> tuple[float, float, float]:
    """AUC of the field alone by cross-fitted rates, with its interval at the probe's level over `tests` fields."""
    return auc_interval(label, field.cross_fitted(label, seed=seed), level=2.0 * LEVEL / tests)


def probe_ability(field: Field, alone: tuple[float, float, float]) -> Finding | None:
    """Null: an honest field ranks outcomes with an AUC of at most `LIKELY_AUC`."""
    value, low, high = alone
    if low <= LIKELY_AUC:
        return None
    is_certain = low > CERTAIN_AUC
    bound = CERTAIN_AUC if is_certain else LIKELY_AUC
    said = "is beyond what an honest field reaches" if is_certain else "is reached by few honest fields"
    evidence = f"'{field.name}' alone ranks the outcomes with AUC {value:.3f} [{low:.3f}, {high:.3f}]; {bound} {said}"
    return Finding(
        field.name, "certain" if is_certain else "likely", evidence, "single_field", value=value, low=low, high=high
    )


def probe_meaning(field: Field, alone: tuple[float, float, float]) -> Finding | None:
    """Null: a field that is written after the record was created ranks nothing at its creation."""
    value, low, high = alone
    why = late_meaning(field.name)
    if why is None or low <= 0.5:
        return None
    return Finding(
        field.name,
        "likely",
        f"'{field.name}' {why}, and alone ranks the outcomes with AUC {value:.3f} [{low:.3f}, {high:.3f}]",
        "meaning",
        value=value,
        low=low,
        high=high,
        advice="find out when it is written; if while the record is worked or after, drop it or mark it "
        "`known: at_outcome`; if its value was frozen at the moment to be scored, accept it by name",
    )


@dataclass(frozen=True)
class _Groups:
    """Groups of rows that share a value, a range, or a tail of a field's numbers; the rows without a value last."""

    words: tuple[str, ...]
    rows: Vector
    outcomes: Vector


def probe_values(field: Field, label: Vector, *, tests: int) -> tuple[Finding, ...]:
    """Nulls: no value of an honest field moves the odds more than `ODDS_LIMIT`-fold, nor does its presence.

    Of numbers, the tails count as values too: a call that ends within a minute sells nothing, whatever the second.
    """
    groups = _groups(field, label)
    used = groups.rows > 0
    if used.sum() < 2 or min(label.sum(), (1 - label).sum()) < _MIN_OUTCOMES:
        return ()
    total = {"total_successes": float(label.sum()), "total_rows": float(len(label))}
    level = LEVEL / (tests * 2 * int(used.sum()))
    ratio, low, high = odds_ratio_bounds(groups.outcomes, groups.rows, **total, level=level)
    decides = used & (groups.rows < len(label)) & ((low > ODDS_LIMIT) | (high < 1.0 / ODDS_LIMIT))
    if decides[-1]:
        return (_presence(field, label, (1 / ratio[-1], 1 / high[-1], 1 / low[-1])),)
    # The rare values together are no value; where they decide, presence or ability says so.
    if field.has_rest:
        decides[len(field.labels) - 1] = False
    weight = np.abs(np.log(ratio)) * np.minimum(groups.rows, len(label) - groups.rows)
    strongest = max(np.flatnonzero(decides), key=lambda each: (weight[each], -groups.rows[each]), default=None)
    if strongest is None:
        return ()
    return (_value(field, int(strongest), groups, total, (ratio[strongest], low[strongest], high[strongest])),)


def _groups(field: Field, label: Vector) -> _Groups:
    rows, outcomes = field.counts(label)
    if not field.is_number or field.distinct <= len(field.labels):
        return _Groups((*(f"'{word}'" for word in field.labels), "missing"), rows, outcomes)
    words = [f"in the range that ends at {word[6:]}" for word in field.labels]
    below = [f"{word}" for word in field.labels[1:-1]]
    above = [f"above {word[6:]}" for word in field.labels[:-2]]
    kinds = [(np.cumsum(part[:-1])[1:-1], part[:-1].sum() - np.cumsum(part[:-1])[:-2]) for part in (rows, outcomes)]
    (rows_below, rows_above), (outcomes_below, outcomes_above) = kinds
    return _Groups(
        (*words, *below, *above, "missing"),
        np.concatenate([rows[:-1], rows_below, rows_above, rows[-1:]]),
        np.concatenate([outcomes[:-1], outcomes_below, outcomes_above, outcomes[-1:]]),
    )


def _value(
    field: Field, place: int, groups: _Groups, total: dict[str, float], ratio: tuple[float, float, float]
) -> Finding:
    rows, outcomes = groups.rows[place], groups.outcomes[place]
    others = 100 * (total["total_successes"] - outcomes) / (total["total_rows"] - rows)
    return Finding(
        field.name,
        "likely",
        f"'{field.name}' {groups.words[place]} has the outcome in {outcomes:.0f} of {rows:.0f} rows "
        f"({100 * outcomes / rows:.1f} %), the others in {others:.1f} %: odds times {_short(ratio[0])} "
        f"[{_short(ratio[1])}, {_short(ratio[2])}], beyond {ODDS_LIMIT:.0f} either way",
        "deciding_value",
        value=float(ratio[0]),
        low=float(ratio[1]),
        high=float(ratio[2]),
        advice="find out when this value is written; a value that decides is mostly written with the outcome",
    )


def _presence(field: Field, label: Vector, ratio: tuple[float, float, float]) -> Finding:
    filled = field.is_filled
    shares = [float(filled[label == outcome].mean()) for outcome in (1.0, 0.0)]
    with_outcome = "with the outcome" if shares[0] > shares[1] else "without the outcome"
    text = (
        f"'{field.name}' is filled on {100 * max(shares):.0f} % of the rows {with_outcome} "
        f"and on {100 * min(shares):.1f} % of the others"
    )
    return Finding(
        field.name,
        "certain" if min(shares) <= _EMPTY else "likely",
        f"{text}: being filled multiplies the odds by {_short(ratio[0])} [{_short(ratio[1])}, {_short(ratio[2])}]",
        "presence",
        value=float(ratio[0]),
        low=float(ratio[1]),
        high=float(ratio[2]),
    )


def _short(ratio: float) -> str:
    return "over 1e6" if ratio > 1e6 else "under 1e-6" if ratio < 1e-6 else f"{ratio:.3g}"
