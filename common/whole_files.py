"""Files that appear whole or not at all, whenever a process is killed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to; it takes the place of `path` when the block ends without an error.

    The folder is made if it is absent. A reader meets the old file or the new one, never half of one.

    Example:
        >>> from tempfile import mkdtemp
        >>> target = Path(mkdtemp()) / "report.txt"
        >>> with whole_file(target) as partial:
        ...     _ = partial.write_text("all of it")
        >>> target.read_text()
        'all of it'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        partial.chmod(0o644)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> Path:
    """Write `text` as UTF-8 so that the file appears whole or not at all; returns `path`."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path
