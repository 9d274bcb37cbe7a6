"""Softened labels: nearer to the truth where hindsight tells of it, as they came where there is none."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from classifier_frame import classifier_frame

from training.classifier import Developed, develop
from training.frame import Frame, split_at
from training.models import FitData
from training.softening import EXPECTED_SHARE, soften
from training.splits import moment_of

ROWS = 3_000
ENTITY = np.array([f"lead {row // 3}" for row in range(ROWS)], dtype=object)


def world(*, seed: int = 3) -> tuple[FitData, np.ndarray, np.ndarray]:
    """Rows, what their leads did afterwards, and the true probabilities: one cause makes both deeds and outcome."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(ROWS, 4))
    worth = matrix[:, 0] + 0.7 * matrix[:, 1]
    truth = 1 / (1 + np.exp(2.0 - worth))
    deeds = rng.poisson(np.exp(0.8 * worth))[:, None].astype(float)
    return FitData(matrix=matrix, label=(rng.random(ROWS) < truth).astype(float)), deeds, truth


def test_they_lie_nearer_to_the_truth_and_keep_its_level() -> None:
    data, deeds, truth = world()
    label = soften(data, deeds, entity=ENTITY, threads=1, seed=1).label
    assert np.square(label - truth).mean() < 0.3 * np.square(data.label - truth).mean()
    assert label.mean() == pytest.approx(data.label.mean(), abs=0.01)
    assert 0.0 <= label.min() < label.max() <= 1.0


def test_an_outcome_keeps_its_share_and_is_never_turned() -> None:
    data, deeds, _ = world()
    label = soften(data, deeds, entity=ENTITY, threads=1, seed=1).label
    assert label[data.label == 1].min() >= 1.0 - EXPECTED_SHARE
    assert label[data.label == 0].max() <= EXPECTED_SHARE


def test_no_row_is_answered_by_a_regression_that_has_seen_its_lead() -> None:
    data, deeds, _ = world()
    one = ENTITY == "lead 7"
    turned = replace(data, label=np.where(one, 1.0 - data.label, data.label))
    before, after = (soften(each, deeds, entity=ENTITY, threads=1, seed=1).label for each in (data, turned))
    kept = 1.0 - EXPECTED_SHARE
    assert (after - kept * turned.label)[one] == pytest.approx((before - kept * data.label)[one], abs=1e-12)


@pytest.mark.parametrize("hindsight", [None, np.empty((ROWS, 0))])
def test_without_hindsight_labels_are_what_came(hindsight: np.ndarray | None) -> None:
    data, _, _ = world()
    assert soften(data, hindsight, entity=ENTITY, threads=1, seed=1) is data


def test_rows_that_judge_keep_what_came_and_what_else_the_rows_have_stays() -> None:
    data, deeds, _ = world()
    judged = replace(
        data, stop_matrix=data.matrix[:50], stop_label=data.label[:50], monotone=[1, 0, 0, 0], weight=np.ones(ROWS)
    )
    found = soften(judged, deeds, entity=ENTITY, threads=1, seed=1)
    assert found.stop_label is judged.stop_label
    assert found.matrix is data.matrix
    assert found.monotone == judged.monotone


def developed(frame: Frame, folder: Path) -> Developed:
    moment = datetime.fromisoformat("2024-11-01T00:00:00+00:00")
    partition = split_at(frame, moment=moment, by_entity=False)
    return develop(frame, partition, journal=folder / "lead.journal", trials=3, threads=1, seed=7, n_windows=1)


def test_a_training_looks_back_from_where_its_past_ends_and_the_test_is_what_came(tmp_path: Path) -> None:
    frame = classifier_frame()
    asked: list[datetime] = []

    def hindsight_at(moment: datetime) -> np.ndarray:
        asked.append(moment)
        return np.random.default_rng(5).poisson(np.exp(0.3 * frame.columns["visits"]))[:, None].astype(float)

    plain = developed(frame, tmp_path / "plain")
    softened = developed(replace(frame, hindsight_at=hindsight_at), tmp_path / "softened")
    moment = split_at(frame, moment=moment_of(np.datetime64("2024-11-01", "us")), by_entity=False).moment
    assert max(asked) == moment
    assert len(asked) == 2, "the past's end, and the backtest's cut-off"
    assert softened.metrics["outcome_rate"] == plain.metrics["outcome_rate"]
    assert not np.array_equal(softened.probability, plain.probability)
    assert softened.metrics["log_loss"].value == pytest.approx(plain.metrics["log_loss"].value, rel=0.03)
