"""Feast's own web page of a workspace: `python -m features.feast_page --workspace W --home H --port P`.

It shows the registry (entities, views, features with their meaning, services). Feast's command line would need a
repository file, listens on all addresses, and its page offers to edit and delete; here the catalogue in the code is
the one home of a feature, so that the page only reads, and it listens on 127.0.0.1 unless told otherwise.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from common.settings import OnlineStoreSettings
from common.workspace import Workspace

_READING = ("GET", "HEAD", "OPTIONS")


def has_registry(workspace: Workspace) -> bool:
    """Whether the workspace's features were ever registered, so that there is something to show."""
    from features.definitions import registry_file

    return registry_file(workspace).is_file()


def serve_page(workspace: Workspace, *, host: str, port: int) -> None:
    """Serve the page until a signal ends it.

    Args:
        workspace: Whose registry is shown.
        host: Address to listen on.
        port: Port.
    """
    from features.definitions import repo_config
    from features.feast_import import feast

    module = feast()
    import uvicorn
    from feast.ui_server import get_app

    # What is looked at lies in files, so that the kind of online store does not matter.
    store = module.FeatureStore(config=repo_config(workspace, OnlineStoreSettings(kind="sqlite")))
    uvicorn.run(ReadOnly(get_app(store, store.project)), host=host, port=port, log_level="warning")


class ReadOnly:
    """An ASGI application that passes on only what reads.

    Args:
        app: The application behind it.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer one request; one that would write gets 405 with the reason."""
        if scope["type"] != "http" or scope["method"] in _READING:
            await self._app(scope, receive, send)
            return
        body = json.dumps({"detail": "Nothing is changed here: features are defined in features/catalogue.py"}).encode()
        headers = [(b"content-type", b"application/json"), (b"allow", ", ".join(_READING).encode())]
        await send({"type": "http.response.start", "status": 405, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", required=True, help="name of the workspace")
    parser.add_argument("--home", required=True, type=Path, help="folder of all workspaces")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", required=True, type=int, help="port")
    options = parser.parse_args()
    serve_page(Workspace(name=options.workspace, home=options.home), host=options.host, port=options.port)


if __name__ == "__main__":
    main()
