"""A worker that takes little memory and starts quickly: what the libraries load or keep without need is left out."""

from __future__ import annotations

import ctypes
import gc
import mmap
import re
import sys
from collections.abc import Iterator
from importlib.abc import MetaPathFinder
from pathlib import Path

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
        give_back_code(libc)
    gc.freeze()
    gc.set_threshold(50_000, 50, 1_000)


def give_back_code(libc: ctypes.CDLL) -> None:
    """Give back the libraries' code that only starting up ran; what runs again comes back from the page cache at once.

    Loading a library touches most of its pages, and the kernel maps their neighbours too: 120 MB of DuckDB, Arrow and
    Delta of which a worker that answers uses a fifth. Only code as it stands in the file is given back.
    """
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for start, end in _code_mappings(Path("/proc/self/smaps").read_text(encoding="utf-8", errors="replace")):
        # That it fails for a mapping changes nothing but the memory.
        libc.madvise(start, end - start, mmap.MADV_DONTNEED)


def _code_mappings(smaps: str) -> Iterator[tuple[int, int]]:
    """Begin and end of the mappings of files' code that hold no page of the process's own, of /proc/self/smaps."""
    for entry in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", smaps):
        head = re.match(r"([0-9a-f]+)-([0-9a-f]+) r-xp \S+ \S+ [1-9]", entry)
        # A page that a relocation or a debugger has changed is in no file.
        if head is not None and re.search(r"^Anonymous: +0 kB$", entry, re.MULTILINE):
            yield int(head[1], 16), int(head[2], 16)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") and hasattr(library, "mallopt") else None
