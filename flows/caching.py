"""Steps whose result is kept and reused while their inputs and outputs are unchanged, by Prefect's own task cache."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import Task
from prefect.cache_policies import CacheKeyFnPolicy
from prefect.states import State

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepResult:
    """What a step gave and whether it was reused.

    Args:
        value: The step's JSON record; `outputs` in it lists the files it made.
        is_reused: True when an earlier run's record was taken.
    """

    value: dict[str, Any]
    is_reused: bool


def fingerprint(*parts: object) -> str:
    """Short hash of JSON-able parts, the same in every process."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:20]


def file_fingerprint(folder: Path) -> str:
    """Short hash of the names, sizes and times of change of all files below `folder`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    return fingerprint(
        [(path.relative_to(folder).as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    )


def run_step(step: Task[..., dict[str, Any]], *, receipts: Path, key: str, **parameters: Any) -> StepResult:
    """Run `step`, or take the record of an earlier run with the same key whose outputs are all still there.

    Args:
        step: A Prefect task that returns a JSON-able record; `outputs` in it lists the files it made.
        receipts: Folder of the records.
        key: Fingerprint of everything the result depends on.
        parameters: Passed to the task.
    """
    kept = step.with_options(
        persist_result=True,
        result_storage=receipts,
        result_serializer="json",
        cache_policy=CacheKeyFnPolicy(cache_key_fn=lambda _context, _parameters: f"{step.name}-{key}"),
    )
    state: State[dict[str, Any]] = kept(**parameters, return_state=True)
    value = state.result()
    if state.name != "Cached":
        return StepResult(value=value, is_reused=False)
    missing = [path for path in value.get("outputs", ()) if not Path(path).exists()]
    if not missing:
        return StepResult(value=value, is_reused=True)
    logger.warning("%s: %d outputs are gone (first: %s), making them again", step.name, len(missing), missing[0])
    state = kept.with_options(refresh_cache=True)(**parameters, return_state=True)
    return StepResult(value=state.result(), is_reused=False)
