"""Trees of both libraries in one plain shape, on a grid of codes: what `training.pattern_tables` is made from.

A grid cuts each feature at every value that some tree splits on; a value's code is the number of edges below it, and a
missing value has the last code. A split is then a plain table: which codes go left. Categories (LightGBM) lie between
edges at one half, one and a half, …, so that a category is its own code.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import ContractError
from training.models import Model

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Split:
    """An inner node.

    Args:
        feature: Position of the feature.
        threshold: Values up to it go left; unused where `categories` says what does.
        categories: Categories that go left.
        missing_left: Whether a missing value goes left.
        left: The node below on the left: another split, or a leaf.
        right: The node below on the right.
        left_share: Share of the rows trained on that went left, by the library's own weight.
    """

    feature: int
    threshold: float
    categories: frozenset[int] | None
    missing_left: bool
    left: Split | float
    right: Split | float
    left_share: float


Node = Split | float
"""A split, or the value of a leaf."""


@dataclass(frozen=True)
class Grid:
    """Codes of values.

    Args:
        edges: Ascending, per feature. The code of a value is the number of edges below it; that of a missing value is
            one more than the greatest.
        is_single: Whether values are rounded to single precision first, as XGBoost does.
    """

    edges: tuple[Matrix, ...]
    is_single: bool

    def count(self, feature: int) -> int:
        """Number of codes of a feature, that of the missing included."""
        return len(self.edges[feature]) + 2

    def goes_left(self, split: Split) -> NDArray[np.bool_]:
        """Which codes of the split's feature go left."""
        codes = np.arange(self.count(split.feature))
        if split.categories is None:
            found = codes <= np.searchsorted(self.edges[split.feature], split.threshold, side="left")
        else:
            found = np.isin(codes, sorted(split.categories))
        found[-1] = split.missing_left
        return found


def read_trees(model: Model) -> list[Node]:
    """The trees of a model that count.

    Args:
        model: `training.trees.LightGbmTrees` or `XgBoostTrees`.

    Raises:
        ContractError: if the model has no such trees.
    """
    booster = getattr(model, "booster", None)
    if model.library == "lightgbm" and booster is not None:
        return list(_lightgbm(booster.dump_model(num_iteration=model.rounds)))
    if model.library == "xgboost" and booster is not None:
        return list(_xgboost(json.loads(booster[: model.rounds].save_raw("json"))))
    raise ContractError(f"A model of kind '{model.library}' has no trees to read")


def make_grid(trees: Sequence[Node], *, features: int, is_single: bool) -> Grid:
    """The grid that every split of the trees lies on.

    Args:
        trees: The trees.
        features: Number of features of the model.
        is_single: See `Grid`.
    """
    cuts: list[set[float]] = [set() for _ in range(features)]
    for tree in trees:
        for split in splits_of(tree):
            if split.categories is None:
                cuts[split.feature].add(split.threshold)
            else:
                cuts[split.feature].update(c + 0.5 for c in range(max(split.categories, default=0) + 1))
    return Grid(tuple(np.array(sorted(values), dtype=np.float64) for values in cuts), is_single)


def splits_of(node: Node) -> Iterator[Split]:
    """All splits of a tree, the upper ones first."""
    if isinstance(node, Split):
        yield node
        yield from splits_of(node.left)
        yield from splits_of(node.right)


def _lightgbm(dump: Mapping[str, Any]) -> Iterator[Node]:
    for tree in dump["tree_info"]:
        yield _lightgbm_node(tree["tree_structure"])


def _lightgbm_node(node: Mapping[str, Any]) -> Node:
    if "split_feature" not in node:
        return float(node["leaf_value"])
    left, right = node["left_child"], node["right_child"]
    if node["missing_type"] == "Zero":
        raise ContractError("The trees take zero as missing, which no training here asks for")
    is_category = node["decision_type"] == "=="
    threshold = float("nan") if is_category else float(node["threshold"])
    # Without missing values in training LightGBM reads a missing one as 0; a missing category never goes left.
    missing_left = bool(node["default_left"]) if node["missing_type"] == "NaN" else threshold >= 0.0
    return Split(
        feature=int(node["split_feature"]),
        threshold=threshold,
        categories=frozenset(int(c) for c in node["threshold"].split("||")) if is_category else None,
        missing_left=missing_left and not is_category,
        left=_lightgbm_node(left),
        right=_lightgbm_node(right),
        left_share=_count(left) / (_count(left) + _count(right)),
    )


def _count(node: Mapping[str, Any]) -> float:
    return float(node["internal_count"] if "internal_count" in node else node["leaf_count"])


def _xgboost(dump: Mapping[str, Any]) -> Iterator[Node]:
    for tree in dump["learner"]["gradient_booster"]["model"]["trees"]:
        yield _xgboost_node(tree, 0)


def _xgboost_node(tree: Mapping[str, Any], index: int) -> Node:
    left, right = tree["left_children"][index], tree["right_children"][index]
    condition = np.float32(tree["split_conditions"][index])
    if left == -1:
        return float(condition)
    cover = tree["sum_hessian"]
    return Split(
        feature=int(tree["split_indices"][index]),
        # XGBoost sends values below the condition left; ours sends values up to the threshold.
        threshold=float(np.nextafter(condition, np.float32(-np.inf))),
        categories=None,
        missing_left=bool(tree["default_left"][index]),
        left=_xgboost_node(tree, left),
        right=_xgboost_node(tree, right),
        left_share=float(cover[left]) / (float(cover[left]) + float(cover[right])),
    )
