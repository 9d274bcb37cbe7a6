"""The one door to Feast: imported once, when it is first needed, without two side effects."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from common.telemetry import disable_telemetry

_LOCK = threading.Lock()
_METRICS_FOLDERS = ("PROMETHEUS_MULTIPROCESS_DIR", "PROMETHEUS_MULTIPROC_DIR")


def feast() -> Any:
    """The module `feast`.

    Left alone, its import takes three times as long, for typeguard rewrites its source, and switches the whole process'
    Prometheus metrics to files in a temporary folder.
    """
    if hasattr(sys.modules.get("feast"), "FeatureStore"):
        return sys.modules["feast"]
    disable_telemetry()
    with _LOCK, _without_type_checks(), _without_metrics_folder():
        import feast
    return feast


@contextmanager
def _without_type_checks() -> Iterator[None]:
    """Make `typeguard.typechecked` do nothing for the time being."""
    import typeguard

    checked = typeguard.typechecked
    typeguard.typechecked = _unchecked
    try:
        yield
    finally:
        typeguard.typechecked = checked


@contextmanager
def _without_metrics_folder() -> Iterator[None]:
    """Keep Feast from naming a metrics folder, unless the process has one already."""
    if any(name in os.environ for name in _METRICS_FOLDERS):
        yield
        return
    import prometheus_client  # noqa: F401 - it looks for the folder when it is imported, so it must come first

    os.environ.update(dict.fromkeys(_METRICS_FOLDERS, ""))
    try:
        yield
    finally:
        for name in _METRICS_FOLDERS:
            del os.environ[name]


def _unchecked(target: Any = None, **_: Any) -> Any:
    """Stands in for `typeguard.typechecked`, with and without arguments."""
    return _itself if target is None else target


def _itself(decorated: Any) -> Any:
    return decorated
