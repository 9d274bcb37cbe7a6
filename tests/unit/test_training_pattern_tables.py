"""Pattern tables: beside the libraries' own Shapley values, and beside Shapley's definition on trees made by hand."""

from __future__ import annotations

from itertools import combinations
from math import factorial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import ContractError
from training import pattern_tables
from training.models import FitData, Model
from training.pattern_tables import PatternTables, build_tables
from training.plain_trees import Node, Split, read_trees
from training.trees import Library, fit_trees

N_FEATURES = 5


def rows_of(count: int, *, seed: int) -> np.ndarray:
    """Numbers with holes, a coarse count, a category column (3)."""
    generator = np.random.default_rng(seed)
    matrix = generator.normal(size=(count, N_FEATURES))
    matrix[:, 1] = generator.poisson(1.0, count)
    matrix[:, 3] = generator.integers(0, 6, count)
    matrix[generator.random(count) < 0.2, 0] = np.nan
    matrix[generator.random(count) < 0.1, 3] = np.nan
    return matrix


def fitted(library: Library, **params: Any) -> Model:
    matrix = rows_of(2_000, seed=1)
    signal = np.nan_to_num(matrix[:, 0]) + matrix[:, 1] * (matrix[:, 2] > 0) + (matrix[:, 3] == 2)
    label = (np.random.default_rng(2).random(2_000) < 1 / (1 + np.exp(-signal))).astype(float)
    data = FitData(matrix=matrix, label=label, categorical=[3], monotone=[0] * N_FEATURES)
    return fit_trees(library, params, data, rounds=20, threads=1, seed=3)


@pytest.fixture(scope="module", params=["lightgbm", "xgboost"])
def model(request: pytest.FixtureRequest) -> Model:
    params = {"num_leaves": 12} if request.param == "lightgbm" else {"max_depth": 4}
    return fitted(request.param, **params)


def tables_of(model: Model, columns: list[int] | None = None, **options: int) -> PatternTables:
    chosen = list(range(N_FEATURES)) if columns is None else columns
    return build_tables(read_trees(model), columns=chosen, is_single=model.library == "xgboost", **options)


def odd_rows() -> np.ndarray:
    """Values that training never saw: missing where it had none, categories beyond, far numbers."""
    matrix = rows_of(200, seed=9)
    matrix[::3, 2] = np.nan
    matrix[::5, 3] = 99.0
    matrix[::7, 4] = 1e12
    matrix[::11, 1] = -1e12
    return matrix


def test_the_tables_give_the_librarys_own_shapley_values(model: Model) -> None:
    matrix = np.vstack([rows_of(300, seed=5), odd_rows()])
    exact = model.contributions(matrix)[:, :-1]
    assert tables_of(model).columns(matrix) == pytest.approx(exact, abs=2e-6)


def test_a_few_rows_are_answered_as_many_are(model: Model) -> None:
    matrix, tables = odd_rows(), tables_of(model)
    alone = np.vstack([tables.columns(matrix[i : i + 1]) for i in range(len(matrix))])
    assert tables.columns(matrix) == pytest.approx(alone, abs=1e-6)
    for count in (2, 31, 32):
        assert np.array_equal(tables.columns(matrix[:count]), alone[:count])


def test_columns_sum_up_their_features(model: Model) -> None:
    matrix = rows_of(100, seed=6)
    exact = model.contributions(matrix)
    summed = tables_of(model, [0, 1, 0, 1, 1]).columns(matrix)
    assert summed[:, 0] == pytest.approx(exact[:, 0] + exact[:, 2], abs=2e-6)
    assert summed[:, 1] == pytest.approx(exact[:, 1] + exact[:, 3] + exact[:, 4], abs=2e-6)


def test_tables_survive_the_file(model: Model, tmp_path: Path) -> None:
    tables = tables_of(model)
    tables.save(tmp_path / "tables.npz")
    again = PatternTables.load(tmp_path / "tables.npz")
    assert (again.columns(odd_rows()) == tables.columns(odd_rows())).all()


def test_no_rows_get_no_values(model: Model) -> None:
    assert tables_of(model).columns(np.empty((0, N_FEATURES))).shape == (0, N_FEATURES)


def test_trees_of_many_leaves_stay_within_the_size_and_near_the_truth() -> None:
    model = fitted("lightgbm", num_leaves=60, min_data_in_leaf=5)
    full, small = tables_of(model), tables_of(model, most_bytes=100_000)
    assert small.table.nbytes < full.table.nbytes
    matrix = rows_of(300, seed=8)
    exact = model.contributions(matrix)[:, :-1]
    assert full.columns(matrix) == pytest.approx(exact, abs=2e-6)
    assert np.corrcoef(small.columns(matrix).ravel(), exact.ravel())[0, 1] > 0.99


def test_leaves_with_more_features_than_bits_are_exact_where_the_rows_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern_tables, "MOST_BITS", 2)
    monkeypatch.setattr(pattern_tables, "LEAST_BITS", 2)
    chain: Node = 1.0
    for feature in range(4):
        chain = Split(feature, 0.0, None, False, chain, 0.0, 0.5 + feature / 10)
    tables = build_tables([chain], columns=range(4), is_single=False)
    passing = -np.ones((1, 4))
    assert tables.columns(passing)[0] == pytest.approx(by_definition(chain, passing[0], 4), abs=1e-6)


def test_a_model_without_trees_says_so() -> None:
    class Flat:
        library = "linear"

    with pytest.raises(ContractError, match="has no trees to read"):
        read_trees(Flat())  # type: ignore[arg-type]


def test_a_tree_of_one_leaf_says_nothing() -> None:
    tables = build_tables([0.7], columns=[0, 1], is_single=False)
    assert (tables.columns(np.zeros((2, 2))) == 0).all()


def expectation(node: Node, row: np.ndarray, known: frozenset[int]) -> float:
    """Value of a tree when only some features are known: the others go both ways, by the rows trained on."""
    if not isinstance(node, Split):
        return node
    if node.feature in known:
        value = row[node.feature]
        goes_left = node.missing_left if np.isnan(value) else value <= node.threshold
        return expectation(node.left if goes_left else node.right, row, known)
    share = node.left_share
    return share * expectation(node.left, row, known) + (1 - share) * expectation(node.right, row, known)


def by_definition(tree: Node, row: np.ndarray, count: int) -> list[float]:
    """Shapley (1953), over all subsets."""
    values = []
    for feature in range(count):
        others = [other for other in range(count) if other != feature]
        total = 0.0
        for size in range(count):
            weight = factorial(size) * factorial(count - size - 1) / factorial(count)
            for chosen in combinations(others, size):
                known = frozenset(chosen)
                total += weight * (expectation(tree, row, known | {feature}) - expectation(tree, row, known))
        values.append(total)
    return values


trees = st.recursive(
    st.floats(-2, 2),
    lambda below: st.builds(
        Split,
        feature=st.integers(0, 3),
        threshold=st.sampled_from([-1.0, 0.0, 0.5]),
        categories=st.none(),
        missing_left=st.booleans(),
        left=below,
        right=below,
        left_share=st.floats(0.05, 0.95),
    ),
    max_leaves=9,
)
values = st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.3, 0.5, 7.0, float("nan")])


@settings(max_examples=60, deadline=None)
@given(tree=trees, row=st.lists(values, min_size=4, max_size=4))
def test_any_tree_and_row_gives_shapleys_definition(tree: Node, row: list[float]) -> None:
    matrix = np.array([row])
    got = build_tables([tree], columns=range(4), is_single=False).columns(matrix)[0]
    assert got == pytest.approx(by_definition(tree, matrix[0], 4), abs=1e-5)
