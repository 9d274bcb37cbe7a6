"""Fits at the same time: in order, with their share of the threads, and no different from one after the other."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from training.linear_solver import fit_elastic_net
from training.models import FitData
from training.search import FIRST_TRIALS, Candidate
from training.side_by_side import side_by_side
from training.winner import Winner


@pytest.mark.parametrize(
    ("threads", "jobs", "shares"), [(1, 3, {1}), (2, 3, {1}), (8, 3, {2}), (4, 1, {4}), (4, 0, set())]
)
def test_every_job_has_its_share_of_the_threads(threads: int, jobs: int, shares: set[int]) -> None:
    told = side_by_side([lambda own, at=at: (at, own) for at in range(jobs)], threads=threads)
    assert [at for at, _ in told] == list(range(jobs))
    assert {own for _, own in told} == shares


def test_the_error_of_a_job_is_raised_and_those_that_wait_are_not_begun() -> None:
    begun: list[int] = []

    def job(at: int) -> int:
        begun.append(at)
        if at == 0:
            raise ValueError("the first")
        time.sleep(0.05)
        return at

    with pytest.raises(ValueError, match="the first"):
        side_by_side([lambda _, at=at: job(at) for at in range(50)], threads=2)
    assert len(begun) < 50


def candidate(place: int) -> Candidate:
    trial = FIRST_TRIALS[place]
    params = {name.split("_", 1)[1]: value for name, value in trial.items() if name != "library"}
    rounds = 0 if trial["library"] == "linear" else 20
    return Candidate(kind=trial["library"], params=params, rounds=rounds, log_loss=0.5)


def test_models_are_the_same_to_the_bit_as_fitted_one_after_the_other() -> None:
    draw = np.random.default_rng(3)
    matrix = draw.normal(size=(3_000, 12))
    label = (draw.random(3_000) < 1 / (1 + np.exp(1.5 - matrix[:, 0] - matrix[:, 1] * matrix[:, 2]))).astype(float)
    data = FitData(matrix=matrix, label=label, categorical=[], monotone=[])
    winner = Winner(parts=tuple(candidate(place) for place in range(3)), weights=(0.5, 0.3, 0.2))
    rows = [lambda: data, lambda: data, lambda: data]
    alone = winner.fit_on_each(rows, threads=1, seed=7)
    beside = winner.fit_on_each(rows, threads=4, seed=7)
    for one, other in zip(alone, beside, strict=True):
        np.testing.assert_array_equal(one.margin(matrix), other.margin(matrix))


def test_the_limit_on_blas_is_lifted_when_the_last_of_several_fits_has_ended() -> None:
    def blas_threads() -> set[int]:
        return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}

    before = blas_threads()
    draw = np.random.default_rng(5)
    design = draw.normal(size=(4_000, 60)).astype(np.float32)
    label = (draw.random(4_000) < 0.3).astype(float)
    workers = [
        threading.Thread(target=fit_elastic_net, args=(design, label), kwargs={"ridge": 0.01 * at, "lasso": 0.001})
        for at in range(1, 6)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert blas_threads() == before
