"""What each open deal is expected to bring, by the forecast's own arithmetic: every deal is laid out as a rep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np

from training.forecast.draws import Gathered, Layout, Shocks
from training.forecast.frame import Cents
from training.forecast.learning import Learned
from training.forecast.levers import NAMES
from training.forecast.parts import add_open

_AT_ONCE = 2_000
"""Deals laid out together: the parts keep a table of months by months for each row."""


def deal_values(learned: Learned, months: Sequence[int]) -> tuple[list[str], Cents]:
    """Expected cents of each open deal by month.

    Args:
        learned: What was learned at the moment.
        months: Numbers of the forecast's months.

    Returns:
        Ids of the open deals, and cents, shape (n_deals, n_months).
    """
    names = learned.deals["opportunity_id"].tolist()
    parts = [
        _values(_of_deals(learned, slice(start, start + _AT_ONCE)), months) for start in range(0, len(names), _AT_ONCE)
    ]
    return names, np.vstack(parts) if parts else np.zeros((0, len(months)), dtype=np.int64)


def _of_deals(learned: Learned, chosen: slice) -> Learned:
    deals = learned.deals.iloc[chosen].reset_index(drop=True)
    return replace(learned, deals=deals.assign(rep_id=deals["opportunity_id"]), chances=learned.chances[chosen])


def _values(learned: Learned, months: Sequence[int]) -> Cents:
    layout = Layout(
        rep_ids=tuple(learned.deals["opportunity_id"]),
        months=tuple(months),
        month=learned.month,
        n_paths=1,
        key=(0,),
    )
    neutral = {name: np.ones(layout.shape[0]) for name in NAMES}
    part = add_open(layout, Gathered(layout), learned, shocks=_no_luck(layout), levers=neutral)
    return sum(part.by_stage.values(), np.zeros(layout.shape, dtype=np.int64))


def _no_luck(layout: Layout) -> Shocks:
    shared = np.ones((1, len(layout.months) - layout.now))
    return Shocks(
        **{one.name: np.ones((1, layout.shape[0])) if one.name == "rep" else shared for one in fields(Shocks)}
    )
