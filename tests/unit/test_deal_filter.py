"""The best reader of a CRM is exact: what it says is what the truth means there, and no sign is counted amiss."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from training.calibration import log_loss_rows
from warehouse.simulator import SimulationConfig

ROOT = Path(__file__).resolve().parents[2]
CONFIG = SimulationConfig(deals=300, leads=600, seed=11)


@pytest.fixture(scope="module")
def reader() -> ModuleType:
    """benchmarks/deal_filter.py, which no package holds."""
    import sys

    sys.path.append(str(ROOT))
    try:
        from benchmarks import deal_filter
    finally:
        sys.path.remove(str(ROOT))
    return deal_filter


@pytest.fixture(scope="module")
def reading(reader: ModuleType) -> Any:
    return reader.best_reader(CONFIG, seed=1)


def clustered_error(values: Any, deal: Any) -> float:
    """Standard error of the sum, deals being the units."""
    sums = np.bincount(np.unique(deal, return_inverse=True)[1], values)
    return float(np.sqrt((sums**2).sum()))


def test_every_monday_is_read_and_the_truth_is_the_files(reading: Any) -> None:
    assert not np.isnan(reading.said).any()
    assert ((reading.said > 0) & (reading.said < 1)).all()
    assert len(set(zip(reading.opportunity_id, reading.as_of, strict=True))) == len(reading.said)


def test_it_says_in_each_tenth_what_the_truth_means_there(reading: Any) -> None:
    gap = reading.truth - reading.said
    assert abs(gap.sum()) < 3 * clustered_error(gap, reading.opportunity_id)
    for rows in np.array_split(np.argsort(reading.said, kind="stable"), 10):
        assert abs(gap[rows].sum()) < 3.5 * clustered_error(gap[rows], reading.opportunity_id[rows])


def test_it_is_better_than_the_stage_alone_and_never_better_than_the_truth(reading: Any) -> None:
    truth = reading.truth
    by_stage = np.array([truth[reading.stage == stage].mean() for stage in range(4)])[reading.stage]
    losses = [log_loss_rows(truth, said).mean() for said in (truth, reading.said, by_stage)]
    assert losses[0] < losses[1] < losses[2]


def test_a_date_that_slips_is_put_somewhere(reader: ModuleType) -> None:
    today = np.datetime64("2024-02-12", "D").astype(np.int64)
    days = np.arange(today, today + 700)
    chances = reader._slipped(days, np.full(len(days), today))
    assert chances.sum() == pytest.approx(1.0, abs=1e-9)
    assert (chances[days < today + 15] == 0).all()


def test_signs_of_a_mood_are_as_likely_as_the_mood_makes_them(reader: ModuleType) -> None:
    # By Bayes' rule the mean likelihood ratio of what is seen is 1 under the mood it is divided by.
    stalled = np.zeros(200_000, bool)
    signs = reader._Signs(stalled, np.random.default_rng(1))
    done = signs.count(np.tile([1.2, 0.5], (len(stalled), 1)))
    signs.happens((0.05, 0.38), done)
    ratio = np.exp(signs.log_likelihood[:, 1] - signs.log_likelihood[:, 0])
    assert ratio.mean() == pytest.approx(1.0, abs=0.01)


def test_a_world_that_changes_is_not_read(reader: ModuleType) -> None:
    with pytest.raises(ValueError, match="steady worlds alone"):
        reader.best_reader(SimulationConfig(deals=100, leads=200, scenario="recession"), seed=1)
