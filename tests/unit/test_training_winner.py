"""From the study to the model: a blend only where it pays, fits that can be repeated, the same hash twice."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from classifier_frame import classifier_frame

from training.classifier import Developed, develop
from training.frame import split_at
from training.models import FitData
from training.search import Candidate
from training.study import StudyResult
from training.winner import Winner, choose_winner, with_regression

MOMENT = datetime(2024, 11, 1, tzinfo=UTC)
GENERATOR = np.random.default_rng(12)
LIGHTGBM = Candidate(kind="lightgbm", params={"num_leaves": 4, "steady": True, "memory": 0.0}, rounds=15, log_loss=0.61)
LINEAR = Candidate(
    kind="linear",
    params={"ridge_rows": 1.0, "lasso_rows": 0.5, "segments": 0, "steady": True, "memory": 0.0},
    rounds=0,
    log_loss=0.60,
)


def developed(folder: Path, *, trials: int = 3) -> Developed:
    frame = classifier_frame()
    return develop(
        frame,
        split_at(frame, moment=MOMENT, by_entity=False),
        journal=folder / "lead.journal",
        trials=trials,
        threads=1,
        seed=7,
        n_windows=0,
    )


def digest(found: Developed, folder: Path) -> str:
    folder.mkdir()
    found.model.save(folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    parts = [path.relative_to(folder).as_posix().encode() + path.read_bytes() for path in files]
    return hashlib.sha256(b"".join(parts) + repr(found.calibration.to_dict()).encode()).hexdigest()


def test_the_same_frame_seed_and_versions_give_the_same_hash(tmp_path: Path) -> None:
    first, second = developed(tmp_path / "one"), developed(tmp_path / "two")
    assert first.fingerprint == second.fingerprint
    assert digest(first, tmp_path / "a") == digest(second, tmp_path / "b")


def test_a_study_that_is_read_again_gives_the_same_model(tmp_path: Path) -> None:
    first, again = developed(tmp_path), developed(tmp_path)
    assert again.study.reused == 3
    assert digest(first, tmp_path / "a") == digest(again, tmp_path / "b")


def test_the_model_beats_the_base_rate_and_keeps_what_can_fit_it_anew(tmp_path: Path) -> None:
    found = developed(tmp_path)
    assert found.metrics["log_loss"].value < found.baselines["const"]["log_loss"].value
    assert found.winner is not None
    assert found.winner.library == found.model.library
    assert {candidate.kind for candidate in found.winner.candidates} <= {"lightgbm", "linear", "xgboost"}


def slices(outcome: str) -> list[FitData]:
    """A later slice that one kind alone cannot answer (`both`), or that the regression answers wholly (`linear`)."""
    pieces = []
    for _ in range(2):
        matrix = GENERATOR.normal(size=(3_000, 3))
        margin = 1.5 * matrix[:, 0]
        if outcome == "both":
            margin = 1.2 * matrix[:, 0] + 2.0 * (np.abs(matrix[:, 1]) < 0.7) - 1.0
        label = (GENERATOR.random(3_000) < 1 / (1 + np.exp(-margin))).astype(float)
        pieces.append(
            FitData(matrix=matrix[:1_500], label=label[:1_500], stop_matrix=matrix[1_500:], stop_label=label[1_500:])
        )
    return pieces


def study_of(*candidates: Candidate) -> StudyResult:
    best = candidates[0]
    return StudyResult(
        library=best.kind,
        params=dict(best.params),
        rounds=best.rounds,
        log_loss=best.log_loss,
        trials=(),
        reused=0,
        best_of=candidates,
    )


def test_kinds_that_know_different_things_are_blended() -> None:
    winner = choose_winner(study_of(LINEAR, LIGHTGBM), slices("both"), threads=1, seed=1)
    assert winner.library == "blend"
    assert min(winner.weights) > 0
    data = slices("both")[0]
    model = winner.fit(data, threads=1, seed=1)
    assert model.library == "blend"
    assert {"linear_segments", "lightgbm_num_leaves", "linear_weight"} <= set(winner.params)


def test_the_best_stands_alone_where_the_others_add_nothing() -> None:
    winner = choose_winner(study_of(LINEAR, LIGHTGBM), slices("linear"), threads=1, seed=1)
    assert winner.library == "linear"
    assert winner.params == dict(LINEAR.params)


def test_a_study_that_names_its_winner_alone_is_fitted_as_it_says() -> None:
    bare = replace(study_of(LIGHTGBM), best_of=())
    assert choose_winner(bare, slices("both"), threads=1, seed=1).parts == (LIGHTGBM,)


def test_one_candidate_needs_no_comparison() -> None:
    assert choose_winner(study_of(LIGHTGBM), slices("both"), threads=1, seed=1).parts == (LIGHTGBM,)


@pytest.mark.parametrize("weights", [(1.0,), (0.5, 0.5)])
def test_a_winner_fits_the_same_model_twice(weights: tuple[float, ...]) -> None:
    parts = (LINEAR, LIGHTGBM)[: len(weights)]
    winner, data = Winner(parts=parts, weights=weights), slices("both")[0]
    first, second = (winner.fit(data, threads=1, seed=3).margin(data.matrix) for _ in range(2))
    assert (first == second).all()


@pytest.mark.parametrize("first", [LINEAR, LIGHTGBM])
def test_a_kind_that_won_alone_is_joined_by_its_counterpart(first: Candidate) -> None:
    other = LIGHTGBM if first is LINEAR else LINEAR
    joined = with_regression(Winner(parts=(first,), candidates=(first, other)), slices("both"), threads=1, seed=1)
    assert (joined.parts, joined.weights, joined.shift) == ((LIGHTGBM, LINEAR), (0.5, 0.5), 0.0)
    assert joined.fit(slices("both")[0], threads=1, seed=1).library == "blend"


def test_a_blend_and_a_winner_without_its_counterpart_stay_as_they_are() -> None:
    blend = Winner(parts=(LIGHTGBM, LINEAR), weights=(0.7, 0.4), shift=0.1, candidates=(LIGHTGBM, LINEAR))
    lone = Winner(parts=(LIGHTGBM,), candidates=(LIGHTGBM,))
    for winner in (blend, lone):
        assert with_regression(winner, slices("both"), threads=1, seed=1) is winner
