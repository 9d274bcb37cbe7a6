"""LightGBM, imported in a fifth of a second instead of one and a half."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from threading import get_ident
from typing import Any

_NOT_NEEDED = "sklearn"


def lightgbm_alone() -> Any:
    """The package LightGBM, imported without scikit-learn if that is not loaded yet.

    It takes scikit-learn where it is there, for wrappers that a forecast has no use for. What somebody imported before
    stays. Where it is imported here first, LightGBM's `LGBMClassifier` and the like say that they need scikit-learn.
    """
    finder = _NotHere()
    sys.meta_path.insert(0, finder)
    try:
        import lightgbm
    finally:
        sys.meta_path.remove(finder)
    return lightgbm


class _NotHere(MetaPathFinder):
    """Says to the thread that made it that scikit-learn is not installed."""

    def __init__(self) -> None:
        self._thread = get_ident()

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:  # noqa: ARG002
        """Raise for scikit-learn in this thread; leave all else to the next finder."""
        if fullname == _NOT_NEEDED and get_ident() == self._thread:
            raise ModuleNotFoundError(f"{fullname} is not needed here", name=fullname)
