"""Exact Shapley values of trees by looking them up: the fast form of the reasons.

What a tree adds for each feature (path-dependent TreeSHAP, Lundberg et al. 2020, the libraries' `pred_contrib`) depends
on nothing but which of its splits a row passes. Each tree is cut into blocks of leaves that rest on few conditions
together. A block's Shapley values are computed once for every pattern of its conditions, already summed over the
features of a column (Yang 2021, "Fast TreeSHAP", keeps weights per leaf in the same spirit). A row then needs a code
per feature, an index per block and a sum of table rows: numpy alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.plain_trees import Grid, Node, Split, make_grid, splits_of

Matrix = NDArray[np.float64]

MOST_BITS = 10
"""Conditions that a block may rest on. Of a leaf with more features, those that most rows pass count as passed."""
LEAST_BITS = 6
MOST_BYTES = 96_000_000
"""Larger tables are made with fewer bits: trees of many leaves then cost a little agreement, not memory."""

_CHUNK_ROWS = 2_048
_FEW_ROWS = 32


@dataclass(frozen=True, kw_only=True)
class _Flat:
    """The tables as `_few` reads them.

    Args:
        of_edge: Which of the used features each edge belongs to.
        missing: Code of a missing value, per used feature.
        features: Feature of each pair, in order of the pairs' blocks.
        starts: Where its part begins.
        blocks: Where each block's pairs begin.
        ones: One per block, to sum up by.
    """

    of_edge: NDArray[np.int64]
    missing: NDArray[np.int64]
    features: NDArray[np.int64]
    starts: NDArray[np.int64]
    blocks: NDArray[np.int64]
    ones: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class PatternTables:
    """Tables of one model's Shapley values. F features, G blocks, E pairs of a block and a feature, C columns.

    Args:
        edges: Edges of all features that are split on, one after the other.
        edge_starts: Where each such feature's edges begin, (F + 1,).
        used: Positions of these features in the model's matrix, (F,).
        parts: What a code of a feature adds to the index of a block, pair after pair.
        part_starts: Where each pair's part begins, (E,).
        part_features: Which of the used features it belongs to, ascending, (E,).
        part_blocks: Which block, (E,).
        block_starts: Where each block's rows begin in the table, (G + 1,).
        table: float32 (rows, C): Shapley values, log-odds, by pattern and column.
        is_single: Whether values are rounded to single precision first.
    """

    edges: Matrix
    edge_starts: NDArray[np.int64]
    used: NDArray[np.int64]
    parts: NDArray[np.uint16]
    part_starts: NDArray[np.int64]
    part_features: NDArray[np.int64]
    part_blocks: NDArray[np.int64]
    block_starts: NDArray[np.int64]
    table: NDArray[np.float32]
    is_single: bool

    def columns(self, matrix: Matrix) -> Matrix:
        """Shapley values of the log-odds, summed over each column's features, shape (n_rows, C)."""
        n_rows = len(matrix)
        if not self.part_blocks.size:
            return np.zeros((n_rows, self.table.shape[1]))
        if n_rows <= _FEW_ROWS:
            return self._few(self._values(matrix))
        found = [
            self._many(self._values(matrix[start : start + _CHUNK_ROWS])) for start in range(0, n_rows, _CHUNK_ROWS)
        ]
        return np.concatenate(found).astype(np.float64)

    def _values(self, matrix: Matrix) -> Matrix:
        values = matrix[:, self.used]
        return values.astype(np.float32).astype(np.float64) if self.is_single else values

    def _few(self, values: Matrix) -> Matrix:
        """By flat look-ups: few calls, whatever the model's size."""
        flat = self._flat
        above = values.take(flat.of_edge, axis=1) > self.edges
        codes = np.add.reduceat(above, self.edge_starts[:-1], axis=1, dtype=np.int64)
        codes = np.where(np.isnan(values), flat.missing, codes)
        parts = self.parts.take(codes.take(flat.features, axis=1) + flat.starts)
        rows = np.add.reduceat(parts, flat.blocks, axis=1, dtype=np.uint16) + self.block_starts[:-1]
        found = np.empty((len(values), self.table.shape[1]))
        for place, row in enumerate(rows):
            # Row by row the sums are the same to the last bit, however many rows there are.
            found[place] = flat.ones @ self.table.take(row, axis=0)
        return found

    @cached_property
    def _flat(self) -> _Flat:
        order = np.argsort(self.part_blocks, kind="stable")
        return _Flat(
            of_edge=np.repeat(np.arange(len(self.used)), np.diff(self.edge_starts)),
            missing=np.diff(self.edge_starts) + 1,
            features=self.part_features[order],
            starts=self.part_starts[order],
            blocks=np.flatnonzero(np.diff(self.part_blocks[order], prepend=-1)),
            ones=np.ones(len(self.block_starts) - 1, dtype=np.float32),
        )

    def _many(self, values: Matrix) -> NDArray[np.float32]:
        """Feature by feature, then block by block: each table stays in the cache while all rows pass."""
        n_rows, n_blocks = len(values), len(self.block_starts) - 1
        index = np.zeros((n_blocks, n_rows), dtype=np.uint16)
        pairs = np.searchsorted(self.part_features, np.arange(len(self.used) + 1))
        for feature, (first, last) in enumerate(pairwise(pairs.tolist())):
            codes = self._codes(values[:, feature], feature)
            count = int(self.edge_starts[feature + 1] - self.edge_starts[feature]) + 2
            begin = self.part_starts[first]
            part = self.parts[begin : begin + (last - first) * count].reshape(last - first, count)
            index[self.part_blocks[first:last]] += part.take(codes, axis=1)
        total = np.zeros((n_rows, self.table.shape[1]), dtype=np.float32)
        found = np.empty_like(total)
        for block in range(n_blocks):
            rows = self.table[self.block_starts[block] : self.block_starts[block + 1]]
            rows.take(index[block], axis=0, out=found, mode="clip")
            total += found
        return total

    def _codes(self, values: Matrix, feature: int) -> NDArray[np.int64]:
        edges = self.edges[self.edge_starts[feature] : self.edge_starts[feature + 1]]
        codes = np.searchsorted(edges, values, side="left")
        codes[np.isnan(values)] = len(edges) + 1
        return codes

    def save(self, file: Path) -> None:
        """Write the tables, uncompressed."""
        arrays: dict[str, Any] = {item.name: np.asarray(getattr(self, item.name)) for item in fields(self)}
        np.savez(file, **arrays)

    @classmethod
    def load(cls, file: Path) -> PatternTables:
        """Read what `save` wrote."""
        with np.load(file, allow_pickle=False) as stored:
            arrays: dict[str, Any] = {name: stored[name] for name in stored.files}
        return cls(**{**arrays, "is_single": bool(arrays["is_single"])})


@dataclass(frozen=True)
class _Condition:
    """What a row must pass on one feature: codes that do, and the share of the rows trained on that did."""

    passes: NDArray[np.bool_]
    share: float

    def and_then(self, other: _Condition) -> _Condition:
        return _Condition(self.passes & other.passes, self.share * other.share)


@dataclass(frozen=True)
class _Block:
    """Some leaves of a tree with all they rest on.

    Args:
        bits: (feature, codes that pass) of each bit of the pattern.
        leaves: Value of each leaf; per feature the bits that must be 1, those that must be 0, and the share.
    """

    bits: list[tuple[int, NDArray[np.bool_]]]
    leaves: list[tuple[float, dict[int, tuple[list[int], list[int], float]]]]


def build_tables(
    trees: Sequence[Node], *, columns: Sequence[int], is_single: bool, most_bytes: int = MOST_BYTES
) -> PatternTables:
    """Make the tables of a model: exact as long as no leaf rests on more than `MOST_BITS` features, and they fit.

    Args:
        trees: Its trees; the leaves' values are log-odds.
        columns: Column that each feature of the model counts for.
        is_single: Whether the model rounds values to single precision.
        most_bytes: Size that the table should not exceed.
    """
    grid = make_grid(trees, features=len(columns), is_single=is_single)
    width = max(columns, default=-1) + 1
    blocks: list[_Block] = []
    for most_bits in range(MOST_BITS, LEAST_BITS - 1, -1):
        blocks = [block for tree in trees for block in _blocks(tree, {}, grid, most_bits)]
        if 4 * width * sum(2 ** len(block.bits) for block in blocks) <= most_bytes:
            break
    tables = [_table(block, columns, width) for block in blocks]
    used = sorted({feature for block in blocks for feature, _ in block.bits})
    pairs = sorted(
        ((used.index(feature), position) for position, block in enumerate(blocks) for feature in _features(block)),
    )
    parts = [_part(blocks[position], used[feature]) for feature, position in pairs]
    return PatternTables(
        edges=np.concatenate([grid.edges[feature] for feature in used] or [np.zeros(0)]),
        edge_starts=_starts([len(grid.edges[feature]) for feature in used]),
        used=np.array(used, dtype=np.int64),
        parts=np.concatenate(parts or [np.zeros(0, dtype=np.uint16)]),
        part_starts=_starts([len(part) for part in parts])[:-1],
        part_features=np.array([feature for feature, _ in pairs], dtype=np.int64),
        part_blocks=np.array([position for _, position in pairs], dtype=np.int64),
        block_starts=_starts([len(table) for table in tables]),
        table=np.concatenate(tables or [np.zeros((0, width))]).astype(np.float32),
        is_single=is_single,
    )


def _starts(lengths: Sequence[int]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)


def _features(block: _Block) -> set[int]:
    return {feature for feature, _ in block.bits}


def _part(block: _Block, feature: int) -> NDArray[np.uint16]:
    """What each code of a feature adds to the block's index."""
    passes = [(bit, codes) for bit, (of, codes) in enumerate(block.bits) if of == feature]
    part = np.zeros(len(passes[0][1]), dtype=np.uint16)
    for bit, codes in passes:
        part += codes.astype(np.uint16) << bit
    return part


def _blocks(node: Node, path: dict[int, _Condition], grid: Grid, most_bits: int) -> Iterator[_Block]:
    """Blocks of the leaves below a node, which a row reaches by passing `path`."""
    inner = list(splits_of(node))
    if isinstance(node, Split) and len(path) + len(inner) > most_bits:
        for below, condition in _ways(node, grid):
            before = path.get(node.feature)
            here = condition if before is None else before.and_then(condition)
            yield from _blocks(below, {**path, node.feature: here}, grid, most_bits)
        return
    if not path and not inner:
        return
    asked = sorted(path, key=lambda feature: path[feature].share)[:most_bits]
    bits = [(feature, path[feature].passes) for feature in asked]
    needs: dict[int, tuple[list[int], list[int], float]] = {
        feature: ([asked.index(feature)] if feature in asked else [], [], condition.share)
        for feature, condition in path.items()
    }
    leaves: list[tuple[float, dict[int, tuple[list[int], list[int], float]]]] = []
    _gather(node, needs, grid, bits, leaves)
    yield _Block(bits, leaves)


def _ways(split: Split, grid: Grid) -> tuple[tuple[Node, _Condition], tuple[Node, _Condition]]:
    left = grid.goes_left(split)
    return (
        (split.left, _Condition(left, split.left_share)),
        (split.right, _Condition(~left, 1.0 - split.left_share)),
    )


def _gather(
    node: Node,
    needs: dict[int, tuple[list[int], list[int], float]],
    grid: Grid,
    bits: list[tuple[int, NDArray[np.bool_]]],
    leaves: list[tuple[float, dict[int, tuple[list[int], list[int], float]]]],
) -> None:
    """Add the splits below a node to the bits, and its leaves with what they need."""
    if not isinstance(node, Split):
        leaves.append((node, needs))
        return
    bit = len(bits)
    bits.append((node.feature, grid.goes_left(node)))
    ones, zeros, share = needs.get(node.feature, ([], [], 1.0))
    left = ([*ones, bit], zeros, share * node.left_share)
    right = (ones, [*zeros, bit], share * (1.0 - node.left_share))
    _gather(node.left, {**needs, node.feature: left}, grid, bits, leaves)
    _gather(node.right, {**needs, node.feature: right}, grid, bits, leaves)


def _table(block: _Block, columns: Sequence[int], width: int) -> Matrix:
    """Shapley values of a block's leaves by pattern, shape (2 ** bits, width).

    The Shapley value of a leaf's condition j is the integral over t from 0 to 1 of
        value * (o_j - z_j) * product over i != j of (t * o_i + (1 - t) * z_i)
    (Owen's multilinear extension, 1972), with o = 1 where the row passes and z the share of the rows that did: a
    polynomial in t, which Gauss-Legendre quadrature integrates exactly.
    """
    patterns = np.arange(2 ** len(block.bits))
    table = np.zeros((len(patterns), width))
    for value, needs in block.leaves:
        shares = np.array([share for _, _, share in needs.values()])
        passed = np.stack(
            [
                np.logical_and.reduce(
                    [patterns >= 0, *(patterns >> b & 1 == 1 for b in ones), *(patterns >> b & 1 == 0 for b in zeros)]
                )
                for ones, zeros, _ in needs.values()
            ],
            axis=1,
        ).astype(np.float64)
        points, weights = np.polynomial.legendre.leggauss((len(shares) + 1) // 2)
        t = (points + 1.0) / 2.0
        factors = passed[:, :, None] * t + shares[:, None] * (1.0 - t)
        rest = factors.prod(axis=1)[:, None, :] / factors
        parts = value * (passed - shares) * (rest @ (weights / 2.0))
        for position, feature in enumerate(needs):
            table[:, columns[feature]] += parts[:, position]
    return table
