"""What all tests share: telemetry off before any library is imported, and state kept in the test's own folder."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from common.telemetry import disable_telemetry

disable_telemetry()
os.environ.setdefault("MPLBACKEND", "Agg")
# How long an example takes is the machine's business: speed is measured in benchmarks/.
settings.register_profile("salience", deadline=None)
settings.load_profile("salience")

SHARED_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"


class _ByFile(LoadFileScheduling):
    """Sends a file's tests to one process, and all files that need the small world to the same: it is made once."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "small_world" if _needs_world(self.config.rootpath / file) else file


@cache
def _needs_world(file: Path) -> bool:
    return "small_world" in file.read_text(encoding="utf-8")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """The scheduler of `--dist loadfile`."""
    return _ByFile(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the user's `SALIENCE_*` settings and folders out of every test."""
    for name in list(os.environ):
        if name.startswith("SALIENCE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SALIENCE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SALIENCE_MLRUNS", str(tmp_path / "mlruns"))


@pytest.fixture
def shared_data() -> Path:
    """Folder of the public data sets; the test is skipped, and says so, where it is not there."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"public data sets are not beside the checkout ({SHARED_DATA})")
    return SHARED_DATA
