"""The study: both libraries meet, hopeless trials end early, a second run goes on where the first ended."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.models import FitData
from training.study import StudyResult, run_study


def data() -> FitData:
    generator = np.random.default_rng(3)
    matrix = generator.normal(size=(900, 4))
    label = (generator.random(900) < 1 / (1 + np.exp(1 - 1.5 * matrix[:, 0]))).astype(float)
    return FitData(matrix=matrix[:600], label=label[:600], stop_matrix=matrix[600:], stop_label=label[600:])


def study(
    folder: Path, *, trials: int, fingerprint: str = "frame", said: list[tuple[int, int]] | None = None
) -> StudyResult:
    def progress(what: str, done: int, total: int) -> None:
        if said is not None:
            said.append((done, total))

    return run_study(
        data(),
        journal=folder / "lead.journal",
        fingerprint=fingerprint,
        trials=trials,
        threads=1,
        seed=7,
        progress=progress,
    )


def test_both_libraries_are_tried_and_the_winner_beats_the_base_rate(tmp_path: Path) -> None:
    result = study(tmp_path, trials=3)
    assert {trial.library for trial in result.trials[:2]} == {"lightgbm", "xgboost"}
    label = data().stop_label
    assert label is not None
    rate = label.mean()
    assert result.log_loss < -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
    complete = [trial.log_loss for trial in result.trials if trial.state == "complete" and trial.log_loss is not None]
    assert result.log_loss == pytest.approx(min(complete))


def test_a_second_run_reuses_the_trials_and_adds_the_missing_ones(tmp_path: Path) -> None:
    study(tmp_path, trials=2)
    said: list[tuple[int, int]] = []
    again = study(tmp_path, trials=3, said=said)
    assert again.reused == 2
    assert len(again.trials) == 3
    assert said == [(3, 3)]


def test_another_frame_starts_a_study_of_its_own(tmp_path: Path) -> None:
    study(tmp_path, trials=2)
    assert study(tmp_path, trials=2, fingerprint="another frame").reused == 0


def test_the_same_seed_gives_the_same_winner(tmp_path: Path) -> None:
    first, second = study(tmp_path / "a", trials=3), study(tmp_path / "b", trials=3)
    assert (first.library, first.params, first.log_loss) == (second.library, second.params, second.log_loss)
