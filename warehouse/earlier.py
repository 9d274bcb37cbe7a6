"""The warehouse as it was: each table at a Delta version, laid out as a warehouse of its own that anything can read.

Only Delta's log is copied, up to the version; the data files are linked, because no file of a table is ever changed in
place. Nothing in the real warehouse is touched.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import ContractError, NotFoundError, shorten
from warehouse.contracts import CONTRACTS
from warehouse.store import Warehouse

if TYPE_CHECKING:
    from deltalake import DeltaTable

_LOG = "_delta_log"


def warehouse_at(warehouse: Warehouse, versions: Mapping[str, int], *, folder: Path) -> Warehouse:
    """Lay out the warehouse as of the given table versions.

    Args:
        warehouse: The warehouse.
        versions: Delta version of each table that held rows; a table that is not named held none.
        folder: Empty folder to lay it out in; on the same machine, for as long as the result is read.

    Raises:
        NotFoundError: if the warehouse has no such table or version.
        ContractError: if files of a version are gone, as after a person was forgotten.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # What is no table says of the whole warehouse: the sources' own fields, who was forgotten.
    for path in warehouse.root.iterdir():
        if path.name not in CONTRACTS and path.is_file():
            shutil.copy2(path, folder / path.name)
    for table, version in versions.items():
        _lay_out(warehouse.root / table, folder / table, table=table, version=version)
    return Warehouse(folder)


def _lay_out(source: Path, target: Path, *, table: str, version: int) -> None:
    delta = _open(source, table=table, version=version)
    gone = [uri for uri in delta.file_uris() if not Path(uri.removeprefix("file://")).is_file()]
    if gone:
        raise ContractError(
            f"Version {version} of table '{table}' cannot be read any more: {len(gone)} of its files are gone",
            got=f"no {shorten(Path(uri).name for uri in gone)}",
            next_step="forgetting a person deletes old versions for good; train anew instead",
        )
    for uri in delta.file_uris():
        file = Path(uri.removeprefix("file://"))
        link = target / file.relative_to(source.resolve() if file.is_relative_to(source.resolve()) else source)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file.resolve())
    (target / _LOG).mkdir(parents=True, exist_ok=True)
    for entry in (source / _LOG).iterdir():
        number = entry.name.split(".")[0]
        if number.isdigit() and int(number) <= version:
            shutil.copy2(entry, target / _LOG / entry.name)


def _open(source: Path, *, table: str, version: int) -> DeltaTable:
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        return DeltaTable(source, version=version)
    except (DeltaError, OSError, ValueError) as error:
        raise NotFoundError(
            f"The warehouse has no version {version} of table '{table}'",
            next_step="load the history that the model was trained on, or train anew",
        ) from error
