"""Figures against the textbook's formulas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as textbook

from training.evaluation import FIGURES, draw_weights, evaluate

ROWS = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.05, 0.1, 0.2, 0.35, 0.5, 0.8, 0.9])), min_size=12, max_size=80
).filter(lambda rows: len({row[0] for row in rows}) == 2)


def unpack(rows: list[tuple[bool, float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([float(row[0]) for row in rows]), np.array([row[1] for row in rows])


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_ranking_and_proper_scores_equal_the_library_with_ties(rows: list[tuple[bool, float]]) -> None:
    label, probability = unpack(rows)
    found = {name: figure(label, probability, np.ones((len(label), 1)))[0] for name, figure in FIGURES.items()}
    assert found["auc"] == pytest.approx(textbook.roc_auc_score(label, probability))
    assert found["pr_auc"] == pytest.approx(textbook.average_precision_score(label, probability))
    assert found["log_loss"] == pytest.approx(textbook.log_loss(label, probability))
    assert found["brier"] == pytest.approx(textbook.brier_score_loss(label, probability))


@settings(max_examples=30, deadline=None)
@given(ROWS, st.integers(0, 1000))
def test_weights_count_like_repeated_rows(rows: list[tuple[bool, float]], seed: int) -> None:
    label, probability = unpack(rows)
    weights = np.random.default_rng(seed).integers(1, 4, len(label))
    again = np.repeat(np.arange(len(label)), weights)
    for name in ("auc", "pr_auc", "log_loss", "brier", "top_decile_lift"):
        weighted = FIGURES[name](label, probability, weights[:, None].astype(float))[0]
        repeated = FIGURES[name](label[again], probability[again], np.ones((len(again), 1)))[0]
        assert weighted == pytest.approx(repeated), name


def test_lift_by_hand() -> None:
    # The tenth with the highest probability is 2 of 20 rows; both have the outcome, 5 of all do: 1.0 / 0.25.
    label = np.array([1.0, 1.0, 1.0, 1.0, 1.0] + [0.0] * 15)
    probability = np.linspace(0.9, 0.1, 20)
    assert FIGURES["top_decile_lift"](label, probability, np.ones((20, 1)))[0] == pytest.approx(4.0)


def test_lift_of_a_constant_is_one_whatever_the_order_of_rows() -> None:
    label = np.array([1.0] * 5 + [0.0] * 15)
    assert FIGURES["top_decile_lift"](label, np.full(20, 0.3), np.ones((20, 1)))[0] == pytest.approx(1.0)


def test_calibration_error_by_hand() -> None:
    # Two bins of five rows each carry two probabilities: |0.2 - 0.1| and |0.8 - 0.6|, half the rows each.
    label = np.array([0, 0, 0, 0, 1] * 2 + [1, 1, 1, 1, 0] * 2, dtype=float)
    probability = np.array([0.1] * 10 + [0.6] * 10)
    by_hand = [abs((label[i : i + 2] - probability[i : i + 2]).sum()) / 20 for i in range(0, 20, 2)]
    assert FIGURES["ece"](label, probability, np.ones((20, 1)))[0] == pytest.approx(sum(by_hand))


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(5)
    covered = 0
    for repeat in range(60):
        probability = generator.uniform(0.05, 0.6, 400)
        label = (generator.random(400) < probability).astype(float)
        truth = float((probability * (1 - probability)).mean())  # expected Brier score of the true probability
        brier = evaluate(label, probability, entity=np.arange(400).astype(str), seed=repeat, replicates=100)["brier"]
        assert brier.low is not None
        assert brier.high is not None
        covered += brier.low <= truth <= brier.high
    assert 50 <= covered <= 60


def test_rows_of_one_entity_are_drawn_together() -> None:
    weights = draw_weights(np.array(["a", "a", "b", "b", "b"], dtype=object), replicates=50, seed=1)
    assert (weights[0] == weights[1]).all()
    assert (weights[2] == weights[4]).all()
    assert ((weights[0] + weights[2]) == 2).all()


def test_entities_with_many_rows_widen_the_interval() -> None:
    generator = np.random.default_rng(0)
    entity = np.repeat(np.arange(60), 10).astype(str)
    probability = np.repeat(generator.uniform(0.1, 0.9, 60), 10)
    label = np.repeat((generator.random(60) < 0.5).astype(float), 10)
    clustered = evaluate(label, probability, entity=entity, seed=1)["log_loss"]
    alone = evaluate(label, probability, entity=np.arange(600).astype(str), seed=1)["log_loss"]
    assert clustered.low is not None
    assert clustered.high is not None
    assert alone.low is not None
    assert alone.high is not None
    assert clustered.high - clustered.low > 2 * (alone.high - alone.low)
