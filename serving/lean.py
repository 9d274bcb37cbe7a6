"""A worker that takes little memory and starts quickly: what the libraries load or keep without need is left out."""

from __future__ import annotations

import ctypes
import gc
import sys
from importlib.abc import MetaPathFinder

_ARENAS = -8
"""glibc's M_ARENA_MAX."""
_MOST_ARENAS = 2
_NOT_NEEDED = ("sklearn", "pandas")


def use_few_arenas() -> None:
    """Let malloc keep few heaps: by default each thread may get one of its own, and none is ever given back.

    Where there is no glibc nothing is done. Arrow's own pool keeps what it once held, too; the system's does not.
    """
    import pyarrow

    libc = _glibc()
    if libc is not None:
        libc.mallopt(_ARENAS, _MOST_ARENAS)
    pyarrow.set_memory_pool(pyarrow.system_memory_pool())


def import_libraries() -> None:
    """Import Arrow and the tree libraries without scikit-learn and pandas, which they take where they are there.

    They need them for wrappers and data frames that serving has no use for: 100 MB and a second of a worker's start. A
    module that somebody imported before stays, and after this everything can be imported as ever; but Arrow has then
    settled for good that it makes no data frames.
    """
    sys.meta_path.insert(0, _NOT_HERE)
    try:
        import lightgbm  # noqa: F401
        import pyarrow
        import xgboost  # noqa: F401

        # The first conversion is when Arrow looks for pandas.
        pyarrow.array([0])
    finally:
        sys.meta_path.remove(_NOT_HERE)


class _NotHere(MetaPathFinder):
    """Says of some modules that they are not installed."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:  # noqa: ARG002
        """Raise for these; leave the others to the next finder."""
        if fullname in _NOT_NEEDED:
            raise ModuleNotFoundError(f"{fullname} is not needed here", name=fullname)


_NOT_HERE = _NotHere()


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
