"""What the oracle's ability rests on: hidden things that move a simulated deal, and what is left without them.

For each set of hidden things that somebody would not know, trees learn the true probability from all the others, on
the older rows of the world itself; on the newer rows their AUC is compared with the oracle's. A deal's own noise is
never written down anywhere: nobody who reads a CRM can come nearer than the row that lacks it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from warehouse.simulator import SimulationConfig
from warehouse.simulator import parameters as p
from warehouse.simulator.deals import STALLED, WON
from warehouse.simulator.moments import DAY
from warehouse.simulator.pursuit import closed_at
from warehouse.simulator.world import _live, _Shared

_NEWEST = 0.25
_HORIZON = p.DEAL_HORIZON_DAYS * DAY
_BASE = ("stage", "profile", "product", "speed", "skill", "lead", "competitor", "rival", "mode", "noise")
_PATH = ("age", "weeks in stage", "season", "quarter")
UNKNOWN: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "all hidden things known": ((), ()),
    "but the deal's own noise": (("noise",), ()),
    "noise, the lead's quality": (("noise", "lead"), ()),
    "noise, rep's skill": (("noise", "skill"), ()),
    "noise, who competes (unless named)": (("noise", "competitor", "rival", "mode"), ("stalled", "named")),
    "noise, who competes, momentum": (("noise", "competitor", "rival", "mode"), ("named",)),
    "noise, who competes, rep's skill, lead": (
        ("noise", "competitor", "rival", "mode", "skill", "lead"),
        ("stalled", "named"),
    ),
}
"""What is not known, and what stands in its place."""


def show_latent(config: SimulationConfig) -> None:
    """Print the share of the oracle's AUC that is left, by stage."""
    import lightgbm

    from training.evaluation import auc

    columns, truth, label, stage, as_of = _rows(config)
    is_new = as_of >= np.quantile(as_of, 1.0 - _NEWEST)

    def area(said: np.ndarray, rows: np.ndarray) -> float:
        return float(auc(label[rows], said[rows], np.ones((int(rows.sum()), 1)))[0])

    groups = [is_new & (stage == number) for number in range(len(p.STAGES))] + [is_new]
    print(f"\nwhat the oracle's AUC rests on: share left where the following is not known "
          f"({int(is_new.sum()):,} newest rows)")  # fmt: skip
    print(f"{'':<42}" + "".join(f"{name:>15}" for name in (*p.STAGES, "all")))
    print(f"{'oracle':<42}" + "".join(f"{area(truth, rows):>15.3f}" for rows in groups))
    for words, (unknown, instead) in UNKNOWN.items():
        names = [name for name in (*_BASE, *_PATH) if name not in unknown] + list(instead)
        matrix = np.column_stack([columns[name] for name in names])
        params = {"objective": "regression", "learning_rate": 0.1, "num_leaves": 63, "min_data_in_leaf": 50,
                  "num_threads": 2, "verbosity": -1, "seed": 1}  # fmt: skip
        odds = np.log(np.clip(truth, 1e-6, 1.0)) - np.log(np.clip(1.0 - truth, 1e-6, 1.0))
        model = lightgbm.train(params, lightgbm.Dataset(matrix[~is_new], odds[~is_new]), 250)
        said = np.asarray(model.predict(matrix))
        print(f"{words:<42}" + "".join(f"{area(said, rows) / area(truth, rows):>15.3f}" for rows in groups))


def _rows(config: SimulationConfig) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Hidden things, truth, outcome, stage and moment of every Monday snapshot that was watched for the horizon."""
    shared = _Shared.of(config)
    parts = [_cell(shared, cell) for cell in config.cells()]
    columns = {name: np.concatenate([part[0][name] for part in parts]) for name in parts[0][0]}
    truth, label, stage, as_of = (np.concatenate([part[k] for part in parts]) for k in (1, 2, 3, 4))
    return columns, truth, label, stage, as_of


def _cell(shared: Any, cell: Any) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    people = _live(shared, cell, lambda _step: None)
    truth, history, deals = people.truth, people.history, people.deals
    rows = np.flatnonzero(~history.is_opening & (truth.as_of + _HORIZON < shared.calendar.end))
    deal, as_of, mode = history.deal[rows], truth.as_of[rows], history.mode[rows]
    closed, ended = closed_at(deals, history)
    skill, lead = p.DEAL_SKILL * shared.reps.skill[deals.rep[deal]], p.DEAL_LEAD_QUALITY * deals.lead_quality[deal]
    competitor, noise = p.COMPETITOR_EFFECT[deals.competitor[deal]], deals.noise[deal]
    product = np.array([each[5] for each in p.PRODUCTS])[deals.product[deal]]
    named = np.r_[0, history.competitor[:-1]][rows]
    columns = {
        "stage": truth.stage[rows],
        "mode": mode,
        "stalled": mode % 2 == STALLED,
        "profile": deals.quality[deal] - competitor - noise - skill - lead - product,
        "product": product,
        "speed": deals.speed[deal],
        "skill": skill,
        "lead": lead,
        "competitor": competitor,
        "rival": p.COMPETITOR_EFFECT[deals.rival[deal]],
        "noise": noise,
        "named": named,
        "age": (as_of - deals.opened[deal]) / DAY,
        "weeks in stage": _weeks_in_stage(history.deal, history.after)[rows],
        "season": history.week[rows] % 52,
        "quarter": history.week[rows] % 13,
    }
    label = ((ended[deal] == WON) & (closed[deal] <= as_of + _HORIZON)).astype(float)
    return columns, truth.within_horizon()[rows], label, truth.stage[rows], as_of


def _weeks_in_stage(deal: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Weeks that each row's deal has been in its stage when the row's step begins."""
    place = np.arange(len(deal))
    begins = np.r_[True, (deal[1:] != deal[:-1]) | (after[1:] != after[:-1])]
    since: Sequence[int] = np.maximum.accumulate(np.where(begins, place, 0))
    return np.r_[0, (place - since)[:-1] + 1]
