"""Leaks that a person accepted by name, with a reason: an append-only record in the workspace."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from common.errors import ContractError, InputError
from common.locks import exclusive

if TYPE_CHECKING:
    from pathlib import Path

    from common.workspace import Workspace

_FILE = "accepted_leaks.jsonl"
_LOCK_SECONDS = 30.0
_LEAST_WORDS = 3


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """Somebody's word that a field is honest, or the taking back of it.

    Args:
        feature: Name of the field.
        who: Who says so.
        when: When, ISO 8601 with offset.
        why: The reason.
        evidence: What the probe had found, if it was known.
        withdrawn: Whether an earlier acceptance is taken back.
    """

    feature: str
    who: str
    when: str
    why: str
    evidence: str = ""
    withdrawn: bool = False


def acceptances_file(workspace: Workspace) -> Path:
    """Where a workspace keeps them: one JSON object per line, oldest first."""
    return workspace.root / _FILE


def accept_leak(
    workspace: Workspace,
    feature: str,
    *,
    who: str,
    why: str,
    evidence: str = "",
    withdrawn: bool = False,
    when: datetime | None = None,
) -> Acceptance:
    """Record that a field is accepted in spite of what the probes found (or no longer).

    Args:
        workspace: Whose trainings it is for.
        feature: Name of the field.
        who: Who accepts it.
        why: The reason, at least three words.
        evidence: What the probe had found.
        withdrawn: Take an earlier acceptance back instead.
        when: Moment, aware; default: now.

    Raises:
        InputError: if the name of the field or person is empty, or the reason is none.
        UnavailableError: if another process holds the record for half a minute.
    """
    if not feature.strip() or not who.strip():
        raise InputError("An acceptance names a field and a person", got=f"field '{feature}', person '{who}'")
    if len(why.split()) < _LEAST_WORDS:
        raise InputError(
            f"The reason to accept '{feature}' is no reason",
            expected="a sentence that says when the field is written and how one knows",
            got=f"'{why}'",
            field="reason",
        )
    moment = (when or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds")
    acceptance = Acceptance(
        feature=feature.strip(), who=who.strip(), when=moment, why=why.strip(), evidence=evidence, withdrawn=withdrawn
    )
    path = acceptances_file(workspace)
    path.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(path.with_suffix(".lock"), what=_FILE, wait_seconds=_LOCK_SECONDS), path.open("ab") as file:
        # A line that a killed process left half written is closed first, so that it harms no other.
        line = json.dumps(asdict(acceptance), ensure_ascii=False).encode() + b"\n"
        file.write(line if _ends_whole(path) else b"\n" + line)
        file.flush()
        os.fsync(file.fileno())
    return acceptance


def accepted_leaks(workspace: Workspace) -> dict[str, Acceptance]:
    """The acceptances that stand, by field: the newest word on each.

    Raises:
        ContractError: if a whole line of the record cannot be read; nothing is accepted then.
    """
    path = acceptances_file(workspace)
    if not path.exists():
        return {}
    standing: dict[str, Acceptance] = {}
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found = Acceptance(**json.loads(line))
        except (TypeError, ValueError) as error:
            if _is_torn(line):
                continue
            raise ContractError(
                f"Line {number} of {path} is no acceptance", got=str(error), next_step="restore the file from a backup"
            ) from error
        standing[found.feature] = found
    return {name: found for name, found in standing.items() if not found.withdrawn}


def _ends_whole(path: Path) -> bool:
    if path.stat().st_size == 0:
        return True
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _is_torn(line: str) -> bool:
    """Whether a killed process stopped in the middle of the line."""
    return line.startswith("{") and not line.endswith("}")
