"""The one door to Feast: imported once, when it is first needed, without the slow part."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from common.telemetry import disable_telemetry

_LOCK = threading.Lock()


def feast() -> Any:
    """The module `feast`.

    Two thirds of its import time is typeguard rewriting source for checks at run time; the decorator is a no-op while
    Feast is imported, and itself again afterwards.
    """
    import sys

    if "feast" in sys.modules and hasattr(sys.modules["feast"], "FeatureStore"):
        return sys.modules["feast"]
    disable_telemetry()
    with _LOCK:
        import typeguard

        checked = typeguard.typechecked
        typeguard.typechecked = _unchecked
        try:
            import feast
        finally:
            typeguard.typechecked = checked
    return feast


def _unchecked(target: Any = None, **_: Any) -> Any:
    """Stands in for `typeguard.typechecked`, with and without arguments."""
    if target is not None:
        return target
    keep: Callable[[Any], Any] = lambda decorated: decorated  # noqa: E731
    return keep
