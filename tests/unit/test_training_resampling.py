"""Replicates of sums: the plain bootstrap's, whatever the number of rows."""

from __future__ import annotations

import numpy as np
import pytest

from training.evaluation import FIGURES, evaluate, figure_replicates, rank_scores
from training.resampling import interval, resample


def test_sums_equal_a_plain_loop_over_drawn_leads() -> None:
    entity = np.array(["a", "b", "a", "c", "b"], dtype=object)
    values, cell = np.array([1.0, 2.0, 4.0, 8.0, 16.0]), np.array([0, 1, 1, 0, 1])
    drawn = resample(entity, replicates=20, seed=3)
    sums = drawn.sums(values, cell=cell, cells=2)
    for replicate in range(20):
        times = {name: drawn.weights[place, replicate] for place, name in enumerate("abc")}
        for index in range(2):
            loop = sum(times[who] * v for who, v, c in zip(entity, values, cell, strict=True) if c == index)
            assert sums[index, replicate] == pytest.approx(loop)
    assert (drawn.weights.sum(axis=0) == 3).all()


def test_every_replicate_of_every_figure_is_the_figure_of_the_drawn_rows() -> None:
    generator = np.random.default_rng(1)
    entity = generator.integers(0, 60, 200).astype(str)
    probability = generator.integers(1, 20, 200) / 20
    label = (generator.random(200) < probability).astype(float)
    drawn = resample(entity, replicates=15, seed=2)
    rows = drawn.weights[drawn.group]
    found = figure_replicates(label, probability, drawn)
    for name in ("auc", "pr_auc", "top_decile_lift", "log_loss", "brier"):
        assert found[name] == pytest.approx(FIGURES[name](label, probability, rows)), name


def test_many_scores_and_leads_give_nearly_the_plain_interval() -> None:
    generator = np.random.default_rng(3)
    probability = generator.beta(1, 5, 6_000)
    label = (generator.random(6_000) < probability).astype(float)
    entity = generator.integers(0, 3_000, 6_000)
    quick = evaluate(label, probability, entity=entity, seed=1, replicates=300)
    plain = resample(entity, replicates=300, seed=1, max_groups=10_000)
    for name in ("auc", "log_loss", "top_decile_lift"):
        ends = interval(FIGURES[name](label, probability, plain.weights[plain.group]))
        assert ends is not None
        metric = quick[name]
        assert metric.low is not None
        assert metric.high is not None
        assert metric.high - metric.low == pytest.approx(ends[1] - ends[0], rel=0.2), name


def test_ranks_put_equal_scores_together_and_bins_hold_equally_many() -> None:
    position, count = rank_scores(np.array([0.3, 0.1, 0.3, 0.2]))
    assert (position.tolist(), count) == ([2, 0, 2, 1], 3)
    position, count = rank_scores(np.arange(1_000) / 1_000, most=10)
    assert count == 10
    assert (np.bincount(position) == 100).all()


def test_nothing_to_draw_gives_no_interval() -> None:
    assert interval(np.array([np.nan, np.inf])) is None
    assert resample(np.empty(0, dtype=object), replicates=5, seed=1).mean_interval(np.empty(0)) is None
