"""What readers of a CRM could say of the simulated leads who know every rate of the world: bounds of a lead model.

The truth (warehouse/simulator/truth.py) conditions on a lead's hidden state and hidden quality, which no column holds.
These readers have neither, but know every rate that the simulator is made of, the calendar and what it will bring, and
whether a lead is a duplicate. From the signs that a lead has given by as_of (lead_signs.py) they form the exact
distribution of state and quality by Bayes' rule, step by step (the forward algorithm), the unknown part of the quality
on a few nodes (lead_quality.py), and from it the probability of the event that is the label.

`READERS` are a ladder: each lacks one thing more than the one before. The first knows more than any CRM shows. The
first three are bounds of every model of this CRM's tables, each closer than the one before: what they are given is
never less than what the tables show, so none has a lower expected log-loss, and none finds more expected conversions
among a given number of leads. The last two learn the reps' skills and the campaigns' effects from all leads but the one
(lead_effects.py), to a good approximation. That is what a reader of this CRM's leads has, but no strict bound: deals
tell of a rep's skill too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from lead_chain import Chain, seen
from lead_effects import Effects
from lead_quality import campaign_effect, drawn_gaps, profile_effect, quality_nodes
from lead_signs import Scene, Signs

from warehouse.simulator import SimulationConfig
from warehouse.simulator import parameters as p
from warehouse.simulator.moments import DAY


@dataclass(frozen=True, kw_only=True)
class Reader:
    """What a reader knows beside the rates.

    Args:
        about: The reader in words.
        at_once: Whether a mail's answer is known with the mail; otherwise from when it comes.
        knows_profile: Whether the profile is known where the CRM has an empty field.
        knows_reps: Whether the reps' skills are known; otherwise they are learned from the leads before.
        knows_campaigns: The same of the campaigns' effects.
    """

    about: str
    at_once: bool = False
    knows_profile: bool = False
    knows_reps: bool = True
    knows_campaigns: bool = True


READERS = {
    "reader": Reader(about="the best reader", at_once=True, knows_profile=True),
    "as_it_comes": Reader(about="reader, answers as they come", knows_profile=True),
    "with_gaps": Reader(about="reader, and empty fields"),
    "learns_reps": Reader(about="reader, and reps learned", knows_reps=False),
    "of_this_crm": Reader(about="the reader of this CRM", knows_reps=False, knows_campaigns=False),
}


def read(config: SimulationConfig, *, since: np.datetime64, seed: int) -> dict[str, dict[tuple[str, int], float]]:
    """P(converts in (as_of, as_of + 90 days]) of every lead at its first contact and the days after with a truth.

    Args:
        config: The world; of one cell.
        since: Earliest as_of that is asked for, UTC.
        seed: Of the signs and the gaps that are drawn anew, the same for all readers.

    Returns:
        By reader, the probability by lead_id and as_of in microseconds since 1970, UTC: the keys of
        `lead_truth.parquet`.
    """
    scene = Scene.of(config)
    rng = np.random.default_rng(seed)
    signs, gaps = Signs(scene, rng), drawn_gaps(scene, rng)
    earliest = int(since.astype("datetime64[us]").astype(np.int64))
    found: dict[str, dict[tuple[str, int], float]] = {}
    for name, reader in READERS.items():
        belief = _Belief(scene, signs, gaps if not reader.knows_profile else np.zeros_like(gaps), reader)
        found[name] = {}
        for who, as_of, chance in _asked(scene, signs, belief, reader, earliest):
            keys = zip(scene.leads.ids(who).to_pylist(), as_of.tolist(), strict=True)
            found[name].update(zip(keys, chance.tolist(), strict=True))
    return found


class _Belief:
    """What a reader believes of the qualities before a lead's signs."""

    def __init__(self, scene: Scene, signs: Signs, gaps: Any, reader: Reader) -> None:
        self._gaps = gaps
        self._effects: Effects | None = None
        if reader.knows_reps:
            skill = p.LEAD_SKILL * scene.reps.skill[scene.leads.rep]
            self._known = profile_effect(scene, gaps) + campaign_effect(scene) + skill
        else:
            self._effects = Effects(scene, signs, gaps, of_campaigns=not reader.knows_campaigns)
            self._known = self._effects.known

    def nodes(self, who: Any, as_of: Any) -> tuple[Any, Any]:
        """Values of quality and their weights, both (n, nodes)."""
        mean, variance = (0.0, np.zeros(len(who))) if self._effects is None else self._effects.of(who, as_of)
        spread = np.sqrt(p.LEAD_LATENT_SD**2 + variance)
        return quality_nodes(self._known[who] + mean, self._gaps[who], spread)


def _asked(
    scene: Scene, signs: Signs, beliefs: _Belief, reader: Reader, earliest: int
) -> Iterator[tuple[Any, Any, Any]]:
    """The leads that are open so many days after first contact, the moment, and what the reader says."""
    for days in p.LEAD_TRUTH_DAYS:
        as_of = scene.leads.created + days * DAY
        who = np.flatnonzero((scene.paths.outcome_at > as_of) & (as_of < scene.calendar.end) & (as_of >= earliest))
        quality, weights = beliefs.nodes(who, as_of[who])
        chain = Chain(scene, who, quality)
        start = signs.at_start(as_of, at_once=reader.at_once)[who]
        belief, _ = seen(weights[:, :, None] * chain.start, start)
        for step in range(days):
            belief, _ = seen(belief, signs.of_step(step, as_of, at_once=reader.at_once)[who])
            belief = chain.stepped(belief, step)
            belief = belief / belief.sum(axis=(1, 2), keepdims=True)
        yield who, as_of[who], chain.will_convert(belief, days)
