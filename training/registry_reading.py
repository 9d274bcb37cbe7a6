"""What the registry tells of models, versions and runs, read through a client; MLflow itself is not imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from training.promotion_log import Seal
from training.results import RegisteredModel

SEAL_TAG = "salience.log_seal"
_PAGE = 200


@dataclass(frozen=True, kw_only=True)
class VersionRecord:
    """A version as a list shows it.

    Args:
        name: Registered model.
        version: Its number, as text.
        created_at: When it was registered, UTC.
        aliases: Aliases it carries.
        run_id: MLflow run it came from.
        tags: `fingerprint`, `task`, and whatever the training added, such as `scoring` or `model_hash`.
        metrics: Flat figures on the test period of its training.
        params: Parameters of its run.
    """

    name: str
    version: str
    created_at: datetime
    aliases: tuple[str, ...]
    run_id: str
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    params: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A run's parameters, tags and figures."""

    run_id: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]


def registered_models(client: Any) -> list[Any]:
    """All registered models, whatever their number."""
    return _pages(lambda token: client.search_registered_models(max_results=_PAGE, page_token=token))


def version_records(client: Any, name: str) -> tuple[VersionRecord, ...]:
    """All versions of a model, newest first."""
    found = client.search_registered_models(f"name = '{name}'")
    if not found:
        return ()
    aliases = {str(alias): str(version) for alias, version in found[0].aliases.items()}
    versions = _pages(
        lambda token: client.search_model_versions(f"name = '{name}'", max_results=_PAGE, page_token=token)
    )
    records = [_record(client, version, aliases) for version in versions]
    return tuple(sorted(records, key=lambda record: -int(record.version)))


def run_record(client: Any, run_id: str) -> RunRecord:
    """Parameters, tags and figures of a run."""
    data = client.get_run(run_id).data
    tags = {name: value for name, value in data.tags.items() if not name.startswith("mlflow.")}
    return RunRecord(run_id=run_id, params=dict(data.params), tags=tags, metrics=dict(data.metrics))


def registered_model(client: Any, version: Any, bundle: Path) -> RegisteredModel:
    """A version with its bundle."""
    held = client.get_registered_model(version.name).aliases
    return RegisteredModel(
        name=version.name,
        version=str(version.version),
        run_id=version.run_id,
        aliases=tuple(sorted(alias for alias in held if str(held[alias]) == str(version.version))),
        metrics=dict(client.get_run(version.run_id).data.metrics),
        bundle=bundle,
    )


def seal_text(seal: Seal) -> str:
    """A seal as the text of a tag."""
    return f"{seal.sequence} {seal.digest}"


def read_seals(client: Any) -> dict[str, Seal]:
    """Seals of all models that have one."""
    found = {}
    for model in registered_models(client):
        sequence, _, digest = model.tags.get(SEAL_TAG, "").partition(" ")
        if sequence.isdigit():
            found[str(model.name)] = Seal(int(sequence), digest)
    return found


def _record(client: Any, version: Any, aliases: Mapping[str, str]) -> VersionRecord:
    run = run_record(client, version.run_id)
    number = str(version.version)
    return VersionRecord(
        name=str(version.name),
        version=number,
        created_at=datetime.fromtimestamp(version.creation_timestamp / 1_000, tz=UTC),
        aliases=tuple(sorted(alias for alias, held in aliases.items() if held == number)),
        run_id=run.run_id,
        tags={**run.tags, **version.tags},
        metrics=run.metrics,
        params=run.params,
    )


def _pages(search: Any) -> list[Any]:
    found: list[Any] = []
    token = None
    while True:
        page = search(token)
        found += list(page)
        token = page.token
        if not token:
            return found
