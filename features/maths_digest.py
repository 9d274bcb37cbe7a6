"""Digest of the code that computes a view: when it changes, so may every row."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from features.specs import ViewSpec

_HOME = "features.transformations"
_SHARED = ("warehouse.as_known", "warehouse.contracts", "features.transform")
"""What every view rests on, with whatever module of the maths itself the view's own imports."""


@cache
def maths_digest(view: ViewSpec) -> str:
    """Digest of the view's columns and of the source of every module its maths uses: 16 hexadecimal digits."""
    digest = hashlib.sha256(str(view.schema).encode())
    for module in sorted({*_SHARED, *_reached(view.transformation.__module__)}):
        digest.update(_source(module))
    return digest.hexdigest()[:16]


def _reached(module: str) -> set[str]:
    """The module and those of the maths that it imports, however far away."""
    reached: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += [other for other in _imports(name) if other.startswith(_HOME)]
    return reached


def _imports(module: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(_source(module))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            if node.module == _HOME:
                found |= {f"{_HOME}.{alias.name}" for alias in node.names}
    return found


@cache
def _source(module: str) -> bytes:
    spec = find_spec(module)
    return b"" if spec is None or spec.origin is None else Path(spec.origin).read_bytes()
