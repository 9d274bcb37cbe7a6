"""Distances from counts are those of Evidently's definition; weeks that differ anyway do not ring."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from features.spines import LEAD_SPINE
from monitoring.columns import pair_columns, thinned
from monitoring.counting import MOST_VALUES, by_block, distances, encode, shuffled
from monitoring.distances import jensen_shannon, wasserstein_norm
from monitoring.thresholds import ALL_COLUMNS, FEWEST_BLOCKS, calibrate
from monitoring.windows import choose_windows, widen_reference


def pair_of(reference, current, *, dtype: str = "float"):
    frames = [pd.DataFrame({"x": values}) for values in (reference, current)]
    return pair_columns(*frames, features=[SimpleNamespace(name="x", dtype=dtype, about="")])[0]


def membership(splits, rows: int) -> np.ndarray:
    """The splits as a matrix, for the exact formulas."""
    matrix = np.zeros((rows, len(splits.chosen)), dtype=bool)
    for split, chosen in enumerate(splits.chosen):
        matrix[chosen, split] = True
    return matrix if splits.names_current else ~matrix


@pytest.mark.parametrize(
    ("draw", "tolerance"),
    [
        (lambda random, rows: random.poisson(3, rows).astype(float), 1e-12),
        (lambda random, rows: np.where(random.random(rows) < 0.3, np.nan, random.poisson(3, rows)), 1e-12),
        (lambda random, rows: random.normal(size=rows), 0.02),
    ],
    ids=["counts", "with gaps", "more values than bins"],
)
@pytest.mark.parametrize("sizes", [(400, 90), (90, 400), (3_000, 900)])
def test_distances_from_counts_are_the_exact_ones(draw, tolerance: float, sizes: tuple[int, int]) -> None:
    random = np.random.default_rng(1)
    pair = pair_of(draw(random, sizes[0]), draw(random, sizes[1]) + 0.2)
    splits = shuffled(sum(sizes), reference_rows=sizes[0], draws=8, seed=2)
    coded = encode(pair)
    exact = wasserstein_norm(pair.numbers, is_current=membership(splits, sum(sizes)))
    few = coded.kinds < MOST_VALUES
    assert distances(coded, splits.count(coded)) == pytest.approx(exact, rel=1e-9 if few else tolerance)


def test_categories_from_counts_are_the_exact_ones() -> None:
    random = np.random.default_rng(3)
    pair = pair_of(random.choice([*"abc", None], 300), random.choice([*"abd", None], 200), dtype="category")
    splits = shuffled(500, reference_rows=300, draws=8, seed=4)
    coded = encode(pair)
    exact = jensen_shannon(pair.codes, is_current=membership(splits, 500))
    assert distances(coded, splits.count(coded)) == pytest.approx(exact)


def test_one_split_per_stretch_and_none_larger_than_the_current_one() -> None:
    blocks = np.r_[np.repeat([0, 1, 2], [50, 10, 30]), np.full(20, -1)]
    members = by_block(blocks, most=20, seed=1)
    assert members.current_rows.tolist() == [20, 20, 10, 20]
    assert (blocks[members.chosen[0]] == -1).all()
    assert [set(blocks[rows]) for rows in members.chosen[1:]] == [{0}, {1}, {2}]


def weekly(random: np.random.Generator, weeks: int, a_week: int, *, lift: float) -> pd.DataFrame:
    """Columns whose rows of one week have a mean in common."""
    means = np.repeat(random.normal(0, lift, weeks), a_week)
    return pd.DataFrame({f"c{place}": means + random.normal(size=weeks * a_week) for place in range(6)})


def rings(reference: pd.DataFrame, current: pd.DataFrame, blocks: np.ndarray | None) -> bool:
    features = [SimpleNamespace(name=name, dtype="float", about="") for name in reference]
    pooled = None if blocks is None else np.r_[blocks, np.full(len(current), -1)]
    pairs = pair_columns(reference, current, features=features)
    return any(alarm.rings for alarm in calibrate(pairs, seed=1, blocks=pooled))


def test_weeks_that_differ_anyway_ring_for_rows_alone_and_not_beside_other_weeks() -> None:
    random = np.random.default_rng(5)
    blocks = np.repeat(np.arange(30), 150)
    by_rows = by_weeks = 0
    for _ in range(12):
        reference, current = weekly(random, 30, 150, lift=0.2), weekly(random, 1, 150, lift=0.2)
        by_rows += rings(reference, current, None)
        by_weeks += rings(reference, current, blocks)
    assert by_rows >= 4
    assert by_weeks <= 2


def test_a_week_unlike_all_others_rings_beside_them() -> None:
    random = np.random.default_rng(6)
    reference = weekly(random, 30, 150, lift=0.05)
    assert rings(reference, weekly(random, 1, 150, lift=0.0) + 0.8, np.repeat(np.arange(30), 150))


def test_too_few_stretches_leave_the_rows_to_decide() -> None:
    random = np.random.default_rng(7)
    count = FEWEST_BLOCKS - 1
    reference, current = weekly(random, count, 50, lift=0.0), weekly(random, 1, 50, lift=0.0) + 1
    assert rings(reference, current, np.repeat(np.arange(count), 50))


def test_many_small_shifts_ring_in_common() -> None:
    random = np.random.default_rng(8)
    names = [f"c{place}" for place in range(40)]
    features = [SimpleNamespace(name=name, dtype="float", about="") for name in names]
    reference, current = (pd.DataFrame(random.normal(size=(rows, 40)), columns=names) for rows in (2_000, 300))
    alarms = calibrate(pair_columns(reference, current + 0.1, features=features), seed=1)
    common = next(alarm for alarm in alarms if alarm.column == ALL_COLUMNS)
    assert common.rings
    quiet = calibrate(pair_columns(reference, current, features=features), seed=1)
    assert not any(alarm.rings for alarm in quiet)


def test_thinning_keeps_both_sides_and_the_same_rows_of_every_column() -> None:
    pair = thinned(pair_of(np.arange(100.0), np.arange(10.0)), most=20)
    assert (pair.reference_rows, len(pair.numbers)) == (20, 30)
    assert pair.numbers[20:].tolist() == list(range(10))


AT = datetime(2025, 3, 31, tzinfo=UTC)


@pytest.mark.parametrize(("days", "stretches"), [(1_000, 52), (200, 27), (120, None)])
def test_the_reference_is_as_many_weeks_as_the_models_past_has(days: int, stretches: int | None) -> None:
    rows = [
        {"lead_id": f"L{day}-{place}", "as_of": AT - timedelta(days=day + 0.5), "rep_id": None, "segment_id": None}
        for day in range(days)
        for place in range(50)
    ]
    spine = pa.Table.from_pylist(rows, schema=LEAD_SPINE)
    current, reference = choose_windows(spine, key="lead_id", at=AT, learned_until=AT - timedelta(days=7))
    windows = widen_reference(spine, key="lead_id", current=current, reference=reference)
    assert windows.current == (AT - timedelta(days=7), AT)
    if stretches is None:
        assert (windows.reference, windows.stretch) == (reference, None)
    else:
        assert windows.stretch == timedelta(days=7)
        assert windows.reference == (AT - timedelta(days=7 * (stretches + 1)), AT - timedelta(days=7))
