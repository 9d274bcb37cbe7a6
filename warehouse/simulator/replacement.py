"""Folders that are replaced as a whole: made beside, swapped at the end, so that no mixture is ever seen."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import InputError, shorten
from warehouse.contracts import CONTRACTS

TRUTHS = ("lead_truth", "deal_truth", "customer_truth", "rep_truth", "revenue_truth")


@contextmanager
def replacing(*folders: Path) -> Iterator[tuple[Path, ...]]:
    """Give an empty folder beside each of `folders`; when the block succeeds, they take their places.

    A run that was killed leaves its half-made folders beside, and the next run starts over with empty ones. Killed in
    the very swap, a folder is missing or whole and new, never a mixture.

    Raises:
        InputError: if a folder holds something that the simulator did not write, is a file, or lies in another of
            them; nothing is touched then.
    """
    for folder in folders:
        _check(folder, others=[other for other in folders if other is not folder])
    made = tuple(_beside(folder, "new") for folder in folders)
    for fresh in made:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
    try:
        yield made
        _swap(folders, made)
    finally:
        for fresh in made:
            shutil.rmtree(fresh, ignore_errors=True)


def _beside(folder: Path, what: str) -> Path:
    return folder.with_name(f".{folder.name}.{what}")


def _swap(folders: tuple[Path, ...], made: tuple[Path, ...]) -> None:
    """First all old ones go, then the new ones come: old and new never stand side by side."""
    old = tuple(_beside(folder, "old") for folder in folders)
    for folder, aside in zip(folders, old, strict=True):
        shutil.rmtree(aside, ignore_errors=True)
        if folder.exists():
            folder.rename(aside)
    for folder, fresh in zip(folders, made, strict=True):
        fresh.rename(folder)
    for aside in old:
        shutil.rmtree(aside, ignore_errors=True)


def _check(folder: Path, *, others: list[Path]) -> None:
    outer = [other for other in others if folder.resolve().is_relative_to(other.resolve())]
    if outer:
        raise InputError(
            f"The folder {folder} is {outer[0]} or lies in it",
            expected="folders apart from each other, because each is replaced as a whole",
            next_step="Name another folder.",
        )
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is not a folder", next_step="Name another folder, or move this file away.")
    known = {*CONTRACTS, *TRUTHS}
    foreign = sorted(
        entry.name for entry in (folder.iterdir() if folder.is_dir() else ()) if not _is_ours(entry, known)
    )
    if foreign:
        raise InputError(
            f"The folder {folder} holds what the simulator did not write: {shorten(foreign)}",
            expected="an empty folder, or one that an earlier simulation filled",
            next_step="Name another folder, or move these files away.",
        )


def _is_ours(entry: Path, known: set[str]) -> bool:
    if entry.is_dir():
        return entry.name in known and all(part.match("part-*.parquet") for part in entry.iterdir())
    return entry.suffix == ".parquet" and entry.stem in known
