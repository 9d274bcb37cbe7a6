"""The forecast from deals: closed so far, open deals, business not yet created, renewals; as sample paths per rep.

Everything is learned from what was known at `at`, from nothing else: see `history.PipelineHistory`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from training.forecast.draws import Gathered, Layout, draw_shocks
from training.forecast.frame import BottomForecast, Cents, to_cents
from training.forecast.history import PipelineHistory
from training.forecast.learning import Learned, WinProbabilities, learn_pipeline
from training.forecast.levers import Levers
from training.forecast.parts import add_new, add_open, add_renewals
from training.forecast.periods import Period
from training.forecast.pipeline_baselines import pipeline_baselines
from training.forecast.tree import Tree, build_tree

NEUTRAL = Levers()


@dataclass(frozen=True)
class PipelineForecast:
    """A forecast at one moment and what it was made of.

    Args:
        bottom: Components, paths and baselines per rep and month.
        details: What was learned, as JSON values.
    """

    bottom: BottomForecast
    details: dict[str, Any]


def forecast_pipeline(
    history: PipelineHistory,
    *,
    at: datetime,
    months: Sequence[int],
    season_length: int,
    n_paths: int,
    seed: int,
    win_probabilities: WinProbabilities | None = None,
    levers: Levers = NEUTRAL,
    learned: Learned | None = None,
) -> PipelineForecast:
    """Forecast booked revenue per rep and month from what was known at `at`.

    Args:
        history: The canonical tables as they were known.
        at: The moment, UTC.
        months: Numbers of consecutive months, from the January of the moment's year (or earlier) to the horizon's end.
        season_length: Months of a season of deal creation.
        n_paths: Sample paths.
        seed: Seed; the same seed, moment and history give the same forecast, bit for bit.
        win_probabilities: The deal model's; without them `origin_model` speaks.
        levers: Factors of a scenario; they act on what is drawn, so that everything still adds up, and the luck drawn
            is the same whatever they are.
        learned: What `learning.learn_pipeline` learned at the same moment with the same options, if it is at hand:
            several scenarios need to learn once only.

    Raises:
        TooLittleDataError: if there are too few decided deals or months known at `at`.
    """
    if learned is None:
        learned = learn_pipeline(
            history, at=at, season_length=season_length, seed=seed, win_probabilities=win_probabilities
        )
    layout = Layout(
        rep_ids=tuple(learned.reps["rep_id"]),
        months=tuple(months),
        month=learned.month,
        n_paths=n_paths,
        key=(seed, int(at.timestamp())),
    )
    turned = levers.by_rep(learned.reps)
    shocks = draw_shocks(layout, learned)
    gathered = Gathered(layout)
    opened = add_open(layout, gathered, learned, shocks=shocks, levers=turned)
    created = add_new(layout, gathered, learned, shocks=shocks, levers=turned)
    due = add_renewals(layout, gathered, learned.renewals, shocks=shocks)
    none = np.zeros(layout.shape, dtype=np.int64)
    tree = build_tree(learned.reps, history.teams(at), months=months)
    baselines = pipeline_baselines(
        history, layout.rep_ids, at=at, months=months, renewals=due, rates=learned.stage_rates
    )
    bottom = BottomForecast(
        hierarchy=tree.hierarchy,
        base=tuple(Period(number, 1) for number in months),
        components={
            "closed": tree.spread(to_cents(layout.closed(history.transactions(at)))),
            "open": tree.spread(sum(opened.by_stage.values(), none)),
            "new": tree.spread(to_cents(created)),
            "renewal": tree.spread(to_cents(due)),
        },
        paths=tree.spread(gathered.paths()),
        baselines={name: tree.spread(values) for name, values in baselines.items()},
        stages={stage: tree.spread(cents) for stage, cents in opened.by_stage.items()},
        moves=_spread_moves(tree, opened.moves),
        origin_month=learned.month,
    )
    return PipelineForecast(bottom, learned.details())


def _spread_moves(tree: Tree, moves: Cents) -> Cents:
    """Moves by due month and month of the win, laid out by entity: the month of the win decides."""
    by_due = np.moveaxis(moves, 1, 0)
    return np.moveaxis(tree.spread(by_due), 0, 1)
