"""Cross-fitted answers by period: what a regression is spared, and that no deal is told of by a model that saw it."""

from __future__ import annotations

import numpy as np
import pytest
from deals_toy import toy_deals, toy_entries

from training.blend import blend_of
from training.deals.crossing import by_period, cross_fitted, levelled
from training.deals.periods import N_PERIODS, every_period
from training.deals.pieces import MAX_FIT_ROWS, Snapshots
from training.encoding import encode_columns
from training.models import Model
from training.search import FIRST_TRIALS, Candidate, fit_candidate
from training.winner import Winner


def candidate(kind: str) -> Candidate:
    first = next(each for each in FIRST_TRIALS if each["library"] == kind)
    params = {name.split("_", 1)[1]: value for name, value in first.items() if name != "library"}
    return Candidate(kind=first["library"], params=params, rounds=30, log_loss=0.6)


@pytest.fixture(scope="module")
def snapshots() -> Snapshots:
    toy = toy_deals(900, seed=5)
    entries = toy_entries(toy)
    matrix = encode_columns(toy.columns, entries)
    return Snapshots(matrix=matrix, outcomes=toy.outcomes, as_of=toy.as_of, entity=toy.entity, entries=entries)


def fitted(snapshots: Snapshots, kind: str) -> Model:
    part = candidate(kind)
    data = snapshots.pieces(seed=1)["closing"].data
    return fit_candidate(part.kind, part.params, data, rounds=part.rounds, threads=1, seed=1)


def test_a_regression_is_asked_once_per_snapshot_and_says_the_same(snapshots: Snapshots) -> None:
    trees, line = fitted(snapshots, "lightgbm"), fitted(snapshots, "linear")
    blend = blend_of([trees, line], [0.6, 0.3], 0.1)
    for model in (trees, line, blend):
        plain = model.margin(every_period(snapshots.matrix), threads=1).reshape(-1, N_PERIODS)
        found = by_period(model, snapshots.matrix, threads=1)
        assert np.allclose(found, plain, rtol=0.0, atol=1e-9)
        assert np.ptp(found, axis=1).max() > 0.1
        assert by_period(model, snapshots.matrix[:0], threads=1).shape == (0, N_PERIODS)


def test_a_deal_is_told_of_by_models_that_had_not_seen_it(snapshots: Snapshots) -> None:
    """A model fits the deals it has seen better than those it has not."""
    winner = Winner(parts=(candidate("lightgbm"),))
    piece = snapshots.pieces(seed=1)["winning"]
    margin = cross_fitted(winner, piece, snapshots.matrix, snapshots.entity, threads=1, seed=1)
    own = winner.fit(piece.data, threads=1, seed=1)
    seen = by_period(own, snapshots.matrix, threads=1)

    def loss(said: np.ndarray) -> float:
        odds = said[piece.periods.row, piece.periods.period]
        return float((np.logaddexp(0.0, odds) - piece.data.label * odds).mean())

    assert loss(seen) < loss(margin)
    level = levelled(piece, margin)
    rows = piece.periods
    assert level.probability[rows.row, rows.period].mean() == pytest.approx(piece.data.label.mean(), abs=0.02)


def test_the_rows_of_ends_can_be_fewer_and_those_of_wins_stay(snapshots: Snapshots) -> None:
    whole, few = snapshots.pieces(seed=1), snapshots.pieces(seed=1, closing_rows=500)
    assert len(few["closing"].data.label) == 500 < len(whole["closing"].data.label) <= MAX_FIT_ROWS
    assert np.array_equal(few["winning"].data.label, whole["winning"].data.label)
    for data in whole["closing"].origins():
        assert data.stop_label is not None
