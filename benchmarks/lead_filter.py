"""What the best possible reader of a CRM could say of the simulated leads: the bound of every lead model.

The truth (warehouse/simulator/truth.py) conditions on a lead's hidden state and hidden quality, which no column holds.
This reader has neither, but knows all that can be known besides, and more than any CRM shows or any model could learn:
every rate that the simulator is made of, the calendar and what it will bring, each lead's profile as it truly is (none
missing or misspelt), its campaign's effect, its first rep's skill, whether it is a duplicate; and every sign that a
lead gives, at once: an answer counts from the day of the mail that it answers, no entry is late, no tracking fails.
From these it forms the exact distribution of state and quality by Bayes' rule, step by step (the forward algorithm,
Rabiner 1989), the unknown part of the quality on the nodes of a Gauss-Hermite quadrature, and the probability of the
event that is the label. So no model of what a CRM shows has a lower expected log-loss, but for one thing that is left
out: that a lead was not marked as qualified in the rest of the day of its first touch.

The signs are drawn anew for the leads' own hidden states, by the same rates: of the same kind and the same worth as
those in the tables, though not the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from warehouse.contracts import ACTIVITY_KINDS
from warehouse.simulator import SimulationConfig
from warehouse.simulator import parameters as p
from warehouse.simulator.config import Cell
from warehouse.simulator.lead_records import touch
from warehouse.simulator.leads import LeadPaths, Leads, arrive, lead_rates, live
from warehouse.simulator.moments import DAY, HOUR, NEVER, Calendar, Draws, monday, weekday
from warehouse.simulator.organisation import hire, plan_campaigns
from warehouse.simulator.truth import lead_values

NODES = 9
"""Values of a lead's hidden part of quality that are reckoned with."""
_EMAIL, _TASK = ACTIVITY_KINDS.index("email"), ACTIVITY_KINDS.index("task")
_NEVER_ZERO = 1e-12


@dataclass(frozen=True)
class _Scene:
    """A world's leads as they are, and what happened to them that does not depend on their states."""

    calendar: Calendar
    leads: Leads
    paths: LeadPaths
    working_step: Any
    qualified_step: Any
    noise: Any


def best_reader(config: SimulationConfig, *, since: np.datetime64, seed: int) -> dict[tuple[str, int], float]:
    """P(converts in (as_of, as_of + 90 days]) of every lead at its first contact and the days after with a truth.

    Args:
        config: The world; of one cell.
        since: Earliest as_of that is asked for, UTC.
        seed: Of the signs that are drawn anew.

    Returns:
        Probability by lead_id and as_of in microseconds since 1970, UTC: the keys of `lead_truth.parquet`.
    """
    scene = _scene(config)
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    by_node = [replace(scene.leads, quality=scene.leads.quality - scene.noise + p.LEAD_LATENT_SD * n) for n in nodes]
    earliest = int(since.astype("datetime64[us]").astype(np.int64))
    found: dict[tuple[str, int], float] = {}
    for days, belief in _beliefs(scene, by_node, weights / weights.sum(), np.random.default_rng(seed)):
        as_of = scene.leads.created + days * DAY
        who = np.flatnonzero((scene.paths.outcome_at > as_of) & (as_of < scene.calendar.end) & (as_of >= earliest))
        offset = np.full(len(who), days)
        chance = np.zeros(len(who))
        for node, leads in enumerate(by_node):
            chance += (belief[who, node] * lead_values(scene.calendar, leads, who, offset)).sum(axis=1)
        found.update(zip(zip(scene.leads.ids(who).to_pylist(), as_of[who].tolist(), strict=True), chance, strict=True))
    return found


def _scene(config: SimulationConfig) -> _Scene:
    """The hidden side of the world, made as the simulator makes it."""
    (cell,) = config.cells()
    calendar = Calendar.of(config)
    reps = hire(config, calendar)
    leads = arrive(cell, calendar, reps, plan_campaigns(config))
    paths = live(cell, calendar, leads)
    touches = touch(cell, leads, paths, reps)
    step = [np.where(at < NEVER, (at - leads.created) // DAY, NEVER) for at in vars(touches).values()]
    return _Scene(calendar, leads, paths, *step, noise=_noise(cell))


def _noise(cell: Cell) -> Any:
    """The part of each lead's quality that nobody sees, as `arrive` draws it."""
    return Draws(cell, "leads")("noise").normal(0, p.LEAD_LATENT_SD, cell.leads)


def _beliefs(scene: _Scene, by_node: list[Leads], weights: Any, rng: np.random.Generator) -> Iterator[tuple[int, Any]]:
    """Distribution over nodes and states at the beginning of each day with a truth; shape (n, NODES, 4).

    Carried along is the state at first contact too, shape (n, NODES, 4, 4): the answer to the first touch tells of it
    later on.
    """
    every = np.arange(scene.leads.count)
    rates = [lead_rates(leads, every) for leads in by_node]
    convert, disqualify, up, down = (
        np.stack([vars(r)[name] for r in rates], axis=1)[:, :, None, :]
        for name in ("convert", "disqualify", "up", "down")
    )
    tilt = np.stack([np.exp(p.LEAD_START_TILT * leads.quality[:, None] * np.arange(4)) for leads in by_node], axis=1)
    start = p.LEAD_START * tilt
    belief = (weights[:, None] * start / start.sum(axis=2, keepdims=True))[:, :, :, None] * np.eye(4)
    belief = _seen(belief, _at_first_contact(scene, rng)[:, None, None, :])
    touched = _at_first_touch(scene, rng)
    first_day = scene.leads.first_day(scene.calendar)
    factor = scene.calendar.conversion_by_day((scene.calendar.end - scene.calendar.start) // DAY + p.LEAD_DAYS + 2)
    for step in range(max(p.LEAD_TRUTH_DAYS) + 1):
        if step in p.LEAD_TRUTH_DAYS:
            yield step, belief.sum(axis=2)
        now = (scene.working_step == step)[:, None]
        belief = _seen(belief, np.where(now, touched, 0.0)[:, None, :, None])
        belief = _seen(belief, _signs(scene, step, rng)[:, None, None, :])
        won = np.minimum(convert * factor[first_day + step][:, None, None, None], 0.6)
        belief = belief * np.maximum(1.0 - won - disqualify, 0.0)
        moved = belief * (1.0 - up - down)
        moved[..., 1:] += (belief * up)[..., :-1]
        moved[..., :-1] += (belief * down)[..., 1:]
        belief = moved / moved.sum(axis=(1, 2, 3), keepdims=True)


def _seen(belief: Any, log_likelihood: Any) -> Any:
    """The belief after signs of a log-likelihood."""
    most = log_likelihood.max(axis=(1, 2, 3), keepdims=True)
    weighed = belief * np.exp(log_likelihood - most)
    return weighed / weighed.sum(axis=(1, 2, 3), keepdims=True)


class _Signs:
    """Draws signs for the states that are, and sums their log-likelihood by the states that might be."""

    def __init__(self, state: Any, rng: np.random.Generator) -> None:
        self.state, self.rng = state, rng
        self.log_likelihood = np.zeros((len(state), 4))

    def count(self, rates: Any, exposure: Any) -> Any:
        """Events at a rate by state, times each lead's exposure; gives their number."""
        mean = exposure[:, None] * rates
        number = self.rng.poisson(np.take_along_axis(mean, self.state[:, None], axis=1)[:, 0])
        self.log_likelihood += number[:, None] * np.log(rates) - mean
        return number

    def kinds(self, mix: Any, number: Any) -> Any:
        """The kinds of `number` events; shape (n, kinds)."""
        of_kind = self.rng.multinomial(number, (mix / mix.sum(axis=1, keepdims=True))[self.state])
        self.log_likelihood += of_kind @ np.log(np.maximum(mix, _NEVER_ZERO)).T
        return of_kind

    def happens(self, chances: Any, number: Any) -> Any:
        """Which of `number` chances by state come true; gives how many."""
        yes = self.rng.binomial(number, chances[self.state])
        self.log_likelihood += yes[:, None] * np.log(chances) + (number - yes)[:, None] * np.log1p(-chances)
        return yes

    def sessions(self, number: Any) -> None:
        """What is looked at in sessions."""
        further = self.rng.poisson(number * p.LEAD_EVENTS_PER_SESSION)
        self.kinds(p.LEAD_EVENT_MIX, number + further)

    def letters(self, number: Any) -> None:
        """What becomes of a rep's emails."""
        self.happens(p.MAIL_CLICKED, self.happens(p.LETTER_OPENED, number))
        self.happens(p.LEAD_REPLY, number)


def _at_first_contact(scene: _Scene, rng: np.random.Generator) -> Any:
    """The sessions of the weeks before it."""
    signs = _Signs(scene.paths.states[0].astype(np.int64), rng)
    signs.sessions(signs.count(p.LEAD_EARLIER_SESSIONS, np.ones(scene.leads.count)))
    return signs.log_likelihood


def _at_first_touch(scene: _Scene, rng: np.random.Generator) -> Any:
    """How the first touch is taken, an email or a call: the state at first contact decides."""
    signs = _Signs(scene.paths.states[0].astype(np.int64), rng)
    is_touched = (scene.working_step < NEVER).astype(np.int64)
    signs.happens(p.LEAD_REACHED, is_touched)
    signs.letters(is_touched * rng.integers(0, 2, len(is_touched)))
    return signs.log_likelihood


def _signs(scene: _Scene, step: int, rng: np.random.Generator) -> Any:
    """The signs of one step of every lead; of those whose chain has ended too, which nobody asks for."""
    begins = scene.leads.created + step * DAY
    signs = _Signs(np.maximum(scene.paths.states[step], 0).astype(np.int64), rng)
    signs.sessions(signs.count(p.LEAD_SESSIONS, p.WEEKDAY_BEHAVIOUR[weekday(begins)]))
    sent = monday(begins) + p.NEWSLETTER_DAY * DAY + int(p.NEWSLETTER_HOUR * HOUR)
    comes = ((sent - begins) % (7 * DAY) < DAY).astype(np.int64)
    signs.happens(p.MAIL_CLICKED, signs.happens(p.NEWSLETTER_OPENED, comes))
    is_worked = (scene.working_step <= step).astype(np.float64)
    contacts = signs.kinds(
        p.LEAD_ACTIVITY_MIX,
        signs.count(p.LEAD_ACTIVITIES, is_worked * np.exp(-step / p.LEAD_ACTIVITY_FADE_DAYS)),
    )
    inbound = [signs.happens(p.LEAD_INBOUND, contacts[:, kind]) for kind in (0, 1)]
    outbound = contacts.copy()
    outbound[:, 0] -= inbound[0]
    outbound[:, 1] -= inbound[1]
    signs.happens(p.LEAD_REACHED, outbound.sum(axis=1) - outbound[:, _TASK])
    signs.letters(outbound[:, _EMAIL])
    _qualified(scene, step, signs)
    return signs.log_likelihood


def _qualified(scene: _Scene, step: int, signs: _Signs) -> None:
    """Whether a rep marked the lead as qualified in this step: only the first time shows."""
    now, before = scene.qualified_step == step, scene.qualified_step < step
    waits = (scene.working_step < step) & ~before & ~now
    signs.log_likelihood += np.where(waits[:, None], -p.LEAD_QUALIFY, 0.0)
    signs.log_likelihood += np.where(now[:, None], np.log(-np.expm1(-p.LEAD_QUALIFY)), 0.0)
