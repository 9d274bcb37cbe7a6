"""The leads' hidden chain as a reader runs it forward: beliefs about quality and state, step by step (Rabiner 1989)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from lead_signs import Scene

from warehouse.simulator import parameters as p
from warehouse.simulator.leads import lead_rates
from warehouse.simulator.moments import DAY
from warehouse.simulator.truth import lead_values

_MOST_CONVERT = 0.6


class Chain:
    """Some leads with the values that their qualities might have; beliefs are of shape (n, nodes, 4)."""

    def __init__(self, scene: Scene, who: Any, quality: Any) -> None:
        """Take the leads `who`, shape (n,), with qualities of shape (n, nodes)."""
        self._scene, self._who = scene, who
        self._by_node = []
        for values in quality.T:
            whole = np.zeros(scene.leads.count)
            whole[who] = values
            self._by_node.append(replace(scene.leads, quality=whole))
        rates = [lead_rates(leads, who) for leads in self._by_node]
        self._convert, self._disqualify, self._up, self._down = (
            np.stack([vars(rate)[name] for rate in rates], axis=1) for name in ("convert", "disqualify", "up", "down")
        )
        calendar = scene.calendar
        self._factor = calendar.conversion_by_day((calendar.end - calendar.start) // DAY + p.LEAD_DAYS + 2)
        self._first_day = scene.leads.first_day(calendar)[who]
        tilted = p.LEAD_START * np.exp(p.LEAD_START_TILT * quality[:, :, None] * np.arange(4))
        self.start = tilted / tilted.sum(axis=2, keepdims=True)

    def converted(self, step: int) -> Any:
        """The chance of converting in a step."""
        factor = self._factor[self._first_day + step][:, None, None]
        return np.minimum(self._convert * factor, _MOST_CONVERT)

    @property
    def disqualified(self) -> Any:
        """The chance of being disqualified in a step."""
        return self._disqualify

    def stepped(self, belief: Any, step: int) -> Any:
        """What a belief, not yet of sum 1, has become when the step is over and the lead is still open."""
        belief = belief * np.maximum(1.0 - self.converted(step) - self._disqualify, 0.0)
        moved = belief * (1.0 - self._up - self._down)
        moved[..., 1:] += (belief * self._up)[..., :-1]
        moved[..., :-1] += (belief * self._down)[..., 1:]
        return moved

    def will_convert(self, belief: Any, days: int) -> Any:
        """P(converts in the 90 days after day `days`) by a belief of sum 1, shape (n,)."""
        chance, offset = np.zeros(len(self._who)), np.full(len(self._who), days)
        for node, leads in enumerate(self._by_node):
            chance += (belief[:, node] * lead_values(self._scene.calendar, leads, self._who, offset)).sum(axis=1)
        return chance


def seen(belief: Any, log_likelihood: Any) -> tuple[Any, Any]:
    """The belief after signs of a log-likelihood by state, shape (n, 4), and the logarithm of their probability."""
    most = log_likelihood.max(axis=1)
    weighed = belief * np.exp(log_likelihood - most[:, None])[:, None, :]
    total = weighed.sum(axis=(1, 2))
    return weighed / total[:, None, None], np.log(total) + most
