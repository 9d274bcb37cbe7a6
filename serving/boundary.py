"""The outermost layer of a service: a request id, one shape for all errors, and metrics that do not grow with the ids.

BentoML and Starlette answer an unknown path, a wrong method, a timeout and a crash in four shapes of their own, and
BentoML labels its metrics with the raw path, so that each lead ever asked for would become a time series. This layer
stands around BentoML's application and repairs both.
"""

from __future__ import annotations

import logging
import re
import traceback
import uuid
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from serving.problems import MEDIA_TYPE, headers_of, problem

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY_BYTES = 4 * 1024 * 1024
OTHER_PATH = "/{other}"
_REAL_PATH = "salience.path"
_GIVEN_ID = re.compile(rb"[A-Za-z0-9_.\-]{1,64}")
_SUPPLIED = ("/static_content", "/livez", "/readyz", "/healthz", "/schema.json", "/docs.json")

logger = logging.getLogger(__name__)


class Boundary:
    """Wraps a whole BentoML application.

    Args:
        app: The application.
        paths: Path templates of the product's routes, such as `/api/v1/leads/{lead_id}/score`.
    """

    def __init__(self, app: Application, *, paths: Sequence[str]) -> None:
        self.app = app
        self._patterns = [(re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path) + "/?"), path) for path in paths]

    def label(self, path: str) -> str:
        """Path template that `path` belongs to; `OTHER_PATH` for any that no route has."""
        if path == "/metrics" or path.startswith(_SUPPLIED):
            return path if path.count("/") == 1 else "/" + path.split("/")[1]
        for pattern, template in self._patterns:
            if pattern.fullmatch(path):
                return template
        return OTHER_PATH

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; other traffic (start and stop of the server) passes unchanged."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(scope, send)
        if exchange.body_bytes > MAX_BODY_BYTES:
            await exchange.fail(413, f"The body has {exchange.body_bytes} bytes; at most {MAX_BODY_BYTES} are read.")
            return
        # BentoML's metrics read `path`, its router comes later: `RealPath` puts the real one back in between.
        inner = {**scope, "path": self.label(scope["path"]), _REAL_PATH: scope["path"]}
        inner["state"] = {**scope.get("state", {}), "request_id": exchange.request_id}
        try:
            await self.app(inner, receive, exchange.send)
        except Exception as error:  # noqa: BLE001 - the edge of the program: whatever escaped is logged once and answered
            exchange.log(error, route=inner["path"])
            if not exchange.answered:
                await exchange.fail(500, "This request met a defect of the service.")


class RealPath:
    """BentoML middleware that gives the router the path that the client sent."""

    def __init__(self, app: Application) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its real path."""
        if _REAL_PATH in scope:
            scope = {**scope, "path": scope[_REAL_PATH]}
        await self.app(scope, receive, send)


class _Exchange:
    """One request and the state of its answer."""

    def __init__(self, scope: Scope, send: Send) -> None:
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        self.request_id = given.decode() if _GIVEN_ID.fullmatch(given) else uuid.uuid4().hex
        length = headers.get(b"content-length", b"0")
        self.body_bytes = int(length) if length.isdigit() else 0
        self.answered = False
        self._scope = scope
        self._send = send
        self._replaced: tuple[int, dict[str, str]] | None = None

    async def send(self, message: Message) -> None:
        """Pass a message on; an error that is not yet a problem becomes one."""
        if message["type"] == "http.response.start":
            headers = {key.decode().lower(): value.decode("latin-1") for key, value in message["headers"]}
            if message["status"] >= 400 and not headers.get("content-type", "").startswith(MEDIA_TYPE):
                kept = {key: value for key, value in headers.items() if key == "allow"}
                self._replaced = (message["status"], kept)
                return
            message = {**message, "headers": [*message["headers"], (b"x-request-id", self.request_id.encode())]}
        elif self._replaced is not None:
            if not message.get("more_body", False):
                status, headers = self._replaced
                self._replaced = None
                await self.fail(status, self._words(status, headers), headers=headers)
            return
        self.answered = True
        await self._send(message)

    async def fail(self, status: int, detail: str, *, headers: dict[str, str] | None = None) -> None:
        """Answer with a problem."""
        self.answered = True
        body = problem(status, request_id=self.request_id, detail=detail).model_dump_json().encode()
        named = {
            "content-type": MEDIA_TYPE,
            "content-length": str(len(body)),
            "x-request-id": self.request_id,
            **headers_of(status),
            **(headers or {}),
        }
        encoded = [(key.lower().encode(), value.encode("latin-1")) for key, value in named.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})
        await self._send({"type": "http.response.body", "body": body})

    def log(self, error: Exception, *, route: str) -> None:
        """Say where it broke, without the message, which may hold a person's data."""
        frames = "".join(traceback.format_tb(error.__traceback__)[-6:])
        name = type(error).__name__
        logger.error("%s in %s %s (request %s):\n%s", name, self._scope["method"], route, self.request_id, frames)

    def _words(self, status: int, headers: dict[str, str]) -> str:
        method, path = self._scope["method"], self._scope["path"]
        if status == 404:
            return f"There is no {path} here."
        if status == 405:
            return f"{path} does not take {method}; it takes {headers.get('allow', 'another method')}."
        if status == 504:
            return f"{method} {path} took too long and was given up."
        if status >= 500:
            return "This request met a defect of the service." if status == 500 else "The service cannot answer now."
        return f"{method} {path} cannot be answered."
