"""The sources' own fields that a warehouse keeps beside the canonical columns: which, of what type, known when."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from common.locks import exclusive
from common.whole_files import write_whole
from warehouse.contracts import Column, Contract, Known

_FILE = "_extensions.json"
_LOCK_SECONDS = 60.0
_KEPT = ("name", "dtype", "about", "known", "personal")


def extended_contract(root: Path, contract: Contract) -> Contract:
    """`contract` with the own fields that the warehouse in `root` has declared for its table."""
    declared = _read(root).get(contract.table, [])
    return contract.extended([Column(**(field | {"known": Known(field["known"])})) for field in declared])


def declare(root: Path, contract: Contract, columns: Sequence[Column]) -> Contract:
    """Declare own fields of a table, for ever; returns its contract with all of them.

    Raises:
        ContractError: if a field is not named `custom_…`, is required, or was declared with another type.
    """
    with exclusive(root / "_locks" / "extensions.lock", what=_FILE, wait_seconds=_LOCK_SECONDS):
        declared = _read(root)
        extended = extended_contract(root, contract).extended(columns)
        fields = [{name: asdict(column)[name] for name in _KEPT} for column in extended.extension]
        if fields != declared.get(contract.table, []):
            write_whole(root / _FILE, json.dumps(declared | {contract.table: fields}, indent=2))
    return replace(contract, columns=extended.columns)


def _read(root: Path) -> dict[str, list[dict[str, Any]]]:
    path = root / _FILE
    if not path.exists():
        return {}
    fields: dict[str, list[dict[str, Any]]] = json.loads(path.read_text(encoding="utf-8"))
    return fields
