"""What earlier leads tell of the reps' skills and the campaigns' effects, as known at a moment.

Both enter a lead's quality as summands, so all that its signs and its outcome tell of them is their likelihood as a
function of that sum. It is taken as a parabola in the logarithm (its slope and bend at 0 by differences), whose sums
over a rep's or a campaign's hundreds of leads with the normal priors of both give one normal distribution of all
effects (Laplace's approximation). It is as of the end of the day that is asked for, and leaves the lead itself out.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from lead_chain import Chain, seen
from lead_quality import campaign_effect, profile_effect, quality_nodes
from lead_signs import Scene, Signs

from warehouse.simulator import parameters as p
from warehouse.simulator.leads import CONVERTED
from warehouse.simulator.moments import DAY, NEVER

_APART = 0.25
"""Distance of the places at which the likelihood is looked at: about one standard deviation of an effect."""
_NODES = 5


class Effects:
    """Skills, and effects of campaigns where they too have to be learned."""

    def __init__(self, scene: Scene, signs: Signs, gaps: Any, *, of_campaigns: bool) -> None:
        self._created, self._rep = scene.leads.created, scene.leads.rep
        self._campaign = scene.leads.campaign if of_campaigns else np.full(scene.leads.count, -1)
        self._reps = scene.reps.count
        prior = [np.full(self._reps, (p.LEAD_SKILL * p.SKILL_SD) ** -2.0)]
        if of_campaigns:
            prior.append(np.full(len(scene.campaigns.effect), p.CAMPAIGN_EFFECT_SD**-2.0))
        self._prior = np.concatenate(prior)
        self.known = profile_effect(scene, gaps) + (0.0 if of_campaigns else campaign_effect(scene))
        before, at, after = (
            _evidence(scene, signs, *quality_nodes(self.known + shift, gaps, _spread(scene), nodes=_NODES))
            for shift in (-_APART, 0.0, _APART)
        )
        self._slope, self._bend = (after - before) / (2.0 * _APART), -(after - 2.0 * at + before) / _APART**2
        self._as_of_day = cache(self._learned)

    def of(self, who: Any, as_of: Any) -> tuple[Any, Any]:
        """Mean and variance of the sum of the effects on leads at moments, from all leads but the one; shapes (n,)."""
        mean, variance = np.empty(len(who)), np.empty(len(who))
        day = as_of // DAY
        for one in np.unique(day):
            rows = np.flatnonzero(day == one)
            lead = who[rows]
            mean[rows], variance[rows] = self._without(lead, *self._as_of_day(int(one)))
        return mean, variance

    def _without(self, lead: Any, means: Any, covariance: Any, slope: Any, bend: Any) -> tuple[Any, Any]:
        """The sum's mean and variance, less what the lead itself told (Sherman and Morrison 1950)."""
        rep, campaign = self._rep[lead], self._campaign[lead]
        has, second = campaign >= 0, self._reps + np.maximum(campaign, 0)
        second = np.where(has, second, 0)
        mean = means[rep] + np.where(has, means[second], 0.0)
        both = 2.0 * covariance[rep, second] + covariance[second, second]
        variance = covariance[rep, rep] + np.where(has, both, 0.0)
        left = 1.0 - bend[lead] * variance
        return (mean - variance * slope[lead]) / left, variance / left

    def _learned(self, day: int) -> tuple[Any, Any, Any, Any]:
        """Means and covariance of all effects at the end of a day, and what each lead told until then."""
        passed = np.clip(-((self._created - (day + 1) * DAY) // DAY), 0, p.LEAD_DAYS)
        is_there = self._created < (day + 1) * DAY
        every = np.arange(len(self._created))
        slope, bend = (np.where(is_there, told[passed, every], 0.0) for told in (self._slope, self._bend))
        count = len(self._prior)
        towards, precision = np.zeros(count), np.diag(self._prior)
        with_campaign = np.flatnonzero(self._campaign >= 0)
        second = self._reps + self._campaign[with_campaign]
        np.add.at(towards, self._rep, slope)
        np.add.at(precision, (self._rep, self._rep), bend)
        np.add.at(towards, second, slope[with_campaign])
        np.add.at(precision, (second, second), bend[with_campaign])
        np.add.at(precision, (self._rep[with_campaign], second), bend[with_campaign])
        np.add.at(precision, (second, self._rep[with_campaign]), bend[with_campaign])
        covariance = np.linalg.inv(precision)
        return covariance @ towards, covariance, slope, bend


def _spread(scene: Scene) -> Any:
    return np.full(scene.leads.count, p.LEAD_LATENT_SD)


def _evidence(scene: Scene, signs: Signs, quality: Any, weights: Any) -> Any:
    """Logarithm of the probability of all signs and of the outcome after each number of steps, (steps + 1, n)."""
    every = np.arange(scene.leads.count)
    chain = Chain(scene, every, quality)
    whenever = np.full(scene.leads.count, NEVER)
    belief, told = seen(weights[:, :, None] * chain.start, signs.at_start(whenever, at_once=True))
    found = np.empty((p.LEAD_DAYS + 1, scene.leads.count), np.float32)
    found[0] = told
    is_won = (scene.paths.outcome == CONVERTED)[:, None, None]
    for step in range(p.LEAD_DAYS):
        belief, said = seen(belief, signs.of_step(step, whenever, at_once=True))
        ends = scene.outcome_step == step
        ended = belief * np.where(is_won, chain.converted(step), chain.disqualified)
        belief = np.where(ends[:, None, None], ended, chain.stepped(belief, step))
        total = belief.sum(axis=(1, 2))
        told = told + np.where(scene.outcome_step >= step, said + np.log(total), 0.0)
        belief = belief / total[:, None, None]
        found[step + 1] = told
    return found
