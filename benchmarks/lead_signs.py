"""The hidden side of a simulated world's leads, and signs drawn anew for their hidden states: what a reader can go by.

The signs are drawn by the simulator's own rates: of the same kind and the same worth as those in the tables, though not
the same. A sign counts with the step in which it was given or, of an answer, in which the mail was sent. It can be read
as if every answer came with its mail, or as a CRM shows it: an answer hours or days after its mail, and until then only
that none has come. What a reader is given beyond what a CRM shows: single entries that come in late (5 % of the
contacts, 1 % of the events), and what tracking loses in the days of the year in which it is down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from warehouse.contracts import ACTIVITY_KINDS
from warehouse.simulator import SimulationConfig
from warehouse.simulator import parameters as p
from warehouse.simulator.lead_records import touch
from warehouse.simulator.leads import LeadPaths, Leads, arrive, live
from warehouse.simulator.moments import DAY, HOUR, NEVER, Calendar, Draws, monday, place_within_day, weekday
from warehouse.simulator.organisation import Campaigns, Reps, hire, plan_campaigns

_EMAIL, _TASK = ACTIVITY_KINDS.index("email"), ACTIVITY_KINDS.index("task")
_NEVER_ZERO = 1e-12
_AT_START = -1
"""The step of what the first touch brings: the state at first contact decides, whenever the touch comes."""
_MOMENTS = 16
"""Moments of a day at which something is tried that may come at any."""


@dataclass(frozen=True)
class Scene:
    """A world's leads as they are, and what happened to them that does not depend on their states.

    Args:
        noise: The part of each lead's quality that nobody sees.
        working_step: Step of the first touch, NEVER where there was none.
        qualified_step: Step in which a rep marked the lead as qualified.
        outcome_step: Step in which the lead converted or was disqualified.
    """

    calendar: Calendar
    reps: Reps
    campaigns: Campaigns
    leads: Leads
    paths: LeadPaths
    noise: Any
    working_at: Any
    working_step: Any
    qualified_step: Any
    outcome_step: Any

    @classmethod
    def of(cls, config: SimulationConfig) -> Scene:
        """The hidden side of a world of one cell, made as the simulator makes it."""
        (cell,) = config.cells()
        calendar = Calendar.of(config)
        reps, campaigns = hire(config, calendar), plan_campaigns(config)
        leads = arrive(cell, calendar, reps, campaigns)
        paths = live(cell, calendar, leads)
        touches = touch(cell, leads, paths, reps)
        working, qualified, outcome = (
            np.where(at < NEVER, (at - leads.created) // DAY, NEVER)
            for at in (touches.working_at, touches.qualified_at, paths.outcome_at)
        )
        noise = Draws(cell, "leads")("noise").normal(0, p.LEAD_LATENT_SD, cell.leads)
        return cls(calendar, reps, campaigns, leads, paths, noise, touches.working_at, working, qualified, outcome)


class Signs:
    """Signs of every lead in every step, drawn once; what they say of the state, as far as they show."""

    def __init__(self, scene: Scene, rng: np.random.Generator) -> None:
        self._scene = scene
        first = _Drawn(scene.paths.states[0].astype(np.int64), rng)
        first.sessions(first.count(p.LEAD_EARLIER_SESSIONS, np.ones(scene.leads.count)))
        self._at_first_contact = first.log_likelihood
        touched = _Drawn(scene.paths.states[0].astype(np.int64), rng)
        is_touched = (scene.working_step < NEVER).astype(np.int64)
        touched.happens(p.LEAD_REACHED, is_touched)
        self._at_first_touch = touched.log_likelihood
        by_mail = np.flatnonzero(is_touched * rng.integers(0, 2, len(is_touched)))
        self._mails = [_Mails.draw(scene, by_mail, _AT_START, scene.working_at[by_mail], rng, is_letter=True)]
        self._at_once = []
        for step in range(p.LEAD_DAYS):
            drawn, letters = _of_step(scene, step, rng)
            self._at_once.append(drawn.log_likelihood.astype(np.float32))
            self._mails.append(_sent(scene, step, letters, rng))

    def at_start(self, as_of: Any, *, at_once: bool) -> Any:
        """Log-likelihood by state at first contact, of what shows of it by `as_of`; shape (n, 4)."""
        known = (self._scene.working_at < as_of)[:, None]
        touched = self._at_first_touch + self._mails[0].log_likelihood(as_of, at_once=at_once)
        return self._at_first_contact + np.where(known, touched, 0.0)

    def of_step(self, step: int, as_of: Any, *, at_once: bool) -> Any:
        """Log-likelihood by state in a step that is over at `as_of`, shape (n, 4)."""
        return self._at_once[step] + self._mails[step + 1].log_likelihood(as_of, at_once=at_once)


@dataclass(frozen=True)
class _Mails:
    """The mails of one step, newsletters or a rep's letters, and when they are answered; NEVER where they are not."""

    leads: int
    lead: Any
    sent: Any
    is_letter: Any
    opened_at: Any
    is_clicked: Any
    replied_at: Any

    @classmethod
    def draw(cls, scene: Scene, lead: Any, step: int, sent: Any, rng: np.random.Generator, *, is_letter: Any) -> _Mails:
        """What becomes of mails to `lead`, each in the state of the step."""
        state = np.maximum(scene.paths.states[max(step, 0), lead], 0).astype(np.int64)
        is_letter, n = np.broadcast_to(is_letter, len(lead)), len(lead)
        is_opened = rng.random(n) < _opened(is_letter)[np.arange(n), state]
        is_clicked = is_opened & (rng.random(n) < p.MAIL_CLICKED[state])
        is_replied = is_letter & (rng.random(n) < p.LEAD_REPLY[state])
        opened, replied = (
            sent + (rng.lognormal(*hours, n) * HOUR).astype(np.int64) for hours in (p.OPENED_HOURS, p.REPLY_HOURS)
        )
        return cls(
            scene.leads.count,
            lead,
            sent,
            is_letter,
            np.where(is_opened, opened, NEVER),
            is_clicked,
            np.where(is_replied, replied, NEVER),
        )

    def log_likelihood(self, as_of: Any, *, at_once: bool) -> Any:
        """What the answers say by state of their leads, shape (n, 4)."""
        found = np.zeros((self.leads, 4))
        as_of = as_of[self.lead]
        opened = _answer(self.opened_at, self.sent, as_of, _opened(self.is_letter), p.OPENED_HOURS, at_once=at_once)
        is_open = self.opened_at < NEVER if at_once else self.opened_at <= as_of
        clicked = np.where(self.is_clicked[:, None], np.log(p.MAIL_CLICKED), np.log1p(-p.MAIL_CLICKED))
        replied = _answer(self.replied_at, self.sent, as_of, p.LEAD_REPLY, p.REPLY_HOURS, at_once=at_once)
        says = opened + np.where(is_open[:, None], clicked, 0.0) + np.where(self.is_letter[:, None], replied, 0.0)
        np.add.at(found, self.lead, says)
        return found


def _opened(is_letter: Any) -> Any:
    return np.where(is_letter[:, None], p.LETTER_OPENED, p.NEWSLETTER_OPENED)


def _answer(at: Any, sent: Any, as_of: Any, chance: Any, hours: tuple[float, float], *, at_once: bool) -> Any:
    """Log-likelihood by state of an answer that has come by `as_of`, or of none until then."""
    from scipy.special import ndtr

    if at_once:
        return np.where((at < NEVER)[:, None], np.log(chance), np.log1p(-chance))
    waited = np.maximum(as_of - sent, 1) / HOUR
    by_then = ndtr((np.log(waited) - hours[0]) / hours[1])[:, None]
    return np.where((at <= as_of)[:, None], np.log(chance), np.log1p(-chance * by_then))


class _Drawn:
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


def _of_step(scene: Scene, step: int, rng: np.random.Generator) -> tuple[_Drawn, Any]:
    """The signs of one step that show at once, of leads whose chain has ended too, which nobody asks for; letters."""
    begins = scene.leads.created + step * DAY
    signs = _Drawn(np.maximum(scene.paths.states[step], 0).astype(np.int64), rng)
    signs.sessions(signs.count(p.LEAD_SESSIONS, p.WEEKDAY_BEHAVIOUR[weekday(begins)]))
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
    _qualified(scene, step, begins, signs)
    return signs, outbound[:, _EMAIL]


def _sent(scene: Scene, step: int, letters: Any, rng: np.random.Generator) -> _Mails:
    """The newsletters and the letters of a step."""
    begins = scene.leads.created + step * DAY
    later = (monday(begins) + p.NEWSLETTER_DAY * DAY + int(p.NEWSLETTER_HOUR * HOUR) - begins) % (7 * DAY)
    news = np.flatnonzero(later < DAY)
    written = np.repeat(np.arange(scene.leads.count), letters)
    at = place_within_day(rng.random((len(written), 2)), begins[written])
    lead, sent = np.concatenate([news, written]), np.concatenate([begins[news] + later[news], at])
    return _Mails.draw(scene, lead, step, sent, rng, is_letter=np.arange(len(lead)) >= len(news))


def _qualified(scene: Scene, step: int, begins: Any, signs: _Drawn) -> None:
    """Whether a rep marked the lead as qualified in this step, after the first touch: only the first time shows."""
    now, before = scene.qualified_step == step, scene.qualified_step < step
    waits = (scene.working_step < step).astype(np.float64)
    touched = np.flatnonzero(scene.working_step == step)
    for moment in range(_MOMENTS):
        tried = place_within_day(np.full((len(touched), 2), (moment + 0.5) / _MOMENTS), begins[touched])
        waits[touched] += (tried > scene.working_at[touched]) / _MOMENTS
    signs.log_likelihood += np.where((now | before)[:, None], 0.0, -p.LEAD_QUALIFY * waits[:, None])
    signs.log_likelihood += np.where(now[:, None], np.log(-np.expm1(-p.LEAD_QUALIFY)), 0.0)
