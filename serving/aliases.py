"""Reads an alias of the model registry without MLflow.

Importing MLflow takes seconds and some 200 MB, and a worker needs one thing from it: which version carries an alias.
That is one row in MLflow's SQLite file, or one answer of its documented REST API; the version's bundle lies under
`mlruns/bundles` (training/registry.py). Whatever this reader does not know (another database, a bundle that is
not on this machine) it leaves to `ModelRegistry`. A test holds the two equal.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from common.errors import UnavailableError
from common.settings import Settings

ALIAS = "champion"
_SECONDS = 2.0
_QUERY = "SELECT version FROM registered_model_aliases WHERE name = ? AND alias = ?"
_REST_PATH = "/api/2.0/mlflow/registered-models/alias"


@dataclass(frozen=True)
class Aliased:
    """The version that carries an alias.

    Args:
        version: Its number, as text.
        bundle: Folder of its bundle on this machine.
        metrics: Its figures on later data than it was trained on.
    """

    version: str
    bundle: Path
    metrics: dict[str, float]


class AliasReader:
    """Finds champions.

    Args:
        settings: Where MLflow lives.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._home = settings.mlruns.resolve()

    def find(self, name: str, *, known: Aliased | None = None, alias: str = ALIAS) -> Aliased | None:
        """The version of `name` that carries the alias, or None where none does.

        Args:
            name: Registered model.
            known: What was found before; given back unread if it still carries the alias.
            alias: `champion` or `challenger`.

        Raises:
            UnavailableError: if the registry cannot be reached.
        """
        uri = self._settings.mlflow_uri
        if uri.startswith("sqlite:///"):
            version = _from_sqlite(Path(uri.removeprefix("sqlite:///")), name, alias)
        elif urlsplit(uri).scheme in ("http", "https"):
            version = _from_server(uri, name, alias)
        else:
            return self._from_mlflow(name, alias)
        if version is None:
            return None
        if known is not None and known.version == version:
            return known
        bundle = self._home / "bundles" / name / version
        manifest = bundle / "manifest.json"
        if not manifest.is_file():
            return self._from_mlflow(name, alias)
        metrics = json.loads(manifest.read_text(encoding="utf-8")).get("metrics", {})
        return Aliased(version=version, bundle=bundle, metrics=metrics)

    def _from_mlflow(self, name: str, alias: str) -> Aliased | None:
        from training.registry import ModelRegistry

        found = ModelRegistry(self._settings).model(name, alias)
        if found is None:
            return None
        return Aliased(version=found.version, bundle=found.bundle, metrics=dict(found.metrics))


def _from_sqlite(file: Path, name: str, alias: str) -> str | None:
    if not file.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=_SECONDS)) as connection:
            row = connection.execute(_QUERY, (name, alias)).fetchone()
    except sqlite3.Error as error:
        raise UnavailableError(
            f"The model registry in {file} cannot be read: {error}",
            next_step="check the file; MLflow's own `mlflow db upgrade` repairs an old one",
        ) from error
    return None if row is None else str(row[0])


def _from_server(uri: str, name: str, alias: str) -> str | None:
    import httpx

    question = urlencode({"name": name, "alias": alias})
    try:
        answer = httpx.get(f"{uri.rstrip('/')}{_REST_PATH}?{question}", timeout=_SECONDS)
        body = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise UnavailableError(
            f"The model registry at {uri} cannot be reached: {type(error).__name__}",
            next_step="check SALIENCE_TRACKING_URI and that the MLflow server runs",
        ) from error
    if answer.status_code == 200:
        return str(body["model_version"]["version"])
    if body.get("error_code") in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
        return None
    raise UnavailableError(
        f"The model registry at {uri} answered {answer.status_code}: {body.get('message', 'no message')}",
        next_step="look at the MLflow server's log",
    )
