"""Answers of several small tree ensembles for many rows that share most of their columns.

LightGBM walks down every tree for every row. Here each tree is a number of as many bits as it has leaves, and each
value of a column knows which leaves it rules out: of the leaves that remain the leftmost is the answer (QuickScorer:
Lucchese et al. 2015). The columns that a deal keeps from month to month rule out once for all months.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.forecast.metrics import FloatArray

Masks = NDArray[np.uint16]
MOST_LEAVES = 12
_AT_ONCE, _THREADS = 2_048, 2


@dataclass(frozen=True)
class _Column:
    """What the values of a column rule out.

    Args:
        edges: Thresholds, ascending; of a column of categories the numbers 0, 1, ….
        masks: Leaves left by tree, for each place among the edges, and last for a missing value.
        is_category: Whether a value is its own place; places outside count as missing.
    """

    edges: FloatArray
    masks: Masks
    is_category: bool

    def places(self, values: FloatArray) -> NDArray[np.int64]:
        missing = len(self.masks) - 1
        if self.is_category:
            known = (values >= 0) & (values < missing)
            return np.where(known, values, missing).astype(np.int64)
        found = np.searchsorted(self.edges, values, side="left")
        return np.where(np.isnan(values), missing, found)


class LeafMasks:
    """Several LightGBM boosters of one set of columns; categories are whole numbers, -1 or missing for none.

    Args:
        boosters: Boosters whose trees have at most `MOST_LEAVES` leaves.
    """

    def __init__(self, boosters: Sequence[Any]) -> None:
        models = [booster.dump_model() for booster in boosters]
        trees = [tree["tree_structure"] for model in models for tree in model["tree_info"]]
        self._starts = np.cumsum([0, *(len(model["tree_info"]) for model in models)])[:-1]
        self._full = np.zeros(len(trees), dtype=np.uint16)
        values = np.zeros((len(trees), 1 << MOST_LEAVES))
        nodes: dict[int, list[tuple[int, Mapping[str, Any], int]]] = {}
        for number, tree in enumerate(trees):
            leaves = _walk(tree, number, nodes, first=0)
            values[number] = np.append(leaves, 0.0)[np.minimum(_LOWEST_BIT, len(leaves))]
            self._full[number] = (1 << len(leaves)) - 1
        self._values = values.ravel()
        self._columns = {name: _column(of, len(trees)) for name, of in nodes.items()}

    def begin(self, rows: FloatArray, columns: Sequence[int]) -> Masks:
        """The leaves left by some columns, by row and tree.

        Args:
            rows: Values of these columns, shape (n_rows, n_columns).
            columns: Their numbers.
        """
        return self._rule_out(np.tile(self._full, (len(rows), 1)), rows, columns)

    def answer(self, left: Masks, rows: FloatArray, columns: Sequence[int]) -> FloatArray:
        """Sum of the leaves' values of each booster once the remaining columns are known, shape (n_rows, n_boosters).

        Fit for columns of few different values: each combination that occurs is ruled out once.

        Args:
            left: What `begin` left; it stays as it is.
            rows: Values of the remaining columns.
            columns: Their numbers.
        """
        place, table = self._together(rows, columns)
        first = np.arange(len(self._full)) << MOST_LEAVES

        def answer_part(start: int) -> FloatArray:
            part = slice(start, start + _AT_ONCE)
            masks = (left[part] & table[place[part]]).astype(np.intp)
            masks += first
            return np.add.reduceat(self._values.take(masks), self._starts, axis=1)

        # NumPy lets go of Python's lock in each step.
        with ThreadPoolExecutor(max_workers=_THREADS) as pool:
            parts = list(pool.map(answer_part, range(0, len(rows), _AT_ONCE)))
        return np.concatenate(parts) if parts else np.empty((0, len(self._starts)))

    def _together(self, rows: FloatArray, columns: Sequence[int]) -> tuple[NDArray[np.int64], Masks]:
        """A place for each combination of the columns' places that occurs, and what each combination leaves."""
        mixed = np.zeros(len(rows), dtype=np.int64)
        used = [(self._columns[number], rows[:, n]) for n, number in enumerate(columns) if number in self._columns]
        for column, values in used:
            mixed = mixed * len(column.masks) + column.places(values)
        combinations, place = np.unique(mixed, return_inverse=True)
        table = np.full((len(combinations), len(self._full)), 0xFFFF, dtype=np.uint16)
        for column, _ in reversed(used):
            combinations, own = np.divmod(combinations, len(column.masks))
            table &= column.masks[own]
        return place, table

    def _rule_out(self, left: Masks, rows: FloatArray, columns: Sequence[int]) -> Masks:
        for start in range(0, len(rows), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            for place, number in enumerate(columns):
                if number in self._columns:
                    column = self._columns[number]
                    left[part] &= column.masks[column.places(rows[part, place])]
        return left


def _walk(
    node: Mapping[str, Any], tree: int, nodes: dict[int, list[tuple[int, Mapping[str, Any], int]]], *, first: int
) -> list[float]:
    """Values of the leaves below a node from left to right; notes what each split rules out if its answer is no."""
    if "leaf_value" in node:
        return [float(node["leaf_value"])]
    left = _walk(node["left_child"], tree, nodes, first=first)
    right = _walk(node["right_child"], tree, nodes, first=first + len(left))
    ruled_out = ((1 << len(left)) - 1) << first
    nodes.setdefault(int(node["split_feature"]), []).append((tree, node, 0xFFFF & ~ruled_out))
    return left + right


def _column(nodes: Sequence[tuple[int, Mapping[str, Any], int]], n_trees: int) -> _Column:
    is_category = nodes[0][1]["decision_type"] == "=="
    asked = [_categories(node) if is_category else {float(node["threshold"])} for _, node, _ in nodes]
    most = max(max(one) for one in asked)
    edges = np.arange(most + 1) if is_category else np.array(sorted(set().union(*asked)))
    n_places = len(edges) if is_category else len(edges) + 1
    masks = np.full((n_places + 1, n_trees), 0xFFFF, dtype=np.uint16)
    for (tree, node, mask), one in zip(nodes, asked, strict=True):
        if is_category:
            says_no = np.array([place not in one for place in range(n_places)] + [True])
        else:
            threshold = float(node["threshold"])
            # A missing value goes where the tree sends it; where it knows of none, it is a 0.
            goes_left = node["default_left"] if node["missing_type"] == "NaN" else threshold >= 0.0
            says_no = np.append(np.arange(n_places) > np.searchsorted(edges, threshold), not goes_left)
        masks[says_no, tree] &= np.uint16(mask)
    return _Column(edges=edges.astype(np.float64), masks=masks, is_category=is_category)


def _categories(node: Mapping[str, Any]) -> set[float]:
    return {float(number) for number in str(node["threshold"]).split("||")}


_LOWEST_BIT = np.array([MOST_LEAVES, *((number & -number).bit_length() - 1 for number in range(1, 1 << MOST_LEAVES))])
