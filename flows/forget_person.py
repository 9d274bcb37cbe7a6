"""Erase a person from a workspace: the warehouse, and everything that was computed from it.

No Prefect flow: its server would keep the address as a parameter of the run.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from common.whole_files import write_whole
from flows.display import report_progress
from flows.parts import Platform

_DELIVERED = ("landing", "stream", "inbox")
"""What sources and applications delivered: only they may change it, and it enters without saying who the person is."""
_DERIVED = ("features", "scores", "forecasts", "reports", "evidently", "receipts")


@dataclass(frozen=True, kw_only=True)
class Forgotten:
    """What a command to forget did.

    Args:
        proof: The proof's file.
        rows: Rows changed, by table.
        quarantined: Rows taken out of the quarantine.
        deleted: Files computed from the person's rows that were deleted, relative to the workspace.
        rebuilt: Whether features and scores were computed anew.
        elsewhere: Files outside the warehouse that still hold the person, which only their owner may change: what the
            source delivered, logged models.
    """

    proof: Path
    rows: dict[str, int]
    quarantined: int
    deleted: tuple[str, ...]
    rebuilt: bool
    elsewhere: tuple[str, ...]


def forget_person(source: str | None, contact: str) -> Forgotten:
    """Erase a person from the warehouse of a workspace and from everything computed from it, and write a proof.

    Args:
        source: Source, which names the workspace; None: the one the settings choose.
        contact: The person's e-mail address.

    Raises:
        InputError: if the text is no e-mail address.
        NotFoundError: if nothing is held about the address.
        ErasureError: if something is left.
    """
    from warehouse.forgetting import find_person, forget
    from warehouse.search import find_traces

    platform = Platform.open(source)
    root = platform.workspace.root
    # Asked before: afterwards nobody can say which ids were the person's.
    texts = find_person(platform.warehouse, contact).searched
    proof = forget(platform.warehouse, contact, progress=report_progress)
    deleted = tuple(f"{folder}/{name}" for folder in _DERIVED for name in _delete_traces(root / folder, texts))
    stores_features = any(name.startswith("features/") for name in deleted)
    if stores_features:
        _compute_again(platform)
    elsewhere = tuple(
        str(folder / name)
        for folder in (*(root / name for name in _DELIVERED), platform.settings.mlruns)
        for name in find_traces(folder, texts).traces
    )
    written = write_whole(
        root / "erasures" / f"{proof.erased_at:%Y%m%dT%H%M%SZ}-{proof.person_digest[:8]}.json",
        json.dumps(
            {"warehouse": json.loads(proof.as_json()), "derived_files_deleted": len(deleted), "elsewhere": elsewhere},
            indent=2,
        ),
    )
    return Forgotten(
        proof=written,
        rows=proof.rows,
        quarantined=proof.quarantined,
        deleted=deleted,
        rebuilt=stores_features,
        elsewhere=elsewhere,
    )


def _delete_traces(folder: Path, texts: tuple[str, ...]) -> tuple[str, ...]:
    from warehouse.search import find_traces

    traces = find_traces(folder, texts).traces
    for name in traces:
        (folder / name).unlink()
    return traces


def _compute_again(platform: Platform) -> None:
    """Features and scores anew: parts of them would not go with the rest."""
    from flows.build_features import build_history, put_online
    from flows.score_open import score_everything_open

    shutil.rmtree(platform.workspace.features)
    for step in (build_history, put_online, score_everything_open):
        step.fn(platform.workspace.name)
