"""Readers of a CRM's leads are exact: what each says is what the truth means there, and who knows more is better."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from training.calibration import log_loss_rows
from warehouse.simulator import SimulationConfig, simulate

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
CONFIG = SimulationConfig(deals=400, leads=4_000, reps=12, seed=11)
SINCE = np.datetime64("2024-07-01")


@pytest.fixture(scope="module")
def readers() -> ModuleType:
    """benchmarks/lead_filter.py, which no package holds."""
    sys.path.append(str(BENCHMARKS))
    try:
        import lead_filter
    finally:
        sys.path.remove(str(BENCHMARKS))
    return lead_filter


@pytest.fixture(scope="module")
def said(readers: ModuleType) -> dict[str, dict[tuple[str, int], float]]:
    found: dict[str, dict[tuple[str, int], float]] = readers.read(CONFIG, since=SINCE, seed=1)
    return found


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], float]:
    """True probability by lead and moment, as the simulator writes it."""
    folder = tmp_path_factory.mktemp("world")
    simulate(CONFIG, landing=folder / "landing", truth=folder / "truth")
    table = pq.read_table(folder / "truth" / "lead_truth.parquet")
    moments = table.column("as_of").cast("int64").to_pylist()
    keys = zip(table.column("lead_id").to_pylist(), moments, strict=True)
    known = dict(zip(keys, table.column("true_probability").to_pylist(), strict=True))
    earliest = int(SINCE.astype("datetime64[us]").astype(np.int64))
    return {key: value for key, value in known.items() if key[1] >= earliest}


def in_order(truth: dict[tuple[str, int], float], says: dict[tuple[str, int], float]) -> tuple[Any, Any, Any]:
    """The truth, what a reader says, and the lead, row by row."""
    keys = list(truth)
    return np.array(list(truth.values())), np.array([says[key] for key in keys]), np.array([key[0] for key in keys])


def clustered_error(values: Any, lead: Any) -> float:
    """Standard error of the sum, leads being the units."""
    sums = np.bincount(np.unique(lead, return_inverse=True)[1], values)
    return float(np.sqrt((sums**2).sum()))


def test_each_reader_answers_where_there_is_a_truth(said: Any, truth: Any) -> None:
    for says in said.values():
        assert set(says) == set(truth)
        assert all(0.0 <= value < 1.0 for value in says.values())


def test_each_says_in_each_fifth_what_the_truth_means_there(said: Any, truth: Any) -> None:
    for says in said.values():
        means, probability, lead = in_order(truth, says)
        gap = means - probability
        assert abs(gap.sum()) < 3 * clustered_error(gap, lead)
        for rows in np.array_split(np.argsort(probability, kind="stable"), 5):
            assert abs(gap[rows].sum()) < 3.5 * clustered_error(gap[rows], lead[rows])


def test_who_knows_less_is_never_better_and_the_truth_is_best(said: Any, truth: Any) -> None:
    means = np.array(list(truth.values()))
    losses = [log_loss_rows(means, in_order(truth, says)[1]).mean() for says in (truth, *said.values())]
    assert losses == sorted(losses)


def test_what_is_learned_of_reps_is_nearer_to_their_skill_than_nothing(readers: ModuleType) -> None:
    scene = readers.Scene.of(CONFIG)
    rng = np.random.default_rng(1)
    signs, gaps = readers.Signs(scene, rng), readers.drawn_gaps(scene, rng)
    effects = readers.Effects(scene, signs, gaps, of_campaigns=False)
    last = np.flatnonzero(scene.leads.created < scene.calendar.end)[-800:]
    mean, variance = effects.of(last, scene.leads.created[last])
    skill = 0.22 * scene.reps.skill[scene.leads.rep[last]]
    assert ((skill - mean) ** 2).mean() < 0.5 * (skill**2).mean()
    assert 0.3 < ((skill - mean) ** 2 / variance).mean() < 2.5


def test_nodes_have_the_moments_of_what_is_not_known(readers: ModuleType) -> None:
    quality = sys.modules[readers.quality_nodes.__module__]
    known, spread = np.array([0.3, 0.3]), np.array([0.45, 0.5])
    gaps = np.array([[False, False, False], [True, False, True]])
    value, weight = readers.quality_nodes(known, gaps, spread)
    assert weight.sum(axis=1) == pytest.approx(1.0)
    deviation = value - (weight * value).sum(axis=1, keepdims=True)
    assert (weight * value).sum(axis=1)[0] == pytest.approx(0.3)
    variances = []
    for field in (quality.FIELDS[0], quality.FIELDS[2]):
        effect, share = field
        mean = (share * effect).sum() / share.sum()
        variances.append((share * (effect - mean) ** 2).sum() / share.sum())
    expected = np.array([0.45**2, 0.5**2 + sum(variances)])
    assert (weight * deviation**2).sum(axis=1) == pytest.approx(expected, rel=1e-5)
