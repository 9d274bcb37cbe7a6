"""What `benchmarks/monitoring_recovery.py` calls recovered: the mean over worlds, and no world surely beyond."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.monitoring_recovered import AREA, LEADS, LOSS, MOST_LOST, TRUTH, Judged, World, compare, over_worlds


def world(name: str, loss: float, *, half: float) -> World:
    """A world whose log-loss ratio is `loss`, with a 95 % interval so wide to either side; all else is level."""
    level = np.linspace(-1.0, 1.0, 501)
    drawn = np.r_[loss, loss + half / 0.95 * level]
    return World(
        name=name,
        ratios={(what, by): drawn if what == LOSS else drawn * 1e-3 for what in (LOSS, AREA) for by in (LEADS, TRUTH)},
    )


@pytest.mark.parametrize(
    ("losses", "half", "good"),
    [
        ((0.0, -0.01, 0.05), 0.06, True),
        ((0.0, -0.01, 0.05), 0.01, False),
        ((0.03, 0.02, 0.02), 0.06, False),
        ((0.015,), 0.05, True),
        ((0.021,), 0.05, False),
    ],
    ids=["luck of one world", "one world surely beyond", "mean beyond", "one world", "one world beyond"],
)
def test_recovered_is_the_mean_and_no_world_surely_beyond(losses, half, good, capsys) -> None:
    worlds = [world(f"seed {place}", loss, half=half) for place, loss in enumerate(losses)]
    assert over_worlds(worlds) is good
    shown = capsys.readouterr().out
    assert shown.count("held ") + shown.count("MISSED") == 4
    assert f"mean {np.mean(losses):+.2%}" in shown


def test_the_truth_takes_the_luck_of_outcomes_out_of_a_comparison(capsys) -> None:
    random = np.random.default_rng(3)
    margin = random.normal(-2, 1, 4_000)
    truth = 1 / (1 + np.exp(-margin))
    answers = {name: 1 / (1 + np.exp(-margin - shift)) for name, shift in (("old", 1.0), ("ours", 0.2), ("new", 0.0))}
    judged = Judged(
        label=(random.random(4_000) < truth).astype(float),
        truth=np.where(np.arange(4_000) % 10 == 0, np.nan, truth),
        entity=np.repeat(np.arange(2_000), 2).astype(str).astype(object),
        answers=answers,
    )
    found = compare(judged, name="seed 3", seed=3)
    known = truth[np.arange(4_000) % 10 != 0]
    told = answers["ours"][np.arange(4_000) % 10 != 0]

    def expected(probability: np.ndarray) -> float:
        return float(-(known * np.log(probability) + (1 - known) * np.log(1 - probability)).mean())

    assert found.ratios[LOSS, TRUTH][0] == pytest.approx(expected(told) / expected(known) - 1)
    assert found.ratios[LOSS, TRUTH][1:].std() < found.ratios[LOSS, LEADS][1:].std() / 3
    assert found.ratios[AREA, TRUTH][0] == pytest.approx(0.0)
    assert found.ratios[LOSS, TRUTH][0] < MOST_LOST
    assert "the truth itself" in capsys.readouterr().out
