"""The study: all kinds meet, hopeless trials end early, a second run or worker goes on where another ended."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.models import FitData
from training.study import StudyResult, open_study, run_study
from training.trial import BLOCKS, DRIFT_TOLL, common_best


def data(*, seed: int = 3) -> FitData:
    generator = np.random.default_rng(seed)
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
        [data(), data(seed=4)],
        journal=folder / "lead.journal",
        fingerprint=fingerprint,
        trials=trials,
        threads=1,
        seed=7,
        progress=progress,
    )


def test_all_kinds_are_tried_and_the_winner_beats_the_base_rate(tmp_path: Path) -> None:
    result = study(tmp_path, trials=4)
    assert {trial.library for trial in result.trials[:3]} == {"lightgbm", "xgboost", "linear"}
    assert result.best_of[0].kind == result.library
    assert result.best_of[0].log_loss == result.log_loss
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


def test_a_study_that_was_broken_off_tries_what_it_would_have_tried(tmp_path: Path) -> None:
    whole = study(tmp_path / "whole", trials=6)
    study(tmp_path / "parts", trials=4)
    parts = study(tmp_path / "parts", trials=6)
    assert [trial.params for trial in parts.trials] == [trial.params for trial in whole.trials]


def test_a_worker_killed_in_a_trial_loses_that_trial_only(tmp_path: Path) -> None:
    journal = tmp_path / "lead.journal"
    study(tmp_path, trials=3)
    opened = open_study(journal, "frame")
    lost = opened.ask()  # a trial that nobody will ever tell about
    again = study(tmp_path, trials=5)
    assert again.reused == 3
    assert len([trial for trial in again.trials if trial.state != "failed"]) == 5
    assert lost.number not in [trial.number for trial in again.trials]


def test_two_workers_share_one_study(tmp_path: Path) -> None:
    result = run_study([data()], journal=tmp_path / "j", fingerprint="frame", trials=6, threads=2, seed=7, workers=2)
    assert len(result.trials) >= 6
    assert len({trial.number for trial in result.trials}) == len(result.trials)
    numbers = sorted(trial.number for trial in result.trials)[:6]
    complete = [t.log_loss for t in result.trials if t.state == "complete" and t.number in numbers and t.log_loss]
    assert result.log_loss in complete
    alone = run_study([data()], journal=tmp_path / "j", fingerprint="frame", trials=6, threads=1, seed=7)
    assert alone.reused == 6
    assert alone.best_of == result.best_of


def test_a_trial_keeps_its_loss_by_stretch_of_time(tmp_path: Path) -> None:
    study(tmp_path, trials=3)
    for trial in open_study(tmp_path / "lead.journal", "frame").trials:
        blocks = trial.user_attrs["blocks"]
        assert len(blocks) == 2 * BLOCKS
        assert sum(blocks) == pytest.approx(trial.value, rel=1e-3)


def test_a_time_budget_ends_the_study_with_a_result_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    result = run_study(
        [data()],
        journal=tmp_path / "j",
        fingerprint="frame",
        trials=500,
        threads=1,
        seed=7,
        time_budget_minutes=1e-6,
    )
    assert np.isfinite(result.log_loss)
    assert result.stopped == f"the time budget ended the study after {len(result.trials)} of 500 trials"
    assert result.stopped in caplog.text


def test_one_number_of_rounds_serves_all_slices() -> None:
    loss, rounds = common_best([np.array([3.0, 1.0, 2.0]), np.array([3.0, 4.0])], [10, 30])
    assert (loss, rounds) == (3.0, 1)


def test_a_candidate_with_drifting_features_has_to_earn_them(tmp_path: Path) -> None:
    drifting = replace(data(), drifting=[3])
    paid = run_study([drifting], journal=tmp_path / "a", fingerprint="f", trials=1, threads=1, seed=7)
    free = run_study([data()], journal=tmp_path / "b", fingerprint="f", trials=1, threads=1, seed=7)
    assert paid.params["steady"] is False
    assert paid.log_loss == pytest.approx(free.log_loss * (1 + DRIFT_TOLL))


def test_the_same_seed_gives_the_same_winner(tmp_path: Path) -> None:
    first, second = study(tmp_path / "a", trials=3), study(tmp_path / "b", trials=3)
    assert (first.library, first.params, first.log_loss) == (second.library, second.params, second.log_loss)
