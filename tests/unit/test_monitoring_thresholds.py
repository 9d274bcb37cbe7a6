"""Alarms ring at the stated rate when nothing has changed, and for the column that has."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from monitoring.columns import OTHER, pair_columns
from monitoring.counting import Coded, shuffled
from monitoring.thresholds import ALPHA, calibrate, critical_rank

NUMERIC = ("amount", "heavy", "count", "gaps")
CATEGORIES = ("kind", "rare", "identity")
FEATURES = [SimpleNamespace(name=name, dtype="float", about="") for name in NUMERIC] + [
    SimpleNamespace(name=name, dtype="category", about="") for name in CATEGORIES
]


def world(random: np.random.Generator, rows: int) -> pd.DataFrame:
    """Columns of awkward shapes, two of them dependent."""
    amount = random.normal(size=rows)
    return pd.DataFrame(
        {
            "amount": amount,
            "heavy": np.exp(2 * (amount + random.normal(size=rows))),
            "count": random.poisson(0.2, rows),
            "gaps": np.where(random.random(rows) < 0.3, np.nan, random.gamma(1.0, size=rows)),
            "kind": random.choice(list("abcde"), rows),
            "rare": np.where(random.random(rows) < 0.004, "yes", "no"),
            "identity": random.integers(0, 10**9, rows).astype(str),
        }
    )


def rings(reference: pd.DataFrame, current: pd.DataFrame, *, seed: int = 1) -> set[tuple[str, str]]:
    alarms = calibrate(pair_columns(reference, current, features=FEATURES), seed=seed)
    return {(alarm.column, alarm.what) for alarm in alarms if alarm.rings}


@pytest.mark.parametrize(("rows", "reports"), [(50, 120), (150, 120), (1_000, 50)])
def test_without_any_shift_at_most_one_report_in_twenty_rings(rows: int, reports: int) -> None:
    random = np.random.default_rng(rows)
    rung = sum(bool(rings(world(random, 400), world(random, rows), seed=report)) for report in range(reports))
    # A true rate of 5 % exceeds this in one of a thousand sets of reports.
    assert rung <= binom.ppf(0.999, reports, 0.05)


def test_a_report_rings_exactly_when_its_family_wise_p_value_is_at_most_the_level() -> None:
    random = np.random.default_rng(3)
    for seed in range(20):
        shifted = world(random, 120).assign(amount=lambda frame: frame["amount"] + random.uniform(0, 0.6))
        for alarm in calibrate(pair_columns(world(random, 400), shifted, features=FEATURES), seed=seed):
            assert alarm.rings == (alarm.p_value <= ALPHA)


@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("amount", lambda f: f["amount"] + 0.8),
        ("heavy", lambda f: f["heavy"] * 4),
        ("count", lambda f: f["count"] + 1),
        ("kind", lambda f: np.where(f["kind"] == "a", "b", f["kind"])),
        ("kind", lambda f: np.where(np.arange(len(f)) % 8 == 0, "partner", f["kind"])),
        ("rare", lambda f: np.where(np.arange(len(f)) % 10 == 0, "yes", f["rare"])),
    ],
    ids=["shift", "scale", "counts", "merged category", "new category", "rare becomes common"],
)
def test_a_planted_shift_is_found_in_its_column_alone(column: str, change) -> None:
    random = np.random.default_rng(11)
    reference, current = world(random, 1_000), world(random, 200)
    assert rings(reference, current) == set()
    assert rings(reference, current.assign(**{column: change(current)})) == {(column, "values")}


def test_values_gone_missing_ring_as_missing_and_not_as_values() -> None:
    random = np.random.default_rng(12)
    reference, current = world(random, 1_000), world(random, 200)
    current.loc[::10, "amount"] = np.nan
    assert rings(reference, current) == {("amount", "missing")}


def test_an_identifier_column_never_rings_although_no_value_repeats() -> None:
    random = np.random.default_rng(13)
    reference, current = world(random, 300), world(random, 300)
    pair = pair_columns(reference, current, features=[FEATURES[-1]])[0]
    assert pair.labels[-1] == OTHER
    assert len(pair.labels) == 40
    assert ("identity", "values") not in rings(reference, current)


def test_a_constant_column_is_quiet_and_rings_once_the_constant_changes() -> None:
    random = np.random.default_rng(14)
    reference, current = world(random, 400).assign(count=1.0), world(random, 100).assign(count=1.0)
    assert rings(reference, current) == set()
    assert rings(reference, current.assign(count=2.0)) == {("count", "values")}


def test_a_column_missing_on_both_sides_is_not_compared() -> None:
    random = np.random.default_rng(15)
    reference, current = world(random, 400).assign(amount=np.nan), world(random, 100).assign(amount=np.nan)
    alarms = calibrate(pair_columns(reference, current, features=FEATURES), seed=1)
    values = next(alarm for alarm in alarms if (alarm.column, alarm.what) == ("amount", "values"))
    assert values.statistic is None
    assert not values.rings
    assert rings(reference, current) == set()


def test_a_column_that_vanished_rings_as_missing() -> None:
    random = np.random.default_rng(16)
    assert rings(world(random, 400), world(random, 60).assign(kind=None)) == {("kind", "missing")}


@pytest.mark.parametrize(("rows", "reference_rows"), [(10, 7), (10, 3)])
def test_the_real_split_comes_first_and_every_shuffle_keeps_the_sizes(rows: int, reference_rows: int) -> None:
    members = shuffled(rows, reference_rows=reference_rows, draws=5, seed=1)
    identity = Coded(np.arange(rows), rows, None)
    current = members.count(identity)[:, :rows]
    assert current[0].tolist() == [0] * reference_rows + [1] * (rows - reference_rows)
    assert current.sum(axis=1).tolist() == [rows - reference_rows] * 6
    again = shuffled(rows, reference_rows=reference_rows, draws=5, seed=1)
    assert (current == again.count(identity)[:, :rows]).all()


@pytest.mark.parametrize(("draws", "rank"), [(200, 191), (19, 19), (99, 95)])
def test_critical_rank_leaves_at_most_alpha_above(draws: int, rank: int) -> None:
    assert critical_rank(draws, alpha=0.05) == rank
    assert (draws + 1 - rank) / (draws + 1) <= 0.05


def test_no_columns_give_no_alarms() -> None:
    assert calibrate([], seed=1) == ()
