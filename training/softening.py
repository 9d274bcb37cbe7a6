"""Labels with less luck in them: what came, and what was to be expected given what the thing did afterwards.

Whether a lead converts is one draw from what it was worth; what it did in the meantime tells of that worth, too. So a
regression reads features and hindsight together, each row answered by one that had not seen the row's entity, and the
models learn from its answers, which lie nearer to the truth than single outcomes do. It is the Rao-Blackwell theorem at
work where hindsight holds what the features and the outcome have in common (a surrogate, Prentice 1989), and learning
with privileged information (Vapnik and Vashist 2009; as distillation, Lopez-Paz et al. 2016). Where hindsight gives the
outcome away the answers are the outcomes, and nothing is lost.

What judges, calibrates and tests is what came: docs/adr/0046.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from training.choosing import PLAINEST
from training.fit_rows import cross_fitted
from training.models import FitData
from training.search import FIRST_TRIALS, Candidate
from training.splits import Entities
from training.winner import Winner

Vector = NDArray[np.float64]

EXPECTED_SHARE = 0.75
"""Share of a label that is what was to be expected; the rest is what came, in case the regression misses something."""


_FIRST = next(trial for trial in FIRST_TRIALS if trial["library"] == PLAINEST)
_REGRESSION = Candidate(
    kind=PLAINEST,
    params={name.split("_", 1)[1]: value for name, value in _FIRST.items() if name != "library"},
    rounds=0,
    log_loss=float("nan"),
)


def soften(data: FitData, hindsight: Vector | None, *, entity: Entities, threads: int, seed: int) -> FitData:
    """The rows with softened labels; as they are where there is no hindsight. Rows that judge keep theirs.

    Args:
        data: Rows to fit on, their labels 0 or 1.
        hindsight: What the rows' things did afterwards, shape (n_rows, n_kinds); None where nothing is known.
        entity: Entity of each row.
        threads: Threads of the fits.
        seed: Seed of the fits and of the folds.
    """
    if hindsight is None or not hindsight.shape[1]:
        return data
    both = replace(
        data,
        matrix=np.hstack([data.matrix, hindsight]),
        monotone=[*data.monotone, *(0 for _ in range(hindsight.shape[1]))] if len(data.monotone) else (),
        stop_matrix=None,
        stop_label=None,
    )
    margin = cross_fitted(Winner(parts=(_REGRESSION,)), both, entity=entity, threads=threads, seed=seed)
    expected = 1.0 / (1.0 + np.exp(-margin))
    return replace(data, label=(1.0 - EXPECTED_SHARE) * data.label + EXPECTED_SHARE * expected)
