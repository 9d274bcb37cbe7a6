"""LightGBM is imported without what a forecast has no use for, and nobody else notices."""

from __future__ import annotations

import subprocess
import sys

ALONE = """
import sys
from training.forecast.tree_library import lightgbm_alone
found = lightgbm_alone()
assert "sklearn" not in sys.modules
assert found.Dataset and found.train
import sklearn
assert lightgbm_alone() is found
"""


def test_lightgbm_comes_without_scikit_learn_which_can_be_imported_later() -> None:
    subprocess.run([sys.executable, "-c", ALONE], check=True)
