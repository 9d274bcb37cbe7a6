"""The shape of the code: dependencies run one way, each framework has one home, nothing heavy is imported at start."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# A folder may import itself and those it lists.
MAY_IMPORT = {
    "common": set(),
    "warehouse": {"common"},
    "features": {"common", "warehouse"},
    "training": {"common", "warehouse", "features"},
    "serving": {"common", "warehouse", "features", "training"},
    "monitoring": {"common", "warehouse", "features", "training"},
    "flows": {"common", "warehouse", "features", "training", "serving", "monitoring"},
}
HOMES = {
    "prefect": ("flows/",),
    "typer": ("flows/",),
    "feast": ("features/",),
    "mlflow": ("training/registry.py",),
    "optuna": ("training/",),
    "evidently": ("monitoring/",),
    "bentoml": ("serving/",),
    "deltalake": ("warehouse/", "features/"),
    "duckdb": ("warehouse/", "features/"),
}
FILES = sorted(path for folder in MAY_IMPORT for path in (ROOT / folder).rglob("*.py"))


def imported_packages(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_run_one_way_and_frameworks_stay_home(path: Path) -> None:
    relative = path.relative_to(ROOT).as_posix()
    folder = relative.split("/")[0]
    imports = set(imported_packages(path))
    assert not {name for name in imports & set(MAY_IMPORT) if name != folder} - MAY_IMPORT[folder]
    strays = {name for name in imports & set(HOMES) if not relative.startswith(HOMES[name])}
    assert not strays, f"{relative} imports {strays}, whose homes are {[HOMES[name] for name in strays]}"


def test_no_module_is_named_like_a_library() -> None:
    clashing = [path for path in FILES if path.stem in {*sys.stdlib_module_names, *HOMES, "schema", "utils"}]
    assert not clashing


def test_the_command_line_starts_without_heavy_libraries() -> None:
    heavy = ("prefect", "mlflow", "feast", "bentoml", "evidently", "pandas", "numpy", "pyarrow", "lightgbm", "xgboost")
    code = f"import sys, flows.cli; print([name for name in {heavy!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout.strip() == "[]"
