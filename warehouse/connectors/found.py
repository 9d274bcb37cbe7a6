"""The files of a source: finding them, and telling whether their content changed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from common.errors import SourceError, shorten
from warehouse.mapping import Mapping

_CHUNK_BYTES = 1 << 22


@dataclass(frozen=True)
class Fingerprint:
    """A file's name inside its folder, size and content, and its state on disk when they were taken."""

    name: str
    size: int
    digest: str
    modified_ns: int

    def as_cursor(self) -> dict[str, int | str]:
        """What is noted of a file that was loaded: a touched but equal file is the same."""
        return {"size": self.size, "digest": self.digest}


def fingerprint(path: Path, folder: Path) -> Fingerprint:
    """Name, size and SHA-256 of a file, read in pieces."""
    state = path.stat()
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    name = path.relative_to(folder).as_posix()
    return Fingerprint(name, state.st_size, digest.hexdigest(), state.st_mtime_ns)


def is_as_found(path: Path, found: Fingerprint) -> bool:
    """Whether a file was not touched since its fingerprint was taken."""
    state = path.stat()
    return (state.st_size, state.st_mtime_ns) == (found.size, found.modified_ns)


def find_files(mapping: Mapping, folder: Path) -> dict[str, list[Path]]:
    """Paths of each file of the mapping that is there.

    Raises:
        SourceError: if the folder is missing or empty, or lacks a file that the mapping needs.
    """
    if not folder.is_dir():
        raise SourceError(
            f"The folder {folder} of source '{mapping.name}' does not exist",
            next_step="give the right folder with DATA=…",
        )
    if not any(folder.iterdir()):
        raise SourceError(f"The folder {folder} of source '{mapping.name}' is empty", expected=_wanted(mapping))
    found = {name: _matches(folder, file.paths) for name, file in mapping.files.items()}
    missing = [
        " or ".join(mapping.files[name].paths)
        for name, paths in found.items()
        if not paths and not mapping.files[name].optional
    ]
    present = {name: paths for name, paths in found.items() if paths}
    if missing or not present:
        raise SourceError(
            f"The folder {folder} lacks {', '.join(missing) or 'every file'} of source '{mapping.name}'",
            expected=_wanted(mapping),
            got=shorten(sorted(path.name for path in folder.iterdir())),
        )
    return present


def _matches(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    return sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})


def _wanted(mapping: Mapping) -> str:
    return "files " + ", ".join(" or ".join(file.paths) for file in mapping.files.values())
