"""Bias notes: silent where nothing is wrong, loud where a segment is served worse, and no word where rows are few."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from training.calibration import sigmoid
from training.segment_bias import LEVEL, BiasNote, _area, bias_notes, figures_by_segment

KINDS = {"source": 6, "industry": 8, "size": 4, "region": 4}


def world(seed: int, *, shift: float = 0.0, rows: int = 3_000) -> tuple[np.ndarray, np.ndarray, dict, np.ndarray]:
    """Leads with about two rows and one outcome each; `shift` is added to the log-odds of source 0 behind our back."""
    generator = np.random.default_rng(seed)
    leads = rows // 2
    who = generator.integers(0, leads, rows)
    margin = -2.0 + generator.normal(0, 1, leads)
    segments = {
        kind: np.array([f"{kind} {i}" for i in generator.integers(0, count, leads)], dtype=object)[who]
        for kind, count in KINDS.items()
    }
    segments["month"] = np.array([f"month {i}" for i in generator.integers(0, 4, rows)], dtype=object)
    truth = sigmoid(margin[who] + np.where(segments["source"] == "source 0", shift, 0.0))
    label = (generator.random(leads)[who] < truth).astype(float)
    return label, sigmoid(margin[who]), segments, who.astype(str).astype(object)


def notes_of(made: tuple[np.ndarray, np.ndarray, dict, np.ndarray]) -> tuple[BiasNote, ...]:
    return bias_notes(*made[:3], entity=made[3])


def test_false_alarms_come_in_at_most_one_of_twenty_honest_worlds() -> None:
    alarms = sum(bool(notes_of(world(seed, rows=2_000))) for seed in range(200))
    assert alarms <= 10, f"{alarms} of 200 worlds, level {LEVEL}"


def test_a_planted_bias_is_named_with_its_size_and_direction() -> None:
    found = [notes_of(world(seed, shift=1.3))[0] for seed in range(10)]
    assert {(note.kind, note.segment, note.problem) for note in found} == {("source", "source 0", "under-predicted")}
    assert all(note.ours > note.rest + 0.05 for note in found)
    for note in notes_of(world(1, shift=1.3)):
        assert note.problem == "ranks worse" or abs(note.ours) >= abs(note.rest), "it is the rest that is off"
    lower = notes_of(world(1, shift=-1.5, rows=9_000))[0]
    assert (lower.segment, lower.problem) == ("source 0", "over-predicted")


def test_a_segment_that_is_ranked_by_chance_is_named() -> None:
    label, probability, segments, entity = world(5)
    chosen = segments["source"] == "source 1"
    shuffled = probability.copy()
    shuffled[chosen] = np.random.default_rng(0).permutation(probability[chosen])
    notes = bias_notes(label, shuffled, segments, entity=entity)
    assert ("source 1", "ranks worse") in {(note.segment, note.problem) for note in notes}


def test_few_rows_say_nothing_and_are_said_to_be_few() -> None:
    label = np.r_[np.ones(3), np.zeros(5), np.ones(60), np.zeros(140)]
    names = np.array(["tiny"] * 8 + ["large"] * 200, dtype=object)
    probability = np.full(208, 0.02)
    found = figures_by_segment(label, probability, {"source": names}, entity=np.arange(208), seed=1)["source"]
    tiny = next(each for each in found if each.name == "tiny")
    assert not tiny.is_enough
    assert tiny.auc is None
    assert tiny.log_loss is None
    assert bias_notes(label, probability, {"source": names}, entity=np.arange(208)) == ()


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_one_class_has_figures_without_an_order(outcome: float) -> None:
    names = np.array(["a"] * 30 + ["b"] * 30, dtype=object)
    label = np.full(60, outcome)
    found = figures_by_segment(label, np.linspace(0.1, 0.9, 60), {"source": names}, entity=np.arange(60), seed=1)
    assert [each.rate.value for each in found["source"]] == [outcome, outcome]
    assert all(each.rate.low < each.rate.high for each in found["source"])  # type: ignore[operator]
    assert bias_notes(label, np.full(60, 0.5), {"source": names}, entity=np.arange(60)) == ()


def test_nothing_to_segment_gives_nothing() -> None:
    assert figures_by_segment(np.ones(3), np.ones(3), {}, entity=np.arange(3), seed=1) == {}
    assert bias_notes(np.ones(3), np.ones(3), {}, entity=np.arange(3)) == ()


def test_the_area_is_the_librarys_and_its_parts_sum_to_nothing() -> None:
    generator = np.random.default_rng(4)
    label, score = (generator.random(300) < 0.3).astype(float), generator.integers(0, 20, 300) / 20
    area, influence = _area(label, np.unique(score, return_inverse=True)[1])
    assert area == pytest.approx(roc_auc_score(label, score))
    assert influence.sum() == pytest.approx(0.0, abs=1e-12)


def test_a_segment_is_compared_with_what_is_ranked_within_the_others_not_across_them() -> None:
    """Three stages that differ in their rate alone: within each the order is chance, across them it is not."""
    generator = np.random.default_rng(8)
    stage = generator.integers(0, 3, 3_000)
    probability = np.array([0.1, 0.4, 0.8])[stage] + generator.normal(0, 0.001, 3_000)
    label = (generator.random(3_000) < np.array([0.1, 0.4, 0.8])[stage]).astype(float)
    names = np.array(["first", "second", "third"], dtype=object)[stage]
    assert roc_auc_score(label, probability) > 0.75
    assert bias_notes(label, probability, {"stage": names}, entity=np.arange(3_000)) == ()
