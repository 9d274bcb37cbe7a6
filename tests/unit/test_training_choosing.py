"""The rule of one standard error: luck on the slices is not taken for skill."""

from __future__ import annotations

import numpy as np
import pytest

from training.choosing import Tried, choose_candidates, is_surely_worse
from training.search import Candidate, Kind

STRETCHES = np.linspace(0.5, 1.5, 30)


def tried(
    kind: Kind, loss: float, *, noise: float = 0.0, seed: int = 1, is_first: bool = False, rounds: int = 9
) -> Tried:
    blocks = loss * STRETCHES / STRETCHES.sum()
    draw = np.random.default_rng(seed).normal(size=30)
    blocks = blocks + noise * (draw - draw.mean())
    candidate = Candidate(kind=kind, params={"seed": seed}, rounds=rounds, log_loss=float(blocks.sum()))
    return Tried(candidate=candidate, blocks=blocks, is_first=is_first)


def test_tuned_parameters_have_to_beat_the_first_ones_by_more_than_chance() -> None:
    first = tried("lightgbm", 0.300, is_first=True)
    lucky = tried("lightgbm", 0.299, noise=0.001, seed=2)
    better = tried("lightgbm", 0.280, noise=0.001, seed=3)
    assert choose_candidates([first, lucky]) == (first.candidate,)
    assert choose_candidates([first, lucky, better]) == (better.candidate,)


def test_of_tuned_ones_alone_the_best_is_taken() -> None:
    one, other = tried("xgboost", 0.31), tried("xgboost", 0.30, noise=0.01)
    assert choose_candidates([one, other]) == (other.candidate,)


def test_the_regression_leads_where_trees_are_not_surely_better() -> None:
    plain = tried("linear", 0.301, is_first=True, rounds=0)
    trees = tried("lightgbm", 0.300, noise=0.001, is_first=True)
    others = tried("xgboost", 0.305, is_first=True)
    assert choose_candidates([trees, others, plain]) == (plain.candidate, trees.candidate, others.candidate)
    surely = tried("lightgbm", 0.290, noise=0.001, is_first=True)
    assert choose_candidates([surely, others, plain]) == (surely.candidate, plain.candidate, others.candidate)


def test_the_same_difference_everywhere_is_sure_however_small() -> None:
    assert is_surely_worse(tried("linear", 0.3001), tried("lightgbm", 0.3))
    assert not is_surely_worse(tried("linear", 0.3), tried("linear", 0.3))


@pytest.mark.parametrize("blocks", [[0.3], []])
def test_without_stretches_to_compare_the_lower_loss_wins(blocks: list[float]) -> None:
    one = Tried(candidate=tried("linear", 0.4).candidate, blocks=np.array(blocks) + 0.1 if blocks else np.array(blocks))
    best = Tried(candidate=tried("lightgbm", 0.3).candidate, blocks=np.array(blocks))
    assert is_surely_worse(one, best) is bool(blocks)


def test_chance_alone_rarely_unseats_the_first_parameters() -> None:
    """Twenty trials that are no better: the least of their losses is nearly always below the first's."""
    kept = lower = 0
    first = tried("lightgbm", 0.3, is_first=True)
    for world in range(100):
        draws = np.random.default_rng(world).normal(0.0, 0.001, size=(20, 30))
        others = [
            Tried(
                candidate=Candidate(kind="lightgbm", params={"at": at}, rounds=9, log_loss=float(blocks.sum())),
                blocks=blocks,
            )
            for at, blocks in enumerate(first.blocks + draws)
        ]
        lower += min(each.candidate.log_loss for each in others) < first.candidate.log_loss
        kept += choose_candidates([first, *others]) == (first.candidate,)
    assert lower > 95
    assert kept > 75
