"""A worker that takes little memory and starts quickly: what the libraries load or keep without need is left out."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_ARENAS = -8
"""glibc's M_ARENA_MAX."""
_MOST_ARENAS = 2


def use_few_arenas() -> None:
    """Let malloc keep few heaps: by default each thread may get one of its own, and none is ever given back.

    Where there is no glibc nothing is done. Arrow's own pool keeps what it once held, too; the system's does not.
    """
    import pyarrow

    libc = _glibc()
    if libc is not None:
        libc.mallopt(_ARENAS, _MOST_ARENAS)
    pyarrow.set_memory_pool(pyarrow.system_memory_pool())


@contextmanager
def without_sklearn() -> Iterator[None]:
    """Import the tree libraries without scikit-learn, which they take where it is there and do without where not.

    They need it for wrappers that serving has no use for: 60 MB and a second of a worker's start. A module that
    somebody imported before stays.
    """
    if "sklearn" in sys.modules:
        yield
        return
    sys.modules["sklearn"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["sklearn"]


def settle() -> None:
    """Give back what starting up needed, and stop looking at what is there for good.

    What is loaded now lives as long as the process: it is never scanned again, and collections are seldom, which took
    the 99th percentile of a request from 250 to 2 ms.
    """
    gc.collect()
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)
    gc.freeze()
    gc.set_threshold(50_000, 50, 1_000)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") and hasattr(library, "mallopt") else None
